"""Finds patients: a BraTS tree or a manifest of anyone's own images becomes one patient table.

The table has one row per image file and the columns `patient`, `label`, `site`, `image`, `mask`
and `channel` (texts and paths; `site` and `channel` may be missing). A patient whose image is a
volume has one row; a patient whose images are 2-D has one row per slice.
"""

import hashlib
import os
import re
from pathlib import Path

import pandas as pd

from ubc_lib.phantom.cohort import GRADES, write_phantom
from ubc_lib.study import Study, data_folder
from ubc_lib.system.errors import InputError

COLUMNS = ["patient", "label", "site", "image", "mask", "channel"]


def read_cohort(study: Study) -> pd.DataFrame:
    """The patient table of a study; its phantoms are written first where they are missing."""
    if study.cohort == "phantom":
        name = f"phantom-{study.patients_per_class}-seed{study.phantom_seed}"
        if study.site_confounding:
            name += f"-confounding{study.site_confounding:g}"
        folder = data_folder() / "cohorts" / name
        return read_brats(
            write_phantom(
                folder, study.patients_per_class, study.phantom_seed, study.site_confounding
            )
        )
    if study.cohort_root is None:
        wanted = "the folder of a BraTS tree" if study.cohort == "brats" else "a manifest (CSV)"
        raise InputError(f"Study {study.name} needs COHORT_ROOT: {wanted}.")
    if study.cohort == "brats":
        table = read_brats(study.cohort_root)
    else:
        table = read_manifest(study.cohort_root, study.outside_paths)
    labels = sorted(table["label"].unique())
    if study.positive_label not in labels:
        raise InputError(
            f"positive_label is {study.positive_label!r}, but {study.cohort_root} holds the labels "
            f"{labels}. Set positive_label to one of them."
        )
    return table


def cohort_state(study: Study) -> str:
    """A digest of the patient table of `cohort_root` and of its files' sizes and times.

    It differs once patients, labels or files have changed. Empty for phantoms, which follow from
    settings alone, and where there is no `cohort_root`, or nothing in it, any more. Raises
    InputError where the cohort cannot be used.
    """
    root = study.cohort_root
    if study.cohort == "phantom" or root is None or not _holds_anything(root):
        return ""
    table = read_cohort(study)
    files = [*table["image"], *table["mask"]]
    base = root if root.is_dir() else root.parent
    names = [os.path.relpath(path, base) for path in files]
    described = table.drop(columns=["image", "mask"]).to_csv(index=False)
    digest = hashlib.sha256("\n".join([described, *names]).encode())
    for path in files:
        try:
            about = path.stat()
        except OSError as error:
            raise InputError(f"{path} has vanished from the cohort ({error.strerror}).") from error
        digest.update(f"{about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _holds_anything(root: Path) -> bool:
    """Whether a manifest or tree is there; a folder that is not mounted is empty or unreadable."""
    try:
        return root.is_file() or any(root.iterdir())
    except OSError:
        return False


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
    mapping = _name_mapping(root)
    rows = []
    for parent in _grade_folders(root) or [root]:
        for folder in _patient_folders(parent):
            known = mapping.get(folder.name, {})
            rows.append(
                {
                    "patient": folder.name,
                    "label": _mapped_grade(folder, known) if parent == root else parent.name,
                    "site": _site(folder.name, known),
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


def _name_mapping(root: Path) -> dict[str, dict]:
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


def _mapped_grade(folder: Path, known: dict) -> str:
    grade = known.get("Grade")
    if grade not in GRADES:
        raise InputError(
            f"Patient {folder.name} has no grade: {folder.parent / 'name_mapping.csv'} says "
            f"{grade or 'nothing'}; HGG or LGG is needed."
        )
    return grade


def _site(patient: str, known: dict) -> str | None:
    """The contributing site: a Site column, or the middle of a 2017-2019 name (BraTS19_CBICA_…)."""
    if known.get("Site"):
        return known["Site"]
    older = [name for column, name in sorted(known.items()) if column.startswith("BraTS_20")]
    for name in [patient, *reversed(older)]:
        match = re.match(r"(?:brats|phantom)\d\d_(?!training)([^_]+)_", name, re.IGNORECASE)
        if match:
            return match[1]
    return None
