"""What the book's volume viewer shows: one phantom, small enough to travel with the page.

`python -m benchmarks.volume_page` writes it to book/static/volume/. The files are committed, so
that a book can be built without a cohort and without making a phantom first.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from ubc_lib.figures.slices import draw_mask
from ubc_lib.phantom.cohort import AFFINE, make_scan
from ubc_lib.study.files import ROOT
from ubc_lib.system.files import atomic_path

FOLDER = ROOT / "book" / "static" / "volume"
GRADE, NUMBER, SEED = "HGG", 0, 2024
FACTOR = 2  # voxels of 1 mm that become one along each axis
BRIGHTEST = 99.7  # percentile of the brain that is drawn white


def viewer_volumes() -> dict[str, nib.Nifti1Image]:
    """FLAIR (0 to 255) and lesion (0 or 1) of the phantom, uint8 NIfTI, cropped to the brain."""
    scan = make_scan(GRADE, NUMBER, SEED)
    (brain,) = ndimage.find_objects(np.int8(scan.flair > 0))
    box = tuple(slice(s.start, s.stop - (s.stop - s.start) % FACTOR) for s in brain)
    affine = AFFINE @ nib.affines.from_matvec(
        FACTOR * np.eye(3), [s.start + (FACTOR - 1) / 2 for s in box]
    )
    flair, lesion = (_coarser(volume[box]) for volume in (scan.flair, scan.labels > 0))
    white = np.percentile(flair[flair > 0], BRIGHTEST)
    values = {"flair": 255 * np.clip(flair / white, 0, 1), "lesion": lesion >= 0.5}
    return {name: nib.Nifti1Image(np.uint8(voxels), affine) for name, voxels in values.items()}


def still_figure(volumes: dict[str, nib.Nifti1Image]) -> Figure:
    """Axial, coronal and sagittal section through the middle of the lesion."""
    flair, lesion = (np.asarray(volumes[name].dataobj) for name in ("flair", "lesion"))
    middle = np.round(ndimage.center_of_mass(lesion)).astype(int)
    sections = [(slice(None), slice(None), middle[2]), (slice(None), middle[1]), (middle[0],)]
    figure, panels = plt.subplots(
        1,
        3,
        figsize=(7.2, 3),
        facecolor="black",
        width_ratios=[flair[section].shape[0] for section in sections],
        layout="constrained",
    )
    for axes, section, flip in zip(panels, sections, (False, True, True), strict=True):
        shown, drawn = (volume[section].T[:: -1 if flip else 1] for volume in (flair, lesion))
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
        draw_mask(axes, drawn > 0)
        axes.axis("off")
    return figure


def _coarser(volume: np.ndarray) -> np.ndarray:
    """Means over cubes of FACTOR voxels a side."""
    cubes = volume.reshape([n for size in volume.shape for n in (size // FACTOR, FACTOR)])
    return cubes.mean(axis=(1, 3, 5))


def write_viewer(folder: Path = FOLDER) -> None:
    """Write both volumes and the still picture for browsers without WebGL."""
    volumes = viewer_volumes()
    for name, volume in volumes.items():
        with atomic_path(folder / f"{name}.nii.gz") as temporary:
            nib.save(volume, temporary)
    with atomic_path(folder / "still.webp") as temporary:
        still_figure(volumes).savefig(temporary, format="webp", dpi=150)


if __name__ == "__main__":
    write_viewer()
