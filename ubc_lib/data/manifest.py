"""Reads a manifest of anyone's own images (CSV or XLSX) into a patient table."""

import codecs
import csv
import io
import math
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ubc_lib.data.people import COLUMNS, OWN_COLUMNS
from ubc_lib.system.errors import InputError

NEEDED = ("patient", "label", "image", "mask")
SEPARATORS = ",;\t|"
NOTHING = {"", "na", "n/a", "nan", "none", "null", "-"}  # for a mask that there is not
# A word that is half Latin, half Cyrillic was neither.
MIXED = re.compile(r"[a-z][а-яё]|[а-яё][a-z]", re.IGNORECASE)
ROW = "row"  # of a table's line, as a spreadsheet shows it


def read_manifest(
    path: str | Path, outside_paths: bool = False, without_lesion: str = ""
) -> pd.DataFrame:
    """Read a table with the columns patient, label, image, mask.

    And, where it has them, site, channel, split (train or test) and pixel_mm (the side of a pixel).
    Images of the label `without_lesion` need no mask. Paths are relative to the manifest, and may
    lead out of its folder with `outside_paths` alone. Raises InputError, with row numbers as a
    spreadsheet shows them, for missing columns, values or files, one image twice, a patient with
    two labels or on both sides of a split, and for more or fewer than two labels.
    """
    path = Path(path)
    rows = read_rows(path, NEEDED)
    for row in rows:
        _check_row(row, path, outside_paths, without_lesion)
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, *OWN_COLUMNS, ROW]).astype(object)
    table = table.where(table.notna() & table.ne(""), None)
    twice = table.duplicated(["patient", "image", "channel"])
    if twice.any():
        row = table.loc[twice.idxmax(), ROW]
        raise InputError(f"The manifest {path}, row {row}: the same patient and image stand twice.")
    shared = table.dropna(subset="mask").groupby("mask")["patient"].nunique()
    if (shared > 1).any():
        raise InputError(
            f"The manifest {path} names the mask {shared.idxmax()} for {shared.max()} patients. "
            "Name each patient's own."
        )
    labels = sorted(table["label"].unique())
    if len(labels) != 2:
        raise InputError(f"The manifest {path} has the labels {labels}; exactly two are needed.")
    own = [column for column in OWN_COLUMNS if column in rows[0]]
    for column in {"label", "split"} & {"label", *own}:
        mixed = table.groupby("patient")[column].nunique()
        if (mixed > 1).any():
            both = sorted(table[column].unique())
            raise InputError(
                f"The manifest {path}: patient {mixed.idxmax()} has both {column}s {both}."
            )
    return table[[*COLUMNS, *own]].sort_values(["patient", "image"], ignore_index=True)


def _check_row(row: dict, path: Path, outside_paths: bool, without_lesion: str) -> None:
    """Put files in the place of their names, None in that of a mask that need not be."""
    where = f"The manifest {path}, row {row[ROW]}"
    if row["mask"].casefold() in NOTHING and not (path.parent / row["mask"]).is_file():
        row["mask"] = ""
    needed = [column for column in NEEDED if row[column] or column != "mask"]
    if not row["mask"] and row["label"] != without_lesion:
        raise InputError(
            f"{where}: mask is empty. Where images of {row['label']} hold no lesion, say so "
            f"with without_lesion={shlex.quote(row['label'])}."
        )
    for column in needed:
        if not row[column]:
            raise InputError(f"{where}: {column} is empty.")
        if column in ("image", "mask"):
            row[column] = _named_file(path, f"{where}: {column}", row[column], outside_paths)

    if row.get("split", "train") not in ("train", "test"):
        raise InputError(f"{where}: split is {row['split']!r}; it must be train or test.")
    if row.get("pixel_mm"):
        row["pixel_mm"] = _millimetres(f"{where}: pixel_mm", row["pixel_mm"])


def _millimetres(where: str, text: str) -> float:
    try:
        side = float(text.replace(",", "."))
    except ValueError:
        side = 0.0
    if not 0 < side < math.inf:
        raise InputError(f"{where} is {text!r}; it must be a length in millimetres, such as 0.5.")
    return side


def read_rows(path: Path, needed: tuple[str, ...] = ()) -> list[dict]:
    """The rows of a table on disk as texts by column, each with its number as a spreadsheet's.

    The separator is the one by which most of the columns are found; the text is UTF-8, UTF-16 or,
    where it is neither, Windows-1251 or -1252. The needed columns are named as asked, however they
    are written; InputError where one is missing.
    """
    asked = {name.casefold(): name for name in (*COLUMNS, *OWN_COLUMNS, *needed)}
    numbered = [(n, line) for n, line in enumerate(_lines(path, asked), 1) if any(line)]
    if numbered and re.fullmatch(r"sep=.?", "".join(numbered[0][1])):  # a word to spreadsheets
        numbered = numbered[1:]
    header = numbered[0][1] if numbered else []
    header = [asked.get(name.casefold(), name) for name in header]
    missing = [column for column in needed if column not in header]
    if missing:
        raise InputError(
            f"The table {path} lacks the column(s) {', '.join(missing)}; it needs "
            f"{', '.join(needed)}, and has {', '.join(header) or 'nothing'}."
        )
    twice = [name for name in asked.values() if header.count(name) > 1]
    if twice:
        raise InputError(f"The table {path} has two columns {twice[0]}.")
    rows = []
    for number, line in numbered[1:]:
        if any(line[len(header) :]):
            raise InputError(
                f"The table {path}, row {number}, has more values than its first line."
            )
        line = line + [""] * len(header)
        rows.append(dict(zip(header, line, strict=False)) | {ROW: number})
    return rows


def _lines(path: Path, asked: Iterable[str]) -> list[list[str]]:
    """The cells of a table, stripped; asked: what its header may hold, in small letters."""
    try:
        if path.suffix.lower() == ".xlsx":
            cells = pd.read_excel(path, header=None, dtype=str, na_filter=False).to_numpy().tolist()
        else:
            text = _decoded(path.read_bytes())
            separator = max(SEPARATORS, key=lambda one: _columns_by(one, text, asked))
            lines = io.StringIO(text, newline="")
            cells = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"The table {path} cannot be read: {error}. Is a quote open?") from error
    except Exception as error:  # openpyxl answers a stranger's bytes with errors of every kind
        raise InputError(f"The table {path} cannot be read as CSV or XLSX: {error}.") from error
    return [[cell.strip() for cell in line] for line in cells]


def _columns_by(separator: str, text: str, asked: Iterable[str]) -> tuple[int, int]:
    """How many known columns, and how many cells, the first lines have with a separator."""
    cells = [cell for line in text.splitlines()[:9] for cell in line.split(separator)]
    return sum(cell.strip('" ').casefold() in asked for cell in cells), len(cells)


def _decoded(data: bytes) -> str:
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16")
    if b"\0" in data[:2]:  # of a Latin letter in UTF-16, without a mark
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1251")
        return data.decode("cp1252") if MIXED.search(text) else text


def _named_file(path: Path, where: str, name: str, outside_paths: bool) -> Path:
    """The file that a manifest names, relative to its folder, also with backslashes."""
    for written in (name, name.replace("\\", "/")):
        file = path.parent / written
        try:
            inside = file.resolve().is_relative_to(path.parent.resolve())
            found = file.is_file()
        except (OSError, ValueError, RuntimeError):  # no name that a file can have
            inside = found = False
        if found and not (inside or outside_paths):
            raise InputError(
                f"{where} {file} lies outside the manifest's folder. Where you trust the "
                "manifest, allow that with outside_paths=true."
            )
        if found:
            return file
    file = path.parent / name
    problem = "is not there. Paths are relative to the manifest"
    if os.path.isdir(file):
        problem = "is a folder; name one file. Of a DICOM series make NIfTI first (dcm2niix)"
    raise InputError(f"{where} {str(file)!r} {problem}.")
