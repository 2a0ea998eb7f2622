"""Phantoms designed for a question: what a lesion's place is worth, or drawing its outline.

Grade has nothing to do with growth there. `decoy`: it is the direction of stripes inside the
lesion, and decoys elsewhere in the brain bear stripes of random directions, so that only their
place tells. `outline`: it is the rim of the lesion, lobed (HGG) or smooth, at the same area and
with the same signal. They show what a method can do, not how often patients are like that.
"""

from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from ubc_lib.phantom.anatomy import BOX_SHAPE
from ubc_lib.phantom.lesion import OEDEMA, Patient

BAR = 7.5  # width of a stripe, mm
RADII = (16, 26)  # of a designed lesion, mm
HEIGHTS = (55, 95)  # of its middle, planes of the box
HALF_HEIGHT = 22  # mm
BRIGHTER = 2.0  # than the brain's mean, in its standard deviations


class Design(NamedTuple):
    """What a cohort was designed for; plain: nothing.

    amplitude: of stripes, in standard deviations of the brain's signal, or of lobes, in radii.
    count: of decoys (3 at most) or of lobes.
    """

    kind: Literal["plain", "decoy", "outline"] = "plain"
    amplitude: float = 0.0
    count: int = 1


def with_decoys(
    patient: Patient, design: Design, grade: str, random: np.random.Generator
) -> Patient:
    """Stripes in the lesion, normal to the first axis for HGG and to the second for LGG.

    Decoys are the lesion's mirror images in the other half of the brain, in its front or back, or
    both, without what is lesion.
    """
    lesion = patient.labels > 0
    mirrored = [np.flip(lesion, axes) & ~lesion for axes in (0, 1, (0, 1))]
    regions = [(lesion, int(grade == "LGG"))]
    regions += [(decoy, int(random.integers(2))) for decoy in mirrored[: design.count]]
    texture = np.zeros(BOX_SHAPE, np.float32)
    for region, axis in regions:
        place = np.arange(BOX_SHAPE[axis]) + random.uniform(0, 2 * BAR)
        bars = np.where(place // BAR % 2, 1, -1).reshape([-1 if i == axis else 1 for i in range(3)])
        texture += region * bars
    strength = design.amplitude * patient.signal.std()
    signal = patient.signal + strength * texture[patient.brain]
    return patient._replace(signal=signal.astype(np.float32))


def with_outline(
    healthy: Patient, design: Design, grade: str, random: np.random.Generator
) -> Patient:
    """A bright lesion in a healthy brain, at polar angle θ as wide as r (1 + a cos(kθ + φ)).

    a is the amplitude and k the number of lobes for HGG, 0 for LGG; r keeps the area.
    """
    amplitude = design.amplitude if grade == "HGG" else 0.0
    height = int(random.integers(*HEIGHTS))
    mean_radius = random.uniform(*RADII)
    radius = mean_radius / np.sqrt(1 + amplitude**2 / 2)
    # Far enough from the rim of the brain for the widest lobes of either grade.
    room = ndimage.distance_transform_edt(healthy.brain[:, :, height])
    enough = min(mean_radius * (1 + design.amplitude), 0.95 * room.max())
    places = np.argwhere(room >= enough)
    x, y = places[random.integers(len(places))]
    across, along, up = np.ogrid[tuple(map(slice, BOX_SHAPE))]
    angle = design.count * np.arctan2(along - y, across - x) + random.uniform(0, 2 * np.pi)
    width = radius * (1 + amplitude * np.cos(angle))
    width = width * np.sqrt(np.clip(1 - ((up - height) / HALF_HEIGHT) ** 2, 0, 1))
    lesion = (np.hypot(across - x, along - y) < width) & healthy.brain
    mean, deviation = healthy.signal.mean(), healthy.signal.std()
    inside = mean + deviation * (BRIGHTER + 0.4 * (healthy.signal - mean) / deviation)
    signal = np.where(lesion[healthy.brain], inside, healthy.signal).astype(np.float32)
    return healthy._replace(labels=np.where(lesion, OEDEMA, 0).astype(np.uint8), signal=signal)
