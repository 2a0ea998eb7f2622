"""Accuracy against Dice, over sizes and within them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.prediction_samples import runs_of
from ubc_lib.statistics.association import dice_correlation, spearman

MODEL = "ubc_resnet34"


def runs_with(accuracy: dict, dice: dict):
    return runs_of({MODEL: accuracy}).assign(dice=np.concatenate(list(dice.values())))


def test_agrees_with_scipy_also_where_values_tie():
    points = np.random.default_rng(0).integers(0, 5, size=(20, 2)).astype(float)
    assert spearman(points, 100, 0)[0] == pytest.approx(spearmanr(*points.T).statistic)


def test_the_interval_lies_within_minus_1_and_1_around_a_strong_correlation():
    x = np.arange(30.0)
    points = np.stack([x, x + np.random.default_rng(0).normal(0, 5, 30)], axis=1)
    rho, low, high = spearman(points, 500, 0)
    assert 0.5 < low < rho < high <= 1


def test_a_correlation_that_only_the_sizes_make_shows_over_sizes_alone():
    rng = np.random.default_rng(0)
    sizes = (1, 2, 4, 8, 16)
    accuracy = {size: 0.1 * k + rng.normal(0, 0.01, 30) + 0.3 for k, size in enumerate(sizes)}
    dice = {size: 0.1 * k + rng.normal(0, 0.01, 30) + 0.3 for k, size in enumerate(sizes)}
    table = dice_correlation(runs_with(accuracy, dice)).set_index("over")
    assert table.loc["sizes", "rho"] == 1
    assert table.loc["sizes", "n"] == 5
    within = table.loc["seeds"]
    assert within["images_per_class"].tolist() == list(sizes)
    assert within["n"].tolist() == [30] * 5
    assert within["rho"].mean() == pytest.approx(0, abs=0.2)


def test_a_correlation_of_seeds_shows_within_sizes():
    draw = np.random.default_rng(0).normal(0, 0.05, 20)
    table = dice_correlation(runs_with({4: 0.6 + draw}, {4: 0.5 + draw})).set_index("over")
    assert table.loc["seeds", ["rho", "low", "high"]].tolist() == pytest.approx([1, 1, 1])


def test_below_three_points_and_without_variation_there_are_gaps():
    table = dice_correlation(
        runs_with({2: [0.5, 0.6], 4: [0.6, 0.6]}, {2: [0.1, 0.2], 4: [0.3, 0.3]})
    )
    assert table["rho"].isna().tolist() == [True, True, True]
    table = dice_correlation(runs_with({2: [0.5, 0.5, 0.5]}, {2: [0.1, 0.2, 0.3]}))
    assert table["rho"].isna().all()


def test_few_points_have_a_correlation_but_no_interval():
    points = np.array([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4], [0.4, 0.6], [0.5, 0.5]])
    rho, low, high = spearman(points, 100, 0)
    assert (rho, np.isnan(low), np.isnan(high)) == (pytest.approx(0.9), True, True)


def test_one_seed_to_a_size_is_nothing_within_sizes():
    table = dice_correlation(
        runs_with({2: [0.5], 4: [0.6], 8: [0.7]}, {2: [0.1], 4: [0.2], 8: [0.3]})
    )
    assert table["n"].tolist() == [3, 1, 1, 1]
    assert table["rho"].notna().tolist() == [True, False, False, False]


def test_a_study_without_masks_has_no_rows():
    assert dice_correlation(runs_of({"resnet34": {2: [0.5, 0.6]}}, models=("resnet34",))).empty
