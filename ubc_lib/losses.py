"""Equations (2) to (4) of the paper."""

import torch
from torch import Tensor
from torch.nn import functional

from ubc_lib.models import Output

EPSILON = 1.0  # the paper does not give its value


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Equation (2): mean cross-entropy over two classes. logits: (n, 2); target: int64 (n,)."""
    return functional.cross_entropy(logits.float(), target)


def soft_dice_loss(mask_logits: Tensor, mask: Tensor) -> Tensor:
    """Equation (3): SD = 1 - 2 (sum(p m) + e) / (sum(p + m) + e), sums over the whole batch.

    mask_logits and mask: the same shape, (n, 1, H, W); p is the sigmoid of the logits and e is 1.
    Exactly as printed, so an empty mask predicted empty scores -1, where the usual form, with 2 e
    in the denominator, scores 0.
    """
    response = torch.sigmoid(mask_logits.float())
    mask = mask.float()
    overlap = (response * mask).sum() + EPSILON
    return 1 - 2 * overlap / ((response + mask).sum() + EPSILON)


def joint_loss(
    output: Output, target: Tensor, mask: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Equation (4): L = alpha CE + (1 - alpha) SD; returns (L, CE, SD).

    A model without decoder has no SD (None) and L is its cross-entropy alone.
    """
    classification = cross_entropy(output.logits, target)
    if output.mask_logits is None:
        return classification, classification, None
    dice = soft_dice_loss(output.mask_logits, mask)
    return alpha * classification + (1 - alpha) * dice, classification, dice
