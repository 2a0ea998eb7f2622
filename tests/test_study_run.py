"""The whole graph, as `make study` runs it, on eight tiny patients."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from tests.conftest import brain, write_nifti, write_tree
from ubc_lib.results.record import read_record, record_path
from ubc_lib.results.runs import load_runs
from ubc_lib.results.summary import read_summary
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT

pytestmark = pytest.mark.slow

SETTINGS = (
    "name=tiny patients_per_class=4 slices_per_patient=2 image_size=32 images_per_class=[1,4] "
    "seeds=[0] epochs=2 evaluate_every=1 batch_size=4 artefacts=true"
)
PAGES = ("explorer", "statistics", "artefacts")


def snakemake(
    data: Path,
    root: Path | str,
    *targets: str,
    settings: str = SETTINGS,
    gpu: str = "no",
    gpus: int = 1,
    cores: int = 2,
):
    environment = os.environ | {"UBC_DATA": str(data), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [
            *("snakemake", *targets, "--cores", str(cores), "--nolock"),
            *([] if "--dry-run" in targets else ["--quiet", "all"]),
            *("--rerun-triggers", "mtime", "--resources", f"gpu={gpus}"),
            *("--config", "study=lesion_crops", f"settings={settings}", f"cohort_root={root}"),
            *(f"gpu={gpu}", f"gpus={gpus}"),
        ],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its data folder and the log of its run."""
    folder = tmp_path_factory.mktemp("study")
    write_tree(folder / "tree")
    done = snakemake(folder / "data", folder / "tree", "models", *PAGES)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "data", done.stdout


@pytest.fixture
def study(finished, monkeypatch) -> Study:
    monkeypatch.setenv("UBC_DATA", str(finished[0]))
    return Study.load("lesion_crops", SETTINGS)


def test_all_notebooks_are_executed(study):
    names = {path.stem for path in (study.run_folder / "notebooks").glob("*.ipynb")}
    assert names == {
        "01_cohort",
        "02_models",
        "03_train-resnet34-seed0",
        "03_train-ubc_resnet34-seed0",
        "04_results",
        "05_explorer",
        "06_statistics",
        "08_artefacts",
    }


def test_every_run_is_recorded_and_summarised(study):
    assert len(load_runs(study).runs) == 4
    summary = read_summary(study.run_folder)
    assert set(summary["models"]) == {"resnet34", "ubc_resnet34"}
    assert summary["missing_runs"] == 0


def test_the_log_has_one_line_per_run(finished):
    lines = [line for line in finished[1].splitlines() if "images per class" in line]
    assert len(lines) == 4


def test_no_notebook_shows_a_warning(study):
    for path in (study.run_folder / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            streams = [o for o in cell.get("outputs", []) if o.get("name") == "stderr"]
            assert not streams, (path.name, streams)


def test_figures_and_tables_have_their_data_beside_them(study):
    names = {path.name for path in (study.run_folder / "tables").glob("*.csv")}
    assert {"table_3.csv", "figures_6_7.csv", "comparison.csv", "artefacts.csv"} <= names


def test_a_second_call_runs_nothing(finished, study, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in study.run_folder.rglob("*.ipynb")}
    done = snakemake(finished[0], finished[0].parent / "tree", "models", *PAGES)
    assert done.returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_record_that_was_deleted_is_trained_again_by_the_same_command(finished, study):
    path = record_path(study, "resnet34", 4, 0)
    before = read_record(path)
    other = record_path(study, "resnet34", 1, 0).stat().st_mtime_ns
    path.unlink()
    done = snakemake(finished[0], finished[0].parent / "tree", "statistics")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_record(path)["predictions"] == before["predictions"]
    assert record_path(study, "resnet34", 1, 0).stat().st_mtime_ns == other


def test_after_a_file_of_the_cohort_has_changed_its_runs_are_refused(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "data")
    path = finished[0].parent / "tree" / "LGG" / "BraTS19_SITE0_L0_1"
    flair = path / f"{path.name}_flair.nii.gz"
    kept, times = flair.read_bytes(), (flair.stat().st_atime_ns, flair.stat().st_mtime_ns)
    write_nifti(flair, brain(0)[::-1].copy())
    done = snakemake(tmp_path / "data", finished[0].parent / "tree", "statistics")
    flair.write_bytes(kept)
    os.utime(flair, ns=times)
    assert done.returncode != 0
    assert "fingerprint of the data" in done.stdout + done.stderr


def test_on_one_core_one_training_runs_at_a_time(tmp_path):
    write_tree(tmp_path / "tree")
    settings = SETTINGS.replace("[1,4]", "[1]")
    done = snakemake(tmp_path / "data", tmp_path / "tree", "results", settings=settings, cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    times = [(about["start_time"], about["end_time"]) for about in executed(tmp_path)]
    (_, first_end), (second_start, _) = sorted(times)
    assert first_end < second_start


def executed(folder: Path) -> list[dict]:
    """What papermill says of the notebooks of training."""
    paths = folder.rglob("03_train-*.ipynb")
    return [nbformat.read(path, 4).metadata["papermill"] for path in paths]


def test_each_card_trains_its_part_in_one_process_and_notebooks_read_the_records(
    tmp_path, monkeypatch
):
    """Cards by name alone: torch takes the processor."""
    write_tree(tmp_path / "tree")
    asked = {"gpu": "yes", "gpus": 2, "settings": SETTINGS.replace("artefacts=true", "")}
    done = snakemake(tmp_path / "data", tmp_path / "tree", "results", **asked)
    assert done.returncode == 0, done.stdout + done.stderr
    marks = sorted(path.stem for path in tmp_path.rglob("*.trained"))
    assert marks == ["card0", "card1"]
    monkeypatch.setenv("UBC_DATA", str(tmp_path / "data"))
    study = Study.load("lesion_crops", SETTINGS)
    records = sorted((study.run_folder / "records").iterdir())
    assert len(records) == 4
    last = max(path.stat().st_mtime for path in records)
    begun = [about["start_time"] for about in executed(tmp_path)]
    assert last < min(map(datetime.fromisoformat, begun)).replace(tzinfo=UTC).timestamp()
    records[0].unlink()
    done = snakemake(tmp_path / "data", tmp_path / "tree", "results", **asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert records[0].is_file()


@pytest.mark.parametrize(
    ("device", "gpu", "cards"),
    [("cpu", "yes", 0), ("auto", "no", 0), ("auto", "yes", 2), ("cuda", "no", 2)],
)
def test_cards_are_asked_for_where_the_studys_device_is_one(tmp_path, device, gpu, cards):
    settings = f"{SETTINGS} device={device}"
    done = snakemake(tmp_path, "", "results", "--dry-run", settings=settings, gpu=gpu, gpus=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        re.findall(r"rule (\w+):[^:]*(?:\n +.*)*?gpu=1", done.stdout) == ["train_on_card"] * cards
    )
    assert done.stdout.count("gpu=1") == cards


def test_without_settings_the_study_runs_as_it_is_written(tmp_path):
    done = snakemake(tmp_path, "", "book", "--dry-run", "--printshellcmds", settings="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"study=lesion_crops settings= cohort_root=$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [("epocs=3", "Did you mean 'epochs'"), ("epochs=zero", "epochs: .*integer")],
)
def test_a_wrong_setting_ends_at_once_with_a_message(tmp_path, settings, message):
    done = snakemake(tmp_path / "data", tmp_path, "explorer", settings=settings)
    assert done.returncode != 0
    assert re.search(message, done.stdout + done.stderr)


def test_a_cohort_that_is_not_there_ends_with_its_name(tmp_path):
    done = snakemake(tmp_path / "data", tmp_path / "nowhere", "explorer")
    assert done.returncode != 0
    assert "nowhere is not a folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
