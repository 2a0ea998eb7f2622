"""The parts of a phantom patient: anatomy, growth, traits, scanner."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from ubc_lib.phantom.anatomy import BOX_SHAPE, COARSE_SHAPE, Head, load_atlas, pull, push, refine
from ubc_lib.phantom.growth import VISIBLE, grow
from ubc_lib.phantom.scanner import (
    PATIENTS_PER_SITE,
    SITES,
    Scanner,
    acquire,
    draw_scanner,
    draw_site,
)
from ubc_lib.phantom.traits import LEVELS, QUANTILES, draw_traits

MIDDLE = tuple(n // 2 for n in COARSE_SHAPE)
EVEN = np.ones(COARSE_SHAPE, np.float32)
COARSE_VOXEL_ML = 0.027


def head_of(white: np.ndarray, grey: np.ndarray) -> Head:
    """A head of given tissue, 30 mm right of the midline at its nearest."""
    coordinates = 3.0 * np.indices(COARSE_SHAPE).astype(np.float32)
    coordinates[0] += 30
    return Head(coordinates, grey.astype(np.float32), white.astype(np.float32), EVEN)


def grown(head: Head, volume=20.0, white_to_grey=5.0) -> np.ndarray:
    return grow(
        head,
        np.array([MIDDLE]),
        volume=volume,
        infiltration=3.0,
        white_to_grey=white_to_grey,
        mobility=EVEN,
    )


def test_growth_stops_at_the_wanted_volume():
    head = head_of(EVEN, 0 * EVEN)
    for volume in (10, 40, 120):
        visible = (grown(head, volume) > VISIBLE).sum() * COARSE_VOXEL_ML
        assert visible == pytest.approx(volume, rel=0.05)


def test_growth_reaches_further_through_white_matter_than_through_grey():
    first_axis = np.indices(COARSE_SHAPE)[0]
    white = (first_axis >= MIDDLE[0]).astype(np.float32)
    density = grown(head_of(white, 1 - white), white_to_grey=10)
    assert (density * white).sum() > 1.5 * (density * (1 - white)).sum()


def test_no_cells_cross_fluid_the_skull_or_the_falx():
    beyond = np.indices(COARSE_SHAPE)[0] > MIDDLE[0] + 3
    sheet = np.indices(COARSE_SHAPE)[0] == MIDDLE[0] + 3
    free = head_of(EVEN, 0 * EVEN)
    assert grown(free, 60)[beyond].max() > VISIBLE

    fluid = head_of(np.where(sheet, 0, EVEN), 0 * EVEN)
    skull = replace(free, brain=np.where(sheet, 0, EVEN))
    grey_midline = head_of(np.where(sheet, 0, EVEN), np.where(sheet, EVEN, 0))
    at_midline = grey_midline.coordinates - grey_midline.coordinates[:, *np.argwhere(sheet)[0]][
        :, None, None, None
    ] * np.array([1, 0, 0]).reshape(3, 1, 1, 1)
    falx = replace(grey_midline, coordinates=at_midline)
    for barrier in (fluid, skull, falx):
        assert grown(barrier, 60)[beyond].max() == 0


def test_a_mass_pushes_what_surrounds_it_outwards_and_leaves_the_skull():
    distance = np.linalg.norm(np.indices(COARSE_SHAPE) - np.reshape(MIDDLE, (3, 1, 1, 1)), axis=0)
    head = replace(head_of(EVEN, 0 * EVEN), brain=(distance < 22).astype(np.float32))
    mass = (distance < 5).astype(np.float32)
    displacement = push(head, mass, strength=6.0, width=6.0)
    assert np.linalg.norm(displacement, axis=0).max() == pytest.approx(6, abs=0.5)
    assert np.abs(displacement[:, distance > 23]).max() == 0
    assert pull(mass, displacement).sum() > 1.2 * mass.sum()
    assert pull(mass, push(head, mass, strength=-6.0, width=6.0)).sum() < mass.sum()


def test_refining_keeps_a_linear_field_linear():
    field = np.indices(COARSE_SHAPE)[1].astype(np.float32)
    fine = refine(field)
    assert fine.shape == BOX_SHAPE
    # Node 1 lies on the first voxel, and nodes are 3 mm apart.
    assert np.allclose(fine, (1 + np.arange(BOX_SHAPE[1]) / 3)[None, :, None], atol=1e-4)


@pytest.mark.parametrize("grade", ["HGG", "LGG"])
def test_the_first_patients_cover_every_distribution(grade):
    """Their distance from it is less than half of what independent draws would have."""
    traits = [draw_traits(grade, n, 3, np.random.default_rng(n)) for n in range(38)]
    for name, quantiles in QUANTILES[grade].items():
        if name in ("core", "enhancing"):  # shortened where they would fill the lesion together
            continue
        drawn = np.interp([getattr(t, name) for t in traits], quantiles, LEVELS)
        assert kstest(drawn, "uniform").statistic < 0.07


@settings(max_examples=50)
@given(st.sampled_from(["HGG", "LGG"]), st.integers(0, 10**6), st.integers(0, 10**6))
def test_traits_are_possible(grade, number, seed):
    traits = draw_traits(grade, number, seed, np.random.default_rng(seed))
    assert traits.volume > 0
    assert traits.core >= 0
    assert traits.enhancing >= 0
    assert traits.core + traits.enhancing < 1


def sites_of(grade: str, confounding: float) -> np.ndarray:
    random = np.random.default_rng(5)
    names = [draw_site(grade, confounding, random) for _ in range(4000)]
    return np.array([names.count(site) for site in SITES]) / len(names)


def test_sites_are_independent_of_grade_unless_confounded():
    assert np.abs(sites_of("HGG", 0) - sites_of("LGG", 0)).max() < 0.03


def test_fully_confounded_sites_are_those_of_brats():
    for grade, patients in PATIENTS_PER_SITE.items():
        shares = np.array(patients) / sum(patients)
        assert np.abs(sites_of(grade, 1) - shares).max() < 0.03
        assert (sites_of(grade, 1)[shares == 0] == 0).all()
    assert sum(a > 0 and b > 0 for a, b in zip(*PATIENTS_PER_SITE.values(), strict=True)) == 2


def test_a_site_keeps_its_scanner_from_patient_to_patient():
    first, second = (draw_scanner("S04", np.random.default_rng(n)) for n in (1, 2))
    assert (first.gamma, first.thickness, first.blur) == (
        second.gamma,
        second.thickness,
        second.blur,
    )
    assert first.gamma != draw_scanner("S05", np.random.default_rng(1)).gamma


PLAIN = Scanner(
    grey=1.2, fluid=0.1, gamma=1.0, thickness=1, blur=0.01, noise=0.0, bias=0.0, scale=500.0
)


def scan(signal: float, scanner: Scanner, seed=0) -> tuple[np.ndarray, np.ndarray]:
    brain = np.zeros(BOX_SHAPE, bool)
    brain[40:120, 50:140, 30:120] = True
    values = np.full(brain.sum(), signal, np.float32)
    return acquire(values, brain, scanner, np.random.default_rng(seed)), brain


def test_a_perfect_scanner_gives_the_signal_scaled():
    flair, brain = scan(0.8, PLAIN)
    assert flair.dtype == np.int16
    assert (flair[brain] == 400).all()
    assert (flair[~brain] == 0).all()


def test_no_voxel_of_the_brain_reads_zero():
    flair, brain = scan(0.0, PLAIN)
    assert (flair[brain] == 1).all()


@pytest.mark.filterwarnings("error")
def test_a_signal_below_nothing_reads_as_none():
    flair, brain = scan(-0.1, replace(PLAIN, gamma=0.9))
    assert (flair[brain] == 1).all()


def test_noise_of_no_signal_has_the_mean_of_a_rayleigh_distribution():
    flair, brain = scan(0.0, replace(PLAIN, noise=0.1))
    assert flair[brain].mean() == pytest.approx(500 * 0.1 * np.sqrt(np.pi / 2), rel=0.01)


def test_thick_slices_blur_along_the_body_alone():
    flair, _ = scan(1.0, replace(PLAIN, thickness=5))
    middle = flair[80, 95]
    assert middle[75] == 500
    assert 1 < middle[30] < 500
    assert flair[40, 95, 75] == 500


def test_atlas_tissue_shares_never_exceed_one():
    atlas = load_atlas()
    assert atlas.grey.shape == atlas.white.shape == atlas.brain.shape
    assert (atlas.grey + atlas.white).max() <= 1.01
