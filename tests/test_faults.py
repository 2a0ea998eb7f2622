"""Every fault on the way ends with a clear last line, and costs no finished run."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tests.training.test_run import without_time
from ubc_lib.data import patients, slices
from ubc_lib.data.brats import read_brats
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.slices import load_slices, make_slices
from ubc_lib.results.record import read_record, record_path
from ubc_lib.results.runs import load_runs
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError
from ubc_lib.training import checkpoint, run
from ubc_lib.training.run import train_across_sizes, train_run

SETTINGS = (
    "name=tiny patients_per_class=4 slices_per_patient=2 image_size=32 images_per_class=[2] "
    "seeds=[0] models=[resnet34] "
    "epochs=60 evaluate_every=10 batch_size=4 device=cpu"
)
TRAIN = (
    "from pathlib import Path; from tests.conftest import tiny_study; "
    "from ubc_lib.training.run import train_across_sizes; "
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
            *(
                sys.executable,
                "-m",
                "ubc_lib",
                "notebook",
                "notebooks/03_train.ipynb",
                str(target),
            ),
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
def test_killed_snakemake_costs_nothing(tree, process, data):
    """Its jobs train on; the next call waits for their runs and takes them over."""
    study = Study.load("lesion_crops", SETTINGS, tree)
    load_slices(study)
    notebooks = study.run_folder / "notebooks"
    notebooks.mkdir()
    (notebooks / "01_cohort.ipynb").write_text("{}")
    target = notebooks / "03_train-resnet34-seed0.ipynb"
    command = [
        *("snakemake", str(target), "--cores", "1", "--nolock", "--rerun-incomplete"),
        *("--config", "study=lesion_crops", f"settings={SETTINGS}"),
    ]
    killed = process(*command)
    until(training_of(study), killed)
    killed.kill()
    again = process(*command)
    said, _ = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert target.exists()
    assert comparable(read_record(record_path(study, "resnet34", 2, 0))) == uninterrupted(study)


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


def test_a_lost_gpu_ends_the_process_and_the_next_one_goes_on(study, monkeypatch):
    """Simulated by the error that torch raises; after it no run trains in the same process."""
    fit = run.fit

    def fit_on_failing_gpu(model, train, *rest, **options):
        if len(train) == 4:
            raise RuntimeError("CUDA error: device(s) is/are busy or unavailable\nCompile with ...")
        return fit(model, train, *rest, **options)

    monkeypatch.setattr(run, "fit", fit_on_failing_gpu)
    with pytest.raises(InputError, match=r"n002-seed0: the GPU failed .CUDA error"):
        train_across_sizes(study, "resnet34", 0)
    assert load_runs(study).runs["images_per_class"].tolist() == [1]
    monkeypatch.setattr(run, "fit", fit)
    assert train_across_sizes(study, "resnet34", 0).runs["images_per_class"].tolist() == [1, 2, 4]


def test_a_run_that_cannot_be_trained_leaves_the_others_of_its_list(study, monkeypatch, capsys):
    fit = run.fit

    def fit_in_little_memory(model, train, *rest, **options):
        if len(train) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(model, train, *rest, **options)

    monkeypatch.setattr(run, "fit", fit_in_little_memory)
    with pytest.raises(InputError, match=r"1 of 3 runs were not trained.*n002-seed0: the memory"):
        train_across_sizes(study, "resnet34", 0)
    assert load_runs(study).runs["images_per_class"].tolist() == [1, 4]


def test_other_errors_of_torch_are_not_called_a_lost_gpu(study, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(run, "fit", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        train_across_sizes(study, "resnet34", 0)


def test_a_cohort_that_vanishes_while_it_is_read_is_named(tree, monkeypatch):
    def stale(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("ubc_lib.data.readers.os.scandir", stale)
    with pytest.raises(InputError, match=r"tree could not be read to its end \(Stale file handle"):
        read_brats(tree)


def test_a_cohort_that_vanishes_between_two_patients_leaves_nothing_half_made(
    study, tree, monkeypatch
):
    def vanishing(study):
        table = read_cohort(study)
        tree.rename(tree.with_name("gone"))
        return table

    with monkeypatch.context() as patch:
        patch.setattr(patients, "read_cohort", vanishing)
        unread = r"Patient BraTS19_\w+: .*flair.nii.gz cannot be read"
        with pytest.raises(InputError, match=unread):
            load_slices(study)
    assert not list(study.run_folder.glob("*.npz"))
    tree.with_name("gone").rename(tree)
    assert len(load_slices(study).table) == 16


def test_a_slow_cohort_is_read_once_while_the_other_jobs_wait(study, monkeypatch):
    calls = []

    def slowly(study):
        calls.append(study)
        time.sleep(1)
        return make_slices(study)

    monkeypatch.setattr(slices, "make_slices", slowly)
    with ThreadPoolExecutor() as jobs:
        loaded = list(jobs.map(load_slices, [study] * 3))
    assert len(calls) == 1
    assert len({one.fingerprint for one in loaded}) == 1


def test_a_cohort_may_vanish_once_its_slices_are_made(study, tree):
    load_slices(study)
    shutil.rmtree(tree)
    assert len(train_across_sizes(study, "resnet34", 0).runs) == 3


def test_a_folder_that_takes_no_files_is_named(tree, monkeypatch):
    monkeypatch.setenv("UBC_DATA", "/proc/results")
    with pytest.raises(InputError, match=r"/proc/results/.* could not be written"):
        load_slices(tiny_study(tree))


def test_a_read_only_results_folder_ends_a_run_with_a_message_and_is_still_read(study, monkeypatch):
    made = make_slices(study)
    with plain_user() as folder:
        monkeypatch.setenv("UBC_DATA", str(folder))
        train_run(study, made, "resnet34", 1, seed=0)
        for path in study.run_folder.rglob("*/"):
            path.chmod(0o555)
        with pytest.raises(InputError, match=r"could not be written \(Permission denied\).*give"):
            train_run(study, made, "resnet34", 2, seed=0)
        assert load_runs(study).runs["images_per_class"].tolist() == [1]


@contextmanager
def plain_user():
    """Someone with a folder, since the administrator may write anywhere."""
    administrator, nobody = os.geteuid() == 0, 65534
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        if administrator:
            os.seteuid(nobody)
        try:
            yield Path(name)
        finally:
            if administrator:
                os.seteuid(0)
            for path in Path(name).rglob("*/"):
                path.chmod(0o755)


@pytest.mark.parametrize("kilobytes", [0, 1024], ids=["at the record", "at the checkpoint"])
def test_a_full_disk_ends_a_run_with_a_message(study, monkeypatch, kilobytes):
    """Simulated by the largest size that a file of this process may have."""
    slices = load_slices(study)
    if kilobytes:
        monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, before[1]))
    try:
        with pytest.raises(InputError, match=r"could not be written \(File too large\).*make room"):
            train_run(study, slices, "resnet34", 2, seed=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((study.run_folder / "records").glob("*"))
    assert train_run(study, slices, "resnet34", 2, seed=0)["result"]["epochs_run"] == study.epochs


@pytest.mark.parametrize("moment", [0, 2**33], ids=["1970", "2242"])
def test_clocks_that_disagree_change_nothing(study, monkeypatch, moment):
    before = train_across_sizes(study, "resnet34", 0).runs
    for path in study.run_folder.rglob("*"):
        os.utime(path, (moment, moment))
    monkeypatch.setattr(run, "fit", None)
    assert train_across_sizes(study, "resnet34", 0).runs.equals(before)


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text[:-100], lambda text: text.replace('"accuracy": ', '"accuracy": 0.', 1)],
    ids=["truncated", "altered by hand"],
)
def test_a_spoilt_record_is_never_used_and_is_run_again_once_it_is_deleted(study, spoil):
    whole = train_run(study, load_slices(study), "resnet34", 2, seed=0)
    path = record_path(study, "resnet34", 2, 0)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError, match=rf"{path.name}.*Delete it to run it again"):
        train_run(study, load_slices(study), "resnet34", 2, seed=0)
    path.unlink()
    assert comparable(train_run(study, load_slices(study), "resnet34", 2, seed=0)) == comparable(
        whole
    )
