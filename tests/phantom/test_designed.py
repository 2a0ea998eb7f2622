"""Phantoms designed for a question: where grade can be seen, and where it cannot."""

from itertools import product

import numpy as np
import pytest

from ubc_lib.phantom import cohort
from ubc_lib.phantom.anatomy import BOX_SHAPE
from ubc_lib.phantom.cohort import make_scan
from ubc_lib.phantom.designed import BAR, Design, with_decoys, with_outline
from ubc_lib.phantom.lesion import OEDEMA, Patient

LESION = (slice(30, 60), slice(40, 80), slice(50, 70))
MIRRORED = (slice(100, 130), slice(40, 80), slice(50, 70))


def healthy() -> Patient:
    """A brain of noise that fills its box but for a rim."""
    brain = np.zeros(BOX_SHAPE, bool)
    brain[5:-5, 5:-5, 5:-5] = True
    signal = np.random.default_rng(0).normal(1, 0.1, np.count_nonzero(brain)).astype(np.float32)
    return Patient(brain, np.zeros(BOX_SHAPE, np.uint8), signal)


def ill() -> Patient:
    labels = np.zeros(BOX_SHAPE, np.uint8)
    labels[LESION] = OEDEMA
    return healthy()._replace(labels=labels)


def change(before: Patient, after: Patient) -> np.ndarray:
    volume = np.zeros(BOX_SHAPE, np.float32)
    volume[before.brain] = after.signal - before.signal
    return volume


def decoys(grade: str, seed: int, count: int = 1) -> np.ndarray:
    """What stripes and decoys change of the signal."""
    design = Design("decoy", 0.5, count)
    return change(ill(), with_decoys(ill(), design, grade, np.random.default_rng(seed)))


def direction(stripes: np.ndarray) -> int:
    """The axis along which stripes change sign."""
    return int(np.ptp(np.sign(stripes).mean(axis=(1, 2))) < np.ptp(stripes.mean(axis=(0, 2))))


@pytest.mark.parametrize(("grade", "axis"), [("HGG", 0), ("LGG", 1)])
def test_grade_is_the_direction_of_stripes_in_the_lesion(grade, axis):
    for seed in range(4):
        assert direction(decoys(grade, seed)[LESION]) == axis


def test_a_decoy_in_the_other_half_has_a_direction_that_tells_nothing():
    found = {g: [direction(decoys(g, seed)[MIRRORED]) for seed in range(8)] for g in ("HGG", "LGG")}
    assert found["HGG"] == found["LGG"]
    assert set(found["HGG"]) == {0, 1}


def test_stripes_have_the_asked_amplitude_and_width_and_are_nowhere_else():
    changed = decoys("HGG", 0)
    strength = 0.5 * ill().signal.std()
    assert np.abs(changed[LESION]) == pytest.approx(strength, rel=1e-3)
    signs = np.sign(changed[LESION][:, 0, 0])
    runs = np.diff(np.flatnonzero(np.diff(signs)))
    assert set(runs) <= {int(BAR), int(BAR) + 1}
    changed[LESION] = changed[MIRRORED] = 0
    assert not changed.any()


def test_labels_stay_those_of_the_lesion_however_many_decoys():
    after = with_decoys(ill(), Design("decoy", 0.5, 3), "HGG", np.random.default_rng(0))
    assert np.array_equal(after.labels, ill().labels)
    assert np.count_nonzero(decoys("HGG", 0, 3)) > 3.5 * np.count_nonzero(ill().labels)


def outlined(grade: str, seed: int) -> Patient:
    return with_outline(healthy(), Design("outline", 0.5, 4), grade, np.random.default_rng(seed))


def test_lobes_change_the_rim_and_neither_the_area_nor_the_signal():
    for seed in range(4):
        lobed, smooth = (outlined(grade, seed) for grade in ("HGG", "LGG"))
        areas = [np.count_nonzero(one.labels) for one in (lobed, smooth)]
        assert areas[0] == pytest.approx(areas[1], rel=0.03)
        inside = [one.signal[(one.labels > 0)[one.brain]] for one in (lobed, smooth)]
        assert inside[0].mean() == pytest.approx(inside[1].mean(), rel=0.01)
        assert inside[0].std() == pytest.approx(inside[1].std(), rel=0.1)
        assert rim(lobed) > 1.2 * rim(smooth)


def rim(patient: Patient) -> int:
    """Length of the outline on the plane with most lesion, in sides of pixels."""
    masks = patient.labels > 0
    plane = masks[:, :, masks.sum(axis=(0, 1)).argmax()].astype(int)
    return sum(int(np.abs(np.diff(plane, axis=axis)).sum()) for axis in (0, 1))


def test_outside_the_drawn_lesion_the_brain_is_left_as_it_was():
    after = outlined("HGG", 0)
    outside = (after.labels == 0)[after.brain]
    assert np.array_equal(after.signal[outside], healthy().signal[outside])


def test_growth_tells_nothing_of_the_grade_of_a_designed_phantom(monkeypatch):
    grown = {"HGG": set(), "LGG": set()}

    class Drawn(Exception):
        """As far as this test goes."""

    for grade, number in product(grown, range(8)):

        def draw_traits(one, *_, grade=grade):
            grown[grade].add(one)
            raise Drawn

        monkeypatch.setattr(cohort, "draw_traits", draw_traits)
        with pytest.raises(Drawn):
            make_scan(grade, number, 7, 0.0, Design("decoy", 0.5, 1))
    assert grown == {"HGG": {"HGG", "LGG"}, "LGG": {"HGG", "LGG"}}
