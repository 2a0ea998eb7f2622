import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import LPS, brain, lesion, tiny_study, write_nifti, write_patient, write_tree
from ubc_lib.data.brats import read_brats
from ubc_lib.data.patients import patient_slices
from ubc_lib.data.people import check_units
from ubc_lib.data.planes import prepare
from ubc_lib.data.readers import READERS, Reader
from ubc_lib.data.slices import fingerprint, load_slices, make_slices, read_slices
from ubc_lib.data.volumes import Volume
from ubc_lib.system.errors import InputError

ONE_SLICE = {"slices_per_patient": 1, "images_per_class": (1, 2)}


def one_patient(folder, label="HGG", **files) -> pd.DataFrame:
    write_patient(folder, **files)
    return pd.DataFrame(
        {
            "patient": folder.name,
            "label": label,
            "site": None,
            "image": folder / f"{folder.name}_flair.nii.gz",
            "mask": folder / f"{folder.name}_seg.nii.gz",
            "channel": None,
        },
        index=[0],
    )


def test_the_slices_with_the_largest_lesion_area_are_taken_wherever_they_lie(tmp_path):
    rows = one_patient(tmp_path / "P", seg=lesion(sizes=(8, 2, 4, 2, 6, 0)))
    *_, table = patient_slices(rows, tiny_study(slices_per_patient=3))
    assert table["slice_index"].tolist() == [1, 3, 5]
    assert table["lesion_area"].tolist() == [64, 16, 36]


def test_target_is_1_for_the_positive_label(tmp_path):
    for label, target in (("HGG", 1), ("LGG", 0)):
        *_, table = patient_slices(one_patient(tmp_path / label, label), tiny_study())
        assert set(table["target"]) == {target}


def test_volume_normalisation_is_a_z_score_over_the_brain(tmp_path):
    study = tiny_study(image_size=32, fit="crop", **ONE_SLICE)
    flair = brain()
    images, *_ = patient_slices(one_patient(tmp_path / "P", flair=flair), study)
    inside = flair[flair != 0].astype(float)
    expected = (flair[5, 6, 4] - inside.mean()) / inside.std()
    assert images[0, 6 + 4, 5 + 4] == pytest.approx(expected, abs=1e-4)


def test_outside_the_brain_stays_zero(tmp_path):
    study = tiny_study(fit="crop", **ONE_SLICE)
    images, *_ = patient_slices(one_patient(tmp_path / "P"), study)
    assert (images[0, :5] == 0).all()


def test_slice_normalisation_gives_each_slice_mean_0_and_deviation_1(tmp_path):
    study = tiny_study(fit="crop", normalisation="slice")
    images, *_ = patient_slices(one_patient(tmp_path / "P"), study)
    for image in images:
        inside = image[image != 0]
        assert inside.mean() == pytest.approx(0, abs=1e-3)
        assert inside.std() == pytest.approx(1, abs=1e-3)


def test_no_normalisation_leaves_intensities(tmp_path):
    study = tiny_study(fit="crop", normalisation="none", **ONE_SLICE)
    images, *_ = patient_slices(one_patient(tmp_path / "P", flair=brain()), study)
    assert images[0, 6 + 4, 5 + 4] == brain()[5, 6, 4]


def test_resizing_keeps_the_share_of_lesion(tmp_path):
    _, masks, _, table = patient_slices(one_patient(tmp_path / "P"), tiny_study(image_size=96))
    assert masks.shape == (2, 96, 96)
    assert table["lesion_fraction"].tolist() == pytest.approx([36 / 576, 64 / 576], rel=0.05)


def test_cropping_keeps_pixels_as_they_are(tmp_path):
    _, masks, *_ = patient_slices(one_patient(tmp_path / "P"), tiny_study(fit="crop"))
    assert masks.sum(axis=(1, 2)).tolist() == [36, 64]


def test_lesion_view_is_a_box_of_so_many_millimetres_around_the_lesion(tmp_path):
    seg = np.roll(lesion(), (5, -6), axis=(0, 1))
    study = tiny_study(view="lesion", box_mm=16.0, **ONE_SLICE)
    _, masks, *_ = patient_slices(one_patient(tmp_path / "P", seg=seg), study)
    assert masks.mean() == pytest.approx(64 / 16**2, rel=0.05)
    rows, columns = np.nonzero(masks[0])
    assert rows.mean() == columns.mean() == 15.5


def test_lesion_view_looks_at_the_largest_component_alone(tmp_path):
    seg = lesion()
    seg[2:4, 2:4, 4] = 2
    study = tiny_study(view="lesion", box_mm=8.0, **ONE_SLICE)
    _, masks, *_ = patient_slices(one_patient(tmp_path / "P", seg=seg), study)
    assert masks.all()


def test_without_millimetres_a_box_is_twice_as_long_as_the_lesion():
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 10:20, 22:26] = True
    image = np.random.default_rng(0).uniform(1, 2, mask.shape).astype(np.float32)
    study = tiny_study(view="lesion", box_mm=5.0, normalisation="none")
    cut = prepare(Volume(image, mask, None), "p", study)
    assert np.array_equal(cut.image, image[:, 5:25, 14:34])
    cut = prepare(Volume(image, mask, (1.0, 0.5)), "p", study)
    assert cut.image.shape == (1, 5, 10)


def test_boxes_in_millimetres_and_in_lesions_do_not_mix():
    table = pd.DataFrame({"patient": ["a", "b"], "pixel_mm2": [0.25, np.nan]})
    for asked in ({"view": "lesion"}, {"smallest_lesion_mm2": 5.0}):
        with pytest.raises(InputError, match="1 of 2 slices state none, one of patient b"):
            check_units(table, tiny_study(**asked))
        check_units(table[:1], tiny_study(**asked))
        check_units(table[1:], tiny_study(**asked))
    check_units(table, tiny_study())


def test_a_box_beyond_the_edge_is_filled_with_zeros(tmp_path):
    seg = np.roll(lesion(), 8, axis=0)
    study = tiny_study(view="lesion", box_mm=24.0, **ONE_SLICE, fit="crop")
    images, *_ = patient_slices(one_patient(tmp_path / "P", seg=seg), study)
    assert (images[0, :, -6:] == 0).all()


def test_a_patient_with_too_few_lesion_slices_is_left_out_and_listed(tree):
    write_patient(tree / "HGG" / "BraTS19_SITE0_flat_1", seg=lesion(sizes=(0, 4)))
    slices = make_slices(tiny_study(tree))
    assert slices.left_out == ("BraTS19_SITE0_flat_1",)
    assert "BraTS19_SITE0_flat_1" not in set(slices.table["patient"])


def test_too_few_patients_are_counted_and_those_left_out_named(tree):
    write_patient(tree / "HGG" / "BraTS19_SITE0_H0_1", seg=lesion(sizes=(0, 4)))
    with pytest.raises(InputError, match=r"4 patients per class, but HGG has 3.*SITE0_H0_1"):
        make_slices(tiny_study(tree))


def test_a_whole_head_where_boxes_are_promised_is_refused(tmp_path):
    shape = (130, 130, 8)
    rows = one_patient(tmp_path / "P", flair=brain(shape=shape), seg=lesion(shape=shape))
    with pytest.raises(InputError, match="Patient P measures 130 x 130 mm, a whole head"):
        patient_slices(rows, tiny_study(volumes="boxes"))


def test_a_constant_image_is_refused(tmp_path):
    rows = one_patient(tmp_path / "P", flair=np.full_like(brain(), 7))
    with pytest.raises(InputError, match="Patient P: the image is constant"):
        patient_slices(rows, tiny_study())


def test_a_volume_and_more_images_of_one_patient_are_refused(tmp_path):
    rows = pd.concat([one_patient(tmp_path / "P")] * 2)
    with pytest.raises(InputError, match="Patient P has 2 images"):
        patient_slices(rows, tiny_study())


def test_a_mask_stays_on_its_lesion(tmp_path):
    seg = np.zeros_like(lesion())
    seg[3:9, 14:21, 3:5] = 2  # nearer to one side and to the back
    flair = brain() + 300 * (seg > 0).astype(np.int16)
    rows = one_patient(tmp_path / "P", flair=flair, seg=seg)
    images, masks, *_ = patient_slices(rows, tiny_study(normalisation="none", fit="crop"))
    assert np.array_equal(masks, images > 250)


class TestPictures:
    @pytest.fixture
    def manifest(self, tmp_path):
        """Four patients per class with three pictures each, of different sizes."""
        rows = []
        for label in ("a", "b"):
            for number in range(4):
                for slice_number, size in enumerate((4, 8, 6)):
                    name = f"{label}{number}_{slice_number}"
                    shape = (24, 24 + 2 * number, 1)
                    seg = np.zeros(shape[:2], np.uint8)
                    seg[8 : 8 + size, 8 : 8 + size] = 255
                    image = brain(len(rows), shape)[:, :, 0].astype(np.uint8)
                    Image.fromarray(image).save(tmp_path / f"{name}.png")
                    Image.fromarray(seg).save(tmp_path / f"{name}_mask.png")
                    rows.append((f"{label}{number}", label, f"{name}.png", f"{name}_mask.png"))
        path = tmp_path / "manifest.csv"
        pd.DataFrame(rows, columns=["patient", "label", "image", "mask"]).to_csv(path, index=False)
        return path

    def test_a_patients_largest_masks_are_taken(self, manifest):
        study = tiny_study(manifest, cohort="manifest", positive_label="b")
        table = make_slices(study).table
        assert table.groupby("patient")["slice_index"].apply(list).tolist() == [[1, 2]] * 8

    def test_one_slice_per_patient_is_enough(self, manifest):
        study = tiny_study(manifest, cohort="manifest", positive_label="b", **ONE_SLICE)
        assert make_slices(study).images.shape == (8, 32, 32)


class TestStored:
    def test_reading_gives_what_was_made(self, study):
        made, read = make_slices(study), load_slices(study)
        assert np.array_equal(made.images, read.images)
        assert np.array_equal(made.masks, read.masks)
        assert read.fingerprint == made.fingerprint
        assert read.table["slice_index"].tolist() == made.table["slice_index"].tolist()

    def test_the_cohort_is_read_once(self, study, tree):
        first = load_slices(study)
        tree.rename(tree.with_name("gone"))
        assert load_slices(study).fingerprint == first.fingerprint

    @pytest.mark.parametrize("change", ["image", "label", "patient"])
    def test_slices_of_a_changed_cohort_are_made_anew(self, study, tree, change):
        first = load_slices(study)
        low = tree / "LGG" / "BraTS19_SITE0_L0_1"
        if change == "image":
            write_nifti(low / f"{low.name}_flair.nii.gz", brain(0)[::-1].copy(), LPS)
        elif change == "label":
            low.rename(tree / "HGG" / low.name)
            high = tree / "HGG" / "BraTS19_SITE0_H0_1"
            high.rename(tree / "LGG" / high.name)
        else:
            write_patient(tree / "LGG" / "BraTS19_SITE0_new_1")
        assert load_slices(study).fingerprint != first.fingerprint
        assert load_slices(study).fingerprint == make_slices(study).fingerprint

    def test_files_copied_anew_with_what_they_held_give_the_same_slices(self, study, tree):
        first = load_slices(study)
        for path in tree.rglob("*.nii*"):
            path.touch()
        assert load_slices(study).fingerprint == first.fingerprint

    def test_the_fingerprint_knows_the_data(self, tmp_path):
        one = make_slices(tiny_study(write_tree(tmp_path / "one")))
        tree = write_tree(tmp_path / "other")
        flair = brain(0)
        flair[10, 10, 3] += 50
        write_nifti(tree / "LGG/BraTS19_SITE0_L0_1/BraTS19_SITE0_L0_1_flair.nii.gz", flair, LPS)
        assert make_slices(tiny_study(tree)).fingerprint != one.fingerprint

    def test_changed_settings_under_the_same_name_are_refused(self, study, tree):
        load_slices(study)
        with pytest.raises(InputError, match=r"other settings \(image_size: 32 -> 64\).*new name"):
            load_slices(tiny_study(tree, image_size=64))

    def test_slices_of_another_root_are_refused_not_replaced(self, study, tmp_path):
        kept = load_slices(study)
        other = write_tree(tmp_path / "other")
        write_patient(other / "LGG" / "BraTS19_SITE0_more_1")
        with pytest.raises(InputError, match=r"was made from .*tree, not from .*other.*name="):
            load_slices(tiny_study(other))
        assert read_slices(study).fingerprint == kept.fingerprint

    def test_slices_of_a_cohort_that_has_moved_are_kept(self, study, tree, tmp_path):
        kept = load_slices(study)
        moved = tree.rename(tmp_path / "moved")
        assert load_slices(tiny_study(moved)).fingerprint == kept.fingerprint

    def test_who_only_looks_makes_nothing(self, study):
        with pytest.raises(InputError, match="Run make study STUDY=tiny first"):
            read_slices(study)
        assert not study.run_folder.exists()

    def test_a_damaged_file_is_named(self, study):
        load_slices(study)
        path = study.run_folder / "slices.npz"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(InputError, match=r"slices\.npz is damaged.*Delete it"):
            load_slices(study)


def test_the_fingerprint_of_slices_is_what_it_was_whatever_else_the_table_holds(tree):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 32, 32)).astype(np.float16).astype(np.float32)
    masks = images > 1
    table = pd.DataFrame(
        {
            "patient": ["a", "b"],
            "label": ["HGG", "LGG"],
            "target": [1, 0],
            "site": ["CBICA", None],
            "slice_index": [70, 71],
            "lesion_area": [100.0, 12.5],
            "lesion_fraction": [0.25, 0.125],
        }
    )
    # Committed records are known by fingerprints made so; a new one disowns them all.
    known = "1ef9a5903aaeae7161e2c8ade24008fff7fa464fe920a17e0bec70190574b55c"
    assert fingerprint(images, masks, table) == known
    assert fingerprint(images, masks, table.assign(scanner="one").iloc[:, ::-1]) == known
    assert fingerprint(images, masks, table.assign(site="CBICA")) != known
    assert fingerprint(images, ~masks, table) != known
    given = [fingerprint(images, masks, table.assign(split=s)) for s in ("", "train", "test")]
    assert given[0] == known
    assert len(set(given)) == 3


def test_a_cohort_of_an_unknown_kind_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"Unknown cohort 'brat'.*Did you mean 'brats'"):
        load_slices(tiny_study(cohort="brat"))


def test_a_cohort_of_a_new_kind_needs_its_reader_alone(tree, monkeypatch):
    def read(study):
        return read_brats(study.cohort_root).assign(site="here")

    monkeypatch.setitem(READERS, "hospital", Reader(read, "a folder", "patients of the hospital"))
    slices = load_slices(tiny_study(tree, cohort="hospital"))
    assert set(slices.table["site"]) == {"here"}
    assert len(slices.table) == 8 * 2


def test_core_oedema_and_what_enhances_are_kept_by_themselves(tmp_path):
    seg = lesion(label=2)
    seg[6, 12, 4], seg[7, 12, 4], seg[6, 13, 4] = 1, 4, 3
    study = tiny_study(fit="crop", slices_per_patient=1, images_per_class=(1,))
    _, (mask,), (parts,), _ = patient_slices(one_patient(tmp_path / "P", seg=seg), study)
    assert [int(part.sum()) for part in parts] == [1, 64 - 3, 2]
    assert np.array_equal(parts.any(axis=0), mask)


def test_parts_are_stored_and_what_was_stored_without_them_is_still_read(study):
    made = make_slices(study)
    assert np.array_equal(load_slices(study).parts, made.parts)
    path = study.run_folder / "slices.npz"
    with np.load(path) as stored:
        older = {name: stored[name] for name in stored.files if name != "parts"}
    np.savez(path, **older)
    assert load_slices(study).parts is None
    assert load_slices(study).fingerprint == made.fingerprint


def of_a_bright_lesion(tmp_path, **study):
    """A patient whose lesion is bright; whole slices, pixel by pixel."""
    flair = brain() + 200 * (lesion() > 0).astype(np.int16)
    rows = one_patient(tmp_path / "P", flair=flair)
    return patient_slices(rows, tiny_study(fit="crop", **study))


def test_the_mask_lies_on_what_it_marks(tmp_path):
    images, masks, parts, _ = of_a_bright_lesion(tmp_path)
    bright = images > 2
    assert np.array_equal(bright, masks)
    assert np.array_equal(parts.any(axis=1), masks)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_patient_gives_mirrored_slices_and_nothing_else(tmp_path, axis):
    seg = lesion()
    flair = brain() + 200 * (seg > 0).astype(np.int16)
    mirrored = {"flair": np.flip(flair, axis), "seg": np.flip(seg, axis)}
    study = tiny_study(image_size=64)
    one = patient_slices(one_patient(tmp_path / "P", flair=flair, seg=seg), study)
    other = patient_slices(one_patient(tmp_path / "Q", **mirrored), study)
    assert np.allclose(one[0], np.flip(other[0], 2 - axis), atol=1e-5)
    assert np.array_equal(one[1], np.flip(other[1], 2 - axis))
    columns = ["slice_index", "lesion_area", "lesion_fraction"]
    assert one[3][columns].equals(other[3][columns])


def test_a_box_is_normalised_over_the_volume_that_it_is_cut_from(tmp_path):
    whole, masks, *_ = of_a_bright_lesion(tmp_path, **ONE_SLICE)
    box, inside, *_ = of_a_bright_lesion(tmp_path, view="lesion", box_mm=12.0, **ONE_SLICE)
    assert box[inside] == pytest.approx(whole[masks], abs=1e-3)


def test_areas_are_in_square_millimetres(tmp_path):
    rows = one_patient(tmp_path / "P")
    for kind, values in (("image", brain()), ("mask", lesion())):
        write_nifti(rows[kind].iloc[0], values, np.diag([-2.0, -1.5, 4.0, 1.0]))
    *_, table = patient_slices(rows, tiny_study())
    assert table["lesion_area"].tolist() == [36 * 3, 64 * 3]


def test_the_largest_lesion_is_the_largest_in_millimetres_not_in_pixels(tmp_path):
    row = one_patient(tmp_path / "fine", seg=lesion(sizes=(8,))).iloc[0]
    tables = []
    for name, side, pixel in (("fine", 8, 1.0), ("coarse", 6, 2.0)):
        files = {"image": brain()[..., 1:2], "mask": lesion(sizes=(side,))[..., 1:2]}
        affine = np.diag([-pixel, -pixel, 1.0, 1.0])
        paths = {
            k: write_nifti(tmp_path / f"{name}_{k}.nii.gz", v, affine) for k, v in files.items()
        }
        tables.append(row.to_dict() | paths)
    *_, table = patient_slices(pd.DataFrame(tables), tiny_study(**ONE_SLICE))
    assert table["slice_index"].tolist() == [1]
    assert table["lesion_area"].tolist() == [36 * 4]


def test_a_label_that_brats_does_not_have_is_refused_in_its_tree(tree):
    write_patient(tree / "HGG" / "BraTS19_SITE0_odd_1", seg=lesion(label=7))
    with pytest.raises(InputError, match="holds the label 7"):
        make_slices(tiny_study(tree))


def test_a_slice_keeps_the_site_of_its_patient(tree):
    table = make_slices(tiny_study(tree)).table
    assert set(table["site"]) == {"SITE0", "SITE1"}
    assert (table["site"] == table["patient"].str.split("_").str[1]).all()
