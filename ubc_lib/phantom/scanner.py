"""The scanners of the phantom's sites: contrast, blur, thick slices, noise, bias field, scale."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ubc_lib.phantom.anatomy import BOX_SHAPE, refine, smooth_noise

# How many patients of each grade came from each contributing site of BraTS 2019 (Bakas et al.
# 2018; name_mapping.csv of the release): all but two sites sent only one grade.
PATIENTS_PER_SITE = {
    "HGG": (129, 22, 34, 12, 8, 4, 8, 14, 0, 0, 0, 0, 20, 8),
    "LGG": (0, 0, 0, 0, 0, 0, 0, 0, 11, 35, 6, 13, 10, 1),
}
SITES = tuple(f"S{number:02d}" for number in range(1, 15))


@dataclass(frozen=True)
class Scanner:
    """One acquisition: grey, fluid: signal against white matter; gamma: exponent of the contrast
    curve; thickness: slice, mm; blur: in-plane point spread, mm (sd); noise: sd against white
    matter; bias: sd of the log of the bias field; scale: intensity of white matter."""

    grey: float
    fluid: float
    gamma: float
    thickness: int
    blur: float
    noise: float
    bias: float
    scale: float


def draw_site(grade: str, confounding: float, random: np.random.Generator) -> str:
    """A site: with probability `confounding` as BraTS has them for this grade, else any grade's."""
    shares = {g: np.array(n) / sum(n) for g, n in PATIENTS_PER_SITE.items()}
    independent = sum(shares.values()) / len(shares)
    share = confounding * shares[grade] + (1 - confounding) * independent
    cumulative = np.cumsum(share)
    return SITES[np.searchsorted(cumulative / cumulative[-1], random.random(), side="right")]


def draw_scanner(site: str, random: np.random.Generator) -> Scanner:
    """The site's scanner with what varies between its patients."""
    fixed = np.random.default_rng([2019, SITES.index(site)])
    return Scanner(
        grey=fixed.normal(1.24, 0.05) + random.normal(0, 0.02),
        fluid=fixed.uniform(0.04, 0.16) + random.normal(0, 0.02),
        gamma=fixed.uniform(0.85, 1.15),
        thickness=int(fixed.choice([1, 3, 5, 6], p=[0.35, 0.25, 0.25, 0.15])),
        blur=fixed.uniform(0.5, 0.9),
        noise=fixed.uniform(0.03, 0.07) * np.exp(random.normal(0, 0.2)),
        bias=fixed.uniform(0.02, 0.07),
        scale=float(np.exp(fixed.normal(5.6, 0.5) + random.normal(0, 0.15))),
    )


def acquire(
    signal: np.ndarray, brain: np.ndarray, scanner: Scanner, random: np.random.Generator
) -> np.ndarray:
    """FLAIR (int16, BOX_SHAPE) of `signal` (per brain voxel): 0 outside, at least 1 inside.

    No tissue has less signal than 0. Slices are averaged over their thickness, get Rician noise
    (Gudbjartsson & Patz 1995), and are interpolated back to 1 mm, as the released volumes were.
    """
    volume = np.zeros(BOX_SHAPE, np.float32)
    volume[brain] = np.maximum(signal, 0) ** scanner.gamma
    average, interpolate = _slice_profile(BOX_SHAPE[2], scanner.thickness)
    slices = volume @ average.T
    noise = random.standard_normal((2, *slices.shape), dtype=np.float32) * scanner.noise
    slices = np.hypot(slices + noise[0], noise[1])
    for axis in (0, 1):
        slices = ndimage.gaussian_filter1d(slices, scanner.blur, axis=axis, truncate=2.5)
    volume = slices @ interpolate.T
    volume *= np.exp(scanner.bias * refine(smooth_noise(random, 90))) * scanner.scale
    return np.where(brain, np.clip(np.rint(volume), 1, 32767), 0).astype(np.int16)


def _slice_profile(n: int, thickness: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices from `n` 1 mm planes to slices and, linearly interpolated, back."""
    centres = np.arange(thickness // 2, n + thickness // 2, thickness)
    planes = np.arange(n)
    average = (np.abs(planes - centres[:, None]) <= (thickness - 1) / 2).astype(np.float32)
    average /= np.maximum(average.sum(1, keepdims=True), 1)
    interpolate = np.clip(1 - np.abs(planes[:, None] - centres) / thickness, 0, None)
    interpolate /= interpolate.sum(1, keepdims=True)
    return average, interpolate.astype(np.float32)
