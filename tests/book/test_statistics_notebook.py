"""The notebook of statistics, for studies in which there is little to compare."""

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.records import record_all
from ubc_lib.results.runs import write_tables
from ubc_lib.study import ROOT, Study

SOURCE = ROOT / "notebooks" / "06_statistics.ipynb"
TABLES = {
    "comparison",
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
    assert len(tables["comparison"]) == len(study.images_per_class)


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
