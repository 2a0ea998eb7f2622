"""The words that pages use about a study follow from its numbers."""

import pytest

from tests.book_samples import summary_of
from ubc_lib.book.quotes import (
    BASELINE,
    BOOSTED,
    overview,
    quoted,
    signed_text,
    status_box,
    verdict,
)


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.02, 0.15), "reproduced"),
        ((0.02, 0.08), "not reproduced"),
        ((-0.05, 0.08), "not reproduced"),
        ((-0.15, -0.02), "not reproduced"),
        ((-0.02, 0.12), "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(interval, word):
    assert verdict(summary_of(difference_interval=list(interval))) == word


def test_two_seeds_cannot_tell_whatever_the_interval():
    assert verdict(summary_of(difference_interval=[0.02, 0.15], paired_seeds=2)) == "cannot tell"
    quotes = quoted(summary_of(paired_seeds=2))
    assert (
        quotes["reason"] == "there are fewer than 3 seeds, and the interval is over patients only"
    )


@pytest.mark.parametrize(
    ("interval", "advantage"), [((0.02, 0.08), True), ((0.0, 0.08), False), ((0.02, 0.1), False)]
)
def test_an_advantage_smaller_than_the_paper_s_is_called_one(interval, advantage):
    quotes = quoted(summary_of(difference_interval=list(interval)))
    assert ("there is an advantage, but smaller than the paper's" in quotes["reason"]) is advantage
    assert ("преимущество есть, но меньше, чем в статье" in quotes["reason_ru"]) is advantage


def test_a_study_of_one_model_quotes_the_other_as_not_run():
    summary = summary_of(difference=None, difference_interval=None)
    del summary["models"][BOOSTED]
    quotes = quoted(summary)
    assert verdict(summary) == "not complete"
    assert quotes[f"accuracy_{BOOSTED}"] == quotes["difference"] == "not run"


def test_numbers_are_quoted_with_two_decimals_and_a_sign():
    quotes = quoted(summary_of(difference=-0.0333, difference_interval=[-0.1, 0.02]))
    assert quotes[f"accuracy_{BASELINE}"] == "0.70 [0.61,\u00a00.79]"
    assert quotes[f"dice_{BOOSTED}"] == "0.65"
    assert quotes["dice_dummy"] == "0.12"
    assert quotes["difference"] == "−0.03 [−0.10,\u00a0+0.02]"


@pytest.mark.parametrize("value", [0.0, -0.004, 0.004])
def test_what_rounds_to_zero_has_no_sign(value):
    assert signed_text(value) == "0.00"


def test_russian_numbers_have_a_decimal_comma():
    quotes = quoted(summary_of(difference=-0.0333, difference_interval=[-0.1, 0.02]))
    assert quotes["difference_ru"] == "−0,03 [−0,10;\u00a0+0,02]"
    assert quotes[f"dice_{BOOSTED}_ru"] == "0,65"


def test_a_phantom_result_is_said_to_say_nothing_about_patients():
    assert "nothing about patients" in quoted(summary_of())["scope"]
    assert "nothing about patients" not in quoted(summary_of(cohort_kind="brats"))["scope"]


def test_the_status_box_names_study_cohort_trainings_device_commit_and_date():
    box = status_box(summary_of("mine", missing_runs=3))
    for fact in ("mine", "8 synthetic phantoms", "a processor", "0123456789ab", "2024-05-06"):
        assert fact in box
    assert "12 trainings, 1 seed at the largest size" in box
    assert "Runs missing: 3" in box


def test_the_overview_has_a_row_per_study():
    table = overview([summary_of("first"), summary_of("second")]).splitlines()
    assert [line.count("|") for line in table] == [6] * 4
    assert "studies/second/index.md" in table[3]
    assert "| cannot tell (3 seeds) |" in table[3]


def test_the_overview_names_an_advantage_that_is_smaller_than_the_paper_s():
    table = overview([summary_of(difference_interval=[0.02, 0.08])])
    assert "| not reproduced, with an advantage smaller than the paper's (3 seeds) |" in table


@pytest.mark.parametrize(
    ("high", "found"), [(0.65, "stays below"), (0.67, "may agree with"), (0.79, "may agree with")]
)
def test_it_is_said_whether_the_baseline_comes_out_as_in_the_paper(high, found):
    summary = summary_of(images_per_class_max=190)
    summary["models"][BASELINE]["high"] = high
    assert quoted(summary)["baseline"] == f"ResNet34 alone {found} the paper's 0.71."
