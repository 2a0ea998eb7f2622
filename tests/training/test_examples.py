"""What models are shown and asked, under every setting that changes it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import tiny_study
from tests.result_samples import some_slices
from ubc_lib.data.slices import load_slices
from ubc_lib.data.split import boxes, draw_split, of_another_patient
from ubc_lib.losses import NO_LABEL
from ubc_lib.models import grow
from ubc_lib.system.errors import InputError
from ubc_lib.training.examples import Examples, augmented, training_examples, training_rows

CPU = torch.device("cpu")
SLICES = some_slices()
ROWS = np.arange(len(SLICES.table))


def of(**changed) -> Examples:
    return Examples.of(SLICES, ROWS, CPU, tiny_study(**changed))


def trained_on(**changed) -> Examples:
    return training_examples(SLICES, ROWS, len(ROWS), tiny_study(**changed), 0, CPU)


@pytest.mark.parametrize(("image", "black"), [("masked", False), ("outside", True)])
@pytest.mark.parametrize("margin", [0, 2])
def test_an_image_is_black_outside_its_grown_mask_or_inside(image, black, margin):
    whole, found = of(), of(image=image, margin=margin)
    is_black = grow(whole.masks, margin) == black
    assert not found.images[is_black].any()
    assert torch.equal(found.images[~is_black], whole.images[~is_black])


def test_a_mask_grows_by_so_many_pixels_in_each_direction():
    mask = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    mask[..., 3, 3] = True
    assert grow(mask, 2).sum() == 25
    assert torch.equal(grow(mask, 0), mask)


def test_a_mask_as_input_is_a_second_channel_of_what_is_tested_too():
    found = of(mask_input=True)
    assert torch.equal(found.images[:, :1], of().images)
    assert torch.equal(found.images[:, 1:] > 0, found.masks)


def test_masks_of_others_are_of_other_patients_and_each_is_given_once():
    others = of_another_patient(SLICES.table, ROWS, seed=0)
    assert sorted(others) == list(ROWS)
    patients = SLICES.table["patient"].to_numpy()
    assert (patients[others] != patients[ROWS]).all()
    found = trained_on(masks_of="another")
    assert torch.equal(found.masks.squeeze(1), torch.as_tensor(SLICES.masks[others]))
    assert torch.equal(found.images, of().images)


def test_a_patient_with_most_of_the_images_has_no_masks_of_others():
    rows = np.flatnonzero(SLICES.table["patient"].eq(SLICES.table["patient"].iloc[0]))
    with pytest.raises(InputError, match="More than half"):
        of_another_patient(SLICES.table, rows, seed=0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=5))
def test_a_box_is_the_smallest_that_holds_the_mask(pixels):
    mask = np.zeros((1, 7, 5), bool)
    rows, columns = np.array(pixels).T
    mask[0, rows, columns] = True
    box = np.zeros_like(mask)
    box[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    assert np.array_equal(boxes(mask), box)


def test_the_rest_of_the_training_half_is_trained_on_without_labels(study):
    slices = load_slices(study)
    half = study.model_copy(update={"masks_from": "half"})
    split = draw_split(slices.table, study, 0)
    rows = training_rows(slices, split, half, 1, 0)
    assert sorted(rows) == sorted(split.train)
    assert list(rows[:2]) == list(training_rows(slices, split, study, 1, 0))
    found = training_examples(slices, rows, 2, half, 0, CPU)
    assert sorted(found.target[:2].tolist()) == [0, 1]
    assert (found.target[2:] == NO_LABEL).all()
    assert torch.equal(found.masks.squeeze(1), torch.as_tensor(slices.masks[rows]))


@pytest.mark.parametrize("kind", ["flips", "affine"])
def test_image_and_mask_are_turned_alike_and_anew_in_every_epoch(kind):
    masks = torch.zeros(8, 1, 32, 32, dtype=torch.bool)
    masks[:, :, 4:12, 6:26] = True
    examples = Examples(masks.float(), masks, torch.zeros(8, dtype=torch.int64))
    one, again, other = (augmented(examples, kind, 0, epoch) for epoch in (1, 1, 2))
    agree = (one.images > 0.5) == one.masks
    assert agree.float().mean() > (0.98 if kind == "affine" else 0.9999)
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, other.images)
    assert not torch.equal(one.images, examples.images)
    assert torch.equal(one.target, examples.target)


def test_labels_of_a_mask_have_a_channel_each_and_tests_keep_their_union(study):
    slices = load_slices(study)
    rows = np.arange(4)
    asked = study.model_copy(update={"mask": "labels"})
    found = training_examples(slices, rows, 4, asked, 0, CPU)
    assert found.masks.shape == (4, 3, 32, 32)
    assert torch.equal(found.masks.any(dim=1), torch.as_tensor(slices.masks[rows]))
    assert [bool(channel.any()) for channel in found.masks[0]] == [False, True, False]
    assert Examples.of(slices, rows, CPU, asked).masks.shape == (4, 1, 32, 32)


def test_labels_that_a_cohort_does_not_have_are_refused():
    with pytest.raises(InputError, match="mask=labels needs the labels of BraTS"):
        trained_on(mask="labels")
