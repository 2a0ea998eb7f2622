"""Learning curves and the images that a mask saves."""

import warnings

import numpy as np
import pytest

from tests.conftest import tiny_study
from tests.prediction_samples import runs_of
from ubc_lib.statistics.efficiency import (
    _needed,
    curve_band,
    curve_table,
    fit_learning_curves,
    images_saved,
    learning_curve,
)

STUDY = tiny_study()

SIZES = np.array([1, 2, 5, 10, 20, 50, 100])
SLOW, FAST = (0.85, 0.4, 0.5), (0.85, 0.2, 0.5)


def runs_on(resnet34, ubc_resnet34, noise=0.0, seeds=1):
    rng = np.random.default_rng(0)
    return runs_of(
        {
            model: {
                size: learning_curve(size, *curve) + rng.normal(0, noise, seeds) for size in SIZES
            }
            for model, curve in (("resnet34", resnet34), ("ubc_resnet34", ubc_resnet34))
        }
    )


def test_a_curve_without_noise_is_found_again():
    curves = fit_learning_curves(runs_on(SLOW, FAST))
    assert curves.fitted["resnet34"] == pytest.approx(SLOW, abs=1e-3)
    assert curves.fitted["ubc_resnet34"] == pytest.approx(FAST, abs=1e-3)


def test_twice_the_loss_at_a_square_root_costs_four_times_the_images():
    saved = images_saved(STUDY, fit_learning_curves(runs_on(SLOW, FAST)))
    known = saved[saved["images_per_class"] <= 20]
    assert known["ratio"].to_numpy() == pytest.approx(4, rel=0.02)
    assert (known["images_against"] / known["images_per_class"]).tolist() == known["ratio"].tolist()


def test_what_resnet34_never_reaches_is_not_invented():
    saved = images_saved(STUDY, fit_learning_curves(runs_on((0.7, 0.2, 0.5), (0.9, 0.1, 0.5))))
    assert saved["ratio"].isna().all()
    assert saved["not_below"].to_numpy() == pytest.approx(100 / SIZES)
    assert saved["not_above"].isna().all()


def test_a_baseline_that_hardly_rises_needs_endless_images_without_a_warning():
    hardly, better, sizes = np.array([0.9, 0.5, 0.001]), np.array([0.9, 0.1, 0.5]), np.array([1, 9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _needed(hardly, better, sizes).tolist() == [np.inf, np.inf]


def test_what_resnet34_has_from_the_start_is_a_bound_from_above():
    saved = images_saved(STUDY, fit_learning_curves(runs_on((0.9, 0.1, 0.5), (0.7, 0.2, 0.5))))
    assert saved["ratio"].isna().all()
    assert saved["not_above"].to_numpy() == pytest.approx(1 / SIZES)


def test_the_interval_holds_the_truth_and_widens_with_noise():
    widths = []
    for noise in (0.01, 0.03):
        curves = fit_learning_curves(runs_on(SLOW, FAST, noise=noise, seeds=20), replicates=60)
        row = images_saved(STUDY, curves).set_index("images_per_class").loc[5]
        assert row["ratio_low"] < 4 < row["ratio_high"]
        widths.append(row["ratio_high"] - row["ratio_low"])
    assert widths[0] < widths[1]


def test_no_curve_falls():
    falling = {size: [0.8 - 0.001 * size] for size in SIZES}
    curves = fit_learning_curves(runs_of({"resnet34": falling}))
    band = curve_band(curves, "resnet34", SIZES)
    assert (np.diff(band["accuracy"]) >= -1e-9).all()


def test_one_seed_has_a_curve_without_band_or_interval():
    curves = fit_learning_curves(runs_on(SLOW, FAST))
    assert curve_band(curves, "resnet34", SIZES)[["low", "high"]].isna().all(axis=None)
    assert curve_table(curves)[["low", "high"]].isna().all(axis=None)
    assert images_saved(STUDY, curves)[["ratio_low", "ratio_high"]].isna().all(axis=None)


def test_only_seeds_that_have_every_size_are_fitted():
    runs = runs_on(SLOW, FAST, noise=0.001, seeds=4)
    runs.loc[runs["seed"].eq(3), "accuracy"] = 0
    runs = runs[~(runs["images_per_class"].eq(10) & runs["seed"].eq(3))]
    curves = fit_learning_curves(runs, replicates=20)
    assert curves.replicates["resnet34"] == pytest.approx(np.tile(SLOW, (20, 1)), abs=0.05)


def test_where_no_seed_has_every_size_the_curve_has_no_interval():
    runs = runs_on(SLOW, FAST, noise=0.001, seeds=3)
    runs = runs[runs["images_per_class"].ne(10 * 2 ** runs["seed"])]
    runs = runs[runs["images_per_class"].ne(50) | runs["seed"].ne(2)]
    curves = fit_learning_curves(runs, replicates=50)
    assert curves.fitted["resnet34"] == pytest.approx(SLOW, abs=0.05)
    assert curve_table(curves)[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("models", [("resnet34",), ("resnet34", "ubc_resnet34")])
def test_too_few_sizes_or_models_save_nothing(models):
    sizes = SIZES if len(models) == 1 else SIZES[:3]
    runs = runs_of({model: {size: [0.5 + size / 1000] for size in sizes} for model in models})
    assert images_saved(STUDY, fit_learning_curves(runs)).empty
