"""Segment first: whose masks a U-Net draws, and what becomes of them."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import tiny_study
from ubc_lib.data.slices import Slices
from ubc_lib.system.errors import InputError
from ubc_lib.training import two_step
from ubc_lib.training.two_step import with_drawn_masks

PATIENTS = 12
STUDY = tiny_study(two_step=True, patients_per_class=6, images_per_class=(3,))
TRAIN, TEST = np.arange(0, 12), np.arange(12, 24)


def slices() -> Slices:
    """Two slices of each patient; images hold the number of their row, lesions their upper half."""
    table = pd.DataFrame({"patient": [f"p{row // 2}" for row in range(24)], "target": 0})
    images = np.ones((24, 32, 32), np.float32) * np.arange(24)[:, None, None]
    masks = np.zeros((24, 32, 32), bool)
    masks[:, :16] = True
    return Slices(images, masks, table, (), "feed")


@pytest.fixture
def trained(monkeypatch) -> list[dict]:
    """What every U-Net was trained on and drew; it draws the lesion, but nothing on row 13."""
    calls = []

    def fit(network, train, test, study, seed):
        seen, unseen = ({int(one) for one in part.images[:, 0, 0, 0]} for part in (train, test))
        calls.append({"seen": seen, "unseen": unseen, "study": study, "seed": seed})

    def draw(network, images):
        drawn = np.zeros((len(images), 32, 32), np.float32)
        drawn[:, :16] = 1
        drawn[(images[:, 0, 0, 0] == 13).numpy()] = 0
        return drawn

    monkeypatch.setattr(two_step, "fit", fit)
    monkeypatch.setattr(two_step, "response_maps", draw)
    monkeypatch.setattr(two_step, "build_model", lambda *_: torch.nn.Identity())
    return calls


def test_no_network_draws_a_patient_that_it_was_trained_on(trained):
    with_drawn_masks(slices(), TRAIN, TEST, STUDY, 0)
    patients = [({row // 2 for row in call["seen"]}, call["unseen"]) for call in trained]
    assert len(patients) == 6
    for seen, unseen in patients:
        assert not seen & {row // 2 for row in unseen}
    folds = [unseen for _, unseen in patients[:5]]
    assert sorted(row for fold in folds for row in fold) == list(TRAIN)


def test_test_images_are_drawn_by_the_network_of_all_training_images(trained):
    with_drawn_masks(slices(), TRAIN, TEST, STUDY, 0)
    assert trained[-1]["seen"] == set(TRAIN)
    assert trained[-1]["unseen"] == set(TEST)


def test_networks_learn_the_mask_alone_each_from_a_seed_of_its_own(trained):
    with_drawn_masks(slices(), TRAIN, TEST, STUDY, 5)
    assert {call["study"].alpha for call in trained} == {0}
    assert len({call["seed"] for call in trained}) == 6


def test_an_empty_drawing_keeps_the_whole_image_and_is_counted(trained):
    drawn, found, _ = with_drawn_masks(slices(), TRAIN, TEST, STUDY, 0)
    assert drawn.masks[13].all()
    assert np.array_equal(drawn.masks[12], slices().masks[12])
    assert (found["empty_train"], found["empty_test"]) == (0, 1)
    assert found["dice_train"] == 1
    assert found["dice_test"] == pytest.approx(2 * 11 / (12 + 11))


def test_images_are_left_as_they_were(trained):
    before = slices()
    drawn, _, _ = with_drawn_masks(before, TRAIN, TEST, STUDY, 0)
    assert drawn.images is before.images
    assert np.array_equal(before.masks, slices().masks)


def test_fewer_patients_than_parts_are_refused(trained):
    with pytest.raises(InputError, match="subset has 4"):
        with_drawn_masks(slices(), TRAIN[:8], TEST, STUDY, 0)
