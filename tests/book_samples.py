"""A tiny finished study, made without training: what a book can be built from."""

import atexit
import functools
import json
import os
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from ipywidgets.embed import dependency_state, embed_data
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conftest import tiny_study
from tests.result_samples import some_runs
from ubc_lib.book.build import build
from ubc_lib.book.tables import show
from ubc_lib.book.widgets import slice_explorer, training_explorer
from ubc_lib.book.words import tell
from ubc_lib.data.slices import Slices
from ubc_lib.study import PAPER_COHORTS, PAPER_LABELS
from ubc_lib.study.files import ROOT

# A name that is a script, and that is evaluated where it is taken for a template. The product is
# long, since a page full of measurements holds any few digits by chance.
HOSTILE = "</script><script>alert(1)</script>{{ 1234567 * 7654321 }}"
EVALUATED = str(1234567 * 7654321)
PYTHON = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300" viewBox="0 0 400 300">'
    '<path d="M10 290 L390 10" stroke="#0072B2" stroke-width="4"/></svg>'
)


def summary_of(study: str = "tiny", **changes) -> dict:
    """The `summary.json` of an invented study in which the intervals overlap.

    changes: of its keys, or of those of its headline: difference, interval, paired_seeds.
    """
    headline = {"model": "ubc_resnet34", "against": "resnet34"}
    headline |= {"difference": 0.0333, "interval": [-0.04, 0.11], "paired_seeds": 3}
    headline |= {key: changes.pop(key) for key in list(changes) if key in headline}
    interval = {"low": 0.61, "high": 0.79, "parameters": 21279426, "seeds": 1}
    return {
        "study": study,
        "title": f"The study {study}",
        "cohort_kind": "phantom",
        "synthetic": changes.get("cohort_kind", "phantom") == "phantom",
        "of_paper": changes.get("cohort_kind", "phantom") in PAPER_COHORTS,
        "classes": {"positive": "HGG", "negative": "LGG", "share": 0.5},
        "cohort": "8 synthetic phantoms",
        "view": "lesion",
        "image_size": 64,
        "epochs": 4,
        "images_per_class_max": 4,
        "n_test": 97,
        "runs": 12,
        "seeds": 1,
        "models": {
            "resnet34": {"accuracy": 0.7012, **interval, "dice": None},
            "ubc_resnet34": {"accuracy": 0.7345, **interval, "dice": 0.6543},
        },
        "labels": dict(PAPER_LABELS),
        "baseline": "resnet34",
        "comparisons": [headline],
        "headline": headline,
        "whole_slices": False,
        "dummy": {"accuracy": 0.5, "low": 0.4, "high": 0.6, "dice": 0.1234},
        "device": "a processor",
        "precision": "fp32",
        "minutes": 1.25,
        "commit": "0123456789abcdef",
        "date": "2024-05-06T07:08:09+00:00",
        "fingerprint": "feed",
        "missing_runs": 0,
        **changes,
    }


def write_study(folder: Path, patient: str = "two", **changes) -> Path:
    """Write a study folder, as a run leaves it; `changes` go into its summary."""
    summary = summary_of(folder.name, **changes)
    pages = {
        "01_cohort": [picture_cell("fig-1", "image/svg+xml", SVG)],
        "02_models": [picture_cell("fig-4", "image/svg+xml", SVG)],
        "03_train-resnet34-seed2": [picture_cell("fig-training", "image/svg+xml", SVG)],
        "03_train-resnet34-seed10": [picture_cell("fig-training", "image/svg+xml", SVG)],
        "03_train-ubc_resnet34-seed2": [picture_cell("fig-training", "image/svg+xml", SVG)],
        "04_results": [
            picture_cell("fig-6", "image/svg+xml", SVG),
            new_markdown_cell("Accuracy rises in [the curve](#fig-6)."),
            new_code_cell('write_tables(study, {"table_3": compared})'),
        ],
        "06_statistics": [picture_cell("fig-difference", "image/svg+xml", SVG)],
    }
    (folder / "notebooks").mkdir(parents=True)
    (folder / "tables").mkdir()
    for stem, cells in pages.items():
        first = new_markdown_cell(f"# Page {stem}\n\nText.")
        preparing = [new_code_cell("import this"), new_code_cell("study = 1")]
        notebook = new_notebook(cells=[first, *preparing, *cells], metadata=PYTHON)
        nbformat.write(notebook, folder / "notebooks" / f"{stem}.ipynb")
    nbformat.write(explorer(patient), folder / "notebooks" / "05_explorer.ipynb")
    (folder / "tables" / "table_3.csv").write_text("model,accuracy\nresnet34,0.7012\n")
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "figure_6.svg").write_text(SVG)
    return folder


def picture_cell(name: str, kind: str, data: str):
    """A code cell whose output is a numbered figure."""
    output = new_output("display_data", {kind: data, "text/plain": "<Figure>"})
    figure = {"mystnb": {"figure": {"name": name, "caption": "A line."}}}
    return new_code_cell("draw()", outputs=[output], metadata=figure)


@functools.cache
def explorer(patient: str):
    """An executed notebook with both explorers: two patients with two slices each, four runs.

    patient: the second one's name, which a table and a sentence show besides.
    """
    table = pd.DataFrame(
        {
            "patient": ["one", "one", patient, patient],
            "label": ["HGG", "HGG", "LGG", "LGG"],
            "target": [1, 1, 0, 0],
            "slice_index": [70, 71, 80, 81],
        }
    )
    images = np.random.default_rng(0).normal(size=(4, 32, 32)).astype(np.float32)
    slices = Slices(images, images > 1, table, left_out=(patient,), fingerprint="feed")
    study, results = tiny_study(), some_runs(sizes=(1, 2), seeds=(0, 1))
    shown = [
        slice_explorer(study, slices, np.arange(4)),
        training_explorer(study, results.history, results.evaluations, results.runs),
    ]
    state = embed_data(shown, state=dependency_state(shown))["manager_state"]
    bundles = [one._repr_mimebundle_() for one in shown]
    bundles.append({"text/html": show(table, patient).data})
    text = tell(
        "membership",
        study=study,
        patients={"HGG": 1, patient: 1},
        left_out=(patient,),
        findings=(patient,),
    )
    bundles.append({"text/markdown": text.data})
    outputs = [new_output("display_data", bundle) for bundle in bundles]
    cells = [new_code_cell("explore()", outputs=[output]) for output in outputs]
    return new_notebook(
        cells=[new_markdown_cell("# Explorer"), *cells],
        metadata={**PYTHON, "widgets": {"application/vnd.jupyter.widget-state+json": state}},
    )


def book_project(folder: Path) -> Path:
    """A copy of the book's sources in a project folder of its own, so that tests touch no other."""
    (folder / "book").mkdir(parents=True)
    for name in ("_config.yml", "benchmarks", "data"):
        (folder / name).symlink_to(ROOT / name)
    for path in (ROOT / "book").iterdir():
        if path.name != "studies":
            (folder / "book" / path.name).symlink_to(path)
    return folder


@functools.cache
def built_book() -> Path:
    """The folder of a book of two studies, built once for all tests and removed at their end.

    Wherever the second study's records and cohort name something, they name it `HOSTILE`.
    UBC_BOOK names another to look at, for the tests that hold for every book (`make check-book`).
    """
    if "UBC_BOOK" in os.environ:
        return Path(os.environ["UBC_BOOK"]).resolve()
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    data = Path(folder.name, "data")
    write_study(data / "results" / "first")
    texts = dict.fromkeys(["title", "cohort", "device", "precision", "fingerprint"], HOSTILE)
    write_study(data / "results" / "second", patient=HOSTILE, **texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UBC_DATA", str(data))
        return build(root=book_project(Path(folder.name, "project"))).parent


def book_pages() -> list[str]:
    """The pages of the built book by name, without the theme's own templates."""
    pages = (path.relative_to(built_book()) for path in built_book().rglob("*.html"))
    return sorted(str(page) for page in pages if page.parts[0] != "_static")
