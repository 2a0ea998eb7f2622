"""The benchmarks run, here on a study that takes seconds; what they measure is not tested."""

import os
import shutil
import subprocess
import sys
import time

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from benchmarks import gpu, gpu_candidates, many_runs, runs
from tests.conftest import tiny_study, write_tree
from ubc_lib.results.archive import open_records
from ubc_lib.results.runs import load_runs
from ubc_lib.study.files import ROOT


def test_tables_and_figures_of_many_runs_are_made():
    mpl.use("agg")
    study = tiny_study(seeds=(0, 1, 2))
    many_runs.generate(study)
    many_runs.tables_and_figures(study, load_runs(study))
    plt.close("all")


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_is_tried_on_a_cpu_and_leaves_the_same_files(tmp_path):
    environment = os.environ | {"UBC_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--folder", str(tmp_path / "out")]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {"engine.csv", "gpu_candidates.csv", "machines.csv"}
    assert names == tables | {"gpu-dry.zip", "gpu_tests.txt"}
    tried = pd.read_csv(tmp_path / "out" / "gpu_candidates.csv")
    assert {*gpu_candidates.WAYS} - {"compiled"} < {*tried["way"]}
    assert tried["problem"].isna().all()
    with open_records(tmp_path / "out" / "gpu-dry.zip") as records:
        assert len(records) == 20  # of five seeds
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 2**20


def test_after_the_deadline_no_measurement_begins(tmp_path, capsys):
    def part():
        raise AssertionError

    gpu.write_until(time.monotonic() - 1, tmp_path / "rows.csv", [], [part])
    assert "no time for the rest" in capsys.readouterr().out


def test_runs_of_several_studies_are_trained_until_the_deadline_and_go_on_from_their_archives(
    tmp_path, monkeypatch, capsys
):
    study = tiny_study(write_tree(tmp_path / "tree"), images_per_class=(1,), epochs=1)

    def named(name, *_):
        return study.model_copy(update={"name": name})

    monkeypatch.setattr(runs.Study, "load", named)
    out = ["--folder", str(tmp_path / "out")]

    def train(minutes: str, *names: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["runs", *names, *out, "--minutes", minutes])
        runs.main()
        return capsys.readouterr().out.splitlines()

    assert train("0", "first") == []
    assert not (tmp_path / "out").exists()
    assert len(train("5", "first", "second")) == 2 * len(study.planned_runs)
    with open_records(tmp_path / "out" / "first.zip") as records:
        assert len(records) == len(study.planned_runs)
    written = (tmp_path / "out" / "first.zip").read_bytes()
    shutil.rmtree(named("first").run_folder / "records")
    train("5", "first")
    assert (tmp_path / "out" / "first.zip").read_bytes() == written
