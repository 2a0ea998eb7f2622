"""Sets that anyone can download, with the quirks of their releases."""

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import tiny_study
from ubc_lib.data.patients import patient_slices
from ubc_lib.data.public import (
    read_brats2020_slices,
    read_brisc2025,
    read_bus_bra,
    read_isic2017,
    read_tcga_lgg,
)
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.slices import make_slices
from ubc_lib.data.volumes import read_volume
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
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


READ = [read_bus_bra, read_brats2020_slices, read_tcga_lgg, read_isic2017, read_brisc2025]


@pytest.mark.parametrize("read", READ)
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


def test_slices_without_lesion_belong_to_the_export_and_are_not_taken(export):
    for path in read_brats2020_slices(export)["image"]:
        for number, shown in ((1, 0.0), (2, 1.0)):  # above the head, and beside the lesion
            empty = path.with_name(f"{path.stem.rpartition('_')[0]}_{number}.h5")
            with h5py.File(path) as old, h5py.File(empty, "w") as new:
                new["image"] = old["image"][()] * shown + (1 - shown)
                new["mask"] = np.zeros_like(old["mask"])
    study = of_export(export)
    taken = {
        patient: patient_slices(rows, study)
        for patient, rows in read_cohort(study).groupby("patient")
    }
    places = [table["slice_index"].tolist() for _, _, _, table in taken.values()]
    assert places == [[3], [2]]  # of slices 1, 2, 9 and 70, and of 1, 2 and 70
    rows = read_cohort(study).query("patient == 'BraTS20_Training_012'")
    assert patient_slices(rows, study.model_copy(update={"slices_per_patient": 2})) is None


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def square(height=32, width=32, value=255):
    """A mask with a square of 8 pixels, aside of the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[6:14, 18:26] = value
    return mask


OF_TCGA = ["TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222"]
OF_TCGA += ["TCGA_DU_5849_19950405", "TCGA_DU_5851_19950428"]


@pytest.fixture
def tcga_lgg(tmp_path):
    """Five folders of kaggle_3m, the last without a grade; slices 9 and 10, of them 9 empty."""
    folder, rng = tmp_path / "archive" / "kaggle_3m", np.random.default_rng(0)
    for name in (*OF_TCGA, "TCGA_HT_A61B_19991127"):
        for number in (9, 10):
            image = rng.integers(1, 80, size=(32, 32, 3), dtype=np.uint8)
            image[..., 1] += 100  # FLAIR
            save(folder / name / f"{name}_{number}.tif", image)
            save(folder / name / f"{name}_{number}_mask.tif", square(value=255 * (number > 9)))
    (folder / "data.csv").write_text(
        "Patient;RNASeqCluster;neoplasm_histologic_grade\n"
        "TCGA_CS_4941;2;1.0\nTCGA_CS_4942;1;1.0\nTCGA_DU_5849;;2.0\nTCGA_DU_5851;;2.0\n"
        "TCGA_HT_A61B;1;\n"
    )
    return tmp_path


def test_a_folder_of_tcga_lgg_is_a_patient_with_grade_and_hospital(tcga_lgg):
    table = read_tcga_lgg(tcga_lgg)
    assert table["patient"].unique().tolist() == OF_TCGA
    assert table["label"].tolist() == ["G2"] * 4 + ["G3"] * 4
    assert table["site"].tolist() == ["CS"] * 4 + ["DU"] * 4
    assert [path.stem.rpartition("_")[2] for path in table["image"]] == ["9", "10"] * 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TCGA_CS_4941;2;1.0", "TCGA_CS_4941;2;high", "neoplasm_histologic_grade is 'high'"),
        ("TCGA_CS_4942;1;1.0", "TCGA_CS_4941;1;2.0", "gives TCGA_CS_4941 two grades"),
    ],
)
def test_grades_that_say_nothing_or_two_things_are_refused(tcga_lgg, old, new, message):
    table = next(tcga_lgg.rglob("data.csv"))
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        read_tcga_lgg(tcga_lgg)


def test_grades_with_a_decimal_comma_are_read(tcga_lgg):
    table = next(tcga_lgg.rglob("data.csv"))
    table.write_text(table.read_text().replace(".0", ",0"))
    assert read_tcga_lgg(tcga_lgg)["label"].tolist() == ["G2"] * 4 + ["G3"] * 4


def test_one_person_at_two_dates_is_refused(tcga_lgg):
    folder = next(tcga_lgg.rglob("TCGA_CS_4941_19960909"))
    folder.rename(folder.with_name("TCGA_CS_4941_20101010"))
    for path in folder.with_name("TCGA_CS_4941_20101010").iterdir():
        copy = folder / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
        path.rename(path.with_name(path.name.replace("19960909", "20101010")))
    with pytest.raises(InputError, match="TCGA_CS_4941 at two dates"):
        read_tcga_lgg(tcga_lgg)


@pytest.mark.parametrize("case", ["", "seven"])
def test_a_case_without_a_number_is_named(bus_bra, case):
    path = next(bus_bra.rglob("bus_data.csv"))
    path.write_text(path.read_text().replace(",8,", f",{case},"))
    with pytest.raises(InputError, match=r"bus_data\.csv: Case is"):
        read_bus_bra(bus_bra)


def test_a_person_with_two_labels_is_refused(bus_bra):
    path = next(bus_bra.rglob("bus_data.csv"))
    path.write_text(path.read_text().replace("0002-r,7,benign", "0002-r,7,malignant"))
    study = known_set("bus_bra", bus_bra, "malignant")
    with pytest.raises(InputError, match="case0007 has two labels"):
        read_cohort(study)


def known_set(name, root, positive_label, **changed):
    fields = {"cohort": name, "positive_label": positive_label, "patients_per_class": 2}
    fields |= {"slices_per_patient": 1, "images_per_class": (1,), "image_size": 32}
    return tiny_study(root, **fields | changed)


def test_of_tcga_lgg_flair_is_read_and_slices_without_tumour_are_not_taken(tcga_lgg):
    slices = make_slices(known_set("tcga_lgg", tcga_lgg, "G3", normalisation="none"))
    assert slices.table["slice_index"].tolist() == [1] * 4
    assert slices.table["target"].tolist() == [0, 0, 1, 1]
    assert slices.images.min() > 100
    assert slices.images.max() < 180


@pytest.fixture
def isic2017(tmp_path):
    """Four images, half of them stretched to another shape than their masks, and superpixels."""
    rng, lines = np.random.default_rng(0), ["image_id,melanoma,seborrheic_keratosis"]
    for number in range(4):
        name, stretched = f"ISIC_000000{number}", number > 1
        image = tmp_path / "ISIC-2017_Training_Data" / f"{name}.jpg"
        save(image, rng.integers(50, 200, size=(32, 32, 3), dtype=np.uint8))
        save(image.with_name(f"{name}_superpixels.png"), square())
        mask = square().repeat(1 + stretched, axis=0).repeat(1 + 2 * stretched, axis=1)
        save(tmp_path / "ISIC-2017_Training_Part1_GroundTruth" / f"{name}_segmentation.png", mask)
        lines.append(f"{name},{number % 2}.0,0.0")
    table = tmp_path / "ISIC-2017_Training_Part3_GroundTruth.csv"
    table.write_bytes("\r\n".join(lines).encode())
    return tmp_path


def test_a_mask_of_isic_is_brought_to_its_image_each_side_by_itself(isic2017):
    slices = make_slices(known_set("isic2017", isic2017, "melanoma"))
    assert slices.table["label"].tolist() == ["other", "melanoma"] * 2
    assert (slices.masks == square().astype(bool)).all()
    assert any("names no patients" in finding for finding in slices.findings)
    assert any("4 of 4 pictures are stored in colour" in finding for finding in slices.findings)


def test_nobody_elses_masks_may_have_another_size_than_their_images(isic2017):
    row = read_isic2017(isic2017).iloc[2]
    with pytest.raises(InputError, match="differ in shape"):
        read_volume(row["image"], row["mask"], row["patient"])


@pytest.fixture
def brisc2025(tmp_path):
    """Two gliomas and meningiomas, another tumour and plane; masks grey from a lossy step."""
    folder = tmp_path / "brisc2025" / "segmentation_task" / "train"
    rng = np.random.default_rng(0)
    for number, name in enumerate(("gl_ax", "gl_ax", "me_ax", "me_ax", "pi_ax", "gl_co"), 1):
        stem = f"brisc2025_train_0000{number}_{name}_t1"
        image = rng.integers(50, 200, size=(32, 32), dtype=np.uint8)
        save(folder / "images" / f"{stem}.jpg", image)
        mask = rng.integers(0, 9, size=(32, 32), dtype=np.uint8)
        mask[square() > 0] = 250
        save(folder / "masks" / f"{stem}.png", mask)
    return tmp_path


def test_the_tumour_types_of_brisc_are_its_labels_and_the_upper_half_of_grey_is_lesion(brisc2025):
    slices = make_slices(known_set("brisc2025", brisc2025, "glioma"))
    assert slices.table["label"].tolist() == ["glioma"] * 2 + ["meningioma"] * 2
    assert (slices.masks == square().astype(bool)).all()
    assert not any("Masks hold the values" in finding for finding in slices.findings)
    wider = make_slices(known_set("brisc2025", brisc2025, "glioma", mask_above=6))
    assert wider.masks.sum() > slices.masks.sum()


def test_a_known_set_is_what_it_was_when_its_runs_were_made():
    public = ROOT.parent / "shared" / "data" / "public"
    if not public.is_dir():
        pytest.skip("the public sets are not here")
    for name, known in {"bus_bra": "198f59e8fd36", "isic2017": "cd181c1141f7"}.items():
        slices = make_slices(Study.load(name, cohort_root=public / name))
        assert slices.fingerprint.startswith(known)
