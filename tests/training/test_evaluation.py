import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ubc_lib.models import Output, build_model
from ubc_lib.results.plateau import plateau_epoch, reported_epochs
from ubc_lib.training.evaluation import PIXELS, Prediction, predict, response_maps

LOSSES = st.lists(st.floats(0, 10), min_size=1, max_size=60)


def prediction(probability=(0.5,), overlap=(0,), response=(0,), lesion=(0,)) -> Prediction:
    arrays = (np.array(values, float) for values in (overlap, response, lesion))
    return Prediction(np.array(probability), np.zeros(len(probability)), *arrays)


def test_accuracy_is_the_share_of_right_classes():
    assert prediction(probability=[0.9, 0.4, 0.2, 0.6]).accuracy(np.array([1, 1, 0, 0])) == 0.5


def test_pooled_dice_weighs_pixels_and_the_mean_weighs_images():
    one = prediction([0.5, 0.5], overlap=[90, 0], response=[100, 2], lesion=[100, 8])
    assert one.dice() == pytest.approx(2 * 90 / 210)
    assert one.dice_per_image().tolist() == pytest.approx([0.9, 0])


def test_dice_of_an_empty_lesion_found_empty_is_1():
    assert prediction().dice() == 1
    assert prediction().dice_per_image().tolist() == [1]


class Bright(nn.Module):
    """Answers positive, and lesion, where a pixel is above zero; the classes by the mean."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return Output(torch.stack([-mean, mean], dim=1), self.weight * images)


def test_predict_counts_overlap_and_areas_of_every_image():
    images = torch.tensor([[1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]]).reshape(2, 1, 2, 2)
    masks = torch.tensor([[True, False, True, True], [False] * 4]).reshape(2, 1, 2, 2)
    found = predict(Bright(), images, masks, torch.tensor([1, 0]), "fp32")
    assert found.overlap.tolist() == [2, 0]
    assert found.response_area.tolist() == [3, 0]
    assert found.lesion_area.tolist() == [3, 0]
    assert found.correct(np.array([1, 0])).tolist() == [True, True]
    assert found.probability[0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert found.cross_entropy[0] == pytest.approx(-np.log(found.probability[0]))


def test_predict_does_not_depend_on_the_other_images(monkeypatch):
    monkeypatch.setitem(PIXELS, "cpu", 4 * 32 * 32)
    model = build_model("resnet34", 0)
    images = torch.randn(6, 1, 32, 32)
    masks, target = torch.zeros(6, 1, 32, 32, dtype=torch.bool), torch.zeros(6, dtype=torch.long)
    together = predict(model, images, masks, target, "fp32")
    alone = predict(model, images[5:], masks[5:], target[5:], "fp32")
    assert together.probability[5] == pytest.approx(alone.probability[0], rel=1e-4)


class Small(Bright):
    """Has memory for `images` images at a time."""

    def __init__(self, images: int):
        super().__init__()
        self.images, self.seen = images, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.images:
            raise torch.OutOfMemoryError("too many")
        return super().forward(images)


@pytest.mark.parametrize(("pixels", "sizes"), [(48, [3, 3]), (47, [2, 2, 2]), (1, [1] * 6)])
def test_as_many_images_are_evaluated_at_a_time_as_have_so_many_pixels(pixels, sizes, monkeypatch):
    monkeypatch.setitem(PIXELS, "cpu", pixels)
    images, model = torch.randn(6, 1, 4, 4), Small(images=6)
    predict(model, images, images > 0, torch.zeros(6, dtype=torch.long), "fp32")
    assert model.seen == sizes


def test_batches_are_halved_where_memory_is_too_small():
    images, target = torch.randn(9, 1, 4, 4), torch.zeros(9, dtype=torch.long)
    model = Small(images=2)
    found = predict(model, images, images > 0, target, "fp32")
    expected = predict(Bright(), images, images > 0, target, "fp32")
    assert model.seen == [9, 4, 2, 2, 2, 2, 1]
    assert found.probability == pytest.approx(expected.probability)
    assert found.overlap.tolist() == expected.overlap.tolist()


def test_memory_that_is_too_small_for_one_image_is_an_error():
    images, target = torch.randn(2, 1, 4, 4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(torch.OutOfMemoryError):
        predict(Small(images=0), images, images > 0, target, "fp32")


def test_a_model_without_decoder_has_no_dice():
    images, masks = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32, dtype=torch.bool)
    found = predict(build_model("resnet34", 0), images, masks, torch.tensor([0]), "fp32")
    assert np.isnan(found.dice())
    assert np.isnan(found.dice_per_image()).all()


def test_response_maps_are_mask_probabilities():
    images = np.array([[[0.0, 100.0]]], dtype=np.float32)
    assert response_maps(Bright(), torch.as_tensor(images).unsqueeze(1)).tolist() == [[[0.5, 1.0]]]
    assert response_maps(build_model("resnet34", 0), torch.zeros(1, 1, 32, 32)) is None


def test_plateau_is_where_the_loss_stops_falling():
    falling, flat = [1.0, 0.8, 0.6, 0.4], [0.2] * 6
    # windows of 2: up to epoch 6 the mean still falls by 0.3, at 7 by 0.1, at 8 by 0
    assert plateau_epoch(falling + flat, window=2, tolerance=0.02) == 8


def test_a_loss_that_keeps_falling_has_no_plateau():
    assert plateau_epoch(np.linspace(1, 0, 30), window=2, tolerance=0.02) is None


def test_no_plateau_before_two_windows_have_passed():
    assert plateau_epoch([1.0] * 3, window=2, tolerance=0.02) is None
    assert plateau_epoch([1.0] * 4, window=2, tolerance=0.02) == 4


@given(LOSSES, LOSSES, st.integers(1, 10), st.floats(0.001, 0.5))
def test_the_future_never_changes_a_plateau(past, future, window, tolerance):
    found = plateau_epoch(past, window, tolerance)
    if found is not None:
        assert plateau_epoch(past + future, window, tolerance) == found


@given(LOSSES, st.integers(1, 10), st.floats(0.001, 0.5))
def test_a_plateau_is_an_epoch_that_was_run(losses, window, tolerance):
    found = plateau_epoch(losses, window, tolerance)
    assert found is None or 2 * window <= found <= len(losses)


@pytest.mark.parametrize(
    ("plateau", "expected"),
    [
        (12, [15, 20, 25, 30, 35]),
        (15, [15, 20, 25, 30, 35]),
        (30, [20, 25, 30, 35, 40]),
        (None, [20, 25, 30, 35, 40]),
    ],
)
def test_the_five_evaluations_from_the_plateau_on_are_reported(plateau, expected):
    assert reported_epochs(range(5, 41, 5), plateau) == expected


def test_fewer_than_five_evaluations_are_all_reported():
    assert reported_epochs([5, 10], 3) == [5, 10]


def test_of_several_labels_a_response_is_wherever_one_of_them_is():
    logits = torch.full((1, 3, 2, 2), -5.0)
    logits[0, 0, 0, 0] = logits[0, 2, 1, 1] = 5.0

    class ThreeLabels(torch.nn.Linear):
        def forward(self, images):
            return Output(torch.zeros(len(images), 2), logits)

    masks = torch.tensor([[[[True, True], [False, False]]]])
    found = predict(ThreeLabels(1, 1), torch.zeros(1, 1, 2, 2), masks, torch.tensor([0]), "fp32")
    assert found.dice() == 2 * 1 / (2 + 2)
    drawn = response_maps(ThreeLabels(1, 1), torch.zeros(1, 1, 2, 2))
    assert (drawn > 0.5).tolist() == [[[True, False], [False, True]]]


def test_a_pixel_is_lesion_where_it_is_likelier_than_not():
    logits = torch.tensor([[[[0.2, -0.2], [0.6, -3.0]]]])

    class Hesitant(torch.nn.Linear):
        def forward(self, images):
            return Output(torch.zeros(1, 2), logits)

    masks = torch.tensor([[[[True, False], [False, False]]]])
    found = predict(Hesitant(1, 1), torch.zeros(1, 1, 2, 2), masks, torch.tensor([0]), "fp32")
    assert (found.response_area, found.overlap) == (2, 1)
    assert found.dice() == pytest.approx(2 / 3)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_plateau_does_not_hang_on_the_unit_of_the_loss(scale):
    losses = [2.0, 1.5, 1.2, 1.0, 0.9, 0.85, 0.83, 0.82, 0.815, 0.813, 0.812]
    found = plateau_epoch(losses, window=2, tolerance=0.03)
    assert found == 8
    assert plateau_epoch([scale * loss for loss in losses], window=2, tolerance=0.03) == found
