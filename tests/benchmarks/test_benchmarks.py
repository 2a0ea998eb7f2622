"""The benchmarks run, here on a study that takes seconds; what they measure is not tested."""

import pytest

from benchmarks import paper
from tests.conftest import tiny_study


@pytest.mark.slow
def test_the_paper_study_is_timed_as_a_whole():
    study = tiny_study(images_per_class=(1, 2), epochs=1)
    row = paper.measure(study, processes=2)
    assert row["runs"] == 2 * len(study.images_per_class)
    assert row["minutes"] > 0
