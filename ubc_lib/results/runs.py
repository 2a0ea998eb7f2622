"""The runs of a study as tidy tables."""

import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ubc_lib.results.archive import PUBLISHED_RECORDS, open_records
from ubc_lib.results.record import check_record, read_record
from ubc_lib.study import Study, parts_of
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

KEYS = ["model", "images_per_class", "seed"]
CELL = KEYS[:2]
TABLES = ("evaluations", "history", "predictions")


@dataclass(frozen=True)
class Runs:
    """The finished runs of a study as tidy tables, sorted by model, images per class and seed.

    runs: one row per run: study, model, images_per_class, seed, accuracy, dice, dice_per_image,
    n_test, plateau_epoch, plateau_reached, diverged_epoch, epochs_run, parameters, train_labels,
    train_mask_pixels, seconds, device, precision, commit, date, fingerprint.
    evaluations: one row per run and evaluated epoch: accuracy, cross_entropy, dice, dice_per_image.
    history: one row per run and epoch: learning_rate, loss, cross_entropy, soft_dice_loss,
    accuracy (of the training batches), seconds.
    predictions: one row per run and test slice: patient, slice_index, label, target, probability,
    correct and dice, each the mean over the reported epochs.
    Dice is NaN for a model without decoder. A run that diverged has no accuracy, no predictions,
    and a history that ends in its diverged_epoch.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    history: pd.DataFrame
    predictions: pd.DataFrame


def load_runs(study: Study) -> Runs:
    """All finished runs of a study: from its run folder, else from the committed results.

    Raises InputError where there are none, or a record is damaged or of other settings or data.
    """
    ran, published = study.run_folder / "records", study.results_folder / PUBLISHED_RECORDS
    records = _records(study, sorted(ran.glob("*.json")))
    if not records and published.is_file():
        with open_records(published) as entries:
            records = _records(study, entries)
    if not records:
        raise InputError(
            f"Study {study.name} has no results yet in {ran.parent} or {published.parent}. "
            f"Run: make study STUDY={study.name}"
        )
    return tidy(records)


def load_parts(study: Study) -> dict[str, Runs]:
    """The runs of a study, and of its parts that have any, by name; errors as of `load_runs`."""
    return {one.name: load_runs(one) for one in [study, *filter(has_runs, parts_of(study))]}


def has_runs(study: Study) -> bool:
    """Whether there are records of a study here, its own or published ones."""
    ran = (study.run_folder / "records").glob("*.json")
    return any(ran) or (study.results_folder / PUBLISHED_RECORDS).is_file()


def _records(study: Study, paths: Iterable[Path | zipfile.Path]) -> list[dict]:
    """The records of runs that the study asks for, all of the same data."""
    records, planned = [], set(study.planned_runs)
    for path in paths:
        record = read_record(path)
        if tuple(record["run"][key] for key in KEYS) in planned:
            check_record(record, study, records[0]["fingerprint"] if records else None, path)
            records.append(record | {name: _arrays(record[name]) for name in TABLES})
    return records


def tidy(records: Iterable[dict]) -> Runs:
    """Tidy tables of records."""
    records = sorted(records, key=lambda record: [record["run"][key] for key in KEYS])
    runs = pd.DataFrame(
        {
            **record["run"],
            **record["result"],
            **{key: record["provenance"][key] for key in ("device", "precision", "commit", "date")},
            "fingerprint": record["fingerprint"],
        }
        for record in records
    )
    numbers = ["accuracy", "dice", "dice_per_image", "plateau_epoch", "diverged_epoch"]
    return Runs(runs.astype(dict.fromkeys(numbers, float)), *(_stacked(records, t) for t in TABLES))


def _stacked(records: list[dict], part: str) -> pd.DataFrame:
    """One of the tables of all records below each other, with each run's keys in front."""
    tables = [_arrays(record[part]) for record in records]
    lengths = [len(table["epoch" if "epoch" in table else "patient"]) for table in tables]
    keys = {key: np.repeat([record["run"][key] for record in records], lengths) for key in KEYS}
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    return pd.DataFrame(keys | {n: np.concatenate([table[n] for table in tables]) for n in shared})


def _arrays(columns: dict) -> dict[str, np.ndarray]:
    """Columns of a record as arrays, a tenth of the memory: None becomes NaN, equal texts one."""

    def array(values) -> np.ndarray:
        if len(values) and isinstance(values[0], str):
            return np.array([sys.intern(text) for text in values], dtype=object)
        found = np.asarray(values)
        return found.astype(float) if found.dtype == object else found

    return {name: array(values) for name, values in columns.items()}


def whole_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of seeds that have every size of every model; all rows where no seed has.

    Every seed draws its own halves, some of which are easier than others. A mean that some seeds
    enter at a few sizes only would rise and fall with them, not with the images. A run that
    diverged is missing.
    table: columns model, images_per_class, seed, such as `Runs.runs` or `Runs.predictions`.
    """
    wanted = len(table[CELL].drop_duplicates())
    finished = table.dropna(subset="accuracy") if "accuracy" in table else table
    counted = finished[[*CELL, "seed"]].drop_duplicates().groupby("seed").size()
    whole = counted.index[counted == wanted]
    return table[table["seed"].isin(whole)] if len(whole) else table


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, numbers to eight significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g")


def write_tables(study: Study, tables: dict[str, pd.DataFrame]) -> None:
    """Write the data of figures and tables as CSV, `tables/<name>.csv` in the run folder."""
    for name, table in tables.items():
        write_table(study.run_folder / "tables" / f"{name}.csv", table)
