"""Lesion features of one patient, by the definitions of the BraTS 2019 calibration table.

Everything is measured on a 128³ grid: labels resampled by nearest neighbour, the FLAIR z-scored
over the brain at full resolution and resampled linearly. FLAIR is read inside a box of 32³ voxels
(60 × 60 × 39 mm) around the largest lesion component.
"""

import numpy as np
from scipy import ndimage

GRID = 128
BOX = 32
SMALLEST_COMPONENT = 50
LABELS = {"core": 1, "oedema": 2, "enhancing": 4}


def lesion_features(flair: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Features of a patient from FLAIR and labels, both (240, 240, 155) at 1 mm.

    Areas in % of the axial slice, volume in ml, slice index from 0 at the bottom, FLAIR in
    standard deviations over the brain; NaN for the FLAIR of a label that the box does not hold.
    """
    positions = [np.arange(GRID) * (n - 1) / (GRID - 1) for n in labels.shape]
    grid = labels[np.ix_(*(np.rint(p).astype(int) for p in positions))]
    height = labels.shape[2] / GRID
    voxel_ml = np.prod([n / GRID for n in labels.shape]) / 1000
    lesion = grid > 0
    areas = lesion.sum((0, 1))
    largest = int(areas.argmax())
    components, _ = ndimage.label(lesion)
    sizes = np.bincount(components.ravel())[1:]
    box = _box(components == sizes.argmax() + 1)
    z = _z_scores(flair, [p[s] for p, s in zip(positions, box, strict=True)])
    inside = grid[box]
    around = (inside == 0) & (z != 0)
    return {
        "lesion_area_largest_slice": 100 * areas[largest] / GRID**2,
        "lesion_area_mean_of_5_largest_slices": 100 * np.sort(areas)[-5:].mean() / GRID**2,
        "lesion_volume": lesion.sum() * voxel_ml,
        "index_of_largest_slice": largest * height,
        "axial_slices_with_lesion": np.count_nonzero(areas) * height,
        "lesion_components": np.count_nonzero(sizes >= SMALLEST_COMPONENT),
        "perimeter_squared_over_area_largest_slice": _complexity(lesion[:, :, largest]),
        **{
            f"{name}_fraction_of_lesion": np.count_nonzero(grid == label) / lesion.sum()
            for name, label in LABELS.items()
        },
        "flair_z_mean_inside_lesion": z[inside > 0].mean(),
        "flair_z_sd_inside_lesion": z[inside > 0].std(),
        "flair_z_mean_around_lesion": z[around].mean(),
        "flair_z_sd_around_lesion": z[around].std(),
        **{
            f"flair_z_mean_in_label_{label}": _mean(z[inside == label]) for label in LABELS.values()
        },
    }


def _box(component: np.ndarray) -> tuple[slice, ...]:
    """32³ voxels centred on the component, cut off where the grid ends."""
    (extent,) = ndimage.find_objects(component.astype(np.uint8))
    starts = [(axis.start + axis.stop) // 2 - BOX // 2 for axis in extent]
    return tuple(slice(max(start, 0), min(start + BOX, GRID)) for start in starts)


def _z_scores(flair: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    """z-scores over the brain (0 outside) at the grid of `positions`, interpolated linearly."""
    brain = flair[flair != 0].astype(np.float64)
    corner = [int(p[0]) for p in positions]
    crop = flair[tuple(slice(c, int(p[-1]) + 2) for c, p in zip(corner, positions, strict=True))]
    z = np.where(crop != 0, (crop - brain.mean()) / brain.std(), 0)
    points = np.meshgrid(*(p - c for p, c in zip(positions, corner, strict=True)), indexing="ij")
    return ndimage.map_coordinates(z, points, order=1, mode="nearest", prefilter=False)


def _complexity(area: np.ndarray) -> float:
    """Squared count of boundary pixels over count of pixels; about 10 for a disc."""
    boundary = area.sum() - ndimage.binary_erosion(area).sum()
    return boundary**2 / area.sum()


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else np.nan
