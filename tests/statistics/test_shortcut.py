"""What a scanner tied to the grade adds to accuracy."""

import numpy as np
import pandas as pd
import pytest

from tests.prediction_samples import random_predictions
from tests.result_samples import some_runs
from ubc_lib.results.runs import Runs
from ubc_lib.statistics.comparison import corrected_resampled_interval
from ubc_lib.statistics.resampling import patient_bootstrap
from ubc_lib.statistics.shortcut import shortcut_gain
from ubc_lib.study import Study

STUDY = Study.load("paper_small")
TIED = Study.load("site_confounding")


def results(**options) -> Runs:
    nothing = pd.DataFrame()
    return Runs(nothing, nothing, nothing, random_predictions(**options))


def gain_of(independent: Runs, tied: Runs) -> pd.DataFrame:
    return shortcut_gain(STUDY, {STUDY.name: independent, TIED.name: tied}, replicates=200)


def test_the_two_studies_differ_in_nothing_but_sites():
    described = [
        study.model_dump(exclude={"name", "title", "part_of", "more_seeds", "more_seeds_at"})
        for study in (STUDY, TIED)
    ]
    changed = {key for key in described[0] if described[0][key] != described[1][key]}
    assert changed == {"site_confounding", "images_per_class", "seeds"}
    for size in TIED.images_per_class:
        shared = {seed for seed in STUDY.all_seeds if size in STUDY.sizes_of(seed)}
        assert set(TIED.seeds) <= shared


def test_gain_is_the_accuracy_with_the_shortcut_less_that_without():
    better = {"resnet34": 1.0, "ubc_resnet34": 1.0}
    independent, tied = results(sizes=(19,)), results(sizes=(19,), accuracy=better)
    table = gain_of(independent, tied).set_index("model")
    for model, cell in independent.predictions.groupby("model"):
        assert table.loc[model, "tied"] == 1
        assert table.loc[model, "difference"] == pytest.approx(1 - cell["correct"].mean())
    assert (table["low"] > 0).all()


def test_its_interval_against_a_sure_cohort_is_the_other_cohorts_own():
    sure = {"resnet34": 1.0, "ubc_resnet34": 1.0}
    independent = results(sizes=(19,), seeds=(0, 1, 2))
    row = gain_of(independent, results(sizes=(19,), accuracy=sure)).iloc[0]
    cell = independent.predictions.query("model == 'resnet34'")
    low, high = patient_bootstrap(cell, replicates=200)
    assert (row["low"], row["high"]) == pytest.approx((1 - high, 1 - low))
    low, high = corrected_resampled_interval(cell.groupby("seed")["correct"].mean().to_numpy())
    assert (row["seeds_low"], row["seeds_high"]) == pytest.approx((1 - high, 1 - low))


def test_cohorts_that_differ_by_chance_hold_zero():
    rng = np.random.default_rng(1)
    tied = results(sizes=(19,))
    flipped = tied.predictions.assign(correct=rng.permutation(tied.predictions["correct"]))
    table = gain_of(results(sizes=(19,)), Runs(*[pd.DataFrame()] * 3, flipped))
    assert ((table["low"] < 0) & (table["high"] > 0)).all()


def test_only_sizes_and_models_of_both_are_compared():
    tied = results(sizes=(19,), models=("resnet34",))
    table = gain_of(results(sizes=(1, 19)), tied)
    assert table[["model", "images_per_class"]].to_numpy().tolist() == [["resnet34", 19]]


def test_without_such_a_part_there_are_no_rows():
    assert shortcut_gain(STUDY, {STUDY.name: results()}).empty
    assert shortcut_gain(Study.load("quick"), {"quick": some_runs()}).empty
