"""The book: what is staged for it, what it promises, and that it is built strictly."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.book_samples import book_pages, book_project, built_book, write_study
from ubc_lib.__main__ import main
from ubc_lib.book.build import build, install_scripts, study_folders
from ubc_lib.book.settings import settings_page
from ubc_lib.book.stage import stage
from ubc_lib.book.verdict import WITHHELD, explorable
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.study.protocol import Model
from ubc_lib.system.errors import InputError

# What prose may type: the paper's results, its settings, and the constants of its protocol.
TYPED = {
    "0.81",
    "0.71",
    "0.77",
    "0.04",
    "0.05",
    "0.9",
    "0.5",
    "0.90",
    "0.86",
    "0.99",
    "0.7",
    "0.70",
}


@pytest.fixture
def book(tmp_path):
    """The folder `book` of an empty project."""
    return book_project(tmp_path / "project") / "book"


def page(book: Path, name: str):
    return nbformat.read(book / "studies" / f"{name}.ipynb", as_version=4)


def test_the_explorer_to_try_first_is_one_with_pictures():
    kinds = [{"synthetic": synthetic} for synthetic in (False, True, True)]
    assert explorable(kinds) is kinds[1]
    assert explorable(kinds[:1]) is kinds[0]


def test_every_staged_page_names_its_study_in_title_and_status_box(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    for path in (book / "studies" / "mine").glob("*.ipynb"):
        first = nbformat.read(path, as_version=4).cells[0].source
        assert first.splitlines()[0].endswith("(mine)")
        assert "Study **mine** · 8 synthetic phantoms · 12 trainings" in first


def test_a_training_page_names_its_model_in_title_and_menu(book, tmp_path):
    contents = stage([write_study(tmp_path / "mine")], book)
    first = page(book, "mine/03_train-ubc_resnet34-seed2").cells[0].source
    assert first.startswith("# Page 03_train-ubc_resnet34-seed2: UBC-ResNet34 (mine)")
    titles = [chapter["title"] for chapter in contents["parts"][1]["chapters"]]
    assert titles[0] == "What came out"
    assert titles[3].endswith("UBC-ResNet34")


def test_a_page_opens_with_its_point_and_the_status_box_follows(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    first = page(book, "mine/01_cohort").cells[0].source
    assert first.startswith("# Page 01_cohort (mine)\n\nText.\n\n:::{admonition}")


def test_a_page_ends_with_the_tables_that_its_own_code_writes(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    assert "{download}`table_3.csv`" in page(book, "mine/04_results").cells[-1].source
    assert "{download}" not in page(book, "mine/01_cohort").cells[-1].source


def test_the_explorer_offers_the_epochs_of_every_seed_and_a_training_page_those_of_its_own(
    book, tmp_path
):
    folder = write_study(tmp_path / "mine")
    for seed in (2, 10):
        (folder / "tables" / f"training_seed{seed}.csv").write_text("epoch\n1\n")
    stage([folder], book)
    explored = page(book, "mine/05_explorer").cells[-1].source
    assert "{download}`training_seed2.csv`, {download}`training_seed10.csv`" in explored
    trained = page(book, "mine/03_train-ubc_resnet34-seed2").cells[-1].source
    assert "{download}`training_seed2.csv`." in trained
    assert "training_seed10" not in trained


def test_sections_that_only_withhold_pictures_are_left_out_and_the_page_says_so(book, tmp_path):
    folder = write_study(tmp_path / "mine")
    path = folder / "notebooks" / "01_cohort.ipynb"
    notebook = nbformat.read(path, as_version=4)
    withheld = new_output("display_data", {"text/markdown": WITHHELD})
    notebook.cells += [new_markdown_cell("## Pictures"), new_code_cell("", outputs=[withheld])]
    nbformat.write(notebook, path)
    stage([folder], book)
    cells = page(book, "mine/01_cohort").cells
    assert "Pictures of real patients are not published" in cells[0].source
    assert not any("## Pictures" in cell.source for cell in cells)
    assert "not published" not in page(book, "mine/04_results").cells[0].source


def test_a_page_that_a_study_asks_for_stands_with_its_others(book, tmp_path):
    folders = [write_study(tmp_path / name) for name in ("mine", "other")]
    path = folders[0] / "notebooks" / "08_artefacts.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Noise")]), path)
    contents = json.dumps(stage(folders, book))
    assert "studies/mine/08_artefacts" in contents
    assert "studies/other/08_artefacts" not in contents


def test_explorers_stand_together_and_those_with_pictures_come_first(book, tmp_path):
    real = write_study(tmp_path / "real", cohort_kind="brats")
    contents = stage([real, write_study(tmp_path / "phantoms")], book)
    explore = next(part for part in contents["parts"] if part["caption"] == "Explore it")
    files = [chapter["file"] for chapter in explore["chapters"]]
    assert files == ["studies/phantoms/05_explorer", "studies/real/05_explorer", "volume"]


OF_THE_PAPER = re.compile("glioma|brats|paper|tumour|HGG|LGG", re.IGNORECASE)


def test_a_book_of_other_patients_opens_with_their_answer_and_says_nothing_of_the_papers(
    book, tmp_path
):
    folders = [write_study(tmp_path / name, cohort_kind="hospital") for name in ("mine", "other")]
    path = folders[0] / "notebooks" / "04_results.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_markdown_cell("A scanner.", metadata={"tags": ["of-the-paper"]}))
    said = "The paper's Figure 6: lines are means. Diamonds are the paper's values. Dots are seeds."
    notebook.cells[3].metadata["mystnb"]["figure"]["caption"] = said
    nbformat.write(notebook, path)
    contents = stage(folders, book)
    assert contents["root"] == "studies/mine/index"
    assert [part["caption"] for part in contents["parts"]] == [
        "Results: mine",
        "Results: other",
        "Explore it",
    ]
    cells = page(book, "mine/04_results").cells
    assert "A scanner." not in [cell.source for cell in cells]
    figure = cells[2].metadata["mystnb"]["figure"]
    assert figure["caption"] == "Lines are means. Dots are seeds."
    answer = (book / "studies" / "mine" / "index.md").read_text()
    assert "UBC-ResNet34 against ResNet34: cannot tell" in answer
    told = re.sub("HGG is the positive class, LGG the other", "", answer)
    assert not OF_THE_PAPER.findall(told)


def test_the_papers_patients_come_first_and_lead_the_book(book, tmp_path):
    other = write_study(tmp_path / "a_hospital", cohort_kind="hospital")
    contents = stage([other, write_study(tmp_path / "phantoms")], book)
    assert contents["root"] == "index"
    assert contents["parts"][1]["caption"] == "Results: phantoms"
    verdict = (book / "studies" / "verdict.md").read_text()
    assert "a_hospital" not in verdict


def test_code_that_only_prepares_is_one_closed_box(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    box = page(book, "mine/01_cohort").cells[1]
    assert box.source == "import this\n\nstudy = 1"
    assert box.metadata["tags"] == ["hide-input"]


def test_of_training_the_first_seed_of_each_model_is_shown(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    shown = {path.stem for path in (book / "studies" / "mine").glob("03_*.ipynb")}
    assert shown == {"03_train-resnet34-seed2", "03_train-ubc_resnet34-seed2"}


def test_labels_of_two_studies_differ_and_references_follow(book, tmp_path):
    stage([write_study(tmp_path / "one"), write_study(tmp_path / "two")], book)
    for study in ("one", "two"):
        cells = page(book, f"{study}/04_results").cells
        assert cells[2].metadata["mystnb"]["figure"]["name"] == f"fig-6-{study}"
        assert f"(#fig-6-{study})" in cells[3].source


def test_a_label_on_both_training_pages_becomes_two(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    names = {
        page(book, f"mine/{stem}").cells[2].metadata["mystnb"]["figure"]["name"]
        for stem in ("03_train-resnet34-seed2", "03_train-ubc_resnet34-seed2")
    }
    assert len(names) == 2


def test_the_models_appear_once_under_their_own_labels(book, tmp_path):
    contents = stage([write_study(tmp_path / "one"), write_study(tmp_path / "two")], book)
    assert not list((book / "studies").glob("*/02_models.ipynb"))
    assert page(book, "models").cells[2].metadata["mystnb"]["figure"]["name"] == "fig-4"
    assert json.dumps(contents).count("studies/models") == 1


def test_contents_list_each_study_after_the_method_and_only_staged_pages(book, tmp_path):
    contents = stage([write_study(tmp_path / "one"), write_study(tmp_path / "two")], book)
    captions = [part["caption"] for part in contents["parts"]]
    assert captions[:3] == ["The study", "Results: one", "Results: two"]
    for chapter in contents["parts"][1]["chapters"]:
        assert list(book.glob(f"{chapter['file']}.*"))


def test_what_was_staged_before_goes(book, tmp_path):
    stage([write_study(tmp_path / "old")], book)
    stage([write_study(tmp_path / "new")], book)
    assert {path.name for path in (book / "studies").glob("*/")} == {"new"}


def test_tables_and_the_headline_figure_are_offered_beside_the_pages(book, tmp_path):
    stage([write_study(tmp_path / "mine")], book)
    folder = book / "studies" / "mine"
    assert "{download}`table_3.csv`" in (folder / "index.md").read_text()
    assert (folder / "table_3.csv").is_file()
    assert (folder / "figure_6.svg").read_text().startswith("<svg")


def test_a_missing_page_is_named(book, tmp_path):
    folder = write_study(tmp_path / "mine")
    (folder / "notebooks" / "04_results.ipynb").unlink()
    with pytest.raises(InputError, match=r"04_results\.ipynb.*make study STUDY=mine"):
        stage([folder], book)


def test_a_notebook_without_title_is_refused(book, tmp_path):
    folder = write_study(tmp_path / "mine")
    path = folder / "notebooks" / "01_cohort.ipynb"
    path.write_text(path.read_text().replace("# Page 01_cohort", "Page"))
    with pytest.raises(InputError, match="'# Title'"):
        stage([folder], book)


def test_with_nothing_to_show_the_user_is_told_to_run_a_study(data):
    with pytest.raises(InputError, match=r"Run make study$"):
        study_folders()
    with pytest.raises(SystemExit, match=r"'mine' has no results\. Run make study STUDY=mine"):
        main(["book", "mine"])


def test_a_named_study_is_this_machines_and_no_name_means_all_committed_results(data):
    here = write_study(data / "runs" / "here")
    committed = [write_study(data / "results" / name) for name in ("a", "b")]
    assert study_folders(["here"]) == [here]
    assert study_folders() == committed


@pytest.mark.parametrize(
    ("kind", "arguments", "cautioned"),
    [("manifest", ["mine"], True), ("phantom", ["mine"], False), ("brats", [], False)],
)
def test_a_book_that_shows_pictures_of_patients_is_not_to_be_passed_on(
    data, monkeypatch, capsys, kind, arguments, cautioned
):
    write_study(data / ("runs" if arguments else "results") / "mine", cohort_kind=kind)
    monkeypatch.setattr("ubc_lib.book.build.build", lambda study, printable: Path("index.html"))
    main(["book", *arguments])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("It shows pictures of patients" if cautioned else "The book is at")


def test_prose_holds_no_result_that_is_not_the_papers():
    for path in [*(ROOT / "book").glob("*.md"), *(ROOT / "book" / "templates").glob("*.j2")]:
        if path.stem != "phantom":
            typed = set(re.findall(r"(?<![\d.])0[.,]\d+", path.read_text(encoding="utf-8")))
            assert {number.replace(",", ".") for number in typed} <= TYPED, path.name


def test_every_prose_page_is_in_the_contents():
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = {contents["root"]} | {
        chapter["file"] for part in contents["parts"] for chapter in part["chapters"]
    }
    assert listed - {"studies/models", "studies/settings"} == {
        path.stem for path in (ROOT / "book").glob("*.md")
    }


def test_script_packages_have_exact_versions_and_integrity_and_name_no_registry():
    wanted = json.loads((ROOT / "book" / "package.json").read_text())["dependencies"]
    packages = json.loads((ROOT / "book" / "package-lock.json").read_text())["packages"]
    del packages[""]
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_without_npm_the_user_is_told(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "book" / "package-lock.json", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    install_scripts(tmp_path)
    assert "npm" in capsys.readouterr().err


@pytest.mark.slow
def test_a_refused_page_leaves_the_earlier_book_as_it_was(book, data, capfd):
    write_study(data / "results" / "mine")
    earlier = book.parent / "_build" / "html" / "index.html"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("earlier")
    (book / "paper.md").unlink()
    (book / "paper.md").write_text("# The paper\n\n[nowhere](nowhere.md)\n")
    with pytest.raises(InputError, match="could not be built"):
        build(root=book.parent)
    assert "nowhere.md" in capfd.readouterr().err
    assert earlier.read_text() == "earlier"
    assert list(earlier.parents[1].iterdir()) == [earlier.parent]


@pytest.mark.slow
def test_without_scripts_the_book_is_whole_and_says_what_it_lacks(book, data, monkeypatch):
    write_study(data / "results" / "mine")
    (book / "node_modules").unlink(missing_ok=True)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    html = (build(root=book.parent).parent / "training.html").read_text(encoding="utf-8")
    assert "Built without npm" in html
    assert "vendor/" not in re.sub(r"<body.*", "", html, flags=re.DOTALL)


@pytest.mark.slow
def test_only_pages_with_equations_load_the_script_that_sets_them():
    pages = {name: (built_book() / f"{name}.html").read_text() for name in ("index", "training")}
    assert "vendor/mathjax" in pages["training"]
    assert "vendor/mathjax" not in pages["index"]


@pytest.mark.slow
def test_numbers_on_the_pages_are_those_of_the_summary():
    html = (built_book() / "index.html").read_text(encoding="utf-8")
    for number in ("0.70 [0.61,\u00a00.79]", "0.73 [0.61,\u00a00.79]", "+0.03", "97"):
        assert number in html
    assert "cannot tell" in html


@pytest.mark.slow
def test_every_link_and_picture_of_the_book_leads_somewhere():
    pages = {path: Links.of(path) for path in map(built_book().joinpath, book_pages())}
    for path, links in pages.items():
        for link in links.targets:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {link}"


class Links(HTMLParser):
    """What a page points at, and what in it can be pointed at."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors = set(), set()

    @classmethod
    def of(cls, path: Path):
        links = cls()
        links.feed(path.read_text(encoding="utf-8"))
        return links

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        for name in ("href", "src"):
            if attributes.get(name):
                self.targets.add(attributes[name])


def test_every_setting_has_its_line_with_what_it_means():
    text = settings_page()
    for name, field in (Study.model_fields | Model.model_fields).items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", text, flags=re.MULTILINE)
        assert field.description, name
        assert " ".join(field.description.split()) in line
    assert "| `image_size` | whole number, ≥ 32, ≤ 1024, multiple of 32 | 224 |" in text
    assert "| `images_per_class` | list of whole numbers, &gt; 0 | must be set |" in text


def test_several_studies_make_one_book(data):
    folders = [write_study(data / "runs" / name) for name in ("one", "two")]
    assert study_folders(["one", "two", "one"]) == folders
    with pytest.raises(InputError, match="'three' has no results"):
        study_folders(["one", "three"])
