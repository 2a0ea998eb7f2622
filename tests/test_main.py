"""The command line checks what it is given, and says in one line what is wrong."""

import os
import subprocess
import sys

import pytest

from ubc_lib.__main__ import main
from ubc_lib.study import ROOT


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """The command that a process would go on as; nothing is run."""
    found = []
    monkeypatch.setattr(os, "execv", lambda _path, command: found.extend(command))
    monkeypatch.setattr(os, "chdir", lambda _path: None)
    return found


def test_a_study_is_run_by_snakemake_with_what_was_asked_for(executed):
    main(["study", "quick", "epochs=3 seeds=[4]", "--cores", "2", "--gpus", "3"])
    assert executed[1:4] == ["-m", "snakemake", "book"]
    assert executed[executed.index("--cores") + 1] == "2"
    assert "gpu=3" in executed
    assert {"study=quick", "settings=epochs=3 seeds=[4]", "cohort_root="} < set(executed)


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
