"""One head: the MNI152 tissue maps, deformed individually, on the grids of the phantom.

Two grids share one frame. The *fine* grid is a 1 mm box around the brain inside the BraTS volume;
the *coarse* grid has a node every 3 mm and carries everything smooth: deformations, cell density,
random fields. `refine` takes a coarse field to the fine grid as cubic B-spline coefficients.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

VOLUME_SHAPE = (240, 240, 155)
BOX_ORIGIN = (40, 36, 2)
BOX_SHAPE = (160, 192, 150)
BOX = tuple(slice(o, o + n) for o, n in zip(BOX_ORIGIN, BOX_SHAPE, strict=True))
SPACING = 3
COARSE_SHAPE = tuple((n - 1) // SPACING + 4 for n in BOX_SHAPE)

# Centre of the brain in the BraTS volume (voxels) and in MNI152 space (mm).
BRAIN_CENTRE = np.array([118.5, 131.0, 76.0])
MNI_CENTRE = np.array([0.0, -17.0, 5.0])
VENTRICLES_CENTRE = np.array([0.0, -20.0, 12.0])


@dataclass(frozen=True)
class Atlas:
    """MNI152 grey- and white-matter probabilities, float32 at 1 mm, and mm of voxel (0, 0, 0)."""

    grey: np.ndarray
    white: np.ndarray
    brain: np.ndarray
    origin: np.ndarray


@cache
def load_atlas() -> Atlas:
    """The maps that nilearn ships (ICBM152 2009, Fonov et al. 2011); no network."""
    # nilearn takes seconds to import and only the making of patients needs it.
    from nilearn import datasets  # noqa: PLC0415

    grey = datasets.load_mni152_gm_template(resolution=1)
    white = datasets.load_mni152_wm_template(resolution=1)
    brain = datasets.load_mni152_brain_mask(resolution=1)
    arrays = [image.get_fdata(dtype=np.float32) for image in (grey, white, brain)]
    return Atlas(*arrays, origin=grey.affine[:3, 3])


@dataclass(frozen=True)
class Head:
    """Where each coarse node lies in MNI152, and the tissue found there.

    coordinates: mm, (3, x, y, z); grey, white, brain: probabilities, COARSE_SHAPE.
    """

    coordinates: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    brain: np.ndarray


def make_head(atlas: Atlas, random: np.random.Generator) -> Head:
    """Scale, tilt and warp the atlas, and widen or narrow its ventricles."""
    size = random.normal(0.9, 0.03) * np.exp(random.normal(0, 0.025, 3))
    angles = random.normal(0, np.radians([4, 2, 3]))
    matrix = _rotation(angles) / size
    # BraTS voxels run towards left and posterior, MNI millimetres towards right and anterior.
    offsets = np.stack(np.meshgrid(*_node_positions(), indexing="ij"))
    offsets = (offsets - _vector(BRAIN_CENTRE)) * _vector((-1, -1, 1))
    coordinates = np.tensordot(matrix, offsets, 1) + _vector(MNI_CENTRE)
    for width, amplitude in ((80, 4.0), (30, 1.5)):
        coordinates += amplitude * np.stack([smooth_noise(random, width) for _ in range(3)])
    head = _look_up(atlas, coordinates)
    deep = np.linalg.norm(coordinates - _vector(VENTRICLES_CENTRE), axis=0) < 45
    fluid = np.clip(head.brain - head.grey - head.white, 0, 1)
    displacement = push(head, fluid * deep, strength=random.normal(1.0, 3.0), width=6.0)
    return _look_up(atlas, pull(coordinates, displacement))


def push(head: Head, mass: np.ndarray, strength: float, width: float) -> np.ndarray:
    """Displacement (mm, (3, x, y, z) on the coarse grid) of tissue away from `mass` (0 to 1).

    It is the gradient of the mass blurred over `width` mm, at most `strength` mm and none at the
    skull. Each node holds the way to where its tissue was; negative strength lets tissue fall in.
    """
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(mass, width / SPACING)))
    steepest = np.linalg.norm(gradient, axis=0).max()
    inside = np.clip(2 * ndimage.gaussian_filter(head.brain, 4 / SPACING) - 1, 0, 1)
    return gradient * inside * (strength / max(steepest, 1e-6))


def pull(field: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """A coarse field (or a stack of them) after `displacement` (see `push`)."""
    if field.ndim > 3:
        return np.stack([pull(part, displacement) for part in field])
    nodes = np.indices(COARSE_SHAPE, dtype=np.float32) + displacement / SPACING
    return ndimage.map_coordinates(field, nodes, order=1, mode="nearest", prefilter=False)


@dataclass(frozen=True)
class Tissue:
    """What fills the brain on the fine grid: `brain` (bool, BOX_SHAPE) and, for each of its
    voxels in order, the shares of grey matter, white matter and fluid, which add up to 1."""

    brain: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    fluid: np.ndarray


def fill(atlas: Atlas, head: Head, pressure: np.ndarray, random: np.random.Generator) -> Tissue:
    """Tissue of `head`, with gyri, atrophy and a rim left by skull stripping of its own.

    pressure: coarse; where it is p the odds of fluid fall to exp(−p), so that sulci close.

    The maps are averages over people, hence blurred: raising them to a power sharpens them, and
    noise on the odds of fluid gives every head its own sulci.
    """
    brain = refine(head.brain) > random.uniform(0.02, 0.2)
    where = np.stack([refine(c)[brain] for c in head.coordinates])
    grey, white = (sample(image, atlas, where) for image in (atlas.grey, atlas.white))
    atrophy = random.normal(0.1, 0.4)
    sulci = np.exp(atrophy + 0.9 * fine_noise(random, 6, brain) - refine(pressure)[brain])
    odds = [np.clip(p, 0.02, 1) ** 2.5 for p in (grey, white, 1 - grey - white)]
    odds[2] *= sulci
    total = sum(odds)
    return Tissue(brain, *(o / total for o in odds))


def fine_noise(random: np.random.Generator, width: float, brain: np.ndarray) -> np.ndarray:
    """`smooth_noise` of `width` mm at every voxel of `brain`."""
    return refine(smooth_noise(random, width))[brain]


def refine(field: np.ndarray) -> np.ndarray:
    """A coarse field, taken as cubic B-spline coefficients, on the fine grid (BOX_SHAPE)."""
    x, y, z = (_spline_matrix(n) for n in BOX_SHAPE)
    field = np.asarray(field, np.float32)
    stage = (x @ field.reshape(field.shape[0], -1)).reshape(-1, *field.shape[1:])
    stage = np.matmul(y, stage)
    return np.matmul(stage, z.T)


def smooth_noise(random: np.random.Generator, width: float) -> np.ndarray:
    """Gaussian random field on the coarse grid: mean 0, sd 1, correlated over `width` mm."""
    field = random.standard_normal(COARSE_SHAPE, dtype=np.float32)
    field = ndimage.gaussian_filter(field, width / SPACING / 2, mode="wrap")
    return (field - field.mean()) / field.std()


def sample(image: np.ndarray, atlas: Atlas, coordinates: np.ndarray) -> np.ndarray:
    """`image` of the atlas at MNI152 `coordinates` in mm (3, ...), trilinear, 0 outside."""
    origin = atlas.origin.reshape(3, *[1] * (coordinates.ndim - 1))
    return ndimage.map_coordinates(image, coordinates - origin, order=1, prefilter=False)


def _look_up(atlas: Atlas, coordinates: np.ndarray) -> Head:
    maps = (sample(image, atlas, coordinates) for image in (atlas.grey, atlas.white, atlas.brain))
    return Head(coordinates.astype(np.float32), *maps)


def _node_positions() -> list[np.ndarray]:
    return [
        origin + SPACING * (np.arange(n, dtype=np.float32) - 1)
        for origin, n in zip(BOX_ORIGIN, COARSE_SHAPE, strict=True)
    ]


def _vector(components) -> np.ndarray:
    return np.reshape(components, (3, 1, 1, 1))


def _rotation(angles: np.ndarray) -> np.ndarray:
    (a, b, c), one = angles, np.eye(3)
    turn = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    return np.linalg.solve(one - turn / 2, one + turn / 2)


@cache
def _spline_matrix(n: int) -> np.ndarray:
    position = np.arange(n) / SPACING
    node = np.arange((n - 1) // SPACING + 4) - 1
    distance = np.abs(position[:, None] - node)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
