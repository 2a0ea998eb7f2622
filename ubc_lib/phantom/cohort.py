"""A synthetic cohort in the layout of BraTS 2019, made from a seed.

BraTS may not be redistributed; the phantom lets anyone run the study. Each patient is the MNI152
anatomy deformed individually (`anatomy`), with a lesion grown by reaction and diffusion (`growth`),
outlined and painted (`lesion`) from traits that differ by grade in distribution only (`traits`),
seen by the scanner of one of several sites (`scanner`). Simulating tumours on atlas tissue to
obtain images with known truth follows TumorSim (Prastawa, Bullitt & Gerig 2009); layout, labels
and aggregates are those of BraTS (Menze et al. 2015; Bakas et al. 2017, 2018).
"""

import gzip
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ubc_lib.phantom.anatomy import BOX, VOLUME_SHAPE, Atlas, load_atlas, make_head
from ubc_lib.phantom.lesion import make_patient
from ubc_lib.phantom.scanner import acquire, draw_scanner, draw_site
from ubc_lib.phantom.traits import draw_traits
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.system.progress import progress_bar

GRADES = ("HGG", "LGG")
AFFINE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]])
# Raised whenever the same seed gives other patients, so that two versions never share a folder.
VERSION = 4
BYTES_PER_PATIENT = 2_600_000
RECORD = "phantom.json"
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Scan:
    """What one patient's files hold: identifier, site, FLAIR (int16) and labels (uint8), both
    (240, 240, 155), 1 mm, first axis towards left, second towards posterior, third upwards."""

    identifier: str
    site: str
    flair: np.ndarray
    labels: np.ndarray


def make_scan(grade: str, number: int, seed: int, site_confounding: float = 0.0) -> Scan:
    """Patient `number` (from 0) of a grade in the cohort of `seed`, as arrays.

    A patient depends on these four alone, not on how many others are made, or where.
    """
    return _make_scan(load_atlas(), grade, number, seed, site_confounding)


def write_phantom(
    folder: Path,
    patients_per_class: int,
    seed: int,
    site_confounding: float = 0.0,
    workers: int | None = None,
) -> Path:
    """Write, or finish writing, a phantom cohort into `folder` and return it.

    site_confounding: 0, sites are independent of grade; 1, they are tied to it as in BraTS 2019.
    workers: processes; None means one per core. Bytes do not depend on it.
    Each patient appears whole or not at all, and name_mapping.csv comes last. A call that finds
    everything in place returns at once; asking for more patients later adds to those there.
    Raises InputError when a setting is out of range, the folder holds another phantom, or the
    disk has no room for what is missing.
    """
    folder = Path(folder)
    _check_settings(patients_per_class, seed, site_confounding, workers)
    patients = [
        (grade, number, _identifier(grade, number, seed, site_confounding))
        for grade in GRADES
        for number in range(patients_per_class)
    ]
    _check_folder(folder, seed, site_confounding, patients)
    missing = [p for p in patients if not (folder / p[0] / p[2][0]).is_dir()]
    mapping = folder / "name_mapping.csv"
    if not missing and mapping.is_file():
        return folder

    _check_room(folder, len(missing))
    with atomic_path(folder / RECORD) as path:
        path.write_text(json.dumps(_settings(seed, site_confounding)) + "\n")
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    if missing:
        atlas = load_atlas()
        jobs = (
            joblib.delayed(_write_patient)(
                folder, atlas, grade, number, seed=seed, site_confounding=site_confounding
            )
            for grade, number, _ in missing
        )
        run = joblib.Parallel(n_jobs=workers or os.cpu_count(), return_as="generator_unordered")
        for _ in progress_bar(run(jobs), total=len(missing), unit="patient", label="phantom"):
            pass
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    table = pd.DataFrame(
        [(grade, *identity) for grade, _, identity in patients],
        columns=["Grade", "BraTS_2019_subject_ID", "Site"],
    )
    with atomic_path(mapping) as path:
        table.to_csv(path, index=False)
    return folder


def _make_scan(atlas: Atlas, grade: str, number: int, seed: int, site_confounding: float) -> Scan:
    # Threads change the order of sums in matrix products, hence the last bits.
    with threadpool_limits(1):
        identifier, site = _identifier(grade, number, seed, site_confounding)
        random = np.random.default_rng(_stream(grade, number, seed, "patient"))
        scanner = draw_scanner(site, random)
        traits = draw_traits(grade, number, seed, random)
        head = make_head(atlas, random)
        patient = make_patient(atlas, head, traits, (scanner.grey, 1.0, scanner.fluid), random)
        flair = np.zeros(VOLUME_SHAPE, np.int16)
        flair[BOX] = acquire(patient.signal, patient.brain, scanner, random)
        labels = np.zeros(VOLUME_SHAPE, np.uint8)
        labels[BOX] = patient.labels
    return Scan(identifier, site, flair, labels)


def _write_patient(
    folder: Path, atlas: Atlas, grade: str, number: int, *, seed: int, site_confounding: float
) -> None:
    scan = _make_scan(atlas, grade, number, seed, site_confounding)
    unfinished = folder / UNFINISHED / scan.identifier
    for kind, voxels in (("flair", scan.flair), ("seg", scan.labels)):
        with atomic_path(unfinished / f"{scan.identifier}_{kind}.nii.gz") as path:
            # No name and no time in the header, so that bytes depend on voxels alone.
            path.write_bytes(gzip.compress(_nifti_bytes(voxels), compresslevel=1, mtime=0))
    finished = folder / grade / scan.identifier
    finished.parent.mkdir(exist_ok=True)
    unfinished.rename(finished)


def _nifti_bytes(voxels: np.ndarray) -> bytes:
    image = nib.Nifti1Image(voxels, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    image.header.set_xyzt_units("mm", "sec")
    return image.to_bytes()


def _identifier(grade: str, number: int, seed: int, site_confounding: float) -> tuple[str, str]:
    """Identifier and site; the numbers of the two grades interleave and never meet."""
    random = np.random.default_rng(_stream(grade, number, seed, "site"))
    site = draw_site(grade, site_confounding, random)
    return f"Phantom19_{site}_{2 * number + GRADES.index(grade) + 1:03d}_1", site


def _stream(grade: str, number: int, seed: int, purpose: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(*purpose.encode(), *grade.encode(), number))


def _settings(seed: int, site_confounding: float) -> dict[str, float]:
    return {"version": VERSION, "seed": seed, "site_confounding": float(site_confounding)}


def _check_settings(
    patients_per_class: int, seed: int, site_confounding: float, workers: int | None
) -> None:
    if patients_per_class < 1:
        raise InputError(f"patients_per_class is {patients_per_class}; it must be at least 1.")
    if seed < 0:
        raise InputError(f"The phantom's seed is {seed}; it must be 0 or more.")
    if not 0 <= site_confounding <= 1:
        raise InputError(f"site_confounding is {site_confounding}; it must lie between 0 and 1.")
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; it must be at least 1, or None for every core.")


def _check_folder(folder: Path, seed: int, site_confounding: float, patients: list) -> None:
    """Refuse a folder that holds anything but a part of this very phantom."""
    record = folder / RECORD
    found = json.loads(record.read_text()) if record.is_file() else None
    wanted = _settings(seed, site_confounding)
    if found is not None and found != wanted:
        raise InputError(
            f"{folder} holds another phantom ({found}; asked for: {wanted}). "
            "Choose another folder or remove this one."
        )
    expected = {identity[0] for _, _, identity in patients}
    strangers = [
        path
        for grade in GRADES
        for path in sorted((folder / grade).glob("*"))
        if path.is_dir() and path.name not in expected
    ]
    if strangers:
        raise InputError(
            f"{folder} holds patients beyond those asked for, {strangers[0].name} for one "
            f"({len(strangers)} in all). Choose another folder or ask for as many patients."
        )


def _check_room(folder: Path, patients: int) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free, needed = shutil.disk_usage(existing).free, patients * BYTES_PER_PATIENT
    if free < needed:
        raise InputError(
            f"The phantom needs {needed / 1e6:.0f} MB for {patients} patients, but the disk of "
            f"{folder} has {free / 1e6:.0f} MB left. Make room or choose another folder."
        )
