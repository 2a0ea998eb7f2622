"""One lesion: grown in a head, outlined and labelled as in BraTS, and its look on FLAIR."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ubc_lib.phantom.anatomy import (
    BOX_ORIGIN,
    BOX_SHAPE,
    SPACING,
    Atlas,
    Head,
    Tissue,
    fill,
    fine_noise,
    pull,
    push,
    refine,
    smooth_noise,
)
from ubc_lib.phantom.growth import grow
from ubc_lib.phantom.traits import Traits

CORE, OEDEMA, ENHANCING = 1, 2, 4
# Components below this volume would not have been outlined by a rater, mm³.
SMALLEST_COMPONENT = 900
# By which power of e the odds of fluid beside the lesion fall per mm of mass effect.
EFFACEMENT = 1.5
# How much deeper the density must be for cortex and fluid to count as lesion, mm.
CORTEX_SPARED, FLUID_SPARED = 3, 20
# Relative sd of the signal within one tissue.
TEXTURE = 0.05
# How far the borders between labels wander from contours of the density, mm.
CORE_WANDER = 4.0


class Patient(NamedTuple):
    """Fine grid: brain (bool, BOX_SHAPE), labels (uint8, BOX_SHAPE), signal (float32) per brain
    voxel in units of the signal of white matter."""

    brain: np.ndarray
    labels: np.ndarray
    signal: np.ndarray


@dataclass(frozen=True)
class Layers:
    """Depth of every brain voxel, about in mm, beneath the surface of the lesion (`outline`), of
    its core and enhancing part together (`core`), and of its core alone (`necrosis`); negative
    outside. inside (bool): what a rater outlines."""

    outline: np.ndarray
    core: np.ndarray
    necrosis: np.ndarray
    inside: np.ndarray


def make_patient(
    atlas: Atlas,
    head: Head,
    traits: Traits,
    tissue_signal: tuple[float, float, float],
    random: np.random.Generator,
) -> Patient:
    """Grow, outline and paint the lesion of `traits` in `head`.

    tissue_signal: FLAIR signal of grey matter, white matter and fluid, white matter about 1.
    """
    density = _grow(head, traits, random)
    displacement = push(head, density, traits.mass_effect, width=8.0)
    density = pull(density, displacement)
    head = replace(head, coordinates=pull(head.coordinates, displacement))
    pressure = ndimage.gaussian_filter(density, 14 / SPACING)
    pressure *= EFFACEMENT * traits.mass_effect / pressure.max()
    tissue = fill(atlas, head, pressure, random)

    layers = _delineate(density, tissue, traits, random)
    labels = np.zeros(BOX_SHAPE, np.uint8)
    labels[tissue.brain] = _label(layers)
    return Patient(tissue.brain, labels, _paint(layers, tissue, traits, tissue_signal, random))


def make_healthy(
    atlas: Atlas,
    head: Head,
    tissue_signal: tuple[float, float, float],
    random: np.random.Generator,
) -> Patient:
    """A head without any lesion. tissue_signal: see `make_patient`."""
    tissue = fill(atlas, head, np.zeros_like(head.brain), random)
    signal = _healthy_signal(tissue, tissue_signal, random)
    return Patient(tissue.brain, np.zeros(BOX_SHAPE, np.uint8), signal)


def _grow(head: Head, traits: Traits, random: np.random.Generator) -> np.ndarray:
    mobility = np.exp(0.5 * np.clip(smooth_noise(random, 15), -1.5, 1.5))
    return grow(
        head,
        _seeds(head, traits, random),
        volume=traits.volume,
        infiltration=traits.infiltration,
        white_to_grey=traits.white_to_grey,
        mobility=mobility,
    )


def _delineate(
    density: np.ndarray, tissue: Tissue, traits: Traits, random: np.random.Generator
) -> Layers:
    """Cut the cell density at the levels that give the volumes of `traits`.

    At the front of a lesion the logarithm of the density falls linearly over the infiltration
    length, which makes it a depth in mm; noise lets the surfaces wander.
    """
    brain = tissue.brain
    depth = refine(traits.infiltration * _logit(density))[brain]
    outline = depth + traits.irregularity * fine_noise(random, 9, brain)
    outline -= CORTEX_SPARED * tissue.grey + FLUID_SPARED * tissue.fluid
    outline -= _cut(outline, traits.volume * 1000)
    inside = _without_specks(outline > 0, brain)
    volume = inside.sum()
    core = depth + CORE_WANDER * fine_noise(random, 12, brain)
    core -= _cut(core[inside], (traits.core + traits.enhancing) * volume)
    necrosis = core + CORE_WANDER * fine_noise(random, 12, brain)
    necrosis -= _cut(necrosis[inside & (core > 0)], traits.core * volume)
    return Layers(outline, core, necrosis, inside)


def _label(layers: Layers) -> np.ndarray:
    core = layers.inside & (layers.core > 0)
    labels = np.where(layers.inside, OEDEMA, 0)
    labels[core] = ENHANCING
    labels[core & (layers.necrosis > 0)] = CORE
    return labels


def _paint(
    layers: Layers,
    tissue: Tissue,
    traits: Traits,
    tissue_signal: tuple[float, float, float],
    random: np.random.Generator,
) -> np.ndarray:
    """Signal of every brain voxel: tissue, and the lesion blended in over its edge."""
    brain = tissue.brain
    core = _ramp(layers.core, 1.0)
    necrosis = core * _ramp(layers.necrosis, 1.0)
    patchiness = 0.8 * fine_noise(random, 16, brain) + 0.6 * fine_noise(random, 7, brain)
    brightness = (
        traits.brightness
        + (core - necrosis) * traits.enhancing_contrast
        + necrosis * traits.core_contrast
        + traits.heterogeneity * patchiness
    )
    signal = _healthy_signal(tissue, tissue_signal, random)
    lesion = signal.mean() + signal.std() * brightness + 0.4 * (signal - signal.mean())
    # Raters include the faint rim: most of the change in signal lies inside the outline.
    weight = _ramp(layers.outline - 1.5 * traits.edge, traits.edge) * (1 - tissue.fluid)
    return np.maximum(signal + weight * (lesion - signal), 0)


def _healthy_signal(
    tissue: Tissue, tissue_signal: tuple[float, float, float], random: np.random.Generator
) -> np.ndarray:
    shares = (tissue.grey, tissue.white, tissue.fluid)
    signal = sum(share * value for share, value in zip(shares, tissue_signal, strict=True))
    grain = random.standard_normal(signal.size, dtype=np.float32)
    signal *= 1 + TEXTURE * (fine_noise(random, 7, tissue.brain) + grain)
    return signal


def _seeds(head: Head, traits: Traits, random: np.random.Generator) -> np.ndarray:
    """Coarse nodes in supratentorial white matter near the wanted height; satellites nearby."""
    x, y, z = head.coordinates
    below = (z < -5) & (y < -35) | (z < -8) & (np.abs(x) < 18)
    eligible = (head.white > 0.5) & (np.abs(x) > 6) & ~below
    nodes = np.stack(np.indices(eligible.shape), -1)
    height = SPACING * (nodes[..., 2] - 1) + BOX_ORIGIN[2]
    first = _choose(eligible * np.exp(-np.abs(height - traits.height)), random)
    # Satellites lie beyond the rim of the main lesion, rather beside it than above or below.
    distance = SPACING * np.linalg.norm((nodes - first) * (1, 1, 1.5), axis=-1)
    reach = 15 + 6 * np.cbrt(traits.volume)
    nearby = eligible & (np.abs(distance - reach) < 6)
    others = [_choose(nearby, random) for _ in range(traits.satellites) if nearby.any()]
    return np.array([first, *others])


def _choose(weight: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cumulative = np.cumsum(weight, dtype=np.float64)
    flat = np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")
    return np.array(np.unravel_index(flat, weight.shape))


def _logit(density: np.ndarray) -> np.ndarray:
    density = np.clip(density, 1e-6, 1 - 1e-4)
    return np.log(density / (1 - density))


def _ramp(depth: np.ndarray, width: float) -> np.ndarray:
    """0 outside, 1 inside, over about `width` mm on either side."""
    return np.clip(0.5 + depth / (4 * width), 0, 1)


def _cut(values: np.ndarray, count: float) -> float:
    """The value that about `count` of `values` exceed."""
    count = round(count)
    if count < 1 or values.size == 0:
        return np.inf if values.size == 0 else float(values.max())
    if count >= values.size:
        return float(values.min()) - 1
    return float(np.partition(values, values.size - count - 1)[values.size - count - 1])


def _without_specks(inside: np.ndarray, brain: np.ndarray) -> np.ndarray:
    volume = np.zeros(brain.shape, bool)
    volume[brain] = inside
    box = ndimage.find_objects(volume.view(np.uint8))[0]
    components, _ = ndimage.label(volume[box])
    large = np.bincount(components.ravel()) >= SMALLEST_COMPONENT
    large[0] = False
    volume[box] = large[components]
    return volume[brain]
