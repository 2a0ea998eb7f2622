"""What an image and its mask must prove before anything is trained on them."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import LPS, brain, lesion, tiny_study, write_nifti
from ubc_lib.data.evidence import labels_together, likenesses, look, telltales
from ubc_lib.data.gate import Marks
from ubc_lib.data.people import check_people, same_name
from ubc_lib.data.slices import make_slices
from ubc_lib.data.volumes import read_volume
from ubc_lib.system.errors import InputError

SIDE = 24
RGB = np.stack([np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 250] * 3, axis=2).astype(np.uint8)
INSIDE = lesion()[:, :, 4] > 0  # 8 x 8 pixels aside of the middle


def moved(affine, by=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)):
    changed = affine @ np.diag([*scale, 1.0])
    changed[:3, 3] += by
    return changed


def tilted(degrees: float):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, 4], [s, c, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1.0]])


def picture(path: Path, values, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = values if isinstance(values, Image.Image) else Image.fromarray(values)
    made.save(path, **options)
    return path


class TestTheyLieOnEachOther:
    @pytest.mark.parametrize(
        "mask_affine",
        [
            moved(LPS, (9, 0, 0)),
            moved(LPS, (0, 0, 1)),
            moved(LPS, scale=(1.1, 1, 1)),
            moved(LPS, scale=(1, 1, 2)),
            LPS @ np.diag([-1, 1, 1, 1]),
            LPS @ tilted(5),
        ],
        ids=["aside", "a slice higher", "wider", "thicker", "mirrored", "tilted"],
    )
    def test_another_place_is_refused_with_both_origins(self, tmp_path, mask_affine):
        image = write_nifti(tmp_path / "image.nii", brain())
        mask = write_nifti(tmp_path / "mask.nii", lesion(), mask_affine)
        with pytest.raises(InputError, match=r"Patient P: .*image.nii.*different places.*origins"):
            read_volume(image, mask, "P")

    @pytest.mark.parametrize("affine", [moved(LPS, (0.0004, 0, 0.0004)), LPS * 1.0000001])
    def test_what_rounding_leaves_is_no_difference(self, tmp_path, affine):
        image, mask = (
            write_nifti(tmp_path / "i.nii", brain()),
            write_nifti(tmp_path / "m.nii", lesion(), affine),
        )
        assert read_volume(image, mask, "P").mask.sum() == (lesion() > 0).sum()

    def test_a_header_whose_forms_differ_is_no_agreement(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain())
        stored = nib.Nifti1Image(lesion(), LPS)
        stored.set_sform(LPS, 1)
        stored.set_qform(LPS @ np.diag([-1, 1, 1, 1]), 1)
        nib.save(stored, tmp_path / "m.nii")
        with pytest.raises(InputError, match=r"Patient P: .*different places.*sform or qform"):
            read_volume(image, tmp_path / "m.nii", "P")

    def test_equal_oblique_headers_are_sound(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain(), tilted(20))
        mask = write_nifti(tmp_path / "m.nii", lesion(), tilted(20))
        assert read_volume(image, mask, "P").mask.any()

    def test_files_stored_along_other_axes_are_brought_together(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain())
        flipped = LPS @ np.array([[-1, 0, 0, SIDE - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        mask = write_nifti(tmp_path / "m.nii", lesion()[::-1], flipped)
        straight = read_volume(image, write_nifti(tmp_path / "s.nii", lesion()), "P")
        assert np.array_equal(read_volume(image, mask, "P").mask, straight.mask)

    @pytest.mark.parametrize("which", ["image", "mask"])
    def test_a_header_on_one_side_alone_is_no_agreement(self, tmp_path, which):
        codes = {"image": 1, "mask": 1} | {which: 0}
        image = write_nifti(tmp_path / "i.nii", brain(), sform=codes["image"], qform=codes["image"])
        mask = write_nifti(tmp_path / "m.nii", lesion(), sform=codes["mask"], qform=codes["mask"])
        with pytest.raises(InputError, match=r"Patient P: .*states no orientation"):
            read_volume(image, mask, "P")

    def test_one_code_of_two_states_the_place(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain(), sform=0, qform=1)
        mask = write_nifti(tmp_path / "m.nii", lesion(), qform=0)
        assert read_volume(image, mask, "P").mask.any()

    def test_other_spacing_without_a_place_is_refused(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain(), sform=0, qform=0)
        mask = write_nifti(tmp_path / "m.nii", lesion(), LPS @ np.diag([1, 1, 3, 1]), 0, 0)
        with pytest.raises(InputError, match=r"Patient P: .*differ in spacing"):
            read_volume(image, mask, "P")

    def test_a_volume_and_a_picture_share_no_orientation(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain()[:, :, :1])
        mask = picture(tmp_path / "m.png", INSIDE.astype(np.uint8) * 255)
        with pytest.raises(InputError, match=r"Patient P: .*one is NIfTI, the other a picture"):
            read_volume(image, mask, "P")

    @pytest.mark.parametrize("orientation", range(2, 9))
    def test_a_photograph_turned_by_exif_alone_is_refused(self, tmp_path, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = picture(tmp_path / "i.jpg", RGB, exif=exif)
        mask = picture(tmp_path / "m.png", INSIDE.astype(np.uint8) * 255)
        with pytest.raises(InputError, match=f"Patient P: .*EXIF orientation.*{orientation} and 1"):
            read_volume(image, mask, "P")

    def test_both_turned_alike_are_read_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn clockwise brings it upright
        tall = np.zeros((30, 20), np.uint8)
        tall[2:6, 3:9] = 255
        image = picture(tmp_path / "i.png", 255 - tall // 2, exif=exif)
        volume = read_volume(image, picture(tmp_path / "m.png", tall, exif=exif), "P")
        assert np.array_equal(volume.mask[0], np.rot90(tall > 0, -1))

    def test_a_tiff_that_is_read_turned_wrongly_is_refused(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        image = picture(tmp_path / "i.tif", RGB[:20], exif=exif)
        mask = picture(tmp_path / "m.tif", np.uint8(INSIDE[:20]), exif=exif)
        with pytest.raises(InputError, match=r"Patient P: .*i\.tif is a TIFF .*orientation 6"):
            read_volume(image, mask, "P")

    def test_units_other_than_millimetres_are_converted(self, tmp_path):
        paths = []
        for name, values in (("i.nii", brain()), ("m.nii", lesion())):
            stored = nib.Nifti1Image(values, np.diag([-500.0, -500.0, 1000.0, 1.0]))
            stored.header.set_xyzt_units("micron")
            nib.save(stored, tmp_path / name)
            paths.append(tmp_path / name)
        assert read_volume(*paths, "P").pixel_mm == pytest.approx((0.5, 0.5))


def palette(order) -> Image.Image:
    """A mask with a palette of black and white, in this order of indices."""
    made = Image.fromarray(np.where(INSIDE, 1, 0).astype(np.uint8), "P")
    made.putpalette([channel for grey in order for channel in [grey] * 3])
    return made


def transparent(alpha) -> Image.Image:
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    return Image.fromarray(
        np.dstack([white, np.broadcast_to(alpha, (SIDE, SIDE))]).astype(np.uint8)
    )


NO_MASKS = {
    "trimap": (np.where(INSIDE, 1, 2).astype(np.uint8), "mask_value="),
    "inverted": (np.where(INSIDE, 0, 255).astype(np.uint8), "100%|all along its frame"),
    "one value": (np.ones((SIDE, SIDE), np.uint8), "100%"),
    "empty": (np.zeros((SIDE, SIDE), np.uint8), "is empty.*without_lesion=LABEL"),
    "traces of compression": (
        np.where(INSIDE, 251, 0).astype(np.uint8) + RGB[..., 0] % 4,
        "mask_above=",
    ),
    "few traces": (
        np.where(INSIDE, 254, 0).astype(np.uint8) + (RGB[..., 0] % 7 == 0),
        "mask_above=",
    ),
    "scaled labels": (
        np.where(INSIDE, 170, 0).astype(np.uint8) + 85 * (RGB[..., 0] % 50 == 0).astype(np.uint8),
        "mask_value=",
    ),
    "the image": (RGB, "is the image .* once more"),
    "an overlay": (
        np.where(INSIDE[..., None], [255, 0, 0], RGB).astype(np.uint8),
        "overlay on the image",
    ),
    "alpha": (transparent(np.where(INSIDE, 255, 0)), "alpha channel"),
    "nothing but alpha": (transparent(0), "alpha channel"),
    "palette": (palette([255, 0]), "palette"),
    "inverted, lesion at the edge": (np.where(np.roll(INSIDE, -6, 0), 0, 255), "of its frame"),
    "a line around it": (np.where(INSIDE ^ np.roll(INSIDE, (1, 1), (0, 1)), 255, 0), "fill it"),
    "an open line": (np.where(INSIDE & ~np.roll(INSIDE, (1, 1), (0, 1)), 255, 0), "fill it"),
    "inverted within a margin": (np.pad(np.where(INSIDE, 0, 255)[2:-2, 2:-2], 2), "but a hole"),
    "colours of labels": (INSIDE[..., None] * RGB * [1, 2, 3] % 200, "several colours"),
    "traces in small labels": (
        np.where(INSIDE, 18 + RGB[..., 0] % 5, RGB[..., 0] % 5),
        "mask_above=",
    ),
    "void border": (np.where(INSIDE, 1, 0) + 255 * (RGB[..., 0] == 7), "mask_value=1"),
}
MASKS = {
    "one bit": INSIDE,
    "0 and 255": np.where(INSIDE, 255, 0).astype(np.uint8),
    "0 and 1": INSIDE.astype(np.uint8),
    "16 bits": np.where(INSIDE, 65535, 0).astype(np.uint16),
    "labels": np.where(INSIDE, 1 + RGB[..., 0] % 4, 0).astype(np.uint8),
    "labels in red": np.uint8(
        INSIDE[..., None] * [1, 0, 0] + INSIDE[..., None] * [1, 0, 0] * (RGB[..., :1] % 2)
    ),
    "red on black": np.where(INSIDE[..., None], [255, 0, 0], 0).astype(np.uint8),
    "seen where it marks": Image.fromarray(np.uint8(255 * INSIDE[..., None] * np.ones(4))),
    "opaque": Image.merge(
        "RGBA",
        [Image.fromarray(INSIDE.astype(np.uint8) * 255)] * 3 + [Image.new("L", (SIDE, SIDE), 255)],
    ),
    "palette": palette([0, 255]),
}


class TestTheMaskIsAMask:
    @pytest.mark.parametrize("name", NO_MASKS)
    def test_what_is_none_is_refused_with_what_decides_it(self, tmp_path, name):
        values, message = NO_MASKS[name]
        values = values if isinstance(values, Image.Image) else np.uint8(values)
        image, mask = picture(tmp_path / "i.png", RGB), picture(tmp_path / "m.png", values)
        with pytest.raises(InputError, match=rf"Patient P: .*m\.png.*({message})"):
            read_volume(image, mask, "P")

    @pytest.mark.parametrize("name", MASKS)
    def test_what_is_one_is_read_to_the_pixel(self, tmp_path, name):
        image, mask = picture(tmp_path / "i.png", RGB), picture(tmp_path / "m.png", MASKS[name])
        assert np.array_equal(read_volume(image, mask, "P").mask[0], INSIDE)

    @pytest.mark.parametrize(
        ("name", "marks"),
        [
            ("trimap", Marks(value=1)),
            ("inverted", Marks(value=0)),
            ("traces of compression", Marks(above=127)),
            ("few traces", Marks(above=127)),
        ],
    )
    def test_a_setting_decides(self, tmp_path, name, marks):
        image = picture(tmp_path / "i.png", RGB)
        mask = picture(tmp_path / "m.png", NO_MASKS[name][0])
        assert np.array_equal(read_volume(image, mask, "P", marks=marks).mask[0], INSIDE)

    @pytest.mark.parametrize("name", ["a line around it", "inverted within a margin"])
    def test_a_set_that_is_known_may_have_lesions_of_any_shape(self, tmp_path, name):
        image = picture(tmp_path / "i.png", RGB)
        mask = picture(tmp_path / "m.png", np.uint8(NO_MASKS[name][0]))
        assert read_volume(image, mask, "P", marks=Marks(known=True)).mask.any()

    def test_a_lesion_as_large_as_its_image_needs_leave(self, tmp_path):
        image = picture(tmp_path / "i.png", RGB)
        mask = picture(tmp_path / "m.png", NO_MASKS["one value"][0])
        assert read_volume(image, mask, "P", marks=Marks(share_max=1)).mask.all()

    def test_a_share_may_be_asked_for(self, tmp_path):
        image, mask = (
            picture(tmp_path / "i.png", RGB),
            picture(tmp_path / "m.png", MASKS["0 and 1"]),
        )
        with pytest.raises(InputError, match="marks 11% of its image"):
            read_volume(image, mask, "P", marks=Marks(share_max=0.1))

    def test_a_mask_of_the_whole_body_is_refused(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain())
        mask = write_nifti(tmp_path / "m.nii", (brain() > 0).astype(np.uint8))
        with pytest.raises(InputError, match=r"Patient P: .*nearly all that is not black"):
            read_volume(image, mask, "P")

    def test_what_rounding_left_in_a_volume_is_no_label(self, tmp_path):
        image = write_nifti(tmp_path / "i.nii", brain())
        mask = write_nifti(
            tmp_path / "m.nii", np.where(lesion() > 0, 1.00003, 1e-5 * (brain() > 99))
        )
        assert read_volume(image, mask, "P").mask.sum() == (lesion() > 0).sum()

    @pytest.mark.parametrize("scale", [1.0, 1 / 255, 0.25])
    def test_a_volume_of_two_values_is_a_mask_however_scaled(self, tmp_path, scale):
        image = write_nifti(tmp_path / "i.nii", brain())
        mask = write_nifti(tmp_path / "m.nii", (lesion() > 0).astype(np.float32) * scale)
        assert read_volume(image, mask, "P").mask.sum() == (lesion() > 0).sum()

    @pytest.mark.parametrize("low", [0.01, -1.0])
    def test_probabilities_and_values_below_zero_are_refused(self, tmp_path, low):
        image = write_nifti(tmp_path / "i.nii", brain())
        mask = write_nifti(
            tmp_path / "m.nii", np.where(lesion() > 0, 0.9, 0) + low * (brain() > 110)
        )
        with pytest.raises(InputError, match=r"Patient P: .*mask_above=0\.5"):
            read_volume(image, mask, "P")

    @pytest.mark.parametrize("which", ["i.tif", "m.tif"])
    def test_several_pages_are_refused(self, tmp_path, which):
        files = {"i.tif": RGB[..., 0], "m.tif": INSIDE.astype(np.uint8)}
        for name, values in files.items():
            more = {"save_all": True, "append_images": [Image.fromarray(values)]}
            picture(tmp_path / name, values, **(more if name == which else {}))
        with pytest.raises(InputError, match=f"Patient P: .*{which} holds 2 pages"):
            read_volume(tmp_path / "i.tif", tmp_path / "m.tif", "P")


class TestAxes:
    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_slice_of_another_plane_is_refused(self, tmp_path, axis):
        shown = [brain()[9:10], brain()[:, 9:10]][axis]
        mask = [lesion()[6:7], lesion()[:, 10:11]][axis]
        paths = write_nifti(tmp_path / "i.nii", shown), write_nifti(tmp_path / "m.nii", mask)
        with pytest.raises(InputError, match=r"Patient P: .*i\.nii measures .* pixels"):
            read_volume(*paths, "P")

    def test_thick_coronal_slices_are_refused(self, tmp_path):
        affine = LPS @ np.diag([1, 6, 1, 1])
        paths = (
            write_nifti(tmp_path / "i.nii", brain(), affine),
            write_nifti(tmp_path / "m.nii", lesion(), affine),
        )
        with pytest.raises(InputError, match="axial pixels of 1 x 6 mm"):
            read_volume(*paths, "P")

    def test_axes_in_another_order_than_the_header_says_are_refused(self, tmp_path):
        values = np.moveaxis(np.tile(brain(), (3, 3, 1)), 2, 0)
        paths = (
            write_nifti(tmp_path / "i.nii", values),
            write_nifti(tmp_path / "m.nii", (values > 110).astype(np.uint8)),
        )
        with pytest.raises(InputError, match=r"i\.nii shows slices of 10 x 72 pixels: strips"):
            read_volume(*paths, "P")

    def test_thick_axial_slices_are_sound(self, tmp_path):
        affine = LPS @ np.diag([0.5, 0.5, 6, 1])
        paths = (
            write_nifti(tmp_path / "i.nii", brain(), affine),
            write_nifti(tmp_path / "m.nii", lesion(), affine),
        )
        assert read_volume(*paths, "P").pixel_mm == (0.5, 0.5)

    def test_a_series_over_time_is_refused(self, tmp_path):
        path = write_nifti(tmp_path / "i.nii", np.stack([brain()] * 2, axis=3))
        with pytest.raises(InputError, match=r"Patient P: .*not a volume's.*one\s+volume"):
            read_volume(path, path, "P")


@pytest.fixture
def cohort(tmp_path):
    """Write pictures of some patients with a manifest, and make the slices of a study of them."""

    def make(change=lambda rows: rows, **settings):
        rows = []
        for label in ("benign", "malignant"):
            for number in range(3):
                name = f"{label[0]}{number}"
                grey = np.random.default_rng(len(rows)).integers(20, 200, (SIDE, SIDE))
                rows.append(
                    {
                        "patient": name,
                        "label": label,
                        "image": grey.astype(np.uint8),
                        "mask": INSIDE.astype(np.uint8) * 255,
                    }
                )
        for number, row in enumerate(change(rows) or rows):
            for kind in ("image", "mask"):
                if not isinstance(row[kind], str):
                    row[kind] = picture(tmp_path / f"{kind}{number}.png", row[kind]).name
        pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
        fields = {"cohort": "manifest", "positive_label": "malignant", "slices_per_patient": 1}
        fields |= {"patients_per_class": 2, "images_per_class": (1,)}
        return make_slices(tiny_study(tmp_path / "manifest.csv", **fields | settings))

    return make


class TestNothingIsLost:
    def test_a_lesion_that_resizing_swallows_leaves_its_patient_out(self, cohort):
        def tiny(rows):
            large = np.zeros((480, 480), np.uint8)
            large[7:10, 7:10] = 255
            rows[0] |= {"image": np.tile(rows[0]["image"], (20, 20)), "mask": large}

        slices = cohort(tiny)
        assert slices.left_out == ("b0",)
        assert slices.masks.any(axis=(1, 2)).all()

    def test_another_slice_of_the_patient_is_taken_where_its_lesion_stays(self, cohort):
        def one_more(rows):
            large, small = np.zeros((480, 480), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
            large[7:10, 7:10], small[5:7, 5:7] = 255, 255
            image = rows[0]["image"]
            rows.append(rows[0] | {"image": 255 - image, "mask": small})
            rows[0] |= {"image": np.tile(image, (20, 20)), "mask": large}

        slices = cohort(one_more)
        assert slices.left_out == ()
        assert slices.masks.any(axis=(1, 2)).all()

    def test_a_lesion_outside_the_crop_leaves_its_patient_out(self, cohort):
        def aside(rows):
            large = np.zeros((96, 96), np.uint8)
            large[:8, :8] = 255
            rows[0] |= {"image": np.tile(rows[0]["image"], (4, 4)), "mask": large}

        assert cohort(aside, fit="crop").left_out == ("b0",)

    def test_less_than_half_in_the_crop_leaves_its_patient_out(self, cohort):
        def cut(rows):
            large = np.zeros((96, 96), np.uint8)
            large[28:36, 40:48] = 255
            large[26:34, 60:68] = 255
            rows[0] |= {"image": np.tile(rows[0]["image"], (4, 4)), "mask": large}
            rows[1] |= {"image": np.tile(rows[1]["image"], (4, 4)), "mask": np.roll(large, 4, 0)}

        assert cohort(cut, fit="crop").left_out == ("b0",)

    def test_too_few_that_are_left_are_refused_by_name(self, cohort):
        def tiny(rows):
            large = np.zeros((480, 480), np.uint8)
            large[7:10, 7:10] = 255
            for n in (0, 1):
                grey = np.roll(rows[n]["image"], n)
                rows[n] |= {"image": np.tile(grey, (20, 20)), "mask": large}

        with pytest.raises(InputError, match=r"benign has 1 with .*left out: b0, b1"):
            cohort(tiny)


class TestNobodyIsOnBothSides:
    def test_one_image_of_two_patients_is_refused_with_both(self, cohort):
        def copied(rows):
            rows[4]["image"] = rows[1]["image"]

        with pytest.raises(InputError, match=r"b1.*m1.*same image"):
            cohort(copied)

    def test_the_same_pixels_in_another_format_are_the_same_image(self, cohort, tmp_path):
        def copied(rows):
            rows[4]["image"] = picture(tmp_path / "copy.tif", rows[1]["image"]).name

        with pytest.raises(InputError, match=r"b1.*m1.*same image"):
            cohort(copied)

    def test_one_image_twice_of_one_patient_is_refused(self, cohort):
        with pytest.raises(InputError, match=r"b0.*b0.*same image"):
            cohort(lambda rows: rows.append(dict(rows[0])))

    def test_images_that_look_alike_are_told(self, cohort):
        def nearly(rows):
            rows[4]["image"] = np.minimum(rows[1]["image"] + 1, 255).astype(np.uint8)

        assert any("b1 and m1" in finding for finding in cohort(nearly).findings)
        assert not cohort().findings

    @pytest.mark.parametrize(
        "change",
        [
            lambda grey: grey[:, ::-1],
            np.rot90,
            lambda grey: np.pad(grey, ((6, 6), (0, 0))),
            lambda grey: np.kron(grey, np.ones((2, 2), np.uint8)),
            lambda grey: grey.astype(np.uint16) * 257,
        ],
        ids=["mirrored", "turned", "with margins", "enlarged", "in 16 bits"],
    )
    def test_changed_copies_look_alike(self, change):
        smooth = np.asarray(Image.fromarray(RGB[::4, ::4, 0]).resize((64, 64))).copy()
        smooth[5:20, 9:30] = 250
        looks = [look(one[None], one[None] > 200) for one in (smooth, change(smooth))]
        assert set(looks[0].split()) & set(looks[1].split())

    @pytest.mark.parametrize(
        ("values", "has_labels", "said"),
        [
            (["1 2", "1"], False, "values 1, 2: all are read as one lesion"),
            (["1 2 4"], True, None),
            (["1 3 4"], True, "cavity of a resection"),
            (["1", "255"], False, None),
        ],
    )
    def test_values_that_are_read_together_are_told(self, values, has_labels, said):
        found = labels_together(pd.DataFrame({"mask_values": values}), has_labels)
        assert (said in found[0]) if said else not found

    @pytest.mark.parametrize(
        "other",
        ["P07", "p 07", "p07 ", "p7", "p\u200b07", "p007", "ｐ07", "p_07", "р07", "'p07"],
    )
    def test_spellings_of_one_name_are_refused_with_both(self, other):
        table = pd.DataFrame({"patient": ["p07", other, "q"], "label": ["a", "b", "a"]})
        with pytest.raises(InputError, match=re.escape(f"'p07' and {other!r}")):
            check_people(table)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Brats18_CBICA_AQA_1", "BraTS19_CBICA_AQA_1"),
            ("BraTS-GLI-00002-000", "BraTS-GLI-00002-001"),
            ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
            ("UCSF-PDGM-0409_nifti", "UCSF-PDGM-0409_FU001d_nifti"),
            ("BraTS2021_00002", "BraTS-GLI-00002-001"),
            ("sub-07_ses-01", "sub-07_ses-02"),
            ("case1_slice045", "case1_slice046"),
            ("e\u0301ric", "\u00e9ric"),
            ("7", "7.0"),
        ],
    )
    def test_names_of_years_and_time_points_are_one_patients(self, one, other):
        assert same_name(one) == same_name(other)

    @given(st.sets(st.integers(0, 10**6), min_size=2, max_size=20))
    def test_numbers_are_different_patients(self, numbers):
        check_people(pd.DataFrame({"patient": [str(n) for n in sorted(numbers)], "label": "a"}))

    @pytest.mark.parametrize(
        "names",
        [
            ["BraTS20_Training_001", "BraTS20_Training_010", "BraTS20_Training_100"],
            ["BraTS19_2013_2_1", "BraTS19_2013_21_1", "BraTS19_TCIA01_201_1"],
            ["TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222"],
            ["case-1-1", "case-11"],
            ["ward 1 12", "ward 11 2"],
            ["1.5", "1.05", "15"],
            ["BraTS-MET-00002-000", "BraTS-GLI-00002-000"],
        ],
    )
    def test_names_that_differ_are_different_patients(self, names):
        check_people(pd.DataFrame({"patient": names, "label": "a"}))

    def test_labels_that_differ_in_case_alone_are_refused(self):
        table = pd.DataFrame({"patient": ["p", "q"], "label": ["Benign", "benign"]})
        with pytest.raises(InputError, match="labels 'Benign' and 'benign'"):
            check_people(table)


class TestTheLabelIsNotInTheFile:
    def about(self, **columns):
        table = {"patient": [f"p{n}" for n in range(60)], "label": ["a", "b"] * 30}
        same = {"format": "PNG", "mode": "L", "height": 64, "width": 64, "slices": 1}
        same |= {"pixel_mm": None, "slice_mm": None, "site": None}
        return pd.DataFrame(table | same | columns)

    def test_what_all_files_share_tells_nothing(self):
        assert telltales(self.about()) == []

    @pytest.mark.parametrize(
        "column",
        [
            {"mode": ["L", "RGB"] * 30},
            {"format": ["JPEG", "PNG"] * 30},
            {"site": ["north", "south"] * 30},
            {"width": [64 + n // 2 + 40 * (n % 2) for n in range(60)]},
            {"pixel_mm": [0.5, None] * 30},
        ],
        ids=lambda column: next(iter(column)),
    )
    def test_what_tells_the_classes_apart_is_said(self, column):
        (said,) = telltales(self.about(**column))
        assert next(iter(column)) in said
        assert "100% of the labels (50% by guessing)" in said

    def test_a_size_of_its_own_for_each_image_tells_nothing(self):
        widths = np.random.default_rng(0).permutation(60) + 200
        assert telltales(self.about(width=widths)) == []

    def test_few_patients_tell_nothing(self):
        assert telltales(self.about(mode=["L", "RGB"] * 30)[:12]) == []

    def test_slices_that_look_alike_within_a_patient_are_his_own(self):
        assert likenesses(pd.DataFrame({"patient": ["p", "p"], "look": ["a", "a"]})) == []


class TestAClassWithoutLesion:
    def healthy(self, rows):
        for row in rows[:3]:
            row["mask"] = np.zeros((SIDE, SIDE), np.uint8)

    def test_is_refused_with_the_setting_that_allows_it(self, cohort):
        with pytest.raises(InputError, match=r"b0: .*is empty.*without_lesion=benign"):
            cohort(self.healthy)

    def test_is_read_with_that_setting(self, cohort):
        slices = cohort(self.healthy, without_lesion="benign")
        areas = slices.table.groupby("label")["lesion_area"].max()
        assert areas.to_dict() == {"benign": 0.0, "malignant": 64.0}
        assert not slices.masks[slices.table["label"] == "benign"].any()

    def test_may_mark_nothing(self, cohort):
        with pytest.raises(InputError, match=r"b0: .*marks a lesion, but without_lesion=benign"):
            cohort(without_lesion="benign")

    @pytest.mark.parametrize("nothing", ["", "NA", "none"])
    def test_needs_no_mask_files(self, cohort, nothing):
        def none(rows):
            for row in rows[:3]:
                row["mask"] = nothing

        slices = cohort(none, without_lesion="benign")
        assert not slices.masks[slices.table["label"] == "benign"].any()
        with pytest.raises(InputError, match=r"row 2: mask is empty.*without_lesion=benign"):
            cohort(none)

    def test_the_other_class_still_needs_lesions(self, cohort):
        def all_empty(rows):
            for row in rows:
                row["mask"] = np.zeros((SIDE, SIDE), np.uint8)

        with pytest.raises(InputError, match=r"m\d: .*is empty"):
            cohort(all_empty, without_lesion="benign")

    def test_a_label_that_nobody_has_is_refused(self, cohort):
        with pytest.raises(InputError, match=r"without_lesion is 'normal'.*'benign', 'malignant'"):
            cohort(self.healthy, without_lesion="normal")

    @pytest.mark.parametrize(
        "settings",
        [
            {"view": "lesion"},
            {"models": {"resnet34": {}, "seen": {"network": "resnet34", "mask_input": True}}},
        ],
        ids=["boxes", "given masks"],
    )
    def test_what_needs_a_lesion_everywhere_is_refused(self, settings):
        with pytest.raises(InputError, match="without_lesion: "):
            tiny_study(without_lesion="LGG", **settings)
