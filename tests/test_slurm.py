"""The same study through a real SLURM: same records, and no fault of the cluster costs a run."""

import os
import re
import shutil
import signal
import subprocess

import psutil
import pytest

from tests import slurm
from tests.conftest import write_tree
from tests.training.test_run import without_time
from ubc_lib.results.record import read_record
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.training.cost import card_memory_mb, card_minutes
from ubc_lib.training.run import train_across_sizes

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SETTINGS = (
    "name=tiny patients_per_class=4 slices_per_patient=2 image_size=32 images_per_class=[2] "
    "seeds=[0,1,2] epochs=2 evaluate_every=1 batch_size=4 device=cpu"
)
LONG = (
    SETTINGS.replace("seeds=[0,1,2]", "seeds=[0]").replace("epochs=2", "epochs=100")
    + " models=[resnet34]"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if absent := slurm.missing():
        message = f"SLURM is not complete here: {', '.join(absent)} missing"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    daemons = slurm.Slurm(tmp_path_factory.mktemp("slurm"))
    daemons.start()
    yield daemons
    daemons.stop()


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Run a study on this machine; the records, and the folder for the same study elsewhere."""

    def run(settings: str) -> tuple[Study, dict[str, dict]]:
        monkeypatch.setenv("UBC_DATA", str(tmp_path / "local"))
        study = Study.load("lesion_crops", settings, write_tree(tmp_path / "tree"))
        for model in study.models:
            for seed in study.seeds:
                train_across_sizes(study, model, seed)
        records = records_of(study)
        monkeypatch.setenv("UBC_DATA", str(tmp_path / "shared"))
        (study.run_folder / "notebooks").mkdir(parents=True)
        (study.run_folder / "notebooks" / "01_cohort.ipynb").write_text("{}")
        slices = tmp_path / "local" / "runs" / study.name / "slices.npz"
        shutil.copy(slices, study.run_folder)
        return study, records

    return run


def records_of(study: Study) -> dict[str, dict]:
    paths = sorted((study.run_folder / "records").glob("*.json"))
    return {path.stem: without_time(read_record(path)) for path in paths}


def through_slurm(
    cluster, study: Study, settings: str, *options: str, gpu: str = "no"
) -> subprocess.Popen:
    """The study's trainings by the profile of this repository, as the book says to start it."""
    environment = cluster.environment | {"UBC_DATA": os.environ["UBC_DATA"]}
    environment["PYTHONPATH"] = str(ROOT)
    targets = [
        str(study.run_folder / "notebooks" / f"03_train-{model}-seed{seed}.ipynb")
        for model in study.models
        for seed in study.seeds
    ]
    return subprocess.Popen(
        [
            *("snakemake", *targets, "--profile", "profiles/slurm", "--cores", "1"),
            *("--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "5"),
            *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks"),
            *("2", "--slurm-logdir", str(cluster.folder / "jobs"), *options),
            *("--config", "study=lesion_crops", f"settings={settings}", f"gpu={gpu}", "gpus=2"),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_study_gives_the_same_records_as_locally(cluster, local):
    """Two jobs train on a GPU each, one by name alone: torch takes the processor."""
    settings = SETTINGS.replace("device=cpu", "device=auto")
    study, expected = local(settings)
    log, jobs = finished(cluster, through_slurm(cluster, study, settings, gpu="yes"))
    assert records_of(study) == expected, log
    assert len(expected) == 2 * 3
    on_cards = [job for job in jobs if "TresPerJob" in job]
    assert (len(on_cards), len(jobs)) == (2, 2 + 2 * 3)
    for job in on_cards:
        assert re.fullmatch("gres[:/]gpu:1", job["TresPerJob"])
        assert job["TimeLimit"] == f"00:{card_minutes(study, 2):02d}:00"
        assert job["MinMemoryNode"] == f"{card_memory_mb(study)}M"
    assert "slurm_extra=--signal=TERM@120" in log


def test_a_job_past_its_time_limit_goes_on_from_its_checkpoint(cluster, local):
    """One minute, the shortest limit that SLURM has, reached by a training that stands still."""
    study, expected = local(LONG)
    limit = "--set-resources", "train:runtime=attempt", "train:slurm_extra=''"
    snakemake = through_slurm(cluster, study, LONG, *limit)
    folder = study.run_folder / "checkpoints"
    cluster.wait_for(lambda: list(folder.glob("*.lock")), seconds=120)
    training().send_signal(signal.SIGSTOP)
    cluster.wait_for(lambda: list(folder.glob("*.pt")), seconds=150)
    log, jobs = finished(cluster, snakemake)
    limits = [(job["JobState"], job["TimeLimit"]) for job in jobs]
    assert limits == [("TIMEOUT", "00:01:00"), ("COMPLETED", "00:02:00")], log
    assert not any("TresPerJob" in job for job in jobs)  # no GPU: the study's device is none
    assert records_of(study) == expected


def test_a_job_told_to_leave_and_a_lost_node_cost_no_run(cluster, local):
    """SIGTERM, as SLURM sends it before the time limit, then SIGKILL of slurmd in mid-job."""
    study, expected = local(LONG)
    snakemake = through_slurm(cluster, study, LONG)
    folder = study.run_folder / "checkpoints"
    cluster.wait_for(lambda: list(folder.glob("*.lock")), seconds=120)
    (first,) = running_jobs(cluster)
    cluster.call("scancel", "--signal=TERM", first)
    cluster.wait_for(lambda: running_jobs(cluster) not in ([], [first]), seconds=120)
    assert list(folder.glob("*.pt"))

    cluster.kill("slurmd", 9)
    state = "sinfo", "--noheader", "--format=%T"
    cluster.wait_for(lambda: "down" in cluster.call(*state), seconds=60)
    cluster.call("slurmd")
    log, _ = snakemake.communicate(timeout=600)
    assert snakemake.returncode == 0, log
    assert records_of(study) == expected


def finished(cluster, snakemake: subprocess.Popen) -> tuple[str, list[dict[str, str]]]:
    """What Snakemake said in the end, and what SLURM knows of the jobs that it submitted."""
    log, _ = snakemake.communicate(timeout=600)
    shown = cluster.call("scontrol", "--oneliner", "show", "jobs").splitlines()
    fields = [dict(word.partition("=")[::2] for word in line.split()) for line in shown]
    submitted = re.findall(r"SLURM jobid (\d+)", log)
    return log, [job for job in fields if job["JobId"] in submitted]


def training() -> psutil.Process:
    """The process that trains: the notebook's kernel, which has this test's data folder."""
    (found,) = [
        one
        for one in psutil.process_iter(["cmdline", "environ"])
        if "ipykernel_launcher" in (one.info["cmdline"] or ())
        and one.info["environ"].get("UBC_DATA") == os.environ["UBC_DATA"]
    ]
    return found


def running_jobs(cluster) -> list[str]:
    return cluster.call("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
