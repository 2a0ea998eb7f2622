"""What a model is trained and tested on: slices on the device, as its settings make them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import affine

from ubc_lib.data.slices import Slices
from ubc_lib.data.split import Split, boxes, draw_subset, of_another_patient
from ubc_lib.losses import NO_LABEL
from ubc_lib.models import shown
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import generator

DEGREES, SCALE = 10, 0.1  # at most


@dataclass(frozen=True)
class Examples:
    """Slices on the device: images float (n, channels, H, W), masks bool (n, 1, H, W), target (n,).

    Masks of several labels have a channel for each. The target is `NO_LABEL` where an image is
    trained on for its mask alone.
    """

    images: Tensor
    masks: Tensor
    target: Tensor

    @classmethod
    def of(
        cls, slices: Slices, rows: np.ndarray, device: torch.device, study: Study | None = None
    ) -> "Examples":
        """The given rows of the slice table, shown as the settings of a model's study say."""
        images = torch.as_tensor(slices.images[rows], device=device).unsqueeze(1)
        masks = torch.as_tensor(slices.masks[rows], device=device).unsqueeze(1)
        target = torch.as_tensor(slices.table["target"].to_numpy()[rows], device=device)
        return cls(shown(images, masks, study) if study else images, masks, target)

    def __len__(self) -> int:
        return len(self.target)


def check_examples(examples: Examples, what: str) -> None:
    """Raise InputError where tensors are not as `Examples` says, or sides no multiples of 32."""
    images, masks, target = examples.images, examples.masks, examples.target
    shapes = (
        f"images {tuple(images.shape)}, masks {tuple(masks.shape)}, target {tuple(target.shape)}"
    )
    problems = {
        "images must be float (n, channels, H, W)": images.ndim == 4 and images.is_floating_point(),
        "masks must be bool (n, labels, H, W)": masks.ndim == 4 and masks.dtype == torch.bool,
        "target must be int64 (n,)": target.ndim == 1 and target.dtype == torch.int64,
        "all need the same n": len(images) == len(masks) == len(target) > 0,
        "images and masks differ in height or width": images.shape[2:] == masks.shape[2:],
        "height and width must be multiples of 32": not any(side % 32 for side in images.shape[2:]),
    }
    for problem, is_right in problems.items():
        if not is_right:
            raise InputError(f"The {what} examples cannot be used: {problem} ({shapes}).")
    strange = set(target.unique().tolist()) - {0, 1, NO_LABEL}
    if strange:
        raise InputError(f"The {what} examples have targets {sorted(strange)}; 0 and 1 are needed.")


def training_rows(slices: Slices, split: Split, study: Study, size: int, seed: int) -> np.ndarray:
    """The rows that a model is trained on: a subset, and with `masks_from: half` all others, too.

    seed: of the subset.
    """
    subset = draw_subset(slices.table, split.train, size, seed)
    if study.masks_from == "half":
        return np.concatenate([subset, np.setdiff1d(split.train, subset)])
    return subset


def training_examples(
    slices: Slices, rows: np.ndarray, labelled: int, study: Study, seed: int, device: torch.device
) -> Examples:
    """Rows of the slice table with the masks that a model's study asks for.

    labelled: how many of the rows, the first, have a label. seed: of the subset. Raises InputError
    where labels of masks are asked for that the cohort does not have.
    """
    if study.mask == "labels" and slices.parts is None:
        raise InputError(
            f"mask=labels needs the labels of BraTS, which masks of cohort {study.cohort!r} lack. "
            f"So do slices made before they were kept: delete {study.run_folder}/slices.npz."
        )
    found = Examples.of(slices, rows, device, study)
    drawn = rows
    if study.masks_of == "another":
        drawn = of_another_patient(slices.table, rows, seed)
    masks = slices.masks[drawn]
    if study.mask == "box":
        masks = boxes(masks)
    masks = slices.parts[drawn] if study.mask == "labels" else masks[:, None]
    target = found.target.clone()
    target[labelled:] = NO_LABEL
    return Examples(found.images, torch.as_tensor(masks, device=device), target)


def augmented(examples: Examples, kind: str, seed: int, epoch: int) -> Examples:
    """Every image turned over at random with its mask and, with `affine`, turned and scaled."""
    random = generator(seed, f"augmentation of epoch {epoch}")
    flips = random.integers(2, size=(len(examples), 2)).astype(bool)
    images, masks = examples.images.clone(), examples.masks.clone()
    for axis, chosen in zip((2, 3), torch.as_tensor(flips.T, device=images.device), strict=True):
        for tensor in (images, masks):
            tensor[chosen] = tensor[chosen].flip(axis)
    if kind == "affine":
        angles = random.uniform(-DEGREES, DEGREES, len(examples))
        scales = np.exp(random.uniform(-1, 1, len(examples)) * math.log(1 + SCALE))
        for place, (angle, scale) in enumerate(zip(angles, scales, strict=True)):
            turned = {"angle": float(angle), "scale": float(scale), "translate": [0, 0]}
            turned["shear"] = [0.0, 0.0]
            smooth = turned | {"interpolation": InterpolationMode.BILINEAR}
            images[place] = affine(images[place], **smooth)
            masks[place] = affine(masks[place], **turned)
    return Examples(images, masks, examples.target)
