"""From result folders to pages: executed notebooks made ready for the book."""

import ast
import json
import os
import re
import shutil
from collections import Counter
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from ubc_lib.book.settings import FIELDS, settings_page
from ubc_lib.book.verdict import FIGURE, ROC, WITHHELD, status_box, study_page, verdict_page
from ubc_lib.book.words import say
from ubc_lib.results.summary import read_summary
from ubc_lib.statistics.judge import Evidence
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError

SHARED_PAGE = "02_models"
PAGES = ("01_cohort", "03_train-*-seed*[0-9]", "04_results", "05_explorer", "06_statistics")
ASKED_FOR = ("08_artefacts",)  # pages of studies that ask for them
EXPLORER = "05_explorer"
OF_PAPER = "of-the-paper"  # a tag
LEFT_OUT = (
    "*Pictures of real patients are not published. The sections that show them are left out here; "
    "rerun the study on your copy of the data to see them.*"
)


def stage(folders: list[Path], book: Path = ROOT / "book") -> dict:
    """Copy what the book shows of each study into `book/studies/` and return the contents (a toc).

    Whatever was staged before goes. The first study of the paper's patients is the headline:
    landing and prose pages quote its numbers, and its page on the models, the same for all
    studies, is the book's. The explorers of all studies stand together, those of phantoms first,
    which show pictures. Without such a study the book is of the studies' own pages alone, and opens
    with what came out. Raises InputError naming the page or figure that a study lacks.
    """
    folders = sorted(folders, key=lambda folder: not read_summary(folder)["of_paper"])
    staged = book / "studies"
    shutil.rmtree(staged, ignore_errors=True)
    summaries, parts = [], []
    for folder in folders:
        summary = read_summary(folder)
        pages = _stage_study(folder, summary, staged / summary["study"])
        summaries.append(summary)
        chapters = [
            {"file": f"studies/{summary['study']}/{page}", "title": title}
            for page, title in pages.items()
            if page != EXPLORER
        ]
        parts.append({"caption": f"Results: {summary['study']}", "chapters": chapters})
    (staged / "summaries.json").write_text(json.dumps(summaries), encoding="utf-8")
    if not summaries[0]["of_paper"]:
        return _own_contents(parts, summaries)
    models = _read(_found(folders[0], SHARED_PAGE)[0])
    _offer_tables(models, folders[0], f"{summaries[0]['study']}/")
    _open_with(models, _title(models))
    nbformat.write(models, staged / "models.ipynb")
    text = verdict_page([Evidence.of(folder) for folder in folders])
    (staged / "verdict.md").write_text(text, encoding="utf-8")
    links = launch_links(*repository(ROOT / "_config.yml"))
    (staged / "launch.md").write_text(links, encoding="utf-8")
    reference = say("api.md.j2", rooms=_rooms(ROOT / "ubc_lib"), settings=sorted(FIELDS))
    (staged / "api.md").write_text(reference, encoding="utf-8")
    (staged / "settings.md").write_text(settings_page(), encoding="utf-8")
    contents = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    explore = next(part for part in contents["parts"] if part["caption"] == "Explore it")
    explore["chapters"] = [*_explorers(summaries), *explore["chapters"]]
    contents["parts"][1:1] = parts
    return contents


def _own_contents(parts: list[dict], summaries: list[dict]) -> dict:
    """The contents of a book that has nothing to do with the paper's patients."""
    first, *others = parts[0]["chapters"]
    parts = [{**parts[0], "chapters": others}, *parts[1:]]
    explore = {"caption": "Explore it", "chapters": _explorers(summaries)}
    return {"format": "jb-book", "root": first["file"], "parts": [*parts, explore]}


def _leave_out_paper(notebook: NotebookNode) -> None:
    """Take out what concerns the paper's patients alone: cells tagged so, and words of captions."""
    notebook.cells = [cell for cell in notebook.cells if OF_PAPER not in _tags(cell)]
    for figure in filter(None, map(_figure, notebook.cells)):
        said = re.sub(r"^The paper's Figure \d+: ", "", figure["caption"])
        told = [one for one in re.split(r"(?<=\.) ", said) if "the paper" not in one]
        figure["caption"] = " ".join(told)[:1].upper() + " ".join(told)[1:]


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def repository(config: Path) -> tuple[str, str]:
    """Address on GitHub and branch: of `_config.yml` or, where that is silent, of the Action.

    The address is empty where neither knows it.
    """
    named = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]
    of_action = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}"
    known = {"GITHUB_SERVER_URL", "GITHUB_REPOSITORY"} <= os.environ.keys()
    address = named["url"] or (of_action.format_map(os.environ) if known else "")
    return address.removesuffix("/"), named["branch"]


def launch_links(address: str, branch: str, folder: Path = ROOT / "notebooks") -> str:
    """Markdown: links that open the clean notebooks on borrowed machines, Binder and Colab."""
    notebooks = sorted(path.stem for path in folder.glob("*.ipynb"))
    name = "/".join(address.split("/")[-2:])
    values = {"address": address, "name": name, "branch": branch, "notebooks": notebooks}
    return say("launch.md.j2", **values)


def _rooms(library: Path) -> list[dict]:
    """The packages of the library, the top first, with what they say of themselves and hold."""
    rooms = []
    for about in sorted(library.rglob("__init__.py")):
        name = ".".join(about.parent.relative_to(library.parent).parts)
        said = ast.get_docstring(ast.parse(about.read_text(encoding="utf-8"))) or ""
        paths = sorted(path for path in about.parent.glob("*.py") if path.name[:2] != "__")
        modules = [f"{name}.{path.stem}" for path in paths]
        rooms.append({"name": name, "about": said, "modules": modules})
    return rooms


def _explorers(summaries: list[dict]) -> list[dict]:
    """The explorers in the menu, those of phantoms first."""
    studies = [one["study"] for one in sorted(summaries, key=lambda one: not one["synthetic"])]
    return [
        {"file": f"studies/{study}/{EXPLORER}", "title": f"Explorers: {study}"} for study in studies
    ]


def _stage_study(folder: Path, summary: dict, target: Path) -> dict[str, str]:
    """Write the pages of a study and return their titles in the menu, by file name."""
    study, box = summary["study"], status_box(summary)
    evidence = Evidence.of(folder)
    paths = [path for pattern in PAGES for path in _found(folder, pattern)]
    paths += [path for name in ASKED_FOR for path in (folder / "notebooks").glob(f"{name}.ipynb")]
    notebooks = {path.stem: _read(path) for path in paths}
    uses = Counter(label for notebook in notebooks.values() for label in _labels(notebook))
    titles = {"index": "What came out"}
    target.mkdir(parents=True)
    for stem, notebook in notebooks.items():
        if not summary["of_paper"]:
            _leave_out_paper(notebook)
        unique = {label: f"{label}-{study}" for label, pages in uses.items() if pages == 1}
        shared = {label: f"{label}-{stem}-{study}" for label, pages in uses.items() if pages > 1}
        _relabel(notebook, unique | shared)
        model = stem.partition("-")[2].partition("-")[0]
        titles[stem] = _title(notebook) + (f": {summary['labels'][model]}" if model else "")
        _offer_tables(notebook, folder, shown=_training_tables(stem))
        left_out = _leave_out_withheld(notebook)
        _open_with(notebook, f"{titles[stem]} ({study})", box, *left_out)
        nbformat.write(notebook, target / f"{stem}.ipynb")
    beside = [*_tables(folder), *folder.glob(ROC)]
    if not (folder / FIGURE).is_file():
        raise InputError(f"{folder} holds no {FIGURE}. Run make study STUDY={folder.name}")
    for path in (folder / FIGURE, *beside):
        shutil.copyfile(path, target / path.name)
    page = study_page(evidence, [path.name for path in beside])
    (target / "index.md").write_text(page, encoding="utf-8")
    return titles


def _found(folder: Path, pattern: str) -> list[Path]:
    """The executed notebooks of a page; of those that differ in seed only the lowest."""

    def seed(path: Path) -> int:
        return int(path.stem.partition("-seed")[2] or 0)

    found = sorted((folder / "notebooks").glob(f"{pattern}.ipynb"), key=seed, reverse=True)
    if not found:
        raise InputError(
            f"{folder}/notebooks holds no {pattern}.ipynb, so the book would lack a page. "
            f"Run make study STUDY={folder.name}"
        )
    return sorted({path.stem.partition("-seed")[0]: path for path in found}.values())


def _read(path: Path) -> NotebookNode:
    """A notebook; InputError when it does not open with a title, which the book needs."""
    notebook = nbformat.read(path, as_version=4)
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        raise InputError(f"{path} must open with a Markdown cell '# Title'.")
    return notebook


def _title(notebook: NotebookNode) -> str:
    return notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


def _offer_tables(notebook: NotebookNode, folder: Path, place: str = "", shown: str = "") -> None:
    """End a page with the tables that its own code writes, or whose names match, as downloads.

    place: leads from the page to the tables, and ends with "/".
    """
    code = "\n".join(cell.source for cell in notebook.cells if "write_tables(" in cell.source)
    offered = [
        f"{{download}}`{place}{path.name}`"
        for path in _tables(folder)
        if f'"{path.stem}"' in code or fnmatch(path.stem, shown)
    ]
    if offered:
        text = f"## Data\n\nThe figures and tables of this page as CSV: {', '.join(offered)}."
        notebook.cells.append(new_markdown_cell(text))


def _tables(folder: Path) -> list[Path]:
    """The tables of a study by name, seed 2 before seed 10."""
    paths = (folder / "tables").glob("*.csv")
    return sorted(paths, key=lambda path: (path.stem.rstrip("0123456789"), len(path.stem), path))


def _training_tables(stem: str) -> str:
    """Names of the tables of single epochs that a page shows: its own seed's, or all explored."""
    seed = "*" if stem == EXPLORER else stem.partition("-seed")[2]
    return f"training_seed{seed}"


def _leave_out_withheld(notebook: NotebookNode) -> list[str]:
    """Take out the sections that show nothing but that they may not; returns what to say then."""
    sections = []
    for cell in notebook.cells:
        if not sections or (cell.cell_type == "markdown" and cell.source.startswith("#")):
            sections.append([])
        sections[-1].append(cell)
    kept = [section for section in sections if set(_shown(section)) != {WITHHELD}]
    notebook.cells = [cell for section in kept for cell in section]
    return [LEFT_OUT] if len(kept) < len(sections) else []


def _shown(cells: list[NotebookNode]) -> list[str]:
    """The outputs of some cells, as Markdown where they are."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output.get("data", {}).get("text/markdown", "") for output in outputs]


def _open_with(notebook: NotebookNode, title: str, *boxes: str) -> None:
    """Give a notebook its title, boxes below its point, and one for the code that prepares."""
    text = notebook.cells[0].source.partition("\n")[2].strip()
    notebook.cells[0].source = "\n\n".join([f"# {title}", text, *boxes])
    cells = notebook.cells[1:]
    preparing = list(takewhile(lambda cell: cell.cell_type == "code" and not cell.outputs, cells))
    if preparing:
        preparing[0].source = "\n\n".join(cell.source for cell in preparing)
        preparing[0].metadata["tags"] = ["hide-input"]
        del notebook.cells[2 : 1 + len(preparing)]


def _figure(cell: NotebookNode) -> dict:
    return cell.metadata.get("mystnb", {}).get("figure", {})


def _labels(notebook: NotebookNode) -> set[str]:
    """Names of the figures and places of a notebook that a page can point at."""
    labels = {_figure(cell).get("name") for cell in notebook.cells} - {None}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            labels.update(re.findall(r"^\(([\w-]+)\)=$", cell.source, flags=re.MULTILINE))
    return labels


def _relabel(notebook: NotebookNode, names: dict[str, str]) -> None:
    """Rename labels where they stand and where they are pointed at."""
    for cell in notebook.cells:
        figure = _figure(cell)
        if "name" in figure:
            figure["name"] = names[figure["name"]]
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"(?<=[`<#(])[\w-]+(?=[`>)])",
                lambda label: names.get(label[0], label[0]),
                cell.source,
            )
