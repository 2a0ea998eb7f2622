"""Every fault on the way ends with a clear last line, and costs no finished run."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import tiny_study, write_tree
from tests.test_run import without_time
from ubc_lib import run
from ubc_lib.cohort import read_brats
from ubc_lib.errors import InputError
from ubc_lib.results import load_runs, read_record, record_path
from ubc_lib.run import train_across_sizes, train_run
from ubc_lib.slices import load_slices
from ubc_lib.study import ROOT, Study

SETTINGS = (
    "name=tiny patients_per_class=4 slices_per_patient=2 image_size=32 images_per_class=[2] "
    "seeds=[0] more_seeds=[] more_seeds_at=[] models=[resnet34] epochs=60 evaluate_every=10 batch_size=4 device=cpu"
)
TRAIN = (
    "from pathlib import Path; from tests.conftest import tiny_study; "
    "from ubc_lib.run import train_across_sizes; "
    "train_across_sizes(tiny_study(Path({tree!r}), epochs={epochs}, images_per_class=(2,)), "
    "'resnet34', 0)"
)


@pytest.fixture
def process():
    """Start a Python program; whatever is left of it ends with the test."""
    started = []

    def start(*arguments: str, **options) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        one = subprocess.Popen(arguments, cwd=ROOT, env=environment, **pipes, **options)
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.wait()


def until(condition, of: subprocess.Popen, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert of.poll() is None, of.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def uninterrupted(study: Study) -> dict:
    """The record that the study's run has when nothing happens to it."""
    whole = study.model_copy(update={"name": "whole"})
    record = train_run(whole, load_slices(whole), "resnet34", 2, seed=0)
    return comparable(record)


def comparable(record: dict) -> dict:
    record["run"]["study"] = record["settings"]["name"] = "same"
    record["history"].pop("seconds")
    return without_time(record)


def training_of(study: Study, seed: int = 0):
    """Whether the run has begun: its lock is there."""
    return (study.run_folder / "checkpoints" / f"resnet34-n002-seed{seed}.lock").exists


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_from_which_the_run_goes_on(tree, process):
    study = tiny_study(tree, epochs=60, images_per_class=(2,))
    training = process(sys.executable, "-c", TRAIN.format(tree=str(tree), epochs=60))
    until(training_of(study), training)
    time.sleep(0.5)
    training.send_signal(signal.SIGTERM)
    said, _ = training.communicate(timeout=60)
    assert "Stopped on request (SIGTERM) after epoch" in said.splitlines()[-1]
    assert not record_path(study, "resnet34", 2, 0).exists()
    assert (study.run_folder / "checkpoints" / "resnet34-n002-seed0.pt").exists()
    resumed = train_run(study, load_slices(study), "resnet34", 2, seed=0)
    assert comparable(resumed) == uninterrupted(study)


@pytest.mark.slow
class TestNotebook:
    """The training notebook as Snakemake starts it."""

    @pytest.fixture
    def study(self, tree) -> Study:
        return Study.load("lesion_crops", SETTINGS.replace("epochs=60", "epochs=2000"), tree)

    @pytest.fixture
    def notebook(self, study, tree, process):
        load_slices(study)
        target = study.run_folder / "notebooks" / "03_train-resnet34-seed0.ipynb"
        settings = SETTINGS.replace("epochs=60", "epochs=2000")
        training = process(
            *(sys.executable, "-m", "ubc_lib.notebooks", "notebooks/03_train.ipynb", str(target)),
            *("study=lesion_crops", f"settings={settings}", "model=resnet34", "seed=0"),
        )
        until(training_of(study), training)
        time.sleep(0.5)
        return training

    def test_sigterm_to_the_job_alone_reaches_the_training(self, notebook, study):
        notebook.send_signal(signal.SIGTERM)
        said, _ = notebook.communicate(timeout=60)
        assert "Stopped on request (SIGTERM)" in said.splitlines()[-1]
        assert list((study.run_folder / "checkpoints").glob("*.pt"))

    def test_a_killed_training_process_is_told_from_an_error(self, notebook):
        (kernel,) = children(notebook.pid)
        os.kill(kernel, signal.SIGKILL)
        said, _ = notebook.communicate(timeout=60)
        assert "its process was killed" in said.splitlines()[-1]
        assert "Traceback" not in said


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in listed.split()]


@pytest.mark.slow
def test_two_processes_on_one_run_train_it_once(tree, process):
    study = tiny_study(tree, epochs=60, images_per_class=(2,))
    load_slices(study)
    command = sys.executable, "-c", TRAIN.format(tree=str(tree), epochs=60)
    both = [process(*command) for _ in range(2)]
    ends = [one.communicate(timeout=120)[0].splitlines()[-1] for one in both]
    assert ends[0] == ends[1]  # the seconds of training in it are those of one training
    assert all(one.returncode == 0 for one in both)
    assert comparable(read_record(record_path(study, "resnet34", 2, 0))) == uninterrupted(study)
