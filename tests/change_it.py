"""A third network and another kind of cohort, as someone would add them, for kernels, too."""

import os
from pathlib import Path

import torch
from torch import nn

from ubc_lib.data.brats import read_brats
from ubc_lib.data.readers import READERS, Reader
from ubc_lib.models import NETWORKS, Output
from ubc_lib.study import Study, files

LABEL = "Tiny but new"
STUDY = f"""
title: Four models on a cohort of another kind
cohort: hospital
patients_per_class: 4
slices_per_patient: 2
image_size: 32
images_per_class: [1, 2, 3, 4]
seeds: [0]
epochs: 2
evaluate_every: 1
plateau_window: 1
batch_size: 4
precision: fp32
device: cpu
models:
  resnet34:
  tiny: {{label: "{LABEL}", learning_rate: 0.01}}
  tiny_slow: {{network: tiny, against: tiny}}
  tiny_plain: {{network: tiny_without_mask, learning_rate: 0.01}}
"""


class TinyWithoutMask(nn.Module):
    draws_masks = False

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> Output:
        return Output(self.classifier(self.features(images).mean(dim=(2, 3))), None)


class Tiny(TinyWithoutMask):
    draws_masks = True

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> Output:
        features = self.features(images)
        return Output(self.classifier(features.mean(dim=(2, 3))), self.mask(features))


def read_hospital(asked: Study):
    """A cohort that lies on disk as BraTS does, of one site."""
    return read_brats(asked.cohort_root).assign(site="here")


def register() -> None:
    """Make them known, and the folder UBC_STUDIES that of the studies."""
    NETWORKS.update(tiny=Tiny, tiny_without_mask=TinyWithoutMask)
    READERS["hospital"] = Reader(read_hospital, "a folder", "patients of the hospital")
    files.STUDIES = Path(os.environ["UBC_STUDIES"])
