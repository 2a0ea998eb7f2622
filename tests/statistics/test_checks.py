"""Statistics refuse what they cannot count, and say which row it is."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.prediction_samples import predictions_of, random_predictions, runs_of
from tests.result_samples import some_runs
from ubc_lib.statistics.association import dice_correlation
from ubc_lib.statistics.checks import check_predictions, finished_runs
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.statistics.convergence import plateau_table
from ubc_lib.statistics.diagnosis import diagnosis_table, reliability
from ubc_lib.statistics.efficiency import fit_learning_curves
from ubc_lib.statistics.gee import odds_ratios
from ubc_lib.statistics.resampling import accuracy_intervals
from ubc_lib.statistics.variance import chance_of_shape
from ubc_lib.system.errors import InputError

SOME = predictions_of([[1, 0], [1, 1]], [0, 1])
RUNS = some_runs().runs


def changed(table, column, value):
    """The table with a value in its second row."""
    table = table.copy()
    table[column] = table[column].astype(object)
    table.loc[1, column] = value
    return table.infer_objects()


def test_predictions_and_runs_as_they_should_be_pass():
    check_predictions(random_predictions())
    pd.testing.assert_frame_equal(finished_runs(RUNS), RUNS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (SOME[:0], "predictions are empty"),
        (SOME.drop(columns="patient"), r"lack the column\(s\) patient"),
        (changed(SOME, "correct", np.nan), "correct=nan for resnet34, 2 images per class, seed 0"),
        (changed(SOME, "probability", np.nan), "probability=nan for .* patient p00, slice 1"),
        (changed(SOME, "probability", 1.5), r"probability=1\.5 .*; allowed is 0 to 1"),
        (changed(SOME, "target", 2), "target=2 "),
        (changed(SOME, "target", 1), "Patient p00 has both classes"),
        (pd.concat([SOME, SOME], ignore_index=True), "patient p00, slice 0 twice"),
    ],
)
def test_predictions_that_cannot_be_counted_are_named(table, message):
    with pytest.raises(InputError, match=message):
        check_predictions(table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (RUNS[:0], "runs are empty"),
        (changed(RUNS, "accuracy", -0.1), r"accuracy=-0\.1"),
        (changed(RUNS, "study", "other"), r"more than one study \(tiny, other\)"),
        (RUNS.assign(fingerprint=["a"] + ["b"] * (len(RUNS) - 1)), "more than one fingerprint"),
        (pd.concat([RUNS, RUNS], ignore_index=True), "resnet34, 1 images per class, seed 0 twice"),
    ],
)
def test_runs_that_cannot_be_counted_are_named(table, message):
    with pytest.raises(InputError, match=message):
        finished_runs(table)


def test_the_absent_dice_of_resnet34_is_no_fault():
    assert RUNS["dice"].isna().any()
    assert len(finished_runs(RUNS)) == len(RUNS)


def test_a_run_that_diverged_is_left_out():
    diverged = changed(RUNS, "accuracy", np.nan)
    pd.testing.assert_frame_equal(finished_runs(diverged), diverged.drop(index=1))


@pytest.mark.parametrize(
    "statistic",
    [
        accuracy_intervals,
        partial(compare_models, tiny_study()),
        diagnosis_table,
        partial(odds_ratios, tiny_study()),
        reliability,
    ],
)
def test_every_statistic_of_predictions_refuses_a_gap(statistic):
    with pytest.raises(InputError, match="correct=nan for"):
        statistic(changed(SOME, "correct", np.nan))


@pytest.mark.parametrize(
    "statistic", [chance_of_shape, dice_correlation, fit_learning_curves, plateau_table]
)
def test_every_statistic_of_runs_refuses_two_studies(statistic):
    mixed = runs_of({"resnet34": {2: [0.5, 0.6]}}).assign(study=["one", "two"])
    with pytest.raises(InputError, match="more than one study"):
        statistic(mixed)
