"""Reads trees of BraTS, and of sets laid out like it, into a patient table."""

import os
import re
from pathlib import Path

import pandas as pd

from ubc_lib.data.formats import is_nifti
from ubc_lib.data.manifest import read_rows
from ubc_lib.data.people import COLUMNS
from ubc_lib.phantom.cohort import GRADES
from ubc_lib.system.errors import InputError

# What a file is called without its suffix: its folder's name and BraTS' ending of any year first,
# then as in UCSF-PDGM, UPENN-GBM and single odd files (BraTS20_Training_355: W39_1998.09.19_Segm).
NAMES = {
    "FLAIR": (r"{}[-_](flair|t2f)", r".*[-_](flair|t2f)", r"(?!.*seg).*(flair|t2f).*"),
    "mask": (
        r"{}[-_]seg",
        r"(?!.*(flair|t1|t2)).*(tumou?r|lesion).*",
        r"(?!.*(flair|t1|t2|brain|parenchyma|skull|tissue)).*seg(m|mentation)?",
    ),
}


def read_brats(root: str | Path) -> pd.DataFrame:
    """Read a training tree of BraTS (HGG/ and LGG/, or flat) into a patient table.

    In a flat tree the grade comes from `name_mapping.csv`. Raises InputError for a root that holds
    no patients, or two sets of them, a patient without FLAIR or mask or with two that could be it,
    without grade, or found twice, and where the folder cannot be read or vanishes.
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
    rows, people = [], {}
    for parent in _grade_folders(root) or [root]:
        for folder in _folders(parent):
            known = mapping.get(folder.name, {})
            grade = mapped_grade(folder, known) if parent == root else parent.name.upper()
            if known and mapped_grade(folder, known) != grade:
                raise InputError(
                    f"Patient {folder.name} lies in {parent}, but {known['file']} says "
                    f"{known['grade']}. Mend one of them."
                )
            person = (known["file"], known["row"]) if known else folder
            first = people.setdefault(person, folder.name)
            if first != folder.name:
                raise InputError(
                    f"Patients {first} and {folder.name} are one person by {known['file']}, row "
                    f"{known['row']}. Keep one of them."
                )
            site, files = site_of(folder.name, known), [_file(folder, what) for what in NAMES]
            rows.append([folder.name, grade, site, *files, None])
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
    """The folder that holds HGG/ and LGG/ or the patients; archives add levels and other sets."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder. COHORT_ROOT must name an unpacked BraTS tree.")
    level = [root]
    while level:
        # A validation set lies beside the training set, and has no masks.
        trees = [one for one in level if _grade_folders(one) or _holds(one, "mask")]
        trees = trees or [one for one in level if _holds(one, "FLAIR")]
        if len(trees) == 1:
            return trees[0]
        if trees:
            names = " and ".join(str(one.relative_to(root)) for one in trees)
            raise InputError(f"{root} holds patients in {names}. Set COHORT_ROOT to one of them.")
        level = [folder for one in level for folder in _folders(one)] if len(level) < 9 else []
    raise InputError(
        f"{root} holds no patients: neither HGG/ and LGG/ nor folders with *_flair.nii.gz."
    )


def _grade_folders(root: Path) -> list[Path]:
    """The folders HGG and LGG, however their names are written."""
    return [folder for folder in _folders(root) if folder.name.upper() in GRADES]


def _holds(root: Path, what: str) -> bool:
    return any(_candidates(folder, what) for folder in _folders(root))


def _folders(folder: Path) -> list[Path]:
    return sorted(
        Path(entry) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] not in "._"
    )


def _candidates(folder: Path, what: str) -> list[Path]:
    """The NIfTI files of a folder that could be a patient's FLAIR or mask by the best name."""
    found = [path for path in sorted(folder.iterdir()) if is_nifti(path) and path.name[0] != "."]
    # Some archives unpack each file into a folder of the same name.
    found = [
        inner for path in found for inner in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    for pattern in NAMES[what]:
        pattern = pattern.format(re.escape(folder.name))
        named = [path for path in found if re.fullmatch(pattern, _stem(path), re.IGNORECASE)]
        if named:
            return named
    return []


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _file(folder: Path, what: str) -> Path:
    found = _candidates(folder, what)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"Patient {folder.name} has {len(found)} files that could be the {what}: "
            f"{', '.join(path.name for path in found)}. Keep one in {folder}."
        )
    ending = {"FLAIR": "flair", "mask": "seg"}[what]
    raise InputError(
        f"Patient {folder.name} has no {what}: {folder} lacks {folder.name}_{ending}.nii.gz. "
        "Restore the file (of DICOM, make NIfTI with dcm2niix) or take the patient's folder away."
    )


def name_mapping(root: Path) -> dict[str, dict]:
    """Rows of name_mapping.csv, in the tree's folder or above it, by every name that occurs."""
    by_name: dict[str, dict] = {}
    for path in _mappings(root) or _mappings(root.parent):
        for row in read_rows(path):
            known = {key.casefold(): value for key, value in row.items()} | {"file": path}
            for column, name in known.items():
                if not column.startswith("brats") or name in ("", "NA"):
                    continue
                if by_name.setdefault(name, known).get("grade") != known.get("grade"):
                    raise InputError(f"{path} gives patient {name} two grades.")
    return by_name


def _mappings(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = [name for name in names if re.fullmatch(r"name_?mapping.*\.csv", name, re.IGNORECASE)]
    return [folder / name for name in found if "validation" not in name.lower()]


def mapped_grade(folder: Path, known: dict) -> str:
    """The grade of a patient's row of `name_mapping`; InputError without one."""
    grade = known.get("grade", "").strip().upper()
    if grade not in GRADES:
        raise InputError(
            f"Patient {folder.name} has no grade: {folder.parent / 'name_mapping.csv'} says "
            f"{grade or 'nothing'}; HGG or LGG is needed. Or sort the patients into HGG/ and LGG/."
        )
    return grade


def site_of(patient: str, known: dict) -> str | None:
    """The site: a Site column, or the middle of a name of 2017 to 2019, `BraTS19_CBICA_AAB_1`."""
    if known.get("site"):
        return known["site"]
    older = [name for column, name in sorted(known.items()) if column.startswith("brats_20")]
    for name in [patient, *reversed(older)]:
        match = re.match(r"(?:brats|phantom)\d\d_(?!training)([^_]+)_", name, re.IGNORECASE)
        if match:
            return match[1]
    return None
