"""Segment first: a U-Net learns the masks of a subset, and a classifier sees what it draws.

Masks are needed for training only. Those of training images are drawn out of fold, since a network
draws the masks that it was trained on too well; those of test images by a U-Net of all.
"""

import dataclasses

import numpy as np
from sklearn.model_selection import GroupKFold
from torch import nn

from ubc_lib.data.slices import Slices
from ubc_lib.models import DRAWS, build_model
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import torch_seed
from ubc_lib.training.device import choose_device, choose_precision, computing
from ubc_lib.training.evaluation import response_maps
from ubc_lib.training.examples import Examples
from ubc_lib.training.loop import fit

FOLDS = 5


def with_drawn_masks(
    slices: Slices, train: np.ndarray, test: np.ndarray, study: Study, seed: int
) -> tuple[Slices, dict, nn.Module]:
    """The slices with the masks that U-Nets draw on the rows of train and test, and what they are.

    The U-Nets are trained as the model's study says, on masks alone, and draw where their response
    after the last epoch is above 0.5. Where one draws nothing, the mask is the whole image. The
    second value counts those (`empty_train`, `empty_test`) and has the pooled Dice of both; the
    third is the U-Net of all.
    Raises InputError where fewer than `FOLDS` patients are trained on.
    """
    patients = slices.table["patient"].to_numpy()[train]
    if len(np.unique(patients)) < FOLDS:
        raise InputError(
            f"two_step trains U-Nets on {FOLDS} parts of the patients, but the subset has "
            f"{len(np.unique(patients))}. Take more images_per_class."
        )
    folds = GroupKFold(FOLDS).split(train, groups=patients)
    parts = [(train[others], train[held_out]) for others, held_out in folds]
    drawn, found = slices.masks.copy(), {}
    for place, (seen, unseen) in enumerate([*parts, (train, test)]):
        drawn[unseen], network = _draw(slices, seen, unseen, study, seed + place)
    for name, rows in (("train", train), ("test", test)):
        true, ours = slices.masks[rows], drawn[rows]
        found[f"empty_{name}"] = int((~ours.any(axis=(1, 2))).sum())
        found[f"dice_{name}"] = float(2 * (true & ours).sum() / (true.sum() + ours.sum()))
    drawn[~drawn.any(axis=(1, 2))] = True
    return dataclasses.replace(slices, masks=drawn), found, network


def _draw(
    slices: Slices, seen: np.ndarray, unseen: np.ndarray, study: Study, seed: int
) -> tuple[np.ndarray, nn.Module]:
    device = choose_device(study.device)
    alone = {"alpha": 0.0, "evaluate_every": study.epochs, "stop_at_plateau": False}
    network = build_model(DRAWS, torch_seed(seed, "U-Net"))
    train, test = (Examples.of(slices, rows, device) for rows in (seen, unseen))
    fit(network, train, test, study.model_copy(update=alone), seed)
    with computing(choose_precision(study.precision, device)):
        return response_maps(network, test.images) > 0.5, network
