"""A synthetic cohort in the layout of BraTS 2019, made from a seed.

BraTS may not be redistributed; the phantom lets anyone run the study. Each patient is the MNI152
anatomy deformed individually (`anatomy`), with a lesion grown by reaction and diffusion (`growth`),
outlined and painted (`lesion`) from traits that differ by grade in distribution only (`traits`),
seen by the scanner of one of several sites (`scanner`). Simulating tumours on atlas tissue to
obtain images with known truth follows TumorSim (Prastawa, Bullitt & Gerig 2009); layout, labels
and aggregates are those of BraTS (Menze et al. 2015; Bakas et al. 2017, 2018).
"""

import gzip
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ubc_lib.phantom.anatomy import BOX, VOLUME_SHAPE, load_atlas, make_head
from ubc_lib.phantom.designed import Design, with_decoys, with_outline
from ubc_lib.phantom.lesion import make_healthy, make_patient
from ubc_lib.phantom.scanner import acquire, draw_scanner, draw_site
from ubc_lib.phantom.traits import draw_traits
from ubc_lib.study import Study
from ubc_lib.system.files import atomic_path
from ubc_lib.system.progress import progress_bar

GRADES = ("HGG", "LGG")
AFFINE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]])
# Raised whenever the same seed gives other patients, so that two versions never share a folder.
VERSION = 5
UNFINISHED = ".unfinished"
PLAIN = Design()


@dataclass(frozen=True)
class Scan:
    """What one patient's files hold: identifier, site, FLAIR (int16) and labels (uint8), both
    (240, 240, 155), 1 mm, first axis towards left, second towards posterior, third upwards."""

    identifier: str
    site: str
    flair: np.ndarray
    labels: np.ndarray


def write_phantom(cohorts: Path, study: Study, workers: int | None = None) -> Path:
    """Write, or finish writing, the phantoms of a study; returns their folder, below `cohorts`.

    Its name says all that they depend on: `patients_per_class`, `phantom_seed`, `site_confounding`
    (0, sites are independent of grade; 1, they are tied to it as in BraTS 2019), and what they were
    designed for.
    workers: processes; None means one per core. Bytes do not depend on it.
    Each patient appears whole or not at all, and name_mapping.csv comes last. A call that finds
    everything in place returns at once. Raises InputError where the disk has no room.
    """
    seed, confounding = study.phantom_seed, study.site_confounding
    design = Design(study.phantom, study.phantom_amplitude, study.phantom_count)
    name = f"phantom{VERSION}-{study.patients_per_class}-seed{seed}"
    name += f"-confounding{confounding}" if confounding else ""
    name += "" if design.kind == "plain" else "-{}{}x{}".format(*design)
    folder = cohorts / name
    patients = [
        (grade, number, *_identifier(grade, number, seed, confounding))
        for grade in GRADES
        for number in range(study.patients_per_class)
    ]
    missing = [(grade, n) for grade, n, name, _ in patients if not (folder / grade / name).is_dir()]
    mapping = folder / "name_mapping.csv"
    if not missing and mapping.is_file():
        return folder

    jobs = (
        joblib.delayed(_write_patient)(folder, *one, seed, confounding, design) for one in missing
    )
    run = joblib.Parallel(n_jobs=workers or os.cpu_count(), return_as="generator_unordered")
    for _ in progress_bar(run(jobs), total=len(missing), unit="patient", label="phantom"):
        pass
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    table = pd.DataFrame(patients, columns=["Grade", "number", "BraTS_2019_subject_ID", "Site"])
    with atomic_path(mapping) as path:
        table.drop(columns="number").to_csv(path, index=False)
    return folder


def make_scan(
    grade: str,
    number: int,
    seed: int,
    site_confounding: float = 0.0,
    design: Design = PLAIN,
) -> Scan:
    """Patient `number` (from 0) of a grade in the cohort of `seed`, as arrays.

    A patient depends on these five alone, not on how many others are made, or where.
    """
    atlas = load_atlas()
    # Threads change the order of sums in matrix products, hence the last bits.
    with threadpool_limits(1):
        identifier, site = _identifier(grade, number, seed, site_confounding)
        random = np.random.default_rng(_stream(grade, number, seed, "patient"))
        scanner = draw_scanner(site, random)
        tissue_signal = (scanner.grey, 1.0, scanner.fluid)
        designing = np.random.default_rng(_stream(grade, number, seed, "design"))
        grown = grade if design.kind == "plain" else GRADES[designing.integers(2)]
        traits = draw_traits(grown, number, seed, random)
        head = make_head(atlas, random)
        if design.kind == "outline":
            healthy = make_healthy(atlas, head, tissue_signal, random)
            patient = with_outline(healthy, design, grade, designing)
        else:
            patient = make_patient(atlas, head, traits, tissue_signal, random)
        if design.kind == "decoy":
            patient = with_decoys(patient, design, grade, designing)
        flair = np.zeros(VOLUME_SHAPE, np.int16)
        flair[BOX] = acquire(patient.signal, patient.brain, scanner, random)
        labels = np.zeros(VOLUME_SHAPE, np.uint8)
        labels[BOX] = patient.labels
    return Scan(identifier, site, flair, labels)


def _write_patient(
    folder: Path, grade: str, number: int, seed: int, site_confounding: float, design: Design
) -> None:
    scan = make_scan(grade, number, seed, site_confounding, design)
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
