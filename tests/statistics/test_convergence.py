"""Epochs to the plateau, beside the paper's."""

import pandas as pd
import pytest

from tests.prediction_samples import runs_of
from tests.result_samples import some_runs
from ubc_lib.statistics.convergence import plateau_table, trained_on
from ubc_lib.study import Study

STUDY = Study.load("lesion_crops")
LONGER = "lesion_crops_to_the_end"


def runs_reaching(epochs, reached=None):
    runs = runs_of({"resnet34": {2: [0.5] * len(epochs)}})
    return runs.assign(plateau_epoch=epochs, plateau_reached=reached or [True] * len(epochs))


def test_quartiles_by_hand():
    row = plateau_table(runs_reaching([10, 40, 20, 30, 50])).iloc[0]
    assert (row["lower_quartile"], row["median"], row["upper_quartile"]) == (20, 30, 40)
    assert (row["runs"], row["reached"]) == (5, 5)


def test_a_run_that_did_not_reach_it_counts_as_the_latest():
    table = plateau_table(runs_reaching([10.0, None, 30.0, 99.0], [True, False, True, False]))
    assert table["reached"].tolist() == [2, 2]
    assert table["median"].tolist() == [30, 30]
    assert table["upper_quartile"].isna().all()


def test_there_is_a_row_for_all_sizes_and_one_for_each():
    runs = runs_of({model: {2: [0.5], 4: [0.6]} for model in ("resnet34", "ubc_resnet34")})
    table = plateau_table(runs.assign(plateau_epoch=7.0, plateau_reached=True))
    assert table["images_per_class"].fillna(0).tolist() == [0, 2, 4] * 2


def test_where_no_run_reached_it_there_is_no_median():
    row = plateau_table(runs_reaching([12.0], [False])).iloc[0]
    assert pd.isna(row["median"])
    assert row["reached"] == 0


def test_a_run_that_was_trained_on_shows_its_last_evaluations_beside_the_reported_metric():
    longer = some_runs(sizes=(2,), seeds=(0,))
    epoch = longer.evaluations["epoch"]
    longer.runs["precision"] = "bf16"
    longer.evaluations["accuracy"] = epoch / 10  # of epochs 2, 4, 6, 8 and 10
    table = trained_on(STUDY, {STUDY.name: some_runs(), LONGER: longer})
    assert table[["images_per_class", "seed"]].to_numpy().tolist() == [[2, 0]] * 2
    assert table["accuracy"].tolist() == table["accuracy_same_rule"].tolist() == [0.5, 0.75]
    assert table["precision_same_rule"].tolist() == ["bf16"] * 2
    assert table["accuracy_at_end"].tolist() == pytest.approx([0.6, 0.6])


def test_without_a_longer_run_nothing_is_shown():
    assert trained_on(STUDY, {STUDY.name: some_runs()}).empty
    assert trained_on(Study.load("paper"), {"paper": some_runs()}).empty
