"""Volume -> planes of one size: normalised, cut and resized, image and mask alike."""

import numpy as np
from PIL import Image
from scipy import ndimage

from ubc_lib.data.formats import LARGEST_SIDE
from ubc_lib.data.volumes import Volume
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError

BOX_IN_LESIONS = 2  # sides of the lesion to one of its box


def prepare(volume: Volume, patient: str, study: Study) -> Volume:
    """Normalise and, for the lesion view, cut the box; both on the full-resolution volume."""
    image, mask, parts = volume.image, volume.mask, volume.parts
    if study.normalisation != "none":
        axes = (1, 2) if study.normalisation == "slice" else None
        brain = image != 0
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = image.mean(axis=axes, where=brain, keepdims=True)
            deviation = image.std(axis=axes, where=brain, keepdims=True)
            image = np.where(brain & (deviation > 0), (image - mean) / deviation, 0)
        if not image.any():
            raise InputError(f"Patient {patient}: the image is constant, nothing can be learnt.")
    if study.view == "lesion":
        for axis, start, length in _lesion_box(volume, study.box_mm):
            image, mask = (_window(array, axis, start, length) for array in (image, mask))
            parts = None if parts is None else _window(parts, axis + 1, start, length)
    return Volume(image.astype(np.float32), mask, volume.pixel_mm, parts)


def _lesion_box(volume: Volume, box_mm: float) -> list[tuple[int, int, int]]:
    """Axis, start and length of an in-plane square centred on the largest lesion component.

    Where nothing is said of millimetres it is `BOX_IN_LESIONS` times as long as that.
    """
    components, _ = ndimage.label(volume.mask)
    largest = np.bincount(components.ravel())[1:].argmax()
    _, *bounds = ndimage.find_objects(components)[largest]
    longest = max(bound.stop - bound.start for bound in bounds)
    sides = [box_mm / pixel for pixel in volume.pixel_mm or ()] or [BOX_IN_LESIONS * longest] * 2
    lengths = [max(1, round(min(side, LARGEST_SIDE))) for side in sides]
    return [
        (axis, (bound.start + bound.stop - length) // 2, length)
        for axis, (bound, length) in enumerate(zip(bounds, lengths, strict=True), start=1)
    ]


def _window(array: np.ndarray, axis: int, start: int, length: int) -> np.ndarray:
    """`length` elements along an axis from `start`; zeros where that lies outside."""
    before, after = max(0, -start), max(0, start + length - array.shape[axis])
    padded = np.pad(array, [(before, after) if i == axis else (0, 0) for i in range(array.ndim)])
    return padded.take(range(start + before, start + before + length), axis=axis)


def fit_plane(plane: np.ndarray, study: Study) -> np.ndarray:
    """One slice as a float32 square of image_size, by antialiased resizing or central cropping."""
    side = max(plane.shape) if study.fit == "resize" else study.image_size
    for axis in (0, 1):
        plane = _window(plane, axis, (plane.shape[axis] - side) // 2, side)
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    size = (study.image_size, study.image_size)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def fitted(planes: np.ndarray, study: Study) -> np.ndarray:
    """Images of slices as networks are shown them, float32 (n, image_size, image_size)."""
    images = np.stack([fit_plane(plane, study) for plane in planes])
    return images.astype(np.float16).astype(np.float32)  # as they are stored


def unfit_plane(plane: np.ndarray, shape: tuple[int, int], study: Study) -> np.ndarray:
    """What was drawn on a square of `fit_plane`, on the plane of this shape that it was made of."""
    side = max(shape) if study.fit == "resize" else study.image_size
    plane = np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))
    for axis, length in enumerate(shape):
        plane = _window(plane, axis, -((length - side) // 2), length)
    return plane


def fit_mask(plane: np.ndarray, study: Study) -> np.ndarray:
    return fit_plane(plane.astype(np.float32), study) >= 0.5


def can_be_seen(plane: np.ndarray, study: Study) -> bool:
    """Whether something is left of a lesion that is resized, and half of one that is cropped."""
    left = fit_mask(plane, study).sum()
    return bool(2 * left >= plane.sum() if study.fit == "crop" else left)
