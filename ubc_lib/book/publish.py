"""Copies a study's results, without pictures of real patients, to where they are committed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pandas as pd

from ubc_lib.book.verdict import FIGURE, ROC, WITHHELD
from ubc_lib.book.words import say
from ubc_lib.results.archive import PUBLISHED_RECORDS, publish_records
from ubc_lib.results.runs import load_runs, write_table
from ubc_lib.results.summary import read_summary
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT, data_folder
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

PATIENT_IMAGES = "patient-images"
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
BEGIN = "<!-- results: written by python -m ubc_lib publish -->"
END = "<!-- end of results -->"


def published_folder(study: Study) -> Path:
    """Where the results of a study go: those of this repository into it, all others beside runs.

    A study is the repository's once git knows its file in `studies/`.
    """
    command = ["git", "ls-files", "--error-unmatch", f"studies/{study.name}.yaml"]
    known = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    return study.run_folder / "published" if known.returncode else study.results_folder


def publish(study: Study, target: Path | None = None) -> Path:
    """Write the records, settings, summary, tables and executed notebooks; returns the folder.

    target: the folder, `results_folder` without it. For real patients the outputs of cells tagged
    `patient-images` are left out. Of a study that has no executed notebooks yet, or that is part
    of another, only records and settings are written. Raises InputError where there are notebooks,
    and not all that belongs to them.
    """
    source, target = study.run_folder, target or study.results_folder
    loaded = load_runs(study)
    _publish_runs(study, target, loaded.runs)
    notebooks = sorted((source / "notebooks").glob("0*.ipynb"))
    if study.part_of or not notebooks:
        return target
    needed = [source / name for name in ("summary.json", FIGURE)]
    needed += [*source.glob(ROC), *sorted((source / "tables").glob("*.csv"))]
    if not all(path.is_file() for path in needed):
        raise InputError(f"{source} is not complete. Run: make study STUDY={study.name}")
    for path in needed:
        with atomic_path(target / path.relative_to(source)) as temporary:
            shutil.copyfile(path, temporary)
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        forget_machine(notebook)
        if not study.synthetic:
            withhold_patient_images(notebook)
        with atomic_path(target / "notebooks" / path.name) as temporary:
            nbformat.write(notebook, temporary)
    return target


def _publish_runs(study: Study, target: Path, runs: pd.DataFrame) -> None:
    publish_records(study, target / PUBLISHED_RECORDS)
    write_table(target / "runs.csv", runs)
    with atomic_path(target / "study.yaml") as temporary:
        temporary.write_text(study.to_yaml(), encoding="utf-8")


def forget_machine(notebook: nbformat.NotebookNode) -> None:
    """Take out, in place, what a notebook says of this machine: paths, and the cohort's folder."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            lines = cell.source.splitlines()
            cell.source = "\n".join(line for line in lines if not line.startswith("cohort_root"))
        for output in cell.get("outputs", []):
            if output.output_type == "stream":  # a warning names the file that it comes from
                output.text = output.text.replace(f"{ROOT}/", "")


def withhold_patient_images(notebook: nbformat.NotebookNode) -> None:
    """Replace, in place, the outputs of cells tagged `patient-images` by a sentence.

    The saved state of their widgets goes too, since it holds the pictures that they show.
    """
    for cell in notebook.cells:
        if PATIENT_IMAGES in cell.metadata.get("tags", []):
            text = nbformat.v4.new_output("display_data", {"text/markdown": WITHHELD})
            cell.outputs = [text]
    forget_unshown_widgets(notebook)


def forget_unshown_widgets(notebook: nbformat.NotebookNode) -> None:
    """Take out, in place, the state of widgets that no output shows, nor anything shown holds."""
    state = notebook.metadata.pop("widgets", {}).get(STATE)
    shown = [
        output.data[VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if VIEW in output.get("data", {})
    ]
    if not state or not shown:
        return
    models, kept = state["state"], set()
    while shown:
        name = shown.pop()
        if name not in kept:
            kept.add(name)
            shown += _held(models[name])
    # A link is held by nothing; it holds the two that it joins.
    kept |= {
        name
        for name, model in models.items()
        if model["model_name"] == "LinkModel" and kept.issuperset(_held(model))
    }
    state["state"] = {name: model for name, model in models.items() if name in kept}
    notebook.metadata["widgets"] = {STATE: state}


def _held(model: dict) -> list[str]:
    return re.findall(r"IPY_MODEL_(\w+)", json.dumps(model["state"]))


def readme_section(results: Path) -> str:
    """A table of every committed study, those of the paper's patients first, and their Figures 6.

    results: the folder with one folder per study.
    """
    folders = sorted(path.parent for path in results.glob("*/summary.json"))
    summaries = [read_summary(folder) for folder in folders]
    summaries.sort(key=lambda summary: not summary["of_paper"])
    return say("readme.md.j2", summaries=summaries)


def update_readme(readme: Path = ROOT / "README.md") -> None:
    """Rewrite the part of the README between its two result marks."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    section = readme_section(data_folder() / "results")
    with atomic_path(readme) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{section}\n{END}{after}", encoding="utf-8")
