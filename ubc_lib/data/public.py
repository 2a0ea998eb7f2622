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
        rows.append([f"case{int(row['Case']):04d}", row["Pathology"], device, image, mask, None])
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


def _folder_of(root: Path, name: str, what: str) -> Path:
    """The folder that holds a file of this name, anywhere below."""
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
