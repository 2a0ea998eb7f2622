"""Reads a manifest of anyone's own images (CSV) into a patient table."""

from pathlib import Path

import pandas as pd

from ubc_lib.data.gate import COLUMNS
from ubc_lib.system.errors import InputError


def read_manifest(path: str | Path, outside_paths: bool = False) -> pd.DataFrame:
    """Read a CSV with the columns patient, label, image, mask (and site, channel if you like).

    Paths are relative to the manifest, and may lead out of its folder with `outside_paths` alone.
    Raises InputError, with row numbers as a spreadsheet shows them, for missing columns, values or
    files, one image twice, a patient with two labels, and for more or fewer than two labels.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise InputError(f"The manifest {path} cannot be read as CSV: {error}.") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"The manifest {path} has rows with more values than its first line.")
    needed = ["patient", "label", "image", "mask"]
    missing = [column for column in needed if column not in table]
    if missing:
        raise InputError(
            f"The manifest {path} lacks the column(s) {', '.join(missing)}; it needs "
            f"{', '.join(needed)} and may have site and channel."
        )
    table = table.reindex(columns=COLUMNS).astype(object)
    table = table.where(table.notna(), None)
    for column in needed:
        if table[column].isna().any():
            row = table[column].isna().to_numpy().argmax() + 2
            raise InputError(f"The manifest {path}, row {row}: {column} is empty.")
    for column in ("image", "mask"):
        table[column] = [
            _manifest_file(path, row, column, name, outside_paths)
            for row, name in enumerate(table[column], 2)
        ]
    twice = table.duplicated(["patient", "image", "channel"]).to_numpy()
    if twice.any():
        row = twice.argmax() + 2
        raise InputError(f"The manifest {path}, row {row}: the same patient and image stand twice.")
    labels = sorted(table["label"].unique())
    if len(labels) != 2:
        raise InputError(f"The manifest {path} has the labels {labels}; exactly two are needed.")
    mixed = table.groupby("patient")["label"].nunique()
    if (mixed > 1).any():
        raise InputError(f"The manifest {path}: patient {mixed.idxmax()} has both labels {labels}.")
    return table.sort_values(["patient", "image"], ignore_index=True)


def _manifest_file(path: Path, row: int, column: str, name: str, outside_paths: bool) -> Path:
    """The file that a manifest names in a row."""
    where, file = f"The manifest {path}, row {row}", path.parent / name
    try:
        inside = file.resolve().is_relative_to(path.parent.resolve())
        found = file.is_file()
    except (OSError, ValueError, RuntimeError):  # no name that a file can have
        inside = found = False
    if found and not (inside or outside_paths):
        raise InputError(
            f"{where}: {column} {file} lies outside the manifest's folder. Where you trust the "
            "manifest, allow that with outside_paths=true."
        )
    if not found:
        raise InputError(
            f"{where}: {column} {str(file)!r} is not there. Paths are relative to the manifest."
        )
    return file
