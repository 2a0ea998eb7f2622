"""One record per run, written whole or not at all, and read back as tidy tables."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ubc_lib.results.record import check_format
from ubc_lib.study import Study, parts_of
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

# Settings that say which runs there are, where they run, or what people should know of them; the
# others decide what a run computes.
GRID_SETTINGS = {
    *("title", "part_of", "cohort_root", "outside_paths", "volumes", "device", "threads"),
    *("models", "images_per_class", "seeds", "more_seeds", "more_seeds_at"),
}
CHECKSUM = ', "checksum": '  # ends the text of a record, which it signs
KEYS = ["model", "images_per_class", "seed"]
CELL = KEYS[:2]
TABLES = ("evaluations", "history", "predictions")
PUBLISHED_RECORDS = "records.zip"
LARGEST_RECORD = 2**26  # bytes, hundreds of times what a run of the paper's protocol needs


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


def computing_settings(study: Study) -> dict:
    """The settings that decide what a run computes."""
    return study.model_dump(mode="json", exclude=GRID_SETTINGS)


def write_record(path: Path, record: dict) -> None:
    """Write a record with its checksum; whatever fails, an earlier record stays whole."""
    with atomic_path(path) as temporary:
        text = json.dumps(record, allow_nan=False)
        temporary.write_text(f'{text[:-1]}{CHECKSUM}"{_sha256(text)}"}}')


def read_record(path: Path | zipfile.Path) -> dict:
    """Read a record; InputError where its checksum says that it was truncated or altered."""
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
        checksum = record.pop("checksum")
        signed = text[: text.rindex(CHECKSUM)] + "}"
    except Exception as error:  # whatever a parser makes of damaged text
        raise InputError(
            f"The record {path} is damaged ({error}). Delete it to run it again."
        ) from error
    # Earlier records were signed sorted, which takes three times as long to check.
    if checksum != _sha256(signed) and checksum != _sha256(json.dumps(record, sort_keys=True)):
        raise InputError(f"The record {path} was altered. Delete it to run it again.")
    check_format(record, str(path))
    return record


def check_record(record: dict, study: Study, fingerprint: str | None, path: Path) -> None:
    """Raise InputError where a record was made with other settings or other data than asked for."""
    # A setting that is younger than a record had its default's meaning then.
    defaults = {key: field.default for key, field in Study.model_fields.items()}
    old, new = defaults | record["settings"], computing_settings(study)
    changed = [f"{key}: {old[key]} -> {new[key]}" for key in new if old[key] != new[key]]
    if fingerprint not in (None, record["fingerprint"]):
        changed.append(f"fingerprint of the data: {record['fingerprint']} -> {fingerprint}")
    if changed:
        raise InputError(
            f"{path} was made differently ({'; '.join(changed)}). Give the study a new name "
            f'(SET="name=..."), or delete {path.parent} to discard its results.'
        )


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
        check_record(record, study, records[0]["fingerprint"] if records else None, path)
        if tuple(record["run"][key] for key in KEYS) in planned:
            records.append(record | {name: _arrays(record[name]) for name in TABLES})
    return records


@contextmanager
def open_records(path: Path) -> Iterator[list[zipfile.Path]]:
    """The records in an archive of them, to read while it is open.

    Raises InputError where it is damaged or not there, or holds what cannot be a record.
    """
    advice = "Take the archive from the repository again, or run the study anew."
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if "/" in entry.filename or entry.file_size > LARGEST_RECORD:
                    what = f"{path}: {entry.filename} has a place or a size that no record has"
                    raise InputError(f"{what}. {advice}")
            yield sorted(zipfile.Path(archive).iterdir(), key=str)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"The archive of records cannot be read ({error}). {advice}") from error


def publish_records(study: Study, path: Path) -> None:
    """Write the records of all finished runs of a study into one archive, the same each time."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for record in sorted((study.run_folder / "records").glob("*.json")):
            # Without a moment of its own the archive differs only where a record does.
            entry = zipfile.ZipInfo(record.name)
            archive.writestr(entry, record.read_bytes(), zipfile.ZIP_DEFLATED)


def tidy(records: Iterable[dict]) -> Runs:
    """Tidy tables of records."""
    records = sorted(records, key=lambda record: [record["run"][key] for key in KEYS])
    runs = pd.DataFrame(
        {
            **record["run"],
            "diverged_epoch": None,  # which older records do not have
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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
