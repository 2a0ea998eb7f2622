"""The words that pages use about a study follow from its numbers."""

import pytest

from tests.book_samples import summary_of
from ubc_lib.quotes import BASELINE, BOOSTED, overview, quoted, status_box, verdict


def with_intervals(baseline: tuple[float, float], boosted: tuple[float, float]) -> dict:
    models = {
        name: {"accuracy": sum(interval) / 2, "low": interval[0], "high": interval[1]}
        | {"dice": None, "parameters": 1, "seeds": 1}
        for name, interval in ((BASELINE, baseline), (BOOSTED, boosted))
    }
    return summary_of(models=models)


@pytest.mark.parametrize(
    ("baseline", "boosted", "word"),
    [
        ((0.66, 0.75), (0.77, 0.85), "reproduced"),
        ((0.77, 0.85), (0.66, 0.75), "not reproduced"),
        ((0.66, 0.75), (0.74, 0.85), "cannot tell"),
        ((0.66, 0.75), (0.75, 0.85), "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_intervals(baseline, boosted, word):
    assert verdict(with_intervals(baseline, boosted)) == word


def test_missing_runs_leave_the_verdict_open():
    clear = with_intervals((0.6, 0.7), (0.8, 0.9))
    assert verdict(clear | {"missing_runs": 1}) == "not complete"


def test_a_study_of_one_model_quotes_the_other_as_not_run():
    summary = with_intervals((0.6, 0.7), (0.8, 0.9)) | {"difference": None}
    del summary["models"][BOOSTED]
    quotes = quoted(summary)
    assert verdict(summary) == "not complete"
    assert quotes[f"accuracy_{BOOSTED}"] == quotes["difference"] == "not run"


def test_numbers_are_quoted_with_two_decimals_and_a_sign():
    quotes = quoted(summary_of(difference=-0.0333))
    assert quotes[f"accuracy_{BASELINE}"] == "0.70 [0.61,\u00a00.79]"
    assert quotes[f"dice_{BOOSTED}"] == "0.65"
    assert quotes["difference"] == "−0.03"


def test_a_phantom_result_is_said_to_say_nothing_about_patients():
    assert "nothing about patients" in quoted(summary_of())["scope"]
    assert "nothing about patients" not in quoted(summary_of(cohort_kind="brats"))["scope"]


def test_the_status_box_names_study_cohort_device_commit_and_date():
    box = status_box(summary_of("mine", missing_runs=3))
    for fact in ("mine", "8 synthetic phantoms", "a processor", "0123456789ab", "2024-05-06"):
        assert fact in box
    assert "Runs missing: 3" in box


def test_the_overview_has_a_row_per_study():
    table = overview([summary_of("first"), summary_of("second")]).splitlines()
    assert [line.count("|") for line in table] == [7] * 4
    assert "studies/second/index.md" in table[3]
