import math

import pytest
import torch

from ubc_lib.losses import NO_LABEL, cross_entropy, joint_loss, soft_dice_loss
from ubc_lib.models import Output

# Logits whose sigmoid is 0.8 and 0.2.
HIGH, LOW = math.log(4), -math.log(4)


def test_equation_2_is_the_mean_negative_log_probability_of_the_true_class():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
    expected = -(math.log(3 / 4) + math.log(1 / 2)) / 2
    assert cross_entropy(logits, torch.tensor([1, 0])).item() == pytest.approx(expected)


def test_equation_3_by_hand():
    response = torch.tensor([[[[HIGH, LOW], [LOW, LOW]]]])
    mask = torch.tensor([[[[True, False], [False, False]]]])
    # overlap 0.8 + 1; sums 0.8 + 3 * 0.2 + 1 + 1
    assert soft_dice_loss(response, mask).item() == pytest.approx(1 - 2 * 1.8 / 3.4, rel=1e-5)


def test_equation_3_sums_over_the_batch_before_dividing():
    response = torch.tensor([HIGH, HIGH, LOW, LOW]).reshape(2, 1, 1, 2)
    mask = torch.tensor([True, True, False, False]).reshape(2, 1, 1, 2)
    assert soft_dice_loss(response, mask).item() == pytest.approx(1 - 2 * 2.6 / 5.0, rel=1e-5)


def test_equation_3_as_printed_scores_minus_1_for_an_empty_mask_predicted_empty():
    response = torch.full((1, 1, 4, 4), -100.0)
    assert soft_dice_loss(response, torch.zeros(1, 1, 4, 4)).item() == pytest.approx(-1)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_equation_4_weighs_the_two_losses(alpha):
    output = Output(torch.tensor([[0.0, 1.0]]), torch.tensor([[[[HIGH]]]]))
    target, mask = torch.tensor([1]), torch.tensor([[[[True]]]])
    loss, classification, dice = joint_loss(output, target, mask, alpha)
    assert classification.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert dice.item() == pytest.approx(1 - 2 * 1.8 / 2.8)
    assert loss.item() == pytest.approx(alpha * classification.item() + (1 - alpha) * dice.item())


def test_without_a_decoder_the_loss_is_cross_entropy_whatever_alpha():
    output = Output(torch.tensor([[0.0, 1.0]]), None)
    loss, classification, dice = joint_loss(output, torch.tensor([1]), None, 0.1)
    assert loss.item() == classification.item()
    assert dice is None


def test_dice_by_image_is_the_mean_of_each_images_own():
    response = torch.tensor([HIGH, HIGH, LOW, LOW]).reshape(2, 1, 1, 2)
    mask = torch.tensor([True, True, False, False]).reshape(2, 1, 1, 2)
    alone = [soft_dice_loss(response[k : k + 1], mask[k : k + 1]).item() for k in range(2)]
    assert soft_dice_loss(response, mask, "image").item() == pytest.approx(sum(alone) / 2)
    assert soft_dice_loss(response, mask).item() != pytest.approx(sum(alone) / 2)


def test_an_image_without_a_label_is_not_counted_and_sends_the_label_no_gradient():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1, NO_LABEL]))
    loss.backward()
    assert loss.item() == pytest.approx(cross_entropy(logits[:1], torch.tensor([1])).item())
    assert logits.grad[0].any()
    assert not logits.grad[1].any()


def test_a_positive_image_counts_for_as_many_negative_ones_as_its_weight_says():
    logits, target = torch.randn(2, 2), torch.tensor([1, 0])
    repeated = cross_entropy(logits[[0, 0, 0, 1]], target[[0, 0, 0, 1]])
    assert cross_entropy(logits, target, 3.0).item() == pytest.approx(repeated.item())
    assert cross_entropy(logits, target, 0.5).item() == pytest.approx(
        cross_entropy(logits[[0, 1, 1]], target[[0, 1, 1]]).item()
    )
    unlabelled = torch.tensor([1, NO_LABEL])
    alone = cross_entropy(logits[:1], target[:1]).item()
    assert cross_entropy(logits, unlabelled, 0.1).item() == pytest.approx(alone)


def test_a_batch_without_any_label_has_no_classification_loss():
    assert cross_entropy(torch.randn(3, 2), torch.full((3,), NO_LABEL)).item() == 0


def test_with_masks_at_every_scale_the_loss_is_their_mean():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2] = 1
    right, wrong = 100 * (2 * mask - 1), 100 * (1 - 2 * mask[..., ::2, ::2])
    output = Output(torch.zeros(1, 2), right, (wrong,))
    drawing = joint_loss(output, torch.tensor([0]), mask.bool(), 0.5)[2]
    expected = (soft_dice_loss(right, mask) + soft_dice_loss(wrong, mask[..., ::2, ::2])) / 2
    assert drawing.item() == pytest.approx(expected.item())
