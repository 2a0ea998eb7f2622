"""The benchmarks run, here on a study that takes seconds; what they measure is not tested."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from benchmarks import many_runs, paper
from tests.conftest import tiny_study
from ubc_lib.results.runs import load_runs


def test_tables_and_figures_of_many_runs_are_made():
    mpl.use("agg")
    study = tiny_study(seeds=(0, 1, 2))
    many_runs.generate(study)
    many_runs.tables_and_figures(study, load_runs(study))
    plt.close("all")


@pytest.mark.slow
def test_the_paper_study_is_timed_as_a_whole():
    study = tiny_study(images_per_class=(1, 2), epochs=1)
    row = paper.measure(study, processes=2)
    assert row["runs"] == 2 * len(study.images_per_class)
    assert row["minutes"] > 0
