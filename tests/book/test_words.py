"""Sentences hold the numbers of the runs, and escape what users named."""

import numpy as np
import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.prediction_samples import random_predictions
from tests.result_samples import some_runs, some_slices
from ubc_lib.book.words import (
    counted,
    interval,
    p_value,
    signed,
    tell,
    tell_comparison,
    tell_saved,
)
from ubc_lib.models import parameter_table
from ubc_lib.results.tables import missing_runs, parameters_beside_paper, run_overview, table_3
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.statistics.efficiency import LearningCurves, images_saved

NAN = float("nan")
STUDY = tiny_study(seeds=(0, 1))


def compared(study, runs=None):
    results = some_runs()
    runs = results.runs if runs is None else runs
    return table_3(study, runs, results.predictions, some_slices().table)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.034, -0.021, 0.08), "0.03 [−0.02,\u00a00.08]"),
        ((-0.001, -0.004, 0.2), "0.00 [0.00,\u00a00.20]"),
        ((0.5, NAN, NAN), "0.50"),
        ((0.94, 0.16, NAN), "0.94 [0.16,\u00a0–]"),
        ((NAN, 0.1, 0.2), "–"),
    ],
)
def test_an_interval_stands_in_brackets(numbers, text):
    assert interval(*numbers) == text


def test_a_difference_has_a_sign_and_so_have_the_ends_of_its_interval():
    assert interval(0.05, -0.01, 0.11, signed=True) == "+0.05 [−0.01,\u00a0+0.11]"


@pytest.mark.parametrize("value", [0.0, -0.004, 0.004])
def test_what_rounds_to_zero_has_no_sign(value):
    assert signed(value) == "0.00"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.0312, "0.031"), (0.42, "0.42"), (NAN, "–")]
)
def test_small_p_values_keep_three_decimals(p, text):
    assert p_value(p) == text


def test_counts_are_singular_or_plural():
    assert [counted(number, "seed") for number in (1, 2, 21)] == ["1 seed", "2 seeds", "21 seeds"]


def test_the_headline_quotes_every_model_the_dummy_and_the_paper():
    text = tell("headline", study=STUDY, table=compared(STUDY)).data
    assert "Trained on 4 images per class" in text
    assert "ResNet34 answers with accuracy **0.50 [0.22,\u00a00.78]** (mean of 2 seeds)" in text
    assert "UBC-ResNet34 answers with accuracy **0.75 [0.41,\u00a00.93]**, Dice 0.60" in text
    assert "One answer for all gives 0.50 on these 8 test slices" in text
    assert "0.71 for ResNet34 and 0.81 for UBC-ResNet34, at 190 per class" in text


def test_a_model_without_runs_is_called_so():
    runs = some_runs().runs
    table = compared(STUDY, runs[runs["model"] == "ubc_resnet34"])
    assert "ResNet34 has no finished run" in tell("headline", study=STUDY, table=table).data


def test_missing_and_diverged_runs_are_counted():
    def completeness(runs: pd.DataFrame) -> str:
        missing, overview = missing_runs(STUDY, runs), run_overview(STUDY, runs)
        return tell("completeness", missing=missing, overview=overview).data

    runs = some_runs().runs
    assert completeness(runs) == "All 12 runs of this study have finished."
    assert "1 of 12 runs have not finished" in completeness(runs.iloc[1:])
    runs.loc[0, "accuracy"] = NAN
    text = completeness(runs)
    assert "Of 1 run the loss ceased to be a number" in text


def test_a_part_that_differs_from_the_paper_is_named():
    table = parameters_beside_paper(parameter_table("resnet34", image_size=32))
    text = tell("parameters", model="resnet34", table=table).data
    assert "All 6 parts have the paper's number" in text
    assert "(21\u202f279\u202f426); the paper says 21.3 M." in text
    table.loc[[1, 2], "parameters"] += 1
    text = tell("parameters", model="resnet34", table=table).data
    assert "**Not as in the paper: encoder level 1, encoder level 2.** In all" in text


def test_patients_who_were_left_out_are_named():
    patients = {"HGG": 2, "LGG": 2}
    text = tell(
        "membership", study=STUDY, patients=patients, left_out=("BraTS19_<1>",), findings=()
    ).data
    assert "2 HGG and 2 LGG patients" in text
    assert "BraTS19_&lt;1&gt;" in text


def test_differences_are_counted_by_the_side_of_zero():
    better = random_predictions(patients=40, accuracy={"ubc_resnet34": 0.95})
    text = tell_comparison(STUDY, compare_models(STUDY, better)).data
    assert "drawing patients again" in text
    assert "lies above zero at 3 and below it at 0 of 3 sizes" in text
    assert "Of 6 pairs of runs, 6 show a difference of 0.10 or more" in text
    assert "At 8 images per class both models of a pair give the same answer to 60%" in text
    assert (
        "After Holm's adjustment for 3 sizes, the permutation test finds a difference at 3 of them"
        in text
    )
    assert "without a partner" not in text


def test_several_pairs_are_told_one_by_one():
    models = {"resnet34": {}, "ubc_resnet34": {}, "fast": {"network": "resnet34"}}
    study = tiny_study(models=models)
    text = tell_comparison(study, compare_models(study, random_predictions(models=models))).data
    assert "- **UBC-ResNet34 against ResNet34**: By drawing patients again" in text
    assert "- **fast against ResNet34**: By drawing patients again" in text
    assert "adjustment for 6 tests" in text


def test_runs_without_partner_are_mentioned():
    table = random_predictions(seeds=(0, 1))
    table = table[~(table["model"].eq("resnet34") & table["seed"].eq(1))]
    text = tell_comparison(STUDY, compare_models(STUDY, table)).data
    assert "without a partner of the other model, left out: 3" in text
    assert "With one seed to a size" in text


def test_a_pair_without_runs_has_nothing_to_compare():
    table = compare_models(STUDY, random_predictions(models=("resnet34",)))
    told = tell_comparison(STUDY, table).data
    assert told == "Nothing to compare: no size has runs of both models."


def test_one_model_has_nothing_to_compare():
    study = tiny_study(models=["resnet34"])
    table = compare_models(study, random_predictions(models=("resnet34",)))
    assert tell_comparison(study, table).data == "Nothing to compare: this study has one model."


def saved(resnet34, ubc_resnet34):
    fitted = {"resnet34": np.array(resnet34), "ubc_resnet34": np.array(ubc_resnet34)}
    nothing = dict.fromkeys(fitted, np.empty((0, 3)))
    return images_saved(STUDY, LearningCurves(np.array([1, 4, 16, 64]), fitted, nothing))


def test_images_saved_are_told_at_the_largest_size_known():
    text = tell_saved(STUDY, saved((0.85, 0.4, 0.5), (0.85, 0.2, 0.5))).data
    assert "with 16 images per class, 0.80, ResNet34 needs 4.00 times as many" in text
    assert "too few seeds to say how sure that is" in text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.5, 2.0), "The interval holds 1: no saving is shown."),
        ((1.1, 2.0), "leaves out that seeds share patients"),
        ((0.2, NAN), "too alike, to determine the ratio"),
    ],
)
def test_it_is_said_how_sure_the_images_saved_are(ends, text):
    table = saved((0.85, 0.4, 0.5), (0.85, 0.2, 0.5))
    table[["ratio_low", "ratio_high"]] = ends
    assert text in tell_saved(STUDY, table).data


def test_curves_that_share_no_accuracy_determine_nothing():
    text = tell_saved(STUDY, saved((0.6, 0.1, 0.5), (0.9, 0.1, 0.5))).data
    assert "cannot be determined" in text
