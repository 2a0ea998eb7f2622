"""What is drawn for one patient before anything is simulated: the traits of the lesion.

Grades differ in the distribution of every trait, never in kind. The distributions are given by
quantiles; volume, height and label fractions follow the aggregates of BraTS 2019 in
`data/calibration/`, the others were set so that the measured features do.
"""

from dataclasses import dataclass

import numpy as np

# Of the primes whose sequences are even, a set whose pairs are least correlated.
PRIMES = (2, 3, 5, 11, 13, 19, 31)
LEVELS = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)

# brightness and contrasts in standard deviations of the healthy brain's FLAIR, lengths in mm
QUANTILES = {
    "HGG": {
        "volume": (8, 20.4, 48, 88.4, 136.5, 186, 260),
        "height": (26, 36, 53, 71, 88, 106, 118),
        "core": (0, 0.007, 0.044, 0.109, 0.19, 0.378, 0.6),
        "enhancing": (0.01, 0.048, 0.138, 0.22, 0.309, 0.471, 0.68),
        "brightness": (1.0, 1.65, 2.4, 2.9, 3.4, 4.05, 4.8),
        "heterogeneity": (0.15, 0.25, 0.5, 0.9, 1.4, 2.4, 3.2),
        "irregularity": (0.8, 1.6, 2.9, 4.3, 6.2, 11.0, 17.0),
    },
    "LGG": {
        "volume": (8, 24.6, 47.6, 85.6, 171, 230, 320),
        "height": (24, 32, 54, 79, 88, 116, 124),
        "core": (0, 0.0095, 0.242, 0.469, 0.664, 0.872, 0.97),
        "enhancing": (0, 0, 0, 0.0065, 0.044, 0.268, 0.6),
        "brightness": (0.5, 1.05, 1.75, 2.25, 2.75, 3.6, 4.4),
        "heterogeneity": (0.25, 0.35, 0.6, 0.9, 1.3, 2.0, 2.5),
        "irregularity": (0.1, 0.5, 1.1, 1.8, 2.8, 6.2, 13.0),
    },
}
# mean and standard deviation of label 1 and 4 against label 2, in the same unit as brightness
CORE_CONTRAST = {"HGG": (0.5, 2.2), "LGG": (0.1, 1.1)}
ENHANCING_CONTRAST = {"HGG": (0.5, 1.4), "LGG": (0.3, 1.2)}
MASS_EFFECT = {"HGG": (2, 9), "LGG": (1, 8)}
MEAN_SATELLITES = {"HGG": 0.6, "LGG": 0.2}


@dataclass(frozen=True)
class Traits:
    """Lesion of one patient.

    volume: ml; height: axial slice where growth starts; core, enhancing: fractions of the volume
    with label 1 and 4; brightness, core_contrast, enhancing_contrast, heterogeneity: sd of the
    healthy FLAIR; irregularity, infiltration, edge, mass_effect: mm; satellites: count.
    """

    volume: float
    height: float
    core: float
    enhancing: float
    brightness: float
    heterogeneity: float
    irregularity: float
    core_contrast: float
    enhancing_contrast: float
    infiltration: float
    white_to_grey: float
    edge: float
    mass_effect: float
    satellites: int


def draw_traits(grade: str, number: int, seed: int, random: np.random.Generator) -> Traits:
    """Traits of patient `number` of a grade.

    The tabulated traits follow Richtmyer's sequence, multiples of square roots of primes modulo 1
    (Niederreiter 1992), shifted by the cohort's seed: the first n patients of a grade cover every
    distribution evenly, whatever n.
    """
    table = QUANTILES[grade]
    shift = np.random.default_rng([seed, *grade.encode()]).random(len(table))
    positions = (shift + (number + 1) * np.sqrt(PRIMES[: len(table)])) % 1
    tabulated = {
        name: float(np.interp(position, LEVELS, values))
        for (name, values), position in zip(table.items(), positions, strict=True)
    }
    lesion_core = tabulated["core"] + tabulated["enhancing"]
    if lesion_core > 0.98:
        tabulated["core"] *= 0.98 / lesion_core
        tabulated["enhancing"] *= 0.98 / lesion_core
    return Traits(
        **tabulated,
        core_contrast=random.normal(*CORE_CONTRAST[grade]),
        enhancing_contrast=random.normal(*ENHANCING_CONTRAST[grade]),
        infiltration=random.uniform(2.0, 4.0),
        white_to_grey=random.uniform(3, 10),
        edge=random.uniform(0.3, 1.0),
        mass_effect=random.uniform(*MASS_EFFECT[grade]),
        satellites=int(random.poisson(MEAN_SATELLITES[grade])),
    )
