"""A study in one small dictionary: what the pages, the README and the last lines of a run quote."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ubc_lib.study import MODEL_NAMES, Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

    from ubc_lib.results.runs import Runs  # which imports torch, and pages are built without it

INTERVAL = ("accuracy", "low", "high")
ENOUGH_SEEDS = 3  # with two, an interval over seeds spans nearly everything
COHORTS = {
    "phantom": "synthetic phantoms",
    "brats": "BraTS patients",
    "manifest": "patients of a manifest",
}


def summarise(study: Study, loaded: Runs, table: pd.DataFrame, comparison: pd.DataFrame) -> dict:
    """The headline of a study: what the tables say of its largest size.

    table: see `tables.table_3`; accuracies are means over seeds, and their Wilson intervals count
    the slices of one test half. comparison: see `comparison.compare_models`. `difference` is of the
    seeds that both models have (None without); its interval is that over patients or, from
    `ENOUGH_SEEDS` on, reaches as far as that or the one over seeds does. `minutes` add up all runs.
    """
    runs, largest = loaded.runs, max(study.images_per_class)
    rows = table.set_index("model")
    newest = runs.sort_values("date").iloc[-1]
    return {
        "study": study.name,
        "title": study.title,
        "cohort_kind": study.cohort,
        "cohort": _cohort(study, loaded.predictions["patient"].nunique()),
        "view": study.view,
        "whole_slices": study.whole_slices,
        "image_size": study.image_size,
        "epochs": study.epochs,
        "images_per_class_max": largest,
        "n_test": int(runs["n_test"].min()),
        "runs": len(runs),
        "seeds": int(rows["seeds"].max()),
        "models": {
            model: {
                **{key: _number(rows.at[model, key]) for key in (*INTERVAL, "dice")},
                "parameters": int(rows.at[model, "parameters"]),
                "seeds": int(rows.at[model, "seeds"]),
            }
            for model in study.models
            if rows.at[model, "seeds"]
        },
        **_difference(comparison, largest),
        "dummy": {key: _number(rows.at["dummy", key]) for key in (*INTERVAL, "dice")},
        "device": ", ".join(sorted(runs["device"].unique())),
        "precision": ", ".join(sorted(runs["precision"].unique())),
        "minutes": float(runs["seconds"].sum() / 60),
        "commit": newest["commit"],
        "date": newest["date"],
        "fingerprint": newest["fingerprint"],
        "missing_runs": len(study.planned_runs) - len(runs),
    }


def _cohort(study: Study, tested: int) -> str:
    """Who is drawn by a seed, or tested by any where seeds draw from a larger cohort."""
    drawn, whose = 2 * study.patients_per_class, COHORTS[study.cohort]
    return f"{tested} {whose} ({drawn} a seed)" if tested > drawn else f"{drawn} {whose}"


def _difference(comparison: pd.DataFrame, largest: int) -> dict:
    rows = comparison[comparison["images_per_class"] == largest].dropna(subset="difference")
    if rows.empty:
        return {"difference": None, "difference_interval": None, "paired_seeds": 0}
    row = rows.iloc[0]
    over_seeds = row["seeds"] >= ENOUGH_SEEDS
    ends = [["low", "seeds_low"], ["high", "seeds_high"]] if over_seeds else [["low"], ["high"]]
    return {
        "difference": float(row["difference"]),
        "difference_interval": [float(row[ends[0]].min()), float(row[ends[1]].max())],
        "paired_seeds": int(row["seeds"]),
    }


def _number(value: float) -> float | None:
    """A number as JSON has it: NaN, which JSON lacks, becomes null."""
    return None if math.isnan(value) else float(value)


def write_summary(study: Study, summary: dict) -> None:
    """Write `summary.json` into the study's run folder."""
    with atomic_path(study.run_folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2, allow_nan=False), encoding="utf-8")


def read_summary(folder: Path) -> dict:
    """Read `summary.json` of a folder of results; InputError where it is missing or damaged."""
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({error}). Run: make study STUDY={folder.name}"
        raise InputError(message) from error
    if "runs" not in summary or "dice" not in summary.get("dummy", {}):
        raise InputError(
            f"{path} is of an earlier version. Delete {folder / 'notebooks' / '04_results.ipynb'} "
            f"and run: make study STUDY={folder.name}"
        )
    return summary


def accuracy_text(numbers: dict) -> str:
    """'0.75 [0.66, 0.82]': an accuracy with its interval, of a model or the dummy of a summary."""
    return f"{numbers['accuracy']:.2f} [{numbers['low']:.2f}, {numbers['high']:.2f}]"


def in_plural(text: str) -> str:
    """'1 seed(s)' as '1 seed', '2 seed(s)' as '2 seeds'."""
    return re.sub(r"\b1 (\w+)\(s\)", r"1 \1", text).replace("(s)", "s")


def summary_lines(summary: dict) -> list[str]:
    """Five lines for a terminal: both accuracies with interval, Dice, cohort, device, minutes."""
    size, n_test = summary["images_per_class_max"], summary["n_test"]
    lines = []
    for model in MODEL_NAMES:
        one = summary["models"].get(model)
        lines.append(
            f"{model}: accuracy {accuracy_text(one)} with {size} images per class, {n_test} test "
            f"slices, {one['seeds']} seed(s)"
            if one
            else f"{model}: no finished run"
        )
    dice = summary["models"].get("ubc_resnet34", {}).get("dice")
    lines.append("Dice: no finished run" if dice is None else f"Dice: {dice:.2f}")
    lines.append(f"cohort: {summary['cohort']} (study {summary['study']})")
    lines.append(
        f"device: {summary['device']}, {summary['precision']}, {summary['minutes']:.1f} minutes of "
        "training"
    )
    return [in_plural(line) for line in lines]
