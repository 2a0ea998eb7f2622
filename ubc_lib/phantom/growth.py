"""Lesion growth: the Fisher–Kolmogorov equation on the tissue of one head.

∂u/∂t = ∇·(D(x) ∇u) + ρ u (1 − u), with u the cell density relative to the carrying capacity and
D several times larger in white matter than in grey (Swanson, Alvord & Murray 2000; Harpold,
Alvord & Swanson 2007). No cells cross fluid, the falx or the skull.
"""

import numpy as np

from ubc_lib.phantom.anatomy import SPACING, Head

# Density from which the literature on this model counts a lesion as visible on T2-weighted images.
VISIBLE = 0.16
# The long association tracts run level with the axial plane: diffusion upwards is slower.
EASE = (1.0, 1.0, 0.7)
MAX_STEPS = 500


def grow(
    head: Head,
    seeds: np.ndarray,
    *,
    volume: float,
    infiltration: float,
    white_to_grey: float,
    mobility: np.ndarray,
) -> np.ndarray:
    """Cell density (coarse grid, float32, 0 to 1) once `volume` ml are visible.

    seeds: (n, 3) coarse nodes where it starts, the first a few steps ahead of the others;
    infiltration: √(D/ρ) in white matter, mm, the length over which the front fades;
    white_to_grey: ratio of the diffusivities; mobility: local factor on D (coarse, about 1).
    Steps are explicit and of unit D·dt/h² just below the stability limit; the last two are
    interpolated, so that the visible volume is met continuously.
    """
    tissue = np.clip(head.white + head.grey, 0, 1) * (head.brain > 0.5)
    passable = (tissue > 0.5) & ~_falx(head)
    diffusivity = np.where(passable, (head.white + head.grey / white_to_grey) * mobility, 0)
    diffusivity = diffusivity / max(diffusivity.max(), 1e-6) / 6.5
    faces = [_face_values(diffusivity, axis) * ease for axis, ease in enumerate(EASE)]
    typical = np.median(diffusivity[passable & (head.white > 0.7)])
    rate = (typical * (SPACING / infiltration) ** 2 * passable).astype(np.float32)

    density = np.zeros(passable.shape, np.float32)
    wanted = volume * 1000 / SPACING**3
    previous_volume, previous = 0.0, density
    for step in range(MAX_STEPS):
        if step % 8 == 0 and step // 8 < len(seeds):
            density[tuple(seeds[step // 8])] = 1
        previous = density
        density = _step(density, faces, rate)
        visible = _visible_volume(density)
        if visible >= wanted:
            share = (wanted - previous_volume) / max(visible - previous_volume, 1e-6)
            return previous + np.float32(share) * (density - previous)
        previous_volume = visible
    return density


def _step(density: np.ndarray, faces: list[np.ndarray], rate: np.ndarray) -> np.ndarray:
    grown = density + rate * density * (1 - density)
    for axis, face in enumerate(faces):
        flux = face * np.diff(density, axis=axis)
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        grown[tuple(lower)] += flux
        grown[tuple(upper)] -= flux
    return grown


def _visible_volume(density: np.ndarray) -> float:
    """Voxels above VISIBLE, those near the threshold counted in part so that it is continuous."""
    return float(np.clip(density / VISIBLE * 2 - 1.5, 0, 1).sum(dtype=np.float64))


def _face_values(diffusivity: np.ndarray, axis: int) -> np.ndarray:
    """Diffusivity between neighbours: the harmonic mean, closed by a barrier on one side."""
    a = np.take(diffusivity, np.arange(diffusivity.shape[axis] - 1), axis)
    b = np.take(diffusivity, np.arange(1, diffusivity.shape[axis]), axis)
    return (2 * a * b / np.maximum(a + b, 1e-6)).astype(np.float32)


def _falx(head: Head) -> np.ndarray:
    """The midline away from the white matter that crosses it."""
    return (np.abs(head.coordinates[0]) < 0.75 * SPACING) & (head.white < 0.6)
