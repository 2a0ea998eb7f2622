"""Puts small errors into a copy of the library, one at a time: does a test notice?

`python -m tests.mutants [WORD]` runs those of mutants.yaml, or of them those whose name holds a
word, prints the test that noticed each, and fails where one stays unnoticed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from ubc_lib.study.files import ROOT

MUTANTS = Path(__file__).with_name("mutants.yaml")
SURVIVED = "UNNOTICED"


def copy_of_the_project(folder: Path) -> Path:
    """The project with a library and tests of its own; all else is the project's."""
    for path in ROOT.iterdir():
        if path.name in ("ubc_lib", "tests"):
            shutil.copytree(path, folder / path.name)
        elif path.name not in (".git", "_build", ".pytest_cache"):
            (folder / path.name).symlink_to(path)
    return folder


def killed_by(place: str, old: str, new: str, tests: str) -> str:
    """The name of the test that notices a mutant, or `SURVIVED`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_project(Path(folder))
        mutated = copy / "ubc_lib" / place
        text = mutated.read_text(encoding="utf-8")
        if text.count(old) != 1:
            return f"{SURVIVED}: {place} holds {old!r} {text.count(old)} times, not once"
        mutated.write_text(text.replace(old, new), encoding="utf-8")
        words = shlex.split(tests)
        command = [sys.executable, "-m", "pytest", f"tests/{words[0]}", *words[1:], "-x", "-q"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", ran.stdout, flags=re.MULTILINE)
    return found[1] if found and ran.returncode == 1 else SURVIVED


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    mutants = yaml.safe_load(MUTANTS.read_text(encoding="utf-8"))
    chosen = {name: mutant for name, mutant in mutants.items() if word in name}
    survived = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        kills = pool.map(lambda item: killed_by(*item[1]), chosen.items())
        for name, test in zip(chosen, kills, strict=True):
            print(f"{name}: {test}", flush=True)
            survived += test.startswith(SURVIVED)
    sys.exit(f"{survived} of {len(chosen)} were not noticed." if survived else 0)


if __name__ == "__main__":
    main()
