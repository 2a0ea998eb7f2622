"""Builds the book of one study, or of all committed results, strictly and whole."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from ubc_lib.book.pdf import print_page
from ubc_lib.book.stage import stage
from ubc_lib.book.verdict import PDF
from ubc_lib.study.files import ROOT, data_folder
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path

DATA = ("data/calibration", "data/cost", "data/rules")  # what pages show besides results


def build(studies: Iterable[str] = (), root: Path = ROOT, printable: bool = False) -> Path:
    """Build the book strictly and return its first page, `_build/html/index.html`.

    studies: of `data/runs`; without any, all committed results are shown.
    The book appears whole or not at all: it is built beside the one that stands, then moved.
    printable: whether the first page offers all pages as one PDF.
    Raises InputError when there are no results, when a page is refused, or when a PDF cannot be
    printed here.
    """
    root = _writable(root)
    contents = stage(study_folders(studies), root / "book")
    install_scripts(root / "book")
    target = root / "_build" / "html"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="book-") as name:
        workshop = Path(name)
        (workshop / "toc.yml").write_text(yaml.safe_dump(contents, sort_keys=False), "utf-8")
        if printable:
            page = _pages("singlehtml", root, workshop) / "index.html"
            print_page(page, root / "book" / PDF)
        pages = _pages("html", root, workshop)
        if target.exists():
            target.rename(workshop / "before")
        pages.rename(target)
    return target / "index.html"


def _writable(root: Path) -> Path:
    """The project, or a copy of what the book is made of where the project is read-only."""
    if os.access(root, os.W_OK):
        return root
    copy = data_folder() / "book"
    parts = [root / name for name in ("_config.yml", "book", "benchmarks", *DATA)]
    for path in (path for part in parts for path in (part, *part.rglob("*"))):
        if path.is_file() and "node_modules" not in path.parts:
            with atomic_path(copy / path.relative_to(root)) as new:  # without its permissions
                shutil.copyfile(path, new)
    return copy


def _pages(builder: str, root: Path, workshop: Path) -> Path:
    """Run Jupyter Book with one of its builders and return the folder of its pages."""
    arguments = ["build", "book", "--builder", builder, "--toc", workshop / "toc.yml"]
    arguments += ["--config", "_config.yml", "--path-output", workshop]
    arguments += ["-W", "--keep-going", "--all", "--quiet"]
    command = [Path(sys.executable).with_name("jupyter-book"), *arguments]
    # Its standard output names a folder that is about to be moved.
    if subprocess.run(command, cwd=root, check=False, stdout=subprocess.DEVNULL).returncode:
        raise InputError("The book could not be built: see above. An earlier book is intact.")
    return workshop / "_build" / builder


def study_folders(studies: Iterable[str] = ()) -> list[Path]:
    """Folders of the results to show: of runs here, or of every committed result by name.

    Raises InputError when there is nothing to show, or not of one that was asked for.
    """
    folders = [data_folder() / "runs" / study for study in dict.fromkeys(studies)]
    for folder in folders:
        if not (folder / "summary.json").is_file():
            raise InputError(
                f"The book has nothing to show: study {folder.name!r} has no results. Run make "
                f"study STUDY={folder.name}"
            )
    committed = sorted(path.parent for path in (data_folder() / "results").glob("*/summary.json"))
    if not folders and not committed:
        raise InputError("The book has nothing to show: there are no results. Run make study")
    return folders or committed


def install_scripts(book: Path) -> None:
    """Fetch the scripts that pages bring along, at the versions of `package-lock.json`.

    Without npm, or with its registry out of reach, the book is built without them and says so.
    """
    lock, installed = book / "package-lock.json", book / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # Node.js otherwise trusts its own list of certificates only, which fails behind some proxies.
    environment = os.environ | {"NODE_USE_SYSTEM_CA": "1"}
    if not npm or subprocess.run(command, cwd=book, check=False, env=environment).returncode:
        print(
            "npm could not fetch the scripts of the book: equations will show as TeX, and the "
            "explorers will stand still.",
            file=sys.stderr,
        )
