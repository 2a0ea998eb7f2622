"""The rooms of the library, and the one way in which their imports point."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ubc_lib.study.files import ROOT

LIBRARY = ROOT / "ubc_lib"
ENTRIES = {
    *("__main__.py", "study", "models.py", "losses.py", "data", "phantom", "training"),
    *("results", "statistics", "figures", "book", "system"),
}
# Room -> the rooms that it may import; what those may import, it may, too.
MAY_IMPORT = {
    "book": {"training", "figures"},
    "figures": {"statistics", "data"},
    "training": {"data", "models", "losses", "results"},
    "statistics": {"results"},
    "data": {"phantom", "results"},
    "losses": {"models"},
    "models": {"study"},
    "phantom": {"study"},
    "results": {"study"},
    "study": {"system"},
    "system": set(),
}
WITHOUT_TORCH = ("study", "data", "phantom", "results", "statistics", "figures", "system")
MODULES = sorted(LIBRARY.rglob("*.py"))


def allowed(room: str) -> set[str]:
    """Every room that a room may import, itself among them."""
    found = {room}
    for other in MAY_IMPORT[room]:
        found |= allowed(other)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules of the library that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ubc_lib"}


def test_the_house_has_twelve_entries():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "ubc_lib"], capture_output=True, text=True, check=True
    )
    top = {Path(line).parts[1] for line in listed.stdout.split()}
    assert top == ENTRIES | {"__init__.py"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_of_a_room_point_one_way(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        if room_of(path) == room
        for name in imported(path)
        if name.split(".")[1] not in allowed(room)
    ]
    assert not wrong


def test_what_is_there_for_speed_is_known_to_training_alone():
    wrong = [
        path
        for path in MODULES
        if room_of(path) != "training"
        and any(name.startswith("ubc_lib.training.fast") for name in imported(path))
    ]
    assert not wrong


def test_one_place_of_training_alone_lets_speed_in():
    outside = [path for path in MODULES if "fast" not in path.parts]
    entrances = [
        path.name
        for path in outside
        if any(name.startswith("ubc_lib.training.fast") for name in imported(path))
    ]
    assert entrances == ["loop.py"]


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_a_room_without_torch_imports_none(room):
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if room_of(path) == room
    ]
    script = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 0


def test_the_names_that_people_want_come_from_the_top_without_what_they_do_not_need():
    script = (
        "import sys, ubc_lib; heavy = {'torch', 'pandas', 'matplotlib'} & sys.modules.keys(); "
        "from ubc_lib import InputError, Study; "
        "sys.exit(bool(heavy) or 'torch' in sys.modules or not ubc_lib.__version__)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 0


def test_every_name_of_the_top_is_there():
    import ubc_lib  # noqa: PLC0415

    assert all(getattr(ubc_lib, name) for name in ubc_lib.__all__)
    assert set(ubc_lib.__all__) <= set(dir(ubc_lib))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ubc_lib.nonsense
