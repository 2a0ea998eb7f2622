"""Reads one patient's image with its lesion mask, checked, whatever the file format."""

import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from PIL import Image

from ubc_lib.system.errors import InputError

BRATS_LABELS = (0, 1, 2, 3, 4)
# Core, oedema and what enhances; 3 replaces 4 in the releases since 2023.
PARTS = ((1,), (2,), (3, 4))
# What a header may promise: more is a mistake or an attack, and is refused before it is read.
LARGEST_BYTES = 2**30
LARGEST_SIDE = 2**14
LARGEST_PICTURE = 2**26  # pixels; below what Pillow warns of
LARGEST_OFFSET = 2**24
DEFLATE_RATIO = 1032  # no gzip file holds more bytes for each of its own
CHANNELS = ("red", "green", "blue")
EXPORTED = ("FLAIR", "T1", "T1ce", "T2")  # channels of the HDF5 export of BraTS 2020
LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")


@dataclass(frozen=True)
class Volume:
    """An image and its lesion mask as axial slices in radiological view.

    image: float32 (slices, rows, columns), rows from anterior to posterior, columns from the
    patient's right to left. mask: bool, the same shape, True in any lesion label.
    pixel_mm: height and width of a pixel. A 2-D image is a volume of one slice as it lies.
    parts: bool (`PARTS`, slices, rows, columns), None where a mask has no labels of BraTS.
    """

    image: np.ndarray
    mask: np.ndarray
    pixel_mm: tuple[float, float]
    parts: np.ndarray | None = None


def read_volume(
    image: Path, mask: Path, patient: str, channel: str | None = None, labels=None
) -> Volume:
    """Read an image and its mask; `labels` are the values the mask may hold (None: any).

    Colour pictures become grey unless `channel` names red, green or blue. Raises InputError with
    patient and file for anything unreadable, of different shapes, not finite, or without lesion.
    """
    values, pixel_mm, axes = _read(image, patient, channel)
    mask_values, _, mask_axes = _read(mask, patient, None, lossless=True)
    if values.shape != mask_values.shape:
        raise InputError(
            f"Patient {patient}: image {_size(values)} and mask {_size(mask_values)} differ in "
            f"shape ({image}, {mask})."
        )
    if axes and mask_axes and axes != mask_axes:
        raise InputError(
            f"Patient {patient}: {image} is stored {axes}, {mask} {mask_axes}; bring them to one "
            "orientation."
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    for array, path in ((values, image), (mask_values, mask)):
        if not np.isfinite(array).all():
            raise InputError(f"Patient {patient}: {path} holds NaN or infinite voxels.")
    if labels is not None:
        strange = np.setdiff1d(mask_values, labels)
        if len(strange):
            raise InputError(
                f"Patient {patient}: {mask} holds the label {strange[0]:g}; allowed are {labels}."
            )
    lesion = mask_values > 0
    if not lesion.any():
        raise InputError(f"Patient {patient}: the mask {mask} is empty, no lesion is marked.")
    parts = np.stack([np.isin(mask_values, part) for part in PARTS]) if labels else None
    return Volume(values, lesion, pixel_mm, parts)


def _read(path: Path, patient: str, channel: str | None, lossless: bool = False):
    """Values (slices, rows, columns), pixel size in mm, and the orientation if it is stored."""
    try:
        if path.name.endswith((".nii", ".nii.gz")):
            return _read_nifti(path, patient)
        if path.suffix == ".h5":
            return _read_hdf5(path, patient, channel), (1.0, 1.0), None
        return _read_picture(path, patient, channel, lossless), (1.0, 1.0), None
    except InputError:
        raise
    except Exception as error:  # parsers answer a stranger's bytes with errors of every kind
        raise InputError(
            f"Patient {patient}: {path} cannot be read, it may be truncated or no image at all "
            f"({error})."
        ) from error


def _read_nifti(path: Path, patient: str):
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
        raise InputError(f"Patient {patient}: {path} has the shape {voxels.shape}, not a volume's.")
    if dtype.kind not in "iuf":
        raise InputError(f"Patient {patient}: {path} holds {dtype} voxels, not real numbers.")
    stored = path.stat().st_size * (DEFLATE_RATIO if path.suffix == ".gz" else 1)
    if size > LARGEST_BYTES or offset > LARGEST_OFFSET or offset + size > stored:
        raise InputError(
            f"Patient {patient}: the header of {path} promises {size} bytes of voxels from byte "
            f"{offset} on, more than the file can hold or than {LARGEST_BYTES} in all."
        )
    values = np.asarray(voxels).reshape(*shape, *[1] * (3 - len(shape)))
    stored = io_orientation(affine)
    values = apply_orientation(values, ornt_transform(stored, axcodes2ornt("LPS")))
    sizes = dict(zip(stored[:, 0].astype(int), nib.affines.voxel_sizes(affine), strict=True))
    is_known = header["sform_code"] > 0 or header["qform_code"] > 0
    axes = "".join(nib.aff2axcodes(affine)) if is_known else None
    pixel_mm = float(sizes[1]), float(sizes[0])
    if not all(math.isfinite(size) and size > 0 for size in pixel_mm):
        raise InputError(f"Patient {patient}: {path} says that a pixel measures {pixel_mm} mm.")
    return values.transpose(2, 1, 0), pixel_mm, axes


def _read_hdf5(path: Path, patient: str, channel: str | None) -> np.ndarray:
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
        if not channel:
            return np.asarray(stored).any(axis=2).T[None].astype(np.float64)
        if channel not in EXPORTED:
            raise InputError(f"Patient {patient}: channel {channel!r} of {path} does not exist.")
        values = np.asarray(stored[..., EXPORTED.index(channel)])
    return np.where(values == values.min(), 0, values).T[None]


def _read_picture(path: Path, patient: str, channel: str | None, lossless: bool) -> np.ndarray:
    with Image.open(path) as picture:
        if lossless and picture.format not in LOSSLESS:
            raise InputError(
                f"Patient {patient}: the mask {path} is a {picture.format} picture, whose "
                "compression may mark pixels around the lesion too. Save masks as PNG, TIFF or "
                "NIfTI."
            )
        if max(picture.size) > LARGEST_SIDE or math.prod(picture.size) > LARGEST_PICTURE:
            raise InputError(
                f"Patient {patient}: {path} measures {picture.size} pixels; {LARGEST_SIDE} a side "
                f"and {LARGEST_PICTURE} in all are allowed."
            )
        if channel is not None:
            if channel not in CHANNELS or picture.mode not in ("RGB", "RGBA"):
                raise InputError(
                    f"Patient {patient}: channel {channel!r} of {path} does not exist; it is a "
                    f"{picture.mode} picture, and channels are named {', '.join(CHANNELS)}."
                )
            picture = picture.getchannel(CHANNELS.index(channel))
        elif picture.mode in ("RGB", "RGBA", "P", "CMYK", "LA", "YCbCr"):
            picture = picture.convert("L")
        return np.asarray(picture, dtype=np.float64)[None]


def _size(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
