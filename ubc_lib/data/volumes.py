"""One patient's image with its lesion mask, shown to belong together, whatever the formats."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ubc_lib.data.formats import nothing_drawn, read_file, rescaled
from ubc_lib.data.gate import (
    MOST_LABELS,
    Marks,
    check_plane,
    check_region,
    check_same_place,
    lesion_of,
)
from ubc_lib.system.errors import InputError

# Core, oedema and what enhances; 3 replaces 4 in the releases of BraTS since 2023.
PARTS = ((1,), (2,), (3, 4))


@dataclass(frozen=True)
class Volume:
    """An image and its lesion mask as axial slices in radiological view.

    image: float32 (slices, rows, columns), rows from anterior to posterior, columns from the
    patient's right to left. mask: bool, the same shape, True in any lesion label.
    pixel_mm: height and width of a pixel, None where nothing is said. A 2-D image is a volume of
    one slice as it lies.
    parts: bool (`PARTS`, slices, rows, columns), None where a mask has no labels of BraTS.
    about: what the image's file says of itself besides, and a digest of its values.
    """

    image: np.ndarray
    mask: np.ndarray
    pixel_mm: tuple[float, float] | None
    parts: np.ndarray | None = None
    about: dict = field(default_factory=dict)


def read_image(image: Path, patient: str, channel: str | None = None) -> Volume:
    """Read an image by itself, with an empty mask; errors as of `read_volume`."""
    stored = read_file(image, patient, channel)
    check_plane(stored, f"Patient {patient}: {image}")
    values = _finite(stored.values, image, patient)
    spacing = stored.spacing_mm
    about = dict(zip(("slices", "height", "width"), values.shape, strict=True))
    about["pixel_mm"] = spacing and spacing[1]
    return Volume(values, np.zeros(values.shape, bool), spacing and spacing[1:], about=about)


def _finite(values: np.ndarray, path: Path, patient: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"Patient {patient}: {path} holds NaN or infinite voxels.")
    return values


def read_volume(
    image: Path,
    mask: Path | None,
    patient: str,
    channel: str | None = None,
    marks: Marks | None = None,
    pixel_mm: float | None = None,
) -> Volume:
    """Read an image and its mask, in which `marks` are the lesion; without a file none is marked.

    Colour pictures become grey unless `channel` names red, green or blue. pixel_mm: the side of a
    pixel, for files that do not state it. Raises InputError with
    patient and file for anything unreadable, for an image and a mask that do not show that they
    lie on each other, for values that are not finite, and for a mask that may be none.
    """
    marks = marks or Marks()
    shown = read_file(image, patient, channel)
    drawn = read_file(mask, patient, mask=True) if mask else nothing_drawn(shown)
    where = f"Patient {patient}: the mask {mask}"
    if marks.rescaled:
        drawn = rescaled(drawn, shown)
    check_same_place(shown, drawn, f"Patient {patient}: {image} and its mask {mask}")
    check_plane(shown, f"Patient {patient}: {image}")
    values = _finite(shown.values, image, patient)
    _finite(drawn.values, mask, patient)
    if drawn.values.any() and np.array_equal(values, drawn.values):
        raise InputError(f"{where} is the image {image} once more.")
    found = np.unique(drawn.values)
    lesion = lesion_of(drawn.values, found, marks, where)
    check_region(lesion, values, marks, where)
    parts = np.stack([np.isin(drawn.values, part) for part in PARTS]) if marks.labels else None
    slices, height, width = values.shape
    spacing = shown.spacing_mm
    if pixel_mm and spacing and not np.allclose(spacing[1:], pixel_mm, rtol=1e-2):
        raise InputError(
            f"Patient {patient}: {image} states pixels of {spacing[2]:g} x {spacing[1]:g} mm, the "
            f"manifest's pixel_mm is {pixel_mm:g}. Mend one of them, or leave pixel_mm empty."
        )
    if pixel_mm and not spacing:
        spacing = (1.0, pixel_mm, pixel_mm)
    about = {
        "format": shown.format,
        "mode": shown.mode,
        "slices": slices,
        "height": height,
        "width": width,
        "pixel_mm": round(spacing[1], 4) if spacing else None,
        "slice_mm": round(spacing[0], 4) if shown.spacing_mm else None,
        "mask_share": float(lesion.mean()),
        "mask_values": " ".join(f"{one:g}" for one in found[found > 0][:MOST_LABELS]),
        "digest": hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest(),
    }
    return Volume(values, lesion, spacing and spacing[1:], parts, about)
