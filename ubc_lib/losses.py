"""Equations (2) to (4) of the paper."""

import torch
from torch import Tensor
from torch.nn import functional

from ubc_lib.models import Output

EPSILON = 1.0  # the paper does not give its value
NO_LABEL = -100  # the target of an image that is trained on for its mask alone


def cross_entropy(logits: Tensor, target: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Equation (2): mean cross-entropy over two classes. logits: (n, 2); target: int64 (n,).

    A positive image counts for `positive_weight` negative ones. Where the target is `NO_LABEL` an
    image is not counted; without any label the loss is 0.
    """
    weight = torch.ones(2, device=logits.device)
    weight[1] = positive_weight
    counted = {"weight": weight, "ignore_index": NO_LABEL, "reduction": "sum"}
    total = functional.cross_entropy(logits.float(), target, **counted)
    images = (target == 0).sum() + positive_weight * (target == 1).sum()
    return total / images.clamp(min=min(positive_weight, 1.0))


def soft_dice_loss(mask_logits: Tensor, mask: Tensor, dice: str = "batch") -> Tensor:
    """Equation (3): SD = 1 - 2 (sum(p m) + e) / (sum(p + m) + e), sums over the whole batch.

    mask_logits and mask: the same shape, (n, 1, H, W); p is the sigmoid of the logits and e is 1.
    Exactly as printed, so an empty mask predicted empty scores -1, where the usual form, with 2 e
    in the denominator, scores 0. dice: "image" sums over each image and takes the mean of SD.
    """
    response = torch.sigmoid(mask_logits.float())
    mask = mask.float()
    axes = (0, 1, 2, 3) if dice == "batch" else (1, 2, 3)
    overlap = (response * mask).sum(axes) + EPSILON
    return (1 - 2 * overlap / ((response + mask).sum(axes) + EPSILON)).mean()


def joint_loss(
    output: Output,
    target: Tensor,
    mask: Tensor,
    alpha: float | Tensor,
    dice: str = "batch",
    positive_weight: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Equation (4): L = alpha CE + (1 - alpha) SD; returns (L, CE, SD).

    A model without decoder has no SD (None) and L is its cross-entropy alone. Where a model draws
    coarser masks as well, SD is the mean over scales, with the mask averaged to each.
    """
    classification = cross_entropy(output.logits, target, positive_weight)
    if output.mask_logits is None:
        return classification, classification, None
    drawing = [soft_dice_loss(output.mask_logits, mask, dice)]
    for drawn in output.coarser:
        coarser = functional.adaptive_avg_pool2d(mask.float(), drawn.shape[2:])
        drawing.append(soft_dice_loss(drawn, coarser, dice))
    drawing = torch.stack(drawing).mean()
    return alpha * classification + (1 - alpha) * drawing, classification, drawing
