"""Reads the training trees of BraTS 2018 to 2020 into a patient table."""

import os
import re
from pathlib import Path

import pandas as pd

from ubc_lib.data.gate import COLUMNS
from ubc_lib.phantom.cohort import GRADES
from ubc_lib.system.errors import InputError


def read_brats(root: str | Path) -> pd.DataFrame:
    """Read a training tree of BraTS 2018 or 2019 (HGG/, LGG/) or 2020 (flat) into a patient table.

    In a flat tree the grade comes from `name_mapping.csv`. Raises InputError for a root that holds
    no patients, a patient without FLAIR or mask, without grade, or found twice, and where the
    folder cannot be read or vanishes.
    """
    try:
        return _read_tree(_tree(Path(root)))
    except OSError as error:
        raise InputError(
            f"The cohort {root} could not be read to its end ({error.strerror or error}). If it is "
            "on a network folder, mount it again and run the same command."
        ) from error


def _read_tree(root: Path) -> pd.DataFrame:
    mapping = name_mapping(root)
    rows = []
    for parent in _grade_folders(root) or [root]:
        for folder in _patient_folders(parent):
            known = mapping.get(folder.name, {})
            rows.append(
                {
                    "patient": folder.name,
                    "label": mapped_grade(folder, known) if parent == root else parent.name,
                    "site": site_of(folder.name, known),
                    "image": _file(folder, "flair", "FLAIR"),
                    "mask": _file(folder, "seg", "mask"),
                    "channel": None,
                }
            )
    if not rows:
        raise InputError(f"{root} holds no patients: HGG/ and LGG/ are empty.")
    table = pd.DataFrame(rows, columns=COLUMNS)
    twice = table.loc[table["patient"].duplicated(), "patient"]
    if len(twice):
        raise InputError(f"{root}: patient {twice.iloc[0]} is there twice, under HGG and LGG.")
    if set(table["label"]) != set(GRADES):
        raise InputError(
            f"{root} holds only {table['label'].unique()[0]} patients; both are needed."
        )
    return table.sort_values("patient", ignore_index=True)


def _tree(root: Path) -> Path:
    """The folder that holds HGG/ and LGG/ or the patients; archives often add a level."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. COHORT_ROOT must name an unpacked BraTS tree.")
    while not _grade_folders(root):
        folders = _patient_folders(root)
        if any(_candidates(folder, kind) for folder in folders for kind in ("flair", "seg")):
            break
        if len(folders) != 1:
            raise InputError(
                f"{root} holds no patients: neither HGG/ and LGG/ nor folders with *_flair.nii.gz."
            )
        root = folders[0]
    return root


def _grade_folders(root: Path) -> list[Path]:
    return [root / grade for grade in GRADES if (root / grade).is_dir()]


def _patient_folders(folder: Path) -> list[Path]:
    return sorted(
        Path(entry) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] not in "._"
    )


def _candidates(folder: Path, kind: str) -> list[Path]:
    named = [folder / f"{folder.name}_{kind}{suffix}" for suffix in (".nii.gz", ".nii")]
    found = [path for path in named if path.is_file()]
    # BraTS20_Training_355 keeps its mask as W39_1998.09.19_Segm.nii.
    return found or sorted(
        path
        for path in folder.iterdir()
        if kind in path.name.lower() and path.name.endswith((".nii", ".nii.gz"))
    )


def _file(folder: Path, kind: str, what: str) -> Path:
    found = _candidates(folder, kind)
    if not found:
        raise InputError(
            f"Patient {folder.name} has no {what}: {folder} lacks {folder.name}_{kind}.nii.gz. "
            "Restore the file or take the patient's folder away."
        )
    return found[0]


def name_mapping(root: Path) -> dict[str, dict]:
    """Rows of name_mapping.csv by every patient name that occurs in them."""
    path = root / "name_mapping.csv"
    if not path.is_file():
        return {}
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}.") from error
    by_name: dict[str, dict] = {}
    for row in rows:
        for column, name in row.items():
            if not column.startswith("BraTS_") or name in ("", "NA"):
                continue
            if by_name.setdefault(name, row).get("Grade") != row.get("Grade"):
                raise InputError(f"{path} gives patient {name} two grades.")
    return by_name


def mapped_grade(folder: Path, known: dict) -> str:
    """The grade of a patient's row of `name_mapping`; InputError without one."""
    grade = known.get("Grade")
    if grade not in GRADES:
        raise InputError(
            f"Patient {folder.name} has no grade: {folder.parent / 'name_mapping.csv'} says "
            f"{grade or 'nothing'}; HGG or LGG is needed."
        )
    return grade


def site_of(patient: str, known: dict) -> str | None:
    """The site: a Site column, or the middle of a name of 2017 to 2019, `BraTS19_CBICA_AAB_1`."""
    if known.get("Site"):
        return known["Site"]
    older = [name for column, name in sorted(known.items()) if column.startswith("BraTS_20")]
    for name in [patient, *reversed(older)]:
        match = re.match(r"(?:brats|phantom)\d\d_(?!training)([^_]+)_", name, re.IGNORECASE)
        if match:
            return match[1]
    return None
