"""What the statistics say in words, and what their tables look like."""

import numpy as np
import pandas as pd
import pytest

from tests.prediction_samples import random_predictions
from ubc_lib.book.statistics_wording import (
    estimate_text,
    p_text,
    show_comparison,
    show_statistics,
    tell_comparison,
    tell_saved,
)
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.statistics.efficiency import LearningCurves, images_saved

NAN = float("nan")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.034, -0.021, 0.08), "0.03 [−0.02, 0.08]"),
        ((-0.001, -0.004, 0.2), "0.00 [0.00, 0.20]"),
        ((0.5, NAN, NAN), "0.50"),
        ((0.94, 0.16, NAN), "0.94 [0.16, –]"),
        ((NAN, 0.1, 0.2), "–"),
    ],
)
def test_an_interval_stands_in_brackets(numbers, text):
    assert estimate_text(*numbers) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.0312, "0.031"), (0.42, "0.42"), (NAN, "–")]
)
def test_small_p_values_keep_three_decimals(p, text):
    assert p_text(p) == text


def test_a_table_puts_intervals_into_one_column():
    table = pd.DataFrame({"auc": [0.7], "auc_low": [0.6], "auc_high": [0.8], "holm_p": [0.0001]})
    html = show_statistics(table, "a label", {"auc": "auc"}).data
    assert "0.70 [0.60, 0.80]" in html
    assert "&lt; 0.001" in html
    assert "auc low" not in html


def test_an_empty_table_is_a_sentence():
    assert (
        show_statistics(pd.DataFrame(), "a label", nothing="Nothing here.").data == "Nothing here."
    )


def test_differences_are_counted_by_the_side_of_zero():
    right = compare_models(random_predictions(patients=40, accuracy={"ubc_resnet34": 0.95}))
    text = tell_comparison(right).data
    assert "drawing patients again" in text
    assert "lies above zero at 3 and below it at 0 of 3 sizes" in text
    assert "Of 6 pairs of runs, 6 show a difference of 0.10 or more" in text
    assert "At 8 images per class both models of a pair give the same answer to 60%" in text
    assert (
        "After Holm's adjustment for 3 sizes, the permutation test finds a difference at 3 of them"
        in text
    )
    assert "without a partner" not in text


def test_runs_without_partner_are_mentioned():
    table = random_predictions(seeds=(0, 1))
    table = table[~(table["model"].eq("resnet34") & table["seed"].eq(1))]
    text = tell_comparison(compare_models(table)).data
    assert "without a partner of the other model, left out: 3" in text
    assert "With one seed to a size" in text


def test_one_model_has_nothing_to_compare():
    table = compare_models(random_predictions(models=("resnet34",)))
    for told in (tell_comparison(table), show_comparison(table)):
        assert told.data == "Nothing to compare: no size has runs of both models."


def test_the_comparison_shows_no_column_twice():
    html = show_comparison(compare_models(random_predictions())).data
    for heading in ("difference", "over seeds", "seeds ≥ 0.10", "permutation p"):
        assert html.count(f">{heading}</th>") == 1


def saved(resnet34, ubc_resnet34):
    fitted = {"resnet34": np.array(resnet34), "ubc_resnet34": np.array(ubc_resnet34)}
    nothing = dict.fromkeys(fitted, np.empty((0, 3)))
    return images_saved(LearningCurves(np.array([1, 4, 16, 64]), fitted, nothing))


def test_images_saved_are_told_at_the_largest_size_known():
    text = tell_saved(saved((0.85, 0.4, 0.5), (0.85, 0.2, 0.5))).data
    assert "with 16 images per class, 0.80, ResNet34 needs 4.00 times as many" in text
    assert "too few seeds to say how sure that is" in text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0.5, 2.0), "The interval holds 1: no saving is shown."),
        ((1.1, 2.0), "leaves out that seeds share patients"),
        ((0.2, NAN), "too alike, to determine the ratio"),
    ],
)
def test_it_is_said_how_sure_the_images_saved_are(interval, text):
    table = saved((0.85, 0.4, 0.5), (0.85, 0.2, 0.5))
    table[["ratio_low", "ratio_high"]] = interval
    assert text in tell_saved(table).data


def test_curves_that_share_no_accuracy_determine_nothing():
    text = tell_saved(saved((0.6, 0.1, 0.5), (0.9, 0.1, 0.5))).data
    assert "cannot be determined" in text
