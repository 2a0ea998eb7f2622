"""Tiny generated cohorts: nothing here needs a download or more than a second."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import settings

from ubc_lib.study import Study

# Threads that wait for each other make tiny networks slow, most of all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes depends on what else the machine is doing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHAPE = (24, 24, 10)  # left-right, front-back, bottom-top
PLACE = (4, 9)  # where the widest lesion of 8 pixels begins
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def brain(seed: int = 0, shape=SHAPE) -> np.ndarray:
    """A FLAIR-like volume, int16: noise inside, a rim of zeros around."""
    volume = np.random.default_rng(seed).integers(80, 120, shape).astype(np.int16)
    volume[[0, -1]] = 0
    volume[:, [0, -1]] = 0
    return volume


def lesion(sizes=(2, 4, 6, 8, 4, 2), label: int = 2, shape=SHAPE) -> np.ndarray:
    """A mask, uint8: on slice k+1 a square of sizes[k] pixels a side.

    It lies aside of the middle, where no mirror image or quarter turn of it lies.
    """
    mask = np.zeros(shape, np.uint8)
    assert max(sizes) <= 2 * min(PLACE) + 8, "a wider square would leave the plane"
    for index, size in enumerate(sizes, start=1):
        across, along = (start + 4 - size // 2 for start in PLACE)
        mask[across : across + size, along : along + size, index] = label
    return mask


def write_nifti(path: Path, values: np.ndarray, affine=LPS, sform=2, qform=0) -> Path:
    """A file whose header states the affine with these codes; 0 leaves that form unsaid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = nib.Nifti1Image(values, affine)
    stored.set_sform(affine, sform)
    stored.set_qform(affine, qform)
    nib.save(stored, path)
    return path


def write_patient(folder: Path, flair=None, seg=None, suffix: str = ".nii.gz") -> Path:
    """One patient's folder of a BraTS tree."""
    seed = sum(map(ord, folder.name))
    flair = brain(seed) if flair is None else flair
    seg = lesion() if seg is None else seg
    write_nifti(folder / f"{folder.name}_flair{suffix}", flair)
    write_nifti(folder / f"{folder.name}_seg{suffix}", seg)
    return folder


def write_tree(root: Path, patients_per_class: int = 4) -> Path:
    """A BraTS 2019 tree in which the grade shows: HGG lesions are brighter."""
    for grade, brightness in (("HGG", 80), ("LGG", 40)):
        for number in range(patients_per_class):
            name = f"BraTS19_SITE{number % 2}_{grade[0]}{number}_1"
            flair = brain(number) + (lesion() > 0).astype(np.int16) * brightness
            write_patient(root / grade / name, flair)
    return root


def tiny_study(root: Path | None = None, **changed) -> Study:
    fields = {
        "name": "tiny",
        "title": "A study for tests",
        "cohort": "brats",
        "cohort_root": root,
        "patients_per_class": 4,
        "slices_per_patient": 2,
        "image_size": 32,
        "images_per_class": (1, 2, 4),
        "seeds": (0,),
        "epochs": 3,
        "batch_size": 4,
        "evaluate_every": 1,
        "plateau_window": 1,
        "precision": "fp32",
        "device": "cpu",
    }
    return Study.create(fields | changed, source="a test")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    """Cohorts, runs and results of a test go to a folder of its own."""
    folder = tmp_path / "data"
    monkeypatch.setenv("UBC_DATA", str(folder))
    return folder


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_tree(tmp_path / "tree")


@pytest.fixture
def study(tree) -> Study:
    return tiny_study(tree)
