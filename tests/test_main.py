"""The command line checks what it is given, and says in one line what is wrong."""

import os
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
import torch

from ubc_lib.__main__ import main
from ubc_lib.study.files import ROOT


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """The command that a study is run with; it is not run. What imports ask of a machine is."""
    found, really = [], subprocess.run

    def run(command, **options):
        if "snakemake" not in command:
            return really(command, **options)
        found.extend(map(str, command))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def told(command: list[str]) -> dict[str, str]:
    """What Snakemake is told of the study."""
    pairs = command[command.index("--config") + 1 :]
    return {key: unquote(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def test_a_study_is_run_by_snakemake_with_what_was_asked_for(executed):
    main(["study", "quick", "epochs=3 seeds=[4]", "--cores", "2", "--gpus", "3"])
    assert executed[1:4] == ["-m", "snakemake", "book"]
    assert executed[executed.index("--cores") + 1] == "2"
    assert "gpu=3" in executed
    asked = told(executed)
    assert (asked["gpu"], asked["gpus"]) == ("no", "3")
    assert (asked["study"], asked["settings"]) == ("quick", "epochs=3 seeds=[4]")


@pytest.mark.parametrize(("device", "gpu"), [("auto", "yes"), ("cuda", "yes"), ("cpu", "no")])
def test_a_gpu_is_asked_for_where_torch_and_the_study_use_one(executed, monkeypatch, device, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    main(["study", "quick", f"device={device}"])
    assert told(executed)["gpu"] == gpu


def test_less_than_one_card_is_refused(executed):
    with pytest.raises(SystemExit, match=r"GPUS. must be 1 or more; device=cpu"):
        main(["study", "quick", "--gpus", "0"])


@pytest.mark.parametrize("part", ["2", "-1"])
def test_a_part_that_is_not_there_is_refused(part):
    with pytest.raises(SystemExit, match=r"--part counts from 0 to 1, got"):
        main(["train", "quick", f"--part={part}", "--parts", "2"])


def test_a_gpu_that_torch_cannot_use_is_not_passed_over_in_silence(executed, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: "/bin/nvidia-smi")
    main(["study", "quick"])
    assert "cannot use, so all is trained on the CPU" in capsys.readouterr().out
    main(["study", "quick", "device=cpu"])
    assert "cannot use" not in capsys.readouterr().out


@pytest.mark.parametrize("title", ["a b", 'with "quotes"', "a {braces} %20"])
def test_settings_arrive_as_they_were_written(executed, title):
    settings = f"name=mine 'title={title}'"
    main(["study", "quick", settings])
    assert told(executed)["settings"] == settings
    assert not set("\"'{} ") & set("".join(executed[executed.index("--config") :]))


def test_a_study_that_does_not_finish_says_how_to_go_on(executed, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(SystemExit, match=r"not finished.*same command again.*snakemake/log"):
        main(["study", "quick"])


def test_a_root_for_a_study_that_reads_none_is_refused_with_those_that_do(executed, tmp_path):
    with pytest.raises(SystemExit, match=r"quick makes its own patients.*brats2019.*bus_bra"):
        main(["study", "quick", "--cohort-root", str(tmp_path)])
    assert not executed


def test_make_hands_on_quotes_and_spaces(tmp_path):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    settings = """name=x 'title=a "b" c'"""
    command = ["make", "--no-print-directory", "-f", ROOT / "Makefile", "-o", ".venv/installed"]
    command += ["study", f"SET={settings}", "COHORT_ROOT=/a b/c", "STUDY=brats2019"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert said[2:6] == ["study", "brats2019", settings, "--cohort-root=/a b/c"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "Error: There is no study 'quik'"),
        (["quick", "epocs=3"], "Error: Unknown setting 'epocs'"),
        (["quick", "models='{mine: {network: resnet43}}'"], "Error: Unknown network 'resnet43'"),
        (["quick", "cohort=brat"], "Error: Unknown cohort 'brat'"),
        (["brats2019", "--cohort-root", str(ROOT / "tests")], "Error: .*holds no patients"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_before_anything_runs(executed, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(["study", *arguments])
    assert not executed


def test_help_lists_the_commands_without_loading_what_they_need():
    script = (
        "import sys, runpy; sys.argv = ['ubc_lib', '--help']\n"
        "try: runpy.run_module('ubc_lib', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'pandas', 'matplotlib', 'snakemake'} & sys.modules.keys()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    for command in ("study", "book", "notebook", "publish", "restore", "cost"):
        assert f"\n    {command} " in ran.stdout


def test_a_command_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["studdy"])
    assert "invalid choice: 'studdy'" in capsys.readouterr().err
