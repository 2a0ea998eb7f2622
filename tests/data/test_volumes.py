import gzip

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.conftest import LPS, brain, lesion, write_nifti
from ubc_lib.data.gate import Marks
from ubc_lib.data.readers import BRATS_LABELS
from ubc_lib.data.volumes import read_volume
from ubc_lib.system.errors import InputError


@pytest.fixture
def pair(tmp_path):
    """Write an image and a mask and read them as patient P."""

    def read(image=None, mask=None, image_affine=LPS, mask_affine=LPS, **options):
        image = brain() if image is None else image
        mask = lesion() if mask is None else mask
        paths = [
            write_nifti(tmp_path / "image.nii.gz", image, image_affine),
            write_nifti(tmp_path / "mask.nii.gz", mask, mask_affine),
        ]
        return read_volume(*paths, "P", **options)

    return read


def test_slices_are_axial_with_the_front_on_top_and_the_patients_right_on_the_left(pair):
    image = brain()
    volume = pair(image)
    assert volume.image.shape == (10, 24, 24)
    # Stored from right to left, front to back and bottom to top.
    assert np.array_equal(volume.image, image.transpose(2, 1, 0))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL"])
def test_the_view_does_not_depend_on_the_stored_orientation(pair, axes):
    expected = pair()
    codes = nib.orientations.axcodes2ornt(tuple(axes))
    change = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), codes)
    affine = LPS @ nib.orientations.inv_ornt_aff(change, brain().shape)
    image, mask = (nib.orientations.apply_orientation(v, change) for v in (brain(), lesion()))
    volume = pair(image, mask, affine, affine)
    assert np.array_equal(volume.image, expected.image)
    assert np.array_equal(volume.mask, expected.mask)


def test_pixel_size_is_height_then_width(pair):
    affine = np.diag([-0.8, -1.0, 3.0, 1.0])
    assert pair(image_affine=affine, mask_affine=affine).pixel_mm == pytest.approx((1.0, 0.8))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_every_stored_type_of_mask_is_read(pair, dtype):
    assert pair(mask=lesion().astype(dtype)).mask.sum() == (lesion() > 0).sum()


def test_a_volume_without_orientation_codes_is_read(tmp_path):
    image = write_nifti(tmp_path / "image.nii", brain(), sform=0)
    mask = write_nifti(tmp_path / "mask.nii", lesion(), sform=0)
    assert read_volume(image, mask, "P").image.shape == (10, 24, 24)


@pytest.mark.parametrize("label", [1, 2, 3, 4])
def test_all_lesion_labels_are_lesion(pair, label):
    volume = pair(mask=lesion(label=label), marks=Marks(BRATS_LABELS))
    assert volume.mask.sum() == (lesion() > 0).sum()


def test_an_unknown_label_is_named(pair):
    with pytest.raises(InputError, match=r"Patient P: .*mask.nii.gz holds the label 7; allowed"):
        pair(mask=lesion(label=7), marks=Marks(BRATS_LABELS))


def test_different_shapes_are_refused(pair):
    with pytest.raises(InputError, match=r"Patient P: .*differ in shape: 10x24x24 and 9x24x24"):
        pair(mask=lesion()[:, :, :9])


def test_masks_that_lie_elsewhere_are_refused(pair):
    with pytest.raises(InputError, match=r"Patient P: .*different places: .*origins"):
        pair(mask_affine=np.eye(4))


def test_an_empty_mask_is_refused(pair):
    with pytest.raises(InputError, match=r"Patient P: the mask .*mask\.nii\.gz is empty"):
        pair(mask=np.zeros_like(lesion()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["image", "mask"])
def test_voxels_that_are_no_numbers_are_refused(pair, which, value):
    values = (brain() if which == "image" else lesion()).astype(np.float32)
    values[3, 3, 3] = value
    with pytest.raises(InputError, match=f"Patient P: .*{which}.nii.gz holds NaN or infinite"):
        pair(**{which: values})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:600]),
        lambda path: path.write_bytes(b"no gzip at all"),
        lambda path: path.write_bytes(gzip.compress(b"no NIfTI")),
        lambda path: path.write_bytes(b""),
    ],
    ids=["truncated", "not gzip", "not NIfTI", "empty"],
)
def test_a_damaged_file_is_named(tmp_path, spoil):
    image = write_nifti(tmp_path / "image.nii.gz", brain())
    mask = write_nifti(tmp_path / "mask.nii.gz", lesion())
    spoil(image)
    with pytest.raises(InputError, match=r"Patient P: .*image\.nii\.gz cannot be read"):
        read_volume(image, mask, "P")


def test_a_header_that_promises_too_many_voxels_is_refused_before_reading(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    path = tmp_path / "image.nii"
    path.write_bytes(header.binaryblock + bytes(100))
    with pytest.raises(InputError, match=r"Patient P: .*has the shape"):
        read_volume(path, path, "P")


class TestPictures:
    @pytest.fixture
    def mask(self, tmp_path):
        path = tmp_path / "mask.png"
        Image.fromarray(lesion()[:, :, 3] * 100).save(path)
        return path

    @pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
    def test_a_picture_is_a_volume_of_one_slice(self, tmp_path, mask, suffix):
        path = tmp_path / f"image.{suffix}"
        Image.fromarray(brain()[:, :, 3].astype(np.uint8)).save(path)
        volume = read_volume(path, mask, "P")
        assert volume.image.shape == volume.mask.shape == (1, 24, 24)
        assert volume.mask.sum() == 36

    @pytest.mark.parametrize("suffix", ["jpg", "webp"])
    def test_a_mask_that_compression_has_blurred_is_refused(self, tmp_path, mask, suffix):
        Image.open(mask).save(tmp_path / f"mask.{suffix}")
        with pytest.raises(InputError, match=rf"Patient P: the mask .*mask\.{suffix} is a .* PNG"):
            read_volume(mask, tmp_path / f"mask.{suffix}", "P")

    def test_colour_becomes_grey(self, tmp_path, mask):
        colours = np.zeros((24, 24, 3), np.uint8)
        colours[..., 1] = 200
        Image.fromarray(colours).save(tmp_path / "image.png")
        assert 0 < read_volume(tmp_path / "image.png", mask, "P").image.max() < 200

    def test_a_named_channel_is_taken(self, tmp_path, mask):
        colours = np.zeros((24, 24, 3), np.uint8)
        colours[..., 1] = 200
        Image.fromarray(colours).save(tmp_path / "image.png")
        volume = read_volume(tmp_path / "image.png", mask, "P", channel="green")
        assert volume.image.min() == volume.image.max() == 200

    def test_a_channel_that_is_not_there_is_named(self, tmp_path, mask):
        Image.fromarray(brain()[:, :, 3].astype(np.uint8)).save(tmp_path / "image.png")
        with pytest.raises(InputError, match="Patient P: channel 'green'"):
            read_volume(tmp_path / "image.png", mask, "P", channel="green")

    def test_sixteen_bits_are_kept(self, tmp_path, mask):
        Image.fromarray(np.full((24, 24), 40000, np.uint16)).save(tmp_path / "image.png")
        assert read_volume(tmp_path / "image.png", mask, "P").image.max() == 40000

    def test_something_else_is_named(self, tmp_path, mask):
        (tmp_path / "image.png").write_text("a text")
        with pytest.raises(InputError, match=r"Patient P: .*image\.png cannot be read"):
            read_volume(tmp_path / "image.png", mask, "P")
