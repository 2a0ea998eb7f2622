"""What an image and its mask must prove before anything is trained on them."""

import itertools
import shlex
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes

from ubc_lib.data.formats import UPRIGHT, Stored
from ubc_lib.system.errors import InputError

SAME_PLACE = 0.2  # of a voxel: corners that lie nearer to each other are one
NARROWEST = 8  # pixels: a side of fewer is a volume seen along a wrong axis
LONGEST_PIXEL = 1.5  # times its other side
LARGEST_LABEL, MOST_LABELS = 32, 8  # larger or more values than these: grey levels, no labels
FRAME_SHARE = 0.75  # of the outermost pixels: a mask that marks more is inverted
FRAME_SHARE_KNOWN = 0.9  # in sets that are known, where a lesion may fill a box
SMALL = 15  # pixels: of fewer nothing is said
LONGEST_PLANE = 3  # times its other side: a volume with its axes in another order
BACKGROUND = 0.97  # of an image that shows less, black is what lies around a body
BODY = 0.9  # Dice with all that an image shows: a mask of the body
OUTLINE = 1.5  # times the area, once closed and filled: a line around what should be marked
HOLE = 1.005  # times the area, once filled, of a mask of most of its image: inverted


@dataclass(frozen=True)
class Marks:
    """Which values of a mask are the lesion.

    labels: those that may occur, any but 0 being lesion; None where the values themselves decide.
    known: whether a reader knows its set, so that lesions may look like anything.
    above, value: what marks the lesion, where a user says so. share_max: the largest share of an
    image that a lesion may have; None: not all, nor its frame. label: the class of the image;
    healthy: whether images of that class hold no lesion. may_be_empty: whether an image may be a
    slice beside the lesion. rescaled: whether a mask may have another size than its image.
    """

    labels: tuple[int, ...] | None = None
    known: bool = False
    above: float | None = None
    value: float | None = None
    share_max: float | None = None
    label: str = "LABEL"
    healthy: bool = False
    may_be_empty: bool = False
    rescaled: bool = False


def check_same_place(image: Stored, mask: Stored, where: str) -> None:
    """Raise InputError unless two files show by what they state that they lie on each other."""
    if image.values.shape != mask.values.shape:
        raise InputError(
            f"{where} differ in shape: {_size(image)} and {_size(mask)}. Save both from the same "
            "image, neither cut, scaled nor transposed."
        )
    nifti = [one.format == "NIfTI" for one in (image, mask)]
    if nifti[0] != nifti[1]:
        raise InputError(
            f"{where}: one is NIfTI, the other a picture without orientation, so that nothing "
            "shows which of its sides is which. Save both in one format."
        )
    if image.orientation != mask.orientation:
        raise InputError(
            f"{where} differ in EXIF orientation ({image.orientation} and {mask.orientation}; "
            f"{UPRIGHT} is upright): viewers show one of them turned. Save both upright."
        )
    if bool(image.affines) != bool(mask.affines):
        raise InputError(
            f"{where}: the header of one states no orientation and origin (sform and qform codes "
            "are 0), so that nothing shows where it lies. Save the mask with its image's header."
        )
    if image.affines:
        corners = list(itertools.product(*[(0, n) for n in image.values.shape[::-1]], [1]))
        differences = np.subtract(image.affines, mask.affines)[:, :3] @ np.transpose(corners)
        apart = np.linalg.norm(differences, axis=1)
        if apart.max() > SAME_PLACE * min(image.spacing_mm):
            raise InputError(
                f"{where} lie in different places: their corners are up to {apart.max():.2f} mm "
                f"apart (spacing {_mm(image)} and {_mm(mask)} mm, origins "
                f"{_origin(image)} and {_origin(mask)}; by sform or qform). Bring the mask to its "
                "image's grid, and let both forms of a header say the same."
            )
    elif not np.allclose(image.spacing_mm or 1, mask.spacing_mm or 1, rtol=1e-3):
        raise InputError(
            f"{where} differ in spacing: {_mm(image)} and {_mm(mask)} mm from slice to slice, row "
            "to row and column to column."
        )


def check_plane(image: Stored, where: str) -> None:
    """Raise InputError where an image's axial slices are lines, or its pixels far from square."""
    slices, height, width = image.values.shape
    if min(height, width) < min(NARROWEST, slices):
        raise InputError(
            f"{where} measures {width} x {height} pixels in each of {slices} axial slices: it is a "
            "sagittal or coronal slice, or its header names its axes wrongly. Axial slices are "
            "needed."
        )
    _, *pixel = image.spacing_mm or (1.0, 1.0, 1.0)
    if max(pixel) > LONGEST_PIXEL * min(pixel):
        raise InputError(
            f"{where} has axial pixels of {pixel[1]:g} x {pixel[0]:g} mm: it was taken in another "
            "plane, in thick slices. Resample it to square pixels, or use axial series."
        )
    if min(height, width) == 1 or (
        slices > 1 and max(height, width) > LONGEST_PLANE * min(height, width)
    ):
        raise InputError(
            f"{where} shows slices of {width} x {height} pixels: strips, as of a volume whose axes "
            "stand in another order than its header says."
        )


def lesion_of(values: np.ndarray, found: np.ndarray, marks: Marks, where: str) -> np.ndarray:
    """What of a mask's values is lesion, bool; InputError where the values do not decide it.

    found: the values that occur, in order.
    """
    if marks.value is not None:
        lesion = np.isclose(values, marks.value)
    elif marks.above is not None:
        lesion = values > marks.above
    else:
        least = _least_label(found, marks.labels, where)
        lesion = values > least
    if lesion.any() and marks.healthy:
        raise InputError(
            f"{where} marks a lesion, but without_lesion={shlex.quote(marks.label)} says that "
            "images of its class hold none. Mend the mask, the label or the setting."
        )
    if not lesion.any() and not (marks.healthy or marks.may_be_empty):
        raise InputError(
            f"{where} is empty, no lesion is marked. If images of its class hold none, say so with "
            f"without_lesion={shlex.quote(marks.label)}."
        )
    return lesion


def check_region(lesion: np.ndarray, image: np.ndarray, marks: Marks, where: str) -> None:
    """Raise InputError where what a mask marks can hardly be a lesion of its image."""
    share, limit = lesion.mean(), marks.share_max
    if limit is not None:
        found = "more than mask_share_max allows" if share > limit else ""
    else:
        found = "all of it" if share == 1 else ""
        if marks.value is None and marks.above is None:
            found = found or _no_lesion(lesion, image, marks.known)
    if found:
        raise InputError(
            f"{where} marks {share:.0%} of its image, {found}: inverted, a region of something "
            "else, or no mask. Say which value marks the lesion with mask_value=1 (or 0, …) or "
            "mask_above=127, or set mask_share_max=1 where lesions are so."
        )


def _no_lesion(lesion: np.ndarray, image: np.ndarray, known: bool) -> str:
    """What a region is instead of a lesion, in words; nothing where it may be one."""
    framed = (lesion[:, [0, -1]].mean() + lesion[:, :, [0, -1]].mean()) / 2
    if framed > (FRAME_SHARE_KNOWN if known else FRAME_SHARE):
        return f"and {framed:.0%} of its frame"
    plane = lesion[lesion.sum(axis=(1, 2)).argmax()]
    if known or plane.sum() < SMALL:
        return ""
    shown = image != 0
    if shown.mean() < BACKGROUND:
        dice = 2 * (lesion & shown).sum() / (lesion.sum() + shown.sum())
        if dice > BODY:
            return "which is nearly all that is not black"
    if plane.mean() > 0.5 and binary_fill_holes(plane).sum() > HOLE * plane.sum():
        return "all but a hole in it"
    closed = binary_fill_holes(binary_closing(np.pad(plane, 3), iterations=3))
    is_thin = not binary_erosion(plane).any()
    spanned = np.prod([np.ptp(places) + 1 for places in np.nonzero(plane)]) if is_thin else 0
    if max(closed.sum(), spanned / 2) > OUTLINE * plane.sum():
        return "as a line around something: fill it"
    return ""


def _least_label(found: np.ndarray, labels: tuple[int, ...] | None, where: str) -> float:
    """Above which value a mask marks the lesion, by the values that occur in it."""
    if labels is not None:
        strange = np.setdiff1d(found, labels)
        if len(strange):
            raise InputError(f"{where} holds the label {strange[0]:g}; allowed are {labels}.")
        return 0
    if found[0] >= 0 and len(found[found > 0]) == 1:
        return 0
    are_whole = np.allclose(found, np.round(found), atol=1e-3)
    values = np.unique(np.round(found)) if are_whole else found
    marked = values[values > 0]
    are_labels = len(marked) <= MOST_LABELS and marked.max(initial=0) <= LARGEST_LABEL
    if are_whole and values[0] >= 0 and (len(marked) == 1 or are_labels):
        return 0.5
    few = ", ".join(f"{value:g}" for value in found[:6])
    half = found[-1] / 2
    raise InputError(
        f"{where} holds {len(found)} values ({few}{', …' if len(found) > 6 else ''}): grey levels, "
        "probabilities or traces of compression, no labels. Say what marks the lesion with "
        f"mask_above={int(half) if half >= 2 else f'{half:.1g}'} or "
        f"mask_value={marked[0] if len(marked) else found[-1]:g}."
    )


def _size(stored: Stored) -> str:
    return "x".join(map(str, stored.values.shape))


def _mm(stored: Stored) -> str:
    return " x ".join(f"{size:.4g}" for size in stored.spacing_mm or ())


def _origin(stored: Stored) -> str:
    return "(" + ", ".join(f"{place:.1f}" for place in stored.affines[0][:3, 3]) + ")"
