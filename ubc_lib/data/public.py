"""Reads sets that anyone can download, in the layout of their release, into patient tables."""

import re
from pathlib import Path

import pandas as pd

from ubc_lib.data.brats import mapped_grade, name_mapping, site_of
from ubc_lib.data.manifest import read_rows
from ubc_lib.data.people import COLUMNS
from ubc_lib.system.errors import InputError


def read_bus_bra(root: str | Path) -> pd.DataFrame:
    """Read BUS-BRA, breast ultrasound (Gómez-Flores et al. 2024, doi 10.5281/zenodo.7730709).

    A patient is a `Case`, with one image or two; its site is the device, its label `Pathology`.
    Raises InputError where bus_data.csv, or a file that it names, is not there.
    """
    folder = _folder_of(Path(root), "bus_data.csv", "the unpacked archive of BUS-BRA")
    rows = []
    for row in read_rows(folder / "bus_data.csv", ("ID", "Case", "Pathology", "Device")):
        device = row["Device"].partition("@")[0].strip()
        image = folder / "Images" / f"{row['ID']}.png"
        mask = folder / "Masks" / f"{row['ID'].replace('bus_', 'mask_')}.png"
        case = _whole(row["Case"], folder / "bus_data.csv", "Case")
        rows.append([f"case{case:04d}", row["Pathology"], device, image, mask, None])
    return _table(rows, folder)


def read_tcga_lgg(root: str | Path) -> pd.DataFrame:
    """Read FLAIR slices of TCGA-LGG (Buda et al. 2019, Kaggle's lgg-mri-segmentation).

    A patient is a folder, its site the hospital's code, its label the grade, G2 or G3; patients
    without one are not taken. Most slices of the whole set show no tumour and have an empty mask.
    Raises InputError where data.csv is not there, or names the grade of no folder.
    """
    folder = _folder_of(Path(root), "data.csv", "the unpacked archive of kaggle_3m")
    known = read_rows(folder / "data.csv", ("Patient", "neoplasm_histologic_grade"))
    column, grades = "neoplasm_histologic_grade", {}
    for row in known:
        grade = _whole(row[column], folder / "data.csv", column) if row[column] else None
        if grades.setdefault(row["Patient"], grade) != grade:
            raise InputError(f"{folder / 'data.csv'} gives {row['Patient']} two grades.")
    rows, named = [], re.compile(r"(TCGA_([^_]+)_[^_]+)_\d+_(\d+)")
    for image in folder.glob("TCGA_*/*.tif"):
        found = named.fullmatch(image.stem)
        label = found and {1: "G2", 2: "G3"}.get(grades.get(found[1]))
        if label:
            mask = image.with_name(f"{image.stem}_mask.tif")
            place = image.parent.name, int(found[3])
            rows.append((place, [place[0], label, found[2], image, mask, "green"]))
    folders = pd.Series({row[0]: row[0].rpartition("_")[0] for _, row in rows}, dtype=str)
    if folders.duplicated().any():
        raise InputError(f"{folder} holds {folders[folders.duplicated()].iloc[0]} at two dates.")
    return _table([row for _, row in sorted(rows)], folder)


def read_isic2017(root: str | Path) -> pd.DataFrame:
    """Read the training data of ISIC 2017, dermoscopy (Codella et al. 2018, arXiv:1710.05006).

    Labels are melanoma and other; the set names no patients, so each image counts as one. Raises
    InputError where the table of the third part, or a file that it names, is not there.
    """
    name = "ISIC-2017_Training_Part3_GroundTruth.csv"
    folder = _folder_of(Path(root), name, "the unpacked three parts of ISIC 2017")
    rows = []
    for row in read_rows(folder / name, ("image_id", "melanoma")):
        image = folder / "ISIC-2017_Training_Data" / f"{row['image_id']}.jpg"
        drawn = folder / "ISIC-2017_Training_Part1_GroundTruth"
        mask = drawn / f"{row['image_id']}_segmentation.png"
        label = "melanoma" if _whole(row["melanoma"], folder / name, "melanoma") else "other"
        rows.append([row["image_id"], label, None, image, mask, None])
    return _table(rows, folder)


def read_brisc2025(root: str | Path) -> pd.DataFrame:
    """Read glioma and meningioma of BRISC 2025, axial T1 slices (Fateh et al., arXiv:2506.14318).

    From the training part of the segmentation task; the set names no patients, so each image counts
    as one. Raises InputError where that part, or a mask's image, is not there.
    """
    folder = _folder_of(Path(root), "segmentation_task", "the unpacked archive of BRISC 2025")
    folder = folder / "segmentation_task" / "train"
    labels, rows = {"gl": "glioma", "me": "meningioma"}, []
    for mask in sorted((folder / "masks").glob("brisc2025_train_*_ax_t1.png")):
        label = labels.get(mask.stem.split("_")[3])
        if label:
            image = folder / "images" / f"{mask.stem}.jpg"
            rows.append([mask.stem, label, None, image, mask, None])
    return _table(rows, folder)


def read_brats2020_slices(root: str | Path) -> pd.DataFrame:
    """Read the export of BraTS 2020 as one HDF5 file per slice, `volume_N_slice_S.h5`.

    A patient is a volume; grade and site come from `name_mapping.csv` beside the slices. Raises
    InputError where there are no slices, or a volume has no grade.
    """
    folder = _folder_of(Path(root), "name_mapping.csv", "the unpacked export of BraTS 2020")
    mapping, rows = name_mapping(folder), []
    named = re.compile(r"volume_(\d+)_slice_(\d+)")
    slices = [(path, named.fullmatch(path.stem)) for path in folder.glob("*.h5")]
    slices = sorted((int(found[1]), int(found[2]), path) for path, found in slices if found)
    for volume, _, path in slices:
        patient = f"BraTS20_Training_{volume:03d}"
        known = mapping.get(patient, {})
        label = mapped_grade(folder / patient, known)
        rows.append([patient, label, site_of(patient, known), path, path, "FLAIR"])
    return _table(rows, folder)


def _whole(text: str, path: Path, column: str) -> int:
    """A whole number as a spreadsheet may have saved it: 1, 1.0 or 1,0."""
    try:
        number = float(text.replace(",", "."))
        if number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{path}: {column} is {text!r}; a whole number is needed.") from None
    return int(number)


def _folder_of(root: Path, name: str, what: str) -> Path:
    """The folder that holds a file or folder of this name, anywhere below."""
    found = sorted(root.rglob(name)) if root.is_dir() else []
    if not found:
        raise InputError(f"{root} holds no {name}. COHORT_ROOT must name {what}.")
    return found[0].parent


def _table(rows: list[list], folder: Path) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS)
    for path in (*table["image"], *table["mask"]):
        if not path.is_file():
            raise InputError(f"{path} is not there, though the tables of {folder} name it.")
    if table.empty:
        raise InputError(f"{folder} names no images.")
    return table
