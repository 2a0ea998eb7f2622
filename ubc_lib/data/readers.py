"""Finds patients: whatever a cohort's layout on disk, it becomes one patient table.

The table has one row per image file and the columns `patient`, `label`, `site`, `image`, `mask`
and `channel` (texts and paths; `site` and `channel` may be missing). A patient whose image is a
volume has one row; a patient whose images are 2-D has one row per slice.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from ubc_lib.data.brats import read_brats
from ubc_lib.data.manifest import read_manifest
from ubc_lib.data.people import check_people, check_positive_label, check_sites
from ubc_lib.data.public import (
    read_brats2020_slices,
    read_brisc2025,
    read_bus_bra,
    read_isic2017,
    read_tcga_lgg,
)
from ubc_lib.phantom.cohort import write_phantom
from ubc_lib.study import SYNTHETIC, Study
from ubc_lib.study.files import data_folder, study_names
from ubc_lib.system.errors import InputError, unknown_name

BRATS_LABELS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Reader:
    """How the patients of one kind of cohort are found.

    read: gives the patient table of a study. root: what COHORT_ROOT must name; empty where the
    cohort needs none. patients: what readers call them. mask_labels: those that a mask may hold,
    any of them lesion; None where any number but 0 is. knows_masks: whether they are known to be
    masks of lesions, see `gate.check_region`. mask_above: what marks the lesion in a mask, unless a
    study says so. rescaled: whether a mask may show its image's field of view at another size.
    some_empty: whether images are slices of volumes, many of which show no lesion. heads: whether
    images are of whole heads, unless a study says that they are boxes. caution: what to know of
    such a cohort, whoever reads it.
    """

    read: Callable[[Study], pd.DataFrame]
    root: str
    patients: str
    mask_labels: tuple[int, ...] | None = None
    heads: bool = False
    knows_masks: bool = True
    mask_above: float | None = None
    rescaled: bool = False
    some_empty: bool = False
    caution: str = ""


NOBODY = "The set names no patients: each image counts as one, so that one may be on both sides."


READERS = {
    SYNTHETIC: Reader(
        lambda study: read_brats(write_phantom(data_folder() / "cohorts", study)),
        "",
        "synthetic phantoms",
        BRATS_LABELS,
        heads=True,
    ),
    "brats": Reader(
        lambda study: read_brats(study.cohort_root),
        "the folder of a BraTS tree",
        "BraTS patients",
        BRATS_LABELS,
        heads=True,
    ),
    "brats2020_slices": Reader(
        lambda study: read_brats2020_slices(study.cohort_root),
        "the folder of the HDF5 export of BraTS 2020",
        "BraTS patients",
        some_empty=True,
    ),
    "bus_bra": Reader(
        lambda study: read_bus_bra(study.cohort_root), "the folder of BUS-BRA", "BUS-BRA patients"
    ),
    "tcga_lgg": Reader(
        lambda study: read_tcga_lgg(study.cohort_root),
        "the folder of LGG MRI segmentation (kaggle_3m)",
        "TCGA-LGG patients",
        some_empty=True,
    ),
    "isic2017": Reader(
        lambda study: read_isic2017(study.cohort_root),
        "the folder of ISIC 2017",
        "ISIC images",
        rescaled=True,
        caution=NOBODY,
    ),
    "brisc2025": Reader(
        lambda study: read_brisc2025(study.cohort_root),
        "the folder of BRISC 2025",
        "BRISC images",
        mask_above=127,
        caution=NOBODY,
    ),
    "manifest": Reader(
        lambda study: read_manifest(study.cohort_root, study.outside_paths, study.without_lesion),
        "a manifest (CSV or XLSX)",
        "patients of a manifest",
        knows_masks=False,
    ),
}


def reader_of(study: Study) -> Reader:
    """The reader of a study's cohort; InputError for one that there is not, or that has no root."""
    if study.cohort not in READERS:
        raise InputError(unknown_name("cohort", study.cohort, READERS, f"study {study.name}"))
    reader = READERS[study.cohort]
    if study.cohort_root and not reader.root:
        others = [name for name in study_names() if READERS[Study.load(name).cohort].root]
        raise InputError(
            f"Study {study.name} makes its own patients ({reader.patients}) and reads no "
            f"COHORT_ROOT. Studies that read one: {', '.join(others)}; or set cohort="
            f"{'|'.join(name for name in READERS if READERS[name].root)}."
        )
    return reader


def read_cohort(study: Study) -> pd.DataFrame:
    """The patient table of a study; its phantoms are written first where they are missing."""
    reader = reader_of(study)
    if reader.root and study.cohort_root is None:
        raise InputError(f"Study {study.name} needs COHORT_ROOT: {reader.root}.")
    table = reader.read(study)
    if study.sites:
        known = table["site"].fillna("")
        kept = [any(fnmatchcase(site, wanted) for wanted in study.sites) for site in known]
        if not any(kept):
            sites = sorted(known.unique())
            raise InputError(f"sites is {list(study.sites)}, but the cohort's are {sites}.")
        table = table[kept].reset_index(drop=True)
    check_people(table)
    check_positive_label(table, study)
    if study.split == "site":
        check_sites(table)
    if ("split" in table) != (study.split == "given"):
        raise InputError(
            f"The cohort {study.cohort_root or study.cohort} "
            + (
                "has a column split. Train and test as it says with split=given, or take it out."
                if "split" in table
                else "has no column split (train or test), which split=given asks for."
            )
        )
    return table


def cohort_state(study: Study) -> str:
    """A digest of the patient table of `cohort_root` and of its files' sizes and times.

    It differs once patients, labels or files have changed. Empty for phantoms, which follow from
    settings alone, and where there is no `cohort_root`, or nothing in it, any more. Raises
    InputError where the cohort cannot be used.
    """
    reader, root = reader_of(study), study.cohort_root
    if root is None or not reader.root or not _holds_anything(root):
        return ""
    table = read_cohort(study)
    files = [*table["image"], *table["mask"].dropna()]
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
