"""A study in one small dictionary: what the pages, the README and the last lines of a run quote."""

import json
import math
from pathlib import Path

import pandas as pd

from ubc_lib.results.paper import DUMMY
from ubc_lib.results.runs import Runs
from ubc_lib.study import PAPER_COHORTS, Pair, Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

INTERVAL = ("accuracy", "low", "high")
ENOUGH_SEEDS = 3  # with two, an interval over seeds spans nearly everything
PAPER_PAIR = Pair("ubc_resnet34", "resnet34")


def summarise(
    study: Study, loaded: Runs, table: pd.DataFrame, comparison: pd.DataFrame, patients: str
) -> dict:
    """What the tables say of a study's largest size.

    table: see `tables.table_3`; accuracies are means over seeds, and their Wilson intervals count
    the slices of one test half. comparison: see `comparison.compare_models`. A difference is of the
    seeds that both models have (None without); its interval is that over patients or, from
    `ENOUGH_SEEDS` on, reaches as far as that or the one over seeds does. `headline` is the
    comparison of the paper's two models or, without it, the first; None where there is one model.
    `minutes` add up all runs. patients: what readers call those of this cohort.
    """
    runs, largest = loaded.runs, max(study.images_per_class)
    rows = table.set_index("model")
    newest = runs.sort_values("date").iloc[-1]
    comparisons = [_compared(pair, comparison, largest) for pair in study.pairs]
    of_paper = [one for one in comparisons if (one["model"], one["against"]) == PAPER_PAIR]
    return {
        "study": study.name,
        "title": study.title,
        "cohort_kind": study.cohort,
        "synthetic": study.synthetic,
        "of_paper": study.of_paper,
        "classes": _classes(study, loaded.predictions),
        "cohort": _cohort(study, loaded.predictions["patient"].nunique(), patients),
        "view": study.view,
        "whole_slices": study.whole_slices,
        "image_size": study.image_size,
        "epochs": study.epochs,
        "images_per_class_max": largest,
        "n_test": int(runs["n_test"].min()),
        "runs": len(runs),
        "seeds": int(rows["seeds"].max()),
        "labels": study.labels,
        "baseline": study.baseline,
        "models": {
            model: {
                "label": entry.label,
                "network": entry.network,
                **{key: _number(rows.at[model, key]) for key in (*INTERVAL, "dice")},
                "parameters": int(rows.at[model, "parameters"]),
                "seeds": int(rows.at[model, "seeds"]),
            }
            for model, entry in study.models.items()
            if rows.at[model, "seeds"]
        },
        "comparisons": comparisons,
        "headline": next(iter([*of_paper, *comparisons]), None),
        "dummy": {key: _number(rows.at[DUMMY, key]) for key in (*INTERVAL, "dice")},
        "device": ", ".join(sorted(runs["device"].unique())),
        "precision": ", ".join(sorted(runs["precision"].unique())),
        "minutes": float(runs["seconds"].sum() / 60),
        "commit": newest["commit"],
        "date": newest["date"],
        "fingerprint": newest["fingerprint"],
        "missing_runs": len(study.planned_runs) - len(runs),
    }


def _cohort(study: Study, tested: int, patients: str) -> str:
    """Who is drawn by a seed, or tested by any where seeds draw from a larger cohort."""
    drawn = 2 * study.patients_per_class
    return f"{tested} {patients} ({drawn} a seed)" if tested > drawn else f"{drawn} {patients}"


def _classes(study: Study, predictions: pd.DataFrame) -> dict:
    """Names of the classes, and the share of the tested slices that are positive."""
    names = predictions.drop_duplicates("target").set_index("target")["label"]
    share = _number(predictions["target"].mean())
    return {"positive": study.positive_label, "negative": names.get(0, ""), "share": share}


def _compared(pair: Pair, comparison: pd.DataFrame, largest: int) -> dict:
    rows = comparison[
        comparison["model"].eq(pair.model)
        & comparison["against"].eq(pair.against)
        & comparison["images_per_class"].eq(largest)
    ].dropna(subset="difference")
    if rows.empty:
        return {**pair._asdict(), "difference": None, "interval": None, "paired_seeds": 0}
    row = rows.iloc[0]
    over_seeds = row["seeds"] >= ENOUGH_SEEDS
    ends = [["low", "seeds_low"], ["high", "seeds_high"]] if over_seeds else [["low"], ["high"]]
    return {
        **pair._asdict(),
        "difference": float(row["difference"]),
        "interval": [float(row[ends[0]].min()), float(row[ends[1]].max())],
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
    if "headline" not in summary:
        raise InputError(
            f"{path} is of an earlier version. Delete {folder / 'notebooks' / '04_results.ipynb'} "
            f"and run: make study STUDY={folder.name}"
        )
    older = {
        "of_paper": summary["cohort_kind"] in PAPER_COHORTS,
    }
    older["classes"] = {"positive": "HGG", "negative": "LGG", "share": 0.5}
    return older | summary
