"""Reads one file of an image or a mask, whatever its format, with what it says of itself."""

import gzip
import math
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from PIL import Image, ImageOps

from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

# What a header may promise: more is a mistake or an attack, and is refused before it is read.
LARGEST_BYTES = 2**30
LARGEST_SIDE = 2**14
LARGEST_PICTURE = 2**26  # pixels; below what Pillow warns of
LARGEST_OFFSET = 2**24
DEFLATE_RATIO = 1032  # no gzip file holds more bytes for each of its own
CHANNELS = ("red", "green", "blue")
EXPORTED = ("FLAIR", "T1", "T1ce", "T2")  # channels of the HDF5 export of BraTS 2020
LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
NIFTI = (".nii", ".nii.gz")
EXIF_ORIENTATION = 0x0112
UPRIGHT = 1
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}  # NIfTI's units, where they are not mm


@dataclass(frozen=True)
class Stored:
    """What one file holds.

    values: (slices, rows, columns), rows from anterior to posterior, columns from the patient's
    right to left; a picture is one slice as its viewers show it.
    spacing_mm: from slice to slice, row to row, column to column; None where nothing is said.
    affines: (column, row, slice) to mm (RAS), by the sform and by the qform of a header, the one
    for the other where one is missing; none where the file states no place.
    format, mode: such as NIfTI and int16, or PNG and RGB.
    orientation: of EXIF, `UPRIGHT` without; a viewer shows other pictures turned or mirrored.
    """

    values: np.ndarray
    format: str
    mode: str
    spacing_mm: tuple[float, float, float] | None = None
    affines: tuple[np.ndarray, ...] = ()
    orientation: int = UPRIGHT


def is_nifti(path: Path) -> bool:
    """Whether a file's name ends as NIfTI's do."""
    return path.name.lower().endswith(NIFTI)


def read_file(path: Path, patient: str, channel: str | None = None, mask: bool = False) -> Stored:
    """Read an image, or a mask; colour becomes grey unless `channel` names one of its colours.

    Raises InputError with patient and file for what cannot be read, promises too much, or holds
    several pages, and for masks that compression, transparency or a palette may have changed.
    """
    try:
        if is_nifti(path):
            return _read_nifti(path, patient)
        if path.suffix == ".h5":
            return _read_hdf5(path, patient, channel)
        return _read_picture(path, patient, channel, mask)
    except InputError:
        raise
    except Exception as error:  # parsers answer a stranger's bytes with errors of every kind
        raise InputError(
            f"Patient {patient}: {path} cannot be read, it may be truncated or no image at all "
            f"({error}). Images are NIfTI (dcm2niix makes it of DICOM), or PNG, TIFF or JPEG."
        ) from error


def nothing_drawn(image: Stored) -> Stored:
    """The empty mask of an image that has none on disk."""
    return replace(image, values=np.zeros(image.values.shape, np.uint8))


def rescaled(mask: Stored, image: Stored) -> Stored:
    """A mask at the size of its image, whose whole field of view it shows (nearest neighbour)."""
    height, width = image.values.shape[1:]
    if mask.values.shape[1:] == (height, width):
        return mask
    planes = [
        Image.fromarray(plane).resize((width, height), Image.Resampling.NEAREST)
        for plane in mask.values
    ]
    return replace(mask, values=np.stack([np.asarray(plane) for plane in planes]))


def save_mask(mask: np.ndarray, image: Path, target: Path) -> Path:
    """Write a mask, bool (slices, rows, columns) as read from an image's file, and return the file.

    NIfTI, in the voxels of the image, where that is NIfTI; else PNG, 0 and 255, upright.
    """
    path = target.with_name(target.name + (".nii.gz" if is_nifti(image) else ".png"))
    with atomic_path(path) as temporary:
        if not is_nifti(image):
            Image.fromarray(np.uint8(255 * mask[0])).save(temporary, format="PNG")
            return path
        header = nib.load(image).header
        affine = header.get_best_affine()
        back = ornt_transform(axcodes2ornt("LPS"), io_orientation(affine))
        voxels = apply_orientation(mask.transpose(2, 1, 0), back).astype(np.uint8)
        drawn = nib.Nifti1Image(voxels, affine)
        drawn.header.set_xyzt_units(*header.get_xyzt_units())
        for form in ("sform", "qform"):
            code = int(header[f"{form}_code"])
            placed = getattr(header, f"get_{form}")() if code else affine
            getattr(drawn, f"set_{form}")(placed, code)
        temporary.write_bytes(gzip.compress(drawn.to_bytes()))
    return path


def _read_nifti(path: Path, patient: str) -> Stored:
    # Not nibabel's load, which also reads extensions, of any length, and parses CIFTI's XML.
    with nib.openers.ImageOpener(path) as file:
        block = file.read(nib.Nifti2Header.sizeof_hdr)
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(block) else nib.Nifti1Header
    header = kind(block[: kind.sizeof_hdr])
    voxels, affine = nib.arrayproxy.ArrayProxy(path, header), header.get_best_affine()
    shape = tuple(voxels.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    dtype, offset = voxels.dtype, voxels.offset
    size = math.prod(shape) * dtype.itemsize
    if len(shape) not in (2, 3) or not 0 < min(shape) <= max(shape) <= LARGEST_SIDE:
        raise InputError(
            f"Patient {patient}: {path} has the shape {voxels.shape}, not a volume's. Save one "
            "volume or slice per file."
        )
    if dtype.kind not in "iuf":
        raise InputError(f"Patient {patient}: {path} holds {dtype} voxels, not real numbers.")
    stored = path.stat().st_size * (DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1)
    if size > LARGEST_BYTES or offset > LARGEST_OFFSET or offset + size > stored:
        raise InputError(
            f"Patient {patient}: the header of {path} promises {size} bytes of voxels from byte "
            f"{offset} on, more than the file can hold or than {LARGEST_BYTES} in all."
        )
    values = np.asarray(voxels).reshape(*shape, *[1] * (3 - len(shape)))
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    scale = np.diag([MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)] * 3 + [1.0])
    back = inv_ornt_aff(turn, values.shape)
    turned = scale @ affine @ back
    spacing = tuple(float(size) for size in nib.affines.voxel_sizes(turned)[::-1])
    if not all(math.isfinite(size) and size > 0 for size in spacing):
        raise InputError(f"Patient {patient}: {path} says that a voxel measures {spacing} mm.")
    values = apply_orientation(values, turn).transpose(2, 1, 0)
    stated = ()
    if header["sform_code"] > 0 or header["qform_code"] > 0:
        second = header.get_qform() if header["qform_code"] > 0 else affine
        stated = turned, scale @ second @ back
    return Stored(values, "NIfTI", str(dtype), spacing, stated)


def _read_hdf5(path: Path, patient: str, channel: str | None) -> Stored:
    """A slice of the export of BraTS 2020: one of its images, 0 outside the brain, or the lesion.

    There an image is standardised over the whole slice, so the background has its least value.
    """
    with h5py.File(path) as file:
        stored = file["image" if channel else "mask"]
        if (
            len(stored.shape) != 3
            or max(stored.shape) > LARGEST_SIDE
            or stored.size > LARGEST_BYTES
        ):
            raise InputError(
                f"Patient {patient}: {path} has the shape {stored.shape}, not a slice's."
            )
        mode = str(stored.dtype)
        if not channel:
            drawn = np.asarray(stored).any(axis=2).T[None].astype(np.float64)
            return Stored(drawn, "HDF5", mode, (1.0, 1.0, 1.0))
        if channel not in EXPORTED:
            raise InputError(f"Patient {patient}: channel {channel!r} of {path} does not exist.")
        values = np.asarray(stored[..., EXPORTED.index(channel)])
    values = np.where(values == values.min(), 0, values).T[None]
    return Stored(values, "HDF5", mode, (1.0, 1.0, 1.0))


def _read_picture(path: Path, patient: str, channel: str | None, mask: bool) -> Stored:
    with Image.open(path) as picture:
        kind, mode = picture.format, picture.mode
        if max(picture.size) > LARGEST_SIDE or math.prod(picture.size) > LARGEST_PICTURE:
            raise InputError(
                f"Patient {patient}: {path} measures {picture.size} pixels; {LARGEST_SIDE} a side "
                f"and {LARGEST_PICTURE} in all are allowed."
            )
        pages = getattr(picture, "n_frames", 1)
        if pages > 1 and kind != "MPO":  # a camera's, whose other pictures are previews
            raise InputError(
                f"Patient {patient}: {path} holds {pages} pages or frames. Save the one that is "
                "meant as a file of its own."
            )
        orientation = picture.getexif().get(EXIF_ORIENTATION, UPRIGHT)
        # Pillow mistakes rows for columns in some of these.
        if kind == "TIFF" and orientation > 4 and picture.width != picture.height:
            raise InputError(
                f"Patient {patient}: {path} is a TIFF picture of EXIF orientation {orientation}. "
                "Save it upright."
            )
        picture = ImageOps.exif_transpose(picture)
        if mask:
            picture = _plain_mask(picture, kind, f"Patient {patient}: the mask {path}")
        elif channel is not None:
            if channel not in CHANNELS or mode not in ("RGB", "RGBA"):
                raise InputError(
                    f"Patient {patient}: channel {channel!r} of {path} does not exist; it is a "
                    f"{mode} picture, and channels are named {', '.join(CHANNELS)}."
                )
            picture = picture.getchannel(CHANNELS.index(channel))
        elif mode in ("RGB", "RGBA", "P", "CMYK", "LA", "YCbCr"):
            picture = picture.convert("L")
        values = np.asarray(picture, dtype=np.float64)[None]
    return Stored(values, kind, mode, orientation=orientation)


def _plain_mask(picture: Image.Image, kind: str, where: str) -> Image.Image:
    """A mask's picture in grey, or by its palette's indices where both mark the same pixels."""
    if kind not in LOSSLESS:
        raise InputError(
            f"{where} is a {kind} picture, whose compression may mark pixels around the lesion "
            "too. Save masks as PNG, TIFF or NIfTI."
        )
    if picture.has_transparency_data:
        opaque = np.asarray(picture.convert("RGBA").getchannel("A")) > 0
        if not opaque.all() and (opaque != (np.asarray(picture.convert("L")) > 0)).any():
            raise InputError(
                f"{where} is a {picture.mode} picture whose alpha channel marks something else "
                "than its colour does. Save it without alpha, 0 where there is no lesion."
            )
    if picture.mode == "P":
        indices = np.asarray(picture)
        if ((indices > 0) != (np.asarray(picture.convert("L")) > 0)).any():
            raise InputError(
                f"{where} has a palette in which index 0 is not black, or another index is; which "
                "marks the lesion cannot be told. Save it in grey, 0 where there is no lesion."
            )
        return Image.fromarray(indices)
    if picture.mode in ("RGB", "RGBA"):
        return _one_colour(np.asarray(picture.convert("RGB")), where)
    if picture.mode not in GREY:
        raise InputError(f"{where} is a {picture.mode} picture. Save masks in grey.")
    return picture.convert("L") if picture.mode == "LA" else picture


def _one_colour(colours: np.ndarray, where: str) -> Image.Image:
    """A mask in grey, in one of the three colours, or marked in one colour on black."""
    used = [colours[..., place] for place in range(3) if colours[..., place].any()]
    if all(np.array_equal(used[0], other) for other in used[1:]):
        return Image.fromarray(np.ascontiguousarray(used[0] if used else colours[..., 0]))
    if len(np.unique(colours[colours.any(axis=2)], axis=0)) > 1:
        raise InputError(
            f"{where} holds several colours, as labels in colour or an overlay on the image do; "
            "which of them mark the lesion cannot be told. Save it in grey, 0 where none is."
        )
    return Image.fromarray(colours.any(axis=2))
