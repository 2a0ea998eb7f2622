"""Real patients, where they lie beside the project; they are never part of it."""

import pytest

from tests.conftest import tiny_study
from ubc_lib.data.brats import read_brats
from ubc_lib.data.slices import make_slices
from ubc_lib.study.files import ROOT

SHARED = ROOT.parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no real patients beside the project")


def test_the_eight_whole_patients_are_found_with_grade_and_site():
    table = read_brats(SHARED / "brats2019_sample")
    assert table["label"].value_counts().to_dict() == {"HGG": 6, "LGG": 2}
    assert set(table["site"]) == {"2013", "TCIA10", "TCIA12"}


@pytest.mark.slow
def test_slices_of_whole_patients_show_normalised_brains_with_their_lesion():
    study = tiny_study(
        SHARED / "brats2019_sample", patients_per_class=2, slices_per_patient=5, image_size=96
    )
    slices = make_slices(study)
    assert slices.images.shape == (8 * 5, 96, 96)
    assert slices.left_out == ()
    inside = slices.images[slices.masks]
    assert inside.mean() > 1  # lesions are bright on FLAIR, by more than a deviation of the brain
    assert (slices.images[:, :4, :4] == 0).all()
    assert slices.table["lesion_fraction"].between(0.005, 0.15).all()


@pytest.mark.slow
def test_all_335_lesion_boxes_are_read_as_they_are():
    study = tiny_study(
        SHARED / "brats2019_lesion_crops",
        patients_per_class=76,
        slices_per_patient=5,
        normalisation="none",
        image_size=64,
    )
    slices = make_slices(study)
    patients = slices.table.drop_duplicates("patient")
    assert patients["label"].value_counts().to_dict() == {"HGG": 259, "LGG": 76}
    assert slices.images.shape == (335 * 5, 64, 64)
