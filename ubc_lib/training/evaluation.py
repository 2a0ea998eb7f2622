"""What a model says about test slices, how right it is, and when training reached its plateau."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ubc_lib.training.device import autocast, is_out_of_memory

PIXELS = {"cpu": 32 * 224**2, "cuda": 128 * 224**2}  # evaluated at a time, if memory lasts


@dataclass(frozen=True)
class Prediction:
    """One evaluation of n slices; arrays are float64 (n,).

    probability: of the positive class. cross_entropy: per slice. overlap, response_area and
    lesion_area: pixels of the thresholded response that are lesion, of the response, and of the
    lesion; overlap and response_area are None for a model without decoder.
    """

    probability: np.ndarray
    cross_entropy: np.ndarray
    overlap: np.ndarray | None
    response_area: np.ndarray | None
    lesion_area: np.ndarray

    def accuracy(self, target: np.ndarray) -> float:
        """Share of slices whose class is right, by the larger of two logits."""
        return float(np.mean(self.correct(target)))

    def correct(self, target: np.ndarray) -> np.ndarray:
        """Bool (n,): whether the class of each slice is right."""
        return (self.probability > 0.5) == (target == 1)

    def dice(self) -> float:
        """Dice coefficient over all pixels of all slices together, as equation (3) pools them."""
        if self.overlap is None:
            return float("nan")
        area = self.response_area.sum() + self.lesion_area.sum()
        return float(2 * self.overlap.sum() / area) if area else 1.0

    def dice_per_image(self) -> np.ndarray:
        """Dice coefficient of each slice; 1 where lesion and response are both empty."""
        if self.overlap is None:
            return np.full(len(self.probability), np.nan)
        area = self.response_area + self.lesion_area
        return np.divide(2 * self.overlap, area, out=np.ones_like(area), where=area > 0)


@torch.inference_mode()
def predict(
    model: nn.Module, images: Tensor, masks: Tensor, target: Tensor, precision: str
) -> Prediction:
    """Evaluate images and masks (n, 1, H, W) with target (n,), all on the model's device.

    Where the device's memory is too small, batches are halved until they fit it;
    torch.OutOfMemoryError if a single image does not.
    """
    model.eval()
    with autocast(images.device, precision):
        answers = _answers(model, images, masks)
    logits, overlap, response_area = map(torch.cat, zip(*answers, strict=True))
    draws = len(overlap) > 0
    return Prediction(
        probability=_numpy(logits.softmax(dim=1)[:, 1]),
        cross_entropy=_numpy(functional.cross_entropy(logits, target, reduction="none")),
        overlap=_numpy(overlap) if draws else None,
        response_area=_numpy(response_area) if draws else None,
        lesion_area=_numpy(masks.sum(dim=(1, 2, 3))),
    )


def _answers(model: nn.Module, images: Tensor, masks: Tensor) -> list[tuple[Tensor, ...]]:
    """`_answer` of each batch; batches are halved until they fit the device's memory."""
    size = min(_batch_size(images), len(images))
    while True:
        try:
            batches = zip(images.split(size), masks.split(size), strict=True)
            return [_answer(model, *batch) for batch in batches]
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size //= 2


def _batch_size(images: Tensor) -> int:
    return max(PIXELS[images.device.type] // images[0].numel(), 1)


def _answer(model: nn.Module, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, overlap and response area of a batch; the areas are empty without a decoder."""
    output = model(images)
    logits = output.logits.float()
    if output.mask_logits is None:
        return logits, logits.new_empty(0), logits.new_empty(0)
    response = (output.mask_logits > 0).any(dim=1, keepdim=True)
    return logits, (response & masks).sum(dim=(1, 2, 3)), response.sum(dim=(1, 2, 3))


@torch.inference_mode()
def response_maps(model: nn.Module, images: Tensor) -> np.ndarray | None:
    """Mask probabilities before thresholding, float32 (n, H, W); None for a model without decoder.

    Where a model draws several labels, that of the likeliest.

    images: float32 (n, channels, H, W), as in training.
    """
    model.eval()
    images = images.to(next(model.parameters()).device)
    outputs = [model(batch).mask_logits for batch in images.split(_batch_size(images))]
    if outputs[0] is None:
        return None
    return torch.cat(outputs).sigmoid().amax(dim=1).float().cpu().numpy()


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.float64)
