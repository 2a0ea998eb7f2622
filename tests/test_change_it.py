"""The five walks of the book's page "Change it", from one end to the other."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests import change_it
from tests.book_samples import book_project, summary_of
from tests.conftest import brain, lesion, tiny_study, write_patient, write_tree
from tests.records import made_record
from ubc_lib.book.build import build
from ubc_lib.book.notebooks import execute
from ubc_lib.book.verdict import verdict_page
from ubc_lib.data.slices import load_slices
from ubc_lib.models import Output
from ubc_lib.results.record import read_record, record_path
from ubc_lib.results.runs import tidy
from ubc_lib.results.summary import summarise
from ubc_lib.results.tables import table_3
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.statistics.judge import Evidence
from ubc_lib.study import Study
from ubc_lib.study import files as settings
from ubc_lib.study.files import ROOT
from ubc_lib.training import run
from ubc_lib.training.evaluation import predict
from ubc_lib.training.examples import Examples


def test_a_pixel_goes_from_its_file_into_a_batch(tmp_path):
    tree = write_tree(tmp_path / "tree")
    # Radiological view: a file's first axis runs to the left, its second to the back.
    flair = brain(7)
    flair[4:6, 9:11, 4] = 1000
    write_patient(tree / "HGG" / "BraTS19_SITE9_bright_1", flair, lesion())
    study = tiny_study(tree, patients_per_class=4, normalisation="none", image_size=96)
    slices = load_slices(study)
    bright = slices.table["patient"].str.contains("bright") & slices.table["slice_index"].eq(4)
    (row,) = np.flatnonzero(bright)
    batch = Examples.of(slices, np.array([row]), torch.device("cpu"))
    brightest = (batch.images[0, 0] == batch.images.max()).nonzero().float().mean(dim=0)
    assert (brightest / 96 * 24).tolist() == pytest.approx([10, 5], abs=0.5)
    rows, columns = batch.masks[0, 0].nonzero().float().mean(dim=0)
    assert [rows / 96 * 24, columns / 96 * 24] == pytest.approx([13, 8], abs=0.3)
    assert batch.target.tolist() == [1]


def test_a_setting_goes_from_the_command_line_to_the_optimiser_the_record_and_the_page(
    tree, monkeypatch
):
    rates = []
    step = torch.optim.Adam.step

    def watched(self, *arguments):
        rates.append(float(self.param_groups[0]["lr"]))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    fields = tiny_study(tree).model_dump(mode="json", exclude={"name"})
    (tree / "mine.yaml").write_text(json.dumps(fields | {"decay": 0.5, "decay_every": 1}))
    monkeypatch.setattr(settings, "STUDIES", tree)
    study = Study.load("mine", "learning_rate=0.008 epochs=2 images_per_class=[2]", tree)
    runs = run.train_across_sizes(study, "resnet34", 0)
    assert rates == [0.008, 0.004]
    assert read_record(record_path(study, "resnet34", 2, 0))["settings"]["learning_rate"] == 0.008
    assert runs.history["learning_rate"].tolist() == [0.008, 0.004]


class Fixed(nn.Module):
    """Right about the first three of every four slices."""

    draws_masks = False

    def forward(self, images):
        says = images[:, 0, 0, 0]
        return Output(torch.stack([-says, says], dim=1), None)


def test_an_accuracy_goes_from_logits_to_the_sentence_of_the_verdict():
    target = torch.tensor([1, 1, 0, 0] * 2)
    said = torch.tensor([1.0, 1.0, -1.0, 1.0] * 2)
    images = said.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    masks = torch.zeros_like(images, dtype=torch.bool)
    accuracy = predict(Fixed(), images, masks, target, "fp32").accuracy(target.numpy())
    assert accuracy == 0.75
    study = tiny_study(seeds=(0, 1, 2), images_per_class=(4,))
    records = [
        made_record(study, model, 4, seed, accuracy) for model, _, seed in study.planned_runs
    ]
    loaded = tidy(records)
    slices = loaded.predictions.drop_duplicates(["patient", "slice_index"])
    table = table_3(study, loaded.runs, loaded.predictions, slices.assign(lesion_fraction=0.1))
    comparison = compare_models(study, loaded.predictions)
    summary = summarise(study, loaded, table, comparison, "BraTS patients")
    page = verdict_page([Evidence(summary, {"comparison": comparison})])
    assert "**On 8 BraTS patients, shown as whole slices, the claim is: not reproduced.**" in page
    assert re.search(r"less that of ResNet34 is 0\.00 \[0\.00,\s0\.00\]", page)


@pytest.mark.slow
def test_four_models_and_a_cohort_of_a_new_kind_go_through_every_page(tmp_path, data, monkeypatch):
    """A third network, two models of it that differ in a setting, and a reader of their own."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "four.yaml").write_text(change_it.STUDY)
    monkeypatch.setenv("UBC_STUDIES", str(tmp_path / "studies"))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "register.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.change_it import register; register()\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr(settings, "STUDIES", tmp_path / "studies")
    tree = write_tree(tmp_path / "tree")
    folder = data / "runs" / "four"

    def page(name: str, target: str = "", **parameters) -> None:
        source = ROOT / "notebooks" / f"{name}.ipynb"
        target = folder / "notebooks" / f"{target or name}.ipynb"
        execute(source, target, {"study": "four", "cohort_root": str(tree), **parameters})

    page("01_cohort")
    for model in ("resnet34", "tiny", "tiny_slow", "tiny_plain"):
        page("03_train", f"03_train-{model}-seed0", model=model)
    for name in ("02_models", "04_results", "05_explorer", "06_statistics"):
        page(name)

    tables = {path.stem: pd.read_csv(path) for path in folder.glob("tables/*.csv")}
    pairs = tables["comparison"][["model", "against"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["tiny", "resnet34"], ["tiny_slow", "tiny"], ["tiny_plain", "resnet34"]]
    assert set(tables["dice_correlation"]["model"]) == {"tiny", "tiny_slow"}
    rates = {
        model: read_record(folder / "records" / f"{model}-n001-seed0.json")["settings"]
        for model in ("tiny", "tiny_slow")
    }
    assert [rates[model]["learning_rate"] for model in rates] == [0.01, 2e-5]
    assert {rates[model]["network"] for model in rates} == {"tiny"}

    monkeypatch.setattr("ubc_lib.book.build.install_scripts", lambda book: None)
    book = build(["four"], root=book_project(tmp_path / "project")).parent
    index = (book / "studies" / "four" / "index.html").read_text(encoding="utf-8")
    assert "8 patients of the hospital" in index
    for name in ("index", "04_results", "06_statistics"):
        html = (book / "studies" / "four" / f"{name}.html").read_text(encoding="utf-8")
        for label in ("ResNet34", change_it.LABEL, "tiny slow", "tiny plain"):
            assert label in html, f"{label} on {name}"
    assert "Parts of tiny" in (folder / "notebooks" / "02_models.ipynb").read_text("utf-8")


def test_the_sample_of_a_summary_has_the_keys_that_a_study_writes():
    study = tiny_study(seeds=(0, 1, 2), images_per_class=(4,))
    loaded = tidy([made_record(study, model, 4, seed) for model, _, seed in study.planned_runs])
    slices = loaded.predictions.drop_duplicates(["patient", "slice_index"])
    table = table_3(study, loaded.runs, loaded.predictions, slices.assign(lesion_fraction=0.1))
    comparison = compare_models(study, loaded.predictions)
    written = summarise(study, loaded, table, comparison, "BraTS patients")
    assert written.keys() == summary_of().keys()
