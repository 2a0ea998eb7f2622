"""The phantom cohort: its files, and that they are the same for the same seed."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK

from tests.conftest import tiny_study
from ubc_lib.phantom import cohort as phantom
from ubc_lib.phantom.cohort import make_scan, write_phantom
from ubc_lib.study import Study

SEED = 7


def of(patients_per_class: int, **changed) -> Study:
    """A study of so many phantoms."""
    fields = {"cohort": "phantom", "phantom_seed": SEED, "images_per_class": (1,)} | changed
    return tiny_study(patients_per_class=patients_per_class, **fields)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Two patients of each grade, written by one process; not to be changed."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), of(2), workers=1)


@pytest.fixture
def copy(cohort, tmp_path) -> Path:
    return shutil.copytree(cohort, tmp_path / cohort.name)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def patients(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("?GG/*"))


def volume_paths(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"?GG/*/*_{kind}.nii.gz"))


def test_files_lie_and_look_like_brats_2019(cohort):
    assert len(patients(cohort)) == 4
    for kind, dtype in (("flair", np.int16), ("seg", np.uint8)):
        for path in volume_paths(cohort, kind):
            image = nib.load(path)
            assert path.name == f"{path.parent.name}_{kind}.nii.gz"
            assert image.shape == (240, 240, 155)
            assert image.get_data_dtype() == dtype
            assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
            assert (image.affine[:3, 3] == [0, 239, 0]).all()
            assert image.header.get_zooms() == (1, 1, 1)


def test_lesion_lies_in_a_brain_of_human_size_around_which_all_is_zero(cohort):
    for flair_path, mask_path in zip(
        volume_paths(cohort, "flair"), volume_paths(cohort, "seg"), strict=True
    ):
        flair, mask = (np.asarray(nib.load(path).dataobj) for path in (flair_path, mask_path))
        assert flair.min() == 0
        assert 0.8e6 < np.count_nonzero(flair) < 2.0e6
        assert set(np.unique(mask)) <= {0, 1, 2, 4}
        assert 5e3 < np.count_nonzero(mask) < 4e5
        assert (flair[mask > 0] > 0).all()


def test_name_mapping_gives_grade_and_site_of_every_patient(cohort):
    mapping = pd.read_csv(cohort / "name_mapping.csv")
    assert sorted(mapping["BraTS_2019_subject_ID"]) == patients(cohort)
    for row in mapping.itertuples():
        assert (cohort / row.Grade / row.BraTS_2019_subject_ID).is_dir()
        assert row.BraTS_2019_subject_ID.startswith(f"Phantom19_{row.Site}_")


def test_simpleitk_reads_the_same_voxels_spacing_and_orientation(cohort):
    for path in volume_paths(cohort, "flair")[:1] + volume_paths(cohort, "seg")[:1]:
        image = SimpleITK.ReadImage(str(path))
        voxels = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
        assert np.array_equal(voxels, np.asarray(nib.load(path).dataobj))
        assert image.GetSpacing() == (1, 1, 1)
        # SimpleITK's world is LPS, nibabel's RAS: BraTS voxels run along LPS, from (0, -239, 0).
        assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
        assert image.GetOrigin() == (0, -239, 0)


def test_bytes_depend_neither_on_workers_nor_on_how_many_are_asked_for(cohort, tmp_path):
    more = contents(write_phantom(tmp_path, of(3), workers=2))
    for name, data in contents(cohort).items():
        assert name == "name_mapping.csv" or more[name] == data


def test_another_seed_makes_other_patients(cohort):
    scan = make_scan("HGG", 0, SEED + 1)
    first = np.asarray(nib.load(volume_paths(cohort, "seg")[0]).dataobj)
    assert not np.array_equal(scan.labels, first)


def test_missing_patients_are_made_again_and_the_others_left_alone(cohort, copy):
    lost, kept = sorted(copy.glob("HGG/*"))
    shutil.rmtree(lost)
    (copy / "name_mapping.csv").unlink()
    before = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    write_phantom(copy.parent, of(2), workers=1)
    assert contents(copy) == contents(cohort)
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == before


def test_a_patient_interrupted_between_its_files_is_not_among_the_patients(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "make_scan", tiny_scan)
    with monkeypatch.context() as interrupted:
        bytes_of_files = iter([b"flair"])
        interrupted.setattr(phantom, "_nifti_bytes", lambda _: next(bytes_of_files))
        with pytest.raises((StopIteration, RuntimeError)):
            write_phantom(tmp_path, of(2), workers=1)
    assert list(tmp_path.rglob("*_flair.nii.gz"))
    assert not list(tmp_path.glob("*/?GG/*"))
    assert not list(tmp_path.rglob("name_mapping.csv"))

    folder = write_phantom(tmp_path, of(2), workers=1)
    assert len(patients(folder)) == 4
    assert not any(".unfinished" in name for name in contents(folder))


def tiny_scan(grade: str, number: int, seed: int, site_confounding: float, _design):
    identifier, site = phantom._identifier(grade, number, seed, site_confounding)
    return phantom.Scan(
        identifier, site, np.ones((2, 2, 2), np.int16), np.ones((2, 2, 2), np.uint8)
    )


def test_a_complete_cohort_is_not_made_again(copy, monkeypatch):
    monkeypatch.delattr(phantom, "load_atlas")
    assert write_phantom(copy.parent, of(2)) == copy


@pytest.mark.parametrize(
    "changed", [{"phantom_seed": SEED + 1}, {"site_confounding": 0.5}, {"patients_per_class": 3}]
)
def test_another_phantom_has_a_folder_of_its_own(copy, changed, monkeypatch):
    monkeypatch.setattr(phantom, "make_scan", tiny_scan)
    before = contents(copy)
    folder = write_phantom(copy.parent, of(**{"patients_per_class": 2} | changed), workers=1)
    assert folder != copy
    assert contents(copy) == before
