"""Tables say what the runs say, beside what the paper prints."""

import numpy as np
import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.result_samples import N_TEST, some_runs, some_slices
from ubc_lib.models import parameter_table
from ubc_lib.results.paper import TABLE_3
from ubc_lib.results.tables import (
    accuracy_by_images,
    answers_by_image,
    cohort_overview,
    lesion_areas,
    lesion_statistics,
    missing_runs,
    parameters_beside_paper,
    run_overview,
    sites,
    table_3,
    training_table,
)
from ubc_lib.results.wilson import wilson_interval

SLICES = some_slices().table


@pytest.fixture
def asked_for():
    return tiny_study(seeds=(0, 1))


@pytest.mark.parametrize(
    ("model", "parts", "total"),
    [("resnet34", 6, 21_279_426), ("ubc_resnet34", 12, 24_431_123)],
)
def test_every_part_of_tables_1_and_2_has_the_papers_parameters(model, parts, total):
    table = parameters_beside_paper(parameter_table(model, image_size=32))
    assert len(table) == parts + 1
    assert (table["parameters"] == table["paper"]).all()
    assert table["parameters"].iloc[-1] == total


def test_areas_are_in_square_centimetres_only_where_every_image_states_its_millimetres():
    area, unit = lesion_areas(SLICES.assign(lesion_area=200.0, pixel_mm2=0.25))
    assert (set(area), unit) == ({2.0}, "cm²")
    mixed = np.where(SLICES.index == 0, np.nan, 0.25)
    area, unit = lesion_areas(SLICES.assign(lesion_area=200.0, pixel_mm2=mixed))
    assert (area.tolist()[:2], unit) == ([200, 800], "pixels")
    assert set(lesion_statistics(SLICES.assign(pixel_mm2=np.nan))["unit"]) == {"pixels"}


def test_every_slice_that_was_tested_has_what_each_model_said_of_its_file():
    slices = SLICES.assign(image=[f"{n}.png" for n in range(len(SLICES))])
    predictions = some_runs(sizes=(2, 4), seeds=(0, 1)).predictions.assign(correct=1.0)
    predictions.loc[predictions["seed"] == 1, "probability"] = 0.1
    predictions.loc[predictions["images_per_class"] == 2, "probability"] = 0.9
    table = answers_by_image(slices, predictions, 4)
    assert table["image"].tolist() == slices["image"].tolist()
    assert set(table["seeds"]) == {2}
    assert table["resnet34_probability"].to_numpy() == pytest.approx((0.7 + 0.1) / 2)


def test_patients_of_another_kind_have_none_of_the_papers_values(asked_for):
    results = some_runs()
    for cohort, printed in (("brats", 2), ("manifest", 0)):
        study = asked_for.model_copy(update={"cohort": cohort})
        table = table_3(study, results.runs, results.predictions, SLICES)
        assert table["paper_accuracy"].notna().sum() == printed + (cohort == "brats")


def test_accuracy_is_the_mean_over_seeds_with_the_interval_of_one_test_half():
    runs = some_runs(sizes=(4,), seeds=(0, 1)).runs
    runs.loc[runs["model"] == "resnet34", "accuracy"] = [0.25, 0.75]
    row = accuracy_by_images(runs).set_index("model").loc["resnet34"]
    assert (row.accuracy, row.seeds) == (0.5, 2)
    assert (row.low, row.high) == wilson_interval(N_TEST / 2, N_TEST)


def test_table_3_takes_the_largest_size_and_stands_beside_the_paper(asked_for):
    results = some_runs()
    table = table_3(asked_for, results.runs, results.predictions, SLICES).set_index("model")
    boosted = table.loc["ubc_resnet34"]
    assert (boosted.labels, boosted.mask_pixels, boosted.parameters) == (4, 400, 24_431_123)
    assert (boosted.accuracy, boosted.dice) == (0.75, 0.6)
    assert (boosted.paper_accuracy, boosted.paper_half_width, boosted.paper_dice) == (
        0.81,
        0.04,
        0.77,
    )
    assert np.isnan(table.loc["resnet34", "dice"])


def test_a_model_that_the_paper_does_not_have_stands_beside_nothing(asked_for):
    study = tiny_study(models={"resnet34": {}, "fast": {"network": "resnet34"}})
    results = some_runs(accuracy={"resnet34": 0.5, "fast": 0.75})
    table = table_3(study, results.runs, results.predictions, SLICES).set_index("model")
    assert list(table.index) == ["resnet34", "fast", "dummy"]
    assert table.loc["fast", "accuracy"] == 0.75
    assert table.loc["fast", [name for name in table if name.startswith("paper_")]].isna().all()


def test_the_dummy_answers_with_the_commoner_class_of_the_test_slices(asked_for):
    results = some_runs()
    predictions = results.predictions.assign(target=np.arange(len(results.predictions)) % 4 < 1)
    dummy = table_3(asked_for, results.runs, predictions, SLICES).set_index("model").loc["dummy"]
    assert dummy.accuracy == 0.75  # of one slice in four that is positive
    assert (dummy.low, dummy.high) == wilson_interval(6, N_TEST)


@pytest.mark.parametrize("absent", [["resnet34"], ["resnet34", "ubc_resnet34"]])
def test_a_model_without_a_run_at_the_largest_size_keeps_its_empty_row(asked_for, absent):
    results = some_runs()
    gone = results.runs["model"].isin(absent) & (results.runs["images_per_class"] == 4)
    table = table_3(asked_for, results.runs[~gone], results.predictions, SLICES).set_index("model")
    assert list(table.index) == ["resnet34", "ubc_resnet34", "dummy"]
    assert (table.loc[absent, "seeds"] == 0).all()
    assert (
        table.loc[absent, ["accuracy", "low", "high", "dice", "parameters"]].isna().all(axis=None)
    )
    assert (
        table.loc[absent, "paper_accuracy"] == [TABLE_3[model].accuracy for model in absent]
    ).all()


def test_the_dice_of_the_dummy_is_that_of_marking_every_pixel(asked_for):
    results = some_runs()
    everything = SLICES.assign(lesion_fraction=0.5)
    table = table_3(asked_for, results.runs, results.predictions, everything).set_index("model")
    assert table.loc["dummy", "dice"] == pytest.approx(2 * 0.5 / 1.5)


def test_missing_runs_are_those_of_the_grid_that_have_no_row(asked_for):
    runs = some_runs().runs
    assert missing_runs(asked_for, runs).empty
    missing = missing_runs(asked_for, runs.drop(index=[0, 7]))
    expected = runs.loc[[0, 7], ["model", "images_per_class", "seed"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(missing, expected, check_dtype=False)


def test_run_overview_counts_done_and_missing_runs_of_every_cell(asked_for):
    overview = run_overview(asked_for, some_runs(sizes=(1, 2)).runs)
    cells = overview.set_index(["model", "images_per_class"])
    assert len(cells) == 6
    assert cells.loc[("resnet34", 1), ["done", "missing", "plateau_reached"]].tolist() == [2, 0, 2]
    assert cells.loc[("resnet34", 4), ["done", "missing", "plateau_reached"]].tolist() == [0, 2, 0]
    assert cells.loc[("resnet34", 1), "minutes"] == 1


def test_training_table_has_every_epoch_of_one_seed_with_the_test_half_where_it_was_tested():
    results = some_runs(sizes=(1,), seeds=(0, 1))
    table = training_table(results, seed=1)
    assert len(table) == (results.history["seed"] == 1).sum()
    assert table["accuracy_training"].notna().all()
    tested = table.dropna(subset="accuracy_test")
    assert len(tested) == (results.evaluations["seed"] == 1).sum()
    assert set(table["seed"]) == {1}


def test_cohort_overview_counts_patients_and_slices_of_each_half():
    overview = cohort_overview(some_slices().table, np.array([0, 1, 2, 3]), np.array([4, 5]))
    assert overview.to_numpy().tolist() == [
        ["training", "HGG", 1, 2],
        ["training", "LGG", 1, 2],
        ["test", "HGG", 1, 2],
        ["not drawn", "LGG", 1, 2],
    ]


def test_sites_count_patients_and_name_what_is_not_known():
    assert sites(some_slices().table).to_numpy().tolist() == [["CBICA", 2, 0], ["not known", 0, 2]]


def test_lesion_statistics_are_in_square_centimetres():
    table = lesion_statistics(some_slices(slices_per_patient=1).table)
    assert table["mean"].tolist() == [64, 64]
    assert table["slices"].tolist() == [2, 2]
