"""The notebook of statistics, for studies in which there is little to compare."""

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.records import made_record, record_all
from ubc_lib.results.record import record_path, write_record
from ubc_lib.results.runs import write_tables
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT

SOURCE = ROOT / "notebooks" / "06_statistics.ipynb"
TABLES = {
    "comparison",
    "confusion",
    "dice_correlation",
    "diagnosis",
    "design_effect",
    "efficiency",
    "gee",
    "learning_curve",
    "plateau",
    "reliability",
    "seed_noise",
    "shapes",
    "shortcut",
    "trained_on",
}


def run(study, monkeypatch) -> dict[str, pd.DataFrame]:
    """Run the notebook's cells here, without a kernel, and read the tables that it writes."""
    matplotlib.use("agg")
    monkeypatch.setattr(Study, "load", lambda *_: study)
    namespace = {}
    for cell in nbformat.read(SOURCE, as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
    plt.close("all")
    return {path.stem: pd.read_csv(path) for path in study.run_folder.glob("tables/*.csv")}


@pytest.mark.parametrize(
    "changes",
    [
        {"models": ("resnet34",)},
        {"models": ("ubc_resnet34",), "images_per_class": (2,)},
        {"images_per_class": (2,), "seeds": (0, 1)},
        {"seeds": (0, 1, 2)},
    ],
    ids=["one model", "one model and size", "one size", "three seeds"],
)
def test_writes_every_table_for_a_study_of(changes, monkeypatch):
    study = tiny_study(**changes)
    record_all(study)
    tables = run(study, monkeypatch)
    assert set(tables) == TABLES
    assert len(tables["comparison"]) == len(study.pairs) * len(study.images_per_class)


def test_leaves_the_tables_of_other_notebooks(monkeypatch):
    study = tiny_study()
    record_all(study)
    write_tables(study, {"table_3": pd.DataFrame({"accuracy": [0.5]})})
    assert set(run(study, monkeypatch)) == TABLES | {"table_3"}


def test_a_run_that_has_not_finished_is_a_gap(monkeypatch):
    study = tiny_study(seeds=(0, 1))
    record_all(study)
    for path in study.run_folder.glob("records/resnet34-n004-*.json"):
        path.unlink()
    table = run(study, monkeypatch)["comparison"].set_index("images_per_class")
    assert table["seeds"].to_dict() == {1: 2, 2: 2, 4: 0}
    assert pd.isna(table["difference"][4])


def diverged(study, model: str, size: int, seed: int) -> dict:
    """The record of a run whose loss ceased to be a number in epoch 2."""
    record = made_record(study, model, size, seed)
    record["result"] |= {"accuracy": None, "dice": None, "dice_per_image": None}
    record["result"] |= {"diverged_epoch": 2}
    record["predictions"] = {name: [] for name in record["predictions"]}
    return record


def test_a_run_that_diverged_is_counted_and_left_out(monkeypatch):
    study = tiny_study(seeds=(0, 1, 2))
    record_all(study)
    record = diverged(study, "resnet34", 4, 1)
    write_record(record_path(study, "resnet34", 4, 1), record)
    tables = run(study, monkeypatch)
    compared = tables["comparison"].set_index("images_per_class")
    assert compared["seeds"].to_dict() == {1: 3, 2: 3, 4: 2}
    assert compared["unpaired"].to_dict() == {1: 0, 2: 0, 4: 1}
    cells = tables["plateau"].set_index(["model", "images_per_class"])
    assert cells.loc[("resnet34", 4), ["runs", "diverged"]].tolist() == [2, 1]
    assert cells["diverged"].sum() == 2  # the size, and all sizes of the model


def test_a_model_of_which_every_run_diverged_leaves_the_others_to_be_shown(monkeypatch):
    study = tiny_study(seeds=(0, 1))
    record_all(study)
    for model, size, seed in study.planned_runs:
        if model == "ubc_resnet34":
            record = diverged(study, model, size, seed)
            write_record(record_path(study, model, size, seed), record)
    tables = run(study, monkeypatch)
    assert (tables["comparison"]["seeds"] == 0).all()
    assert set(tables["diagnosis"]["model"]) == {"resnet34"}
    cells = tables["plateau"].groupby("model")[["runs", "diverged"]].max()
    assert cells.loc["ubc_resnet34"].tolist() == [0, 6]


def test_four_models_are_three_pairs_at_every_size(monkeypatch):
    models = {"resnet34": {}, "ubc_resnet34": {}, "fast": {"network": "resnet34"}}
    models["ubc_without_mask"] = {"network": "ubc_resnet34", "against": "ubc_resnet34"}
    study = tiny_study(models=models, seeds=(0, 1), images_per_class=(1, 2, 3, 4))
    record_all(study)
    tables = run(study, monkeypatch)
    assert len(tables["comparison"]) == 3 * 4
    assert tables["gee"]["term"].str.contains("fast").sum() == 2
    assert tables["efficiency"].groupby(["model", "against"]).size().tolist() == [4, 4, 4]
    assert set(tables["dice_correlation"]["model"]) == {"ubc_resnet34", "ubc_without_mask"}
