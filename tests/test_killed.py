"""A run that is killed at any moment resumes to the record of one that was not."""

import itertools
import json
import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import tiny_study, write_tree
from ubc_lib.data.slices import load_slices
from ubc_lib.models import Output
from ubc_lib.results.record import read_record, record_path
from ubc_lib.study import Study
from ubc_lib.training import checkpoint, run

KILLS = 10


class Tiny(nn.Module):
    """As a UBC-ResNet34 it has batch norm, a class and a mask; its epochs take milliseconds."""

    draws_masks = True

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.decoder = nn.Conv2d(8, 1, 3, padding=1)
        self.classifier = nn.Linear(8, 2)

    def forward(self, images):
        features = self.encoder(images)
        return Output(self.classifier(features.mean(dim=(2, 3))), self.decoder(features))


def tiny_model(_name: str, seed: int) -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny()


def train(study: Study, killed_after: tuple[int, float] | None = None) -> None:
    """One life of a training process; it may be killed so many seconds into its n-th epoch."""
    begun = itertools.count()

    def on_epoch(_images: int) -> None:
        if killed_after and next(begun) == killed_after[0]:
            kill = (os.getpid(), signal.SIGKILL)
            threading.Timer(killed_after[1], os.kill, kill).start()

    run.train_run(study, load_slices(study), "ubc_resnet34", 4, seed=0, on_epoch=on_epoch)


def live_and_die(lives: list[tuple[str, list[tuple[int, float]]]]) -> None:
    """Train runs whose processes are killed at each of the given moments."""
    run.build_model = tiny_model
    checkpoint.SECONDS = 0.0
    for fields, moments in lives:
        study = Study.model_validate_json(fields)
        for moment in moments:
            arguments = (study, moment)
            life = multiprocessing.get_context("fork").Process(target=train, args=arguments)
            life.start()
            life.join()
            assert life.exitcode == -signal.SIGKILL
        train(study)


def what_was_computed(record: dict) -> str:
    parts = ("result", "evaluations", "history", "predictions", "training_rows")
    found = {part: record[part] for part in parts}
    for part in ("result", "history"):
        found[part] = {key: value for key, value in found[part].items() if key != "seconds"}
    return json.dumps(found)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_killed_ten_times_has_the_record_of_one_that_was_not(tmp_path, precision):
    tree = write_tree(tmp_path / "tree")
    whole, killed = (
        tiny_study(tree, name=name, precision=precision, epochs=150, evaluate_every=10)
        for name in ("whole", "killed")
    )
    for study in (whole, killed):
        load_slices(study)  # which starts processes of its own unless it finds its file
    rng = np.random.default_rng(0)
    # An epoch takes some ten milliseconds: at most a hundred epochs are done in ten lives.
    moments = [(int(rng.integers(6)), rng.uniform(0, 0.02)) for _ in range(KILLS)]
    # The process that forks has run no torch yet, and the uninterrupted run comes last.
    lives = [(killed.model_dump_json(), moments), (whole.model_dump_json(), [])]
    process = multiprocessing.get_context("spawn").Process(target=live_and_die, args=(lives,))
    process.start()
    process.join()
    assert process.exitcode == 0
    one, other = (
        read_record(record_path(study, "ubc_resnet34", 4, 0)) for study in (killed, whole)
    )
    assert what_was_computed(one) == what_was_computed(other)
