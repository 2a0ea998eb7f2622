"""Sets that anyone can download, with the quirks of their releases."""

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import tiny_study
from ubc_lib.data.public import read_brats2020_slices, read_bus_bra
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.slices import make_slices
from ubc_lib.data.volumes import read_volume
from ubc_lib.system.errors import InputError


@pytest.fixture
def bus_bra(tmp_path):
    """Three patients of BUS-BRA, the first with two images; masks of one bit."""
    folder = tmp_path / "download" / "BUSBRA"
    rows = []
    for number, case, side in ((1, 7, "l"), (2, 7, "r"), (3, 8, "s"), (4, 9, "s")):
        name = f"{number:04d}-{side}"
        size = (30 + number, 40)
        for kind, mode in (("Images/bus", "L"), ("Masks/mask", "1")):
            path = folder / f"{kind}_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.new(mode, size, 40 + number if mode == "L" else 0)
            picture.paste(255 if mode == "L" else 1, (5, 6, 15, 20))
            picture.save(path)
        pathology = "malignant" if case == 8 else "benign"
        box = "[1,2,3,4]"
        device = "GE Logiq 5 @ probe"
        rows.append({"ID": f"bus_{name}", "Case": case, "Pathology": pathology, "Device": device})
        rows[-1]["BBOX"] = box
    pd.DataFrame(rows).to_csv(folder / "bus_data.csv", index=False)
    return tmp_path / "download"


def test_a_case_of_bus_bra_is_a_patient_with_all_its_images(bus_bra):
    table = read_bus_bra(bus_bra)
    assert table["patient"].tolist() == ["case0007", "case0007", "case0008", "case0009"]
    assert table["label"].tolist() == ["benign", "benign", "malignant", "benign"]
    assert set(table["site"]) == {"GE Logiq 5"}


def test_a_mask_of_one_bit_marks_what_it_marks(bus_bra):
    row = read_bus_bra(bus_bra).iloc[0]
    volume = read_volume(row["image"], row["mask"], row["patient"])
    assert volume.mask.sum() == 10 * 14
    assert volume.mask[0, 6:20, 5:15].all()


def test_an_image_that_the_table_names_and_the_folder_lacks_is_named(bus_bra):
    (bus_bra / "BUSBRA" / "Masks" / "mask_0003-s.png").unlink()
    with pytest.raises(InputError, match=r"mask_0003-s\.png is not there"):
        read_bus_bra(bus_bra)


@pytest.fixture
def export(tmp_path):
    """Slices of two volumes of BraTS 2020; a lesion of 4 x 6 pixels, the second of 2 x 3."""
    folder = tmp_path / "BraTS2020_training_data" / "content" / "data"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for volume, number, size in ((1, 70, 2), (1, 9, 1), (12, 70, 2)):
        image = np.full((24, 24, 4), -0.5)
        image[4:20, 6:18] = rng.uniform(1, 2, size=(16, 12, 4))
        mask = np.zeros((24, 24, 3), np.uint8)
        mask[8 : 8 + 2 * size, 8 : 8 + 3 * size, 1] = 1
        mask[8 : 8 + size, 8, 0] = 1
        with h5py.File(folder / f"volume_{volume}_slice_{number}.h5", "w") as file:
            file["image"], file["mask"] = image, mask
    pd.DataFrame(
        {
            "Grade": ["HGG", "LGG"],
            "BraTS_2019_subject_ID": ["BraTS19_CBICA_AAB_1", "BraTS19_TCIA10_AAG_1"],
            "BraTS_2020_subject_ID": ["BraTS20_Training_001", "BraTS20_Training_012"],
        }
    ).to_csv(folder / "name_mapping.csv", index=False)
    return tmp_path


def test_a_volume_of_the_export_is_a_patient_with_its_slices_in_order(export):
    table = read_brats2020_slices(export)
    assert table["patient"].tolist() == ["BraTS20_Training_001"] * 2 + ["BraTS20_Training_012"]
    assert [path.stem[-2:] for path in table["image"]] == ["_9", "70", "70"]
    assert table["label"].tolist() == ["HGG", "HGG", "LGG"]
    assert table["site"].tolist() == ["CBICA", "CBICA", "TCIA10"]


def test_the_head_stands_upright_black_outside_with_every_label_as_lesion(export):
    row = read_brats2020_slices(export).iloc[1]
    volume = read_volume(row["image"], row["mask"], row["patient"], row["channel"])
    assert volume.image.shape == (1, 24, 24)
    inside = np.zeros((24, 24), bool)
    inside[6:18, 4:20] = True
    assert (volume.image[0][~inside] == 0).all()
    assert (volume.image[0][inside] != 0).all()
    lesion = np.zeros((24, 24), bool)
    lesion[8:14, 8:12] = True
    assert np.array_equal(volume.mask[0], lesion)


def test_a_volume_without_grade_is_named(export):
    mapping = next(export.rglob("name_mapping.csv"))
    mapping.write_text(mapping.read_text().replace("BraTS20_Training_012", "BraTS20_Training_013"))
    with pytest.raises(InputError, match="BraTS20_Training_012 has no grade"):
        read_brats2020_slices(export)


@pytest.mark.parametrize("read", [read_bus_bra, read_brats2020_slices])
def test_a_folder_without_the_set_is_named_with_what_is_wanted(tmp_path, read):
    with pytest.raises(InputError, match="COHORT_ROOT must name the unpacked"):
        read(tmp_path)


def of_export(export, **changed):
    fields = {"cohort": "brats2020_slices", "slices_per_patient": 1, "images_per_class": (1,)}
    return tiny_study(export, **fields | changed)


def test_only_patients_of_the_sites_asked_for_are_kept(export):
    kept = read_cohort(of_export(export, sites=("TCIA*",), positive_label="LGG"))
    assert set(kept["site"]) == {"TCIA10"}
    with pytest.raises(InputError, match=r"sites is \['2013'\], but the cohort's are"):
        read_cohort(of_export(export, sites=("2013",)))


def test_a_slice_with_less_lesion_than_asked_for_is_not_taken(export):
    study = of_export(export, patients_per_class=2, smallest_lesion_mm2=7, slices_per_patient=2)
    with pytest.raises(InputError, match="No patient of tiny can be used with 2 slices"):
        make_slices(study)
