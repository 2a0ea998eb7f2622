"""One set of versions, wherever they are written down, and nothing of one machine."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ubc_lib.study.files import ROOT

REQUIRED = {
    *("jupyter-book", "torch", "torchvision", "segmentation-models-pytorch", "nibabel"),
    *("seaborn", "statsmodels", "papermill", "ipywidgets"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RANGES = {
    requirement.name: requirement
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    for requirement in [Requirement(text)]
}


def locked() -> dict[str, set[str]]:
    """Versions in the lock by package; several where they differ by Python version."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement = Requirement(line)
        assert str(requirement.specifier).startswith("=="), line
        found.setdefault(requirement.name, set()).add(str(requirement.specifier)[2:])
    return found


def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def conda_pins() -> dict[str, str]:
    (pip,) = [part["pip"] for part in conda()["dependencies"] if isinstance(part, dict)]
    pins = [Requirement(line) for line in pip if not line.startswith("-")]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}


def test_required_packages_are_declared():
    assert set(RANGES) >= REQUIRED


def test_the_lock_has_every_package_within_its_range():
    for name, requirement in RANGES.items():
        assert all(requirement.specifier.contains(version) for version in locked()[name]), name


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.13", "3.14"])
def test_make_installs_with_those_versions_of_python_that_the_package_allows(tmp_path, version):
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    pretence = f"import sys; sys.version_info = {tuple(map(int, version.split('.')))}; "
    check = f'[ "$1" = -c ] && exec "{sys.executable}" -c "{pretence}$2"'
    python.write_text(f"#!/bin/sh\n{check}\nexit 1\n")
    python.chmod(0o755)
    command = ["make", "-f", ROOT / "Makefile", ".venv/installed", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    allowed = version in SpecifierSet(PROJECT["requires-python"])
    assert ("Installing" in done.stdout) == allowed
    assert ("set PYTHON=" in done.stderr) != allowed


def test_conda_users_get_the_versions_of_the_lock():
    for name, version in conda_pins().items():
        assert version in locked()[name], name


def test_conda_users_get_every_package_from_pip():
    assert set(conda_pins()) == set(RANGES)
    conda_packages = [part for part in conda()["dependencies"] if isinstance(part, str)]
    assert {re.split("[=<>]", part)[0] for part in conda_packages} == {"python", "pip", "nodejs"}


def test_everything_imported_is_declared():
    owners = packages_distributions()
    benches = [Requirement(text).name for text in PROJECT["optional-dependencies"]["bench"]]
    declared = {name.lower().replace("_", "-") for name in [*RANGES, *benches, PROJECT["name"]]}
    for path in [
        *ROOT.glob("ubc_lib/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
        *ROOT.glob("benchmarks/*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split(".")[0] for name in names} - {
                "tests",
                "benchmarks",
                "packaging",
            }:
                if name not in sys.stdlib_module_names:
                    owned = {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
                    assert owned & declared, f"{path.name} imports {name}"


def tracked_texts():
    files = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    )
    assert files.returncode == 0, "the tests look at what git tracks: run them in a clone"
    for name in files.stdout.split():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".gz", ".webp", ".png", ".woff2"}:
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_nothing_committed_names_a_folder_of_this_machine():
    home = str(ROOT.resolve())
    assert not [name for name, text in tracked_texts() if home in text]


def test_no_lock_names_a_registry():
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert '"resolved"' not in (ROOT / "book" / "package-lock.json").read_text()


def test_actions_are_pinned_to_a_commit():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: \S+@(\S+)", path.read_text())
        assert used
        assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in used), path.name


def test_library_modules_can_be_read_in_a_sitting():
    lengths = {str(p): len(p.read_text().splitlines()) for p in ROOT.glob("ubc_lib/**/*.py")}
    assert max(lengths.values()) < 300, lengths
