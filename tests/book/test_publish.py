import json
import shutil
import zipfile

import matplotlib as mpl
import nbformat
import pytest
from ipywidgets import HTML, IntSlider, Stack, VBox, jslink
from ipywidgets.embed import dependency_state, embed_data
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.book_samples import summary_of
from tests.conftest import tiny_study
from tests.records import complete, record_all
from ubc_lib.__main__ import main
from ubc_lib.book.publish import (
    BEGIN,
    END,
    STATE,
    WITHHELD,
    forget_unshown_widgets,
    publish,
    published_folder,
    readme_section,
    update_readme,
)
from ubc_lib.figures.style import use_book_style
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError


@pytest.fixture(params=["brats", "phantom"])
def published(request):
    study = tiny_study(cohort=request.param)
    record_all(study)
    complete(study)
    return study, publish(study)


def test_tables_settings_summary_and_notebooks_are_there(published):
    _, folder = published
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert found == {
        "runs.csv",
        "records.zip",
        "study.yaml",
        "summary.json",
        "figure_6.svg",
        "tables/table_3.csv",
        "notebooks/04_results.ipynb",
    }


@pytest.mark.parametrize("part_of", ["lesion_crops", None])
def test_of_a_part_or_of_a_study_without_pages_only_runs_are_published(part_of):
    study = tiny_study(part_of=part_of)
    record_all(study)
    assert {path.name for path in publish(study).iterdir()} == {
        "runs.csv",
        "records.zip",
        "study.yaml",
    }


def test_pictures_of_real_patients_are_withheld_and_those_of_phantoms_kept(published):
    study, folder = published
    cells = nbformat.read(folder / "notebooks/04_results.ipynb", as_version=4).cells
    assert cells[2].outputs[0].data["image/png"]
    if study.cohort == "phantom":
        assert cells[1].outputs[0].data["image/png"]
    else:
        assert cells[1].outputs[0].data == {"text/markdown": WITHHELD}
        text = json.dumps(nbformat.read(folder / "notebooks/04_results.ipynb", 4))
        assert text.count("cGljdHVyZQ") == 1


def test_nothing_published_names_a_path_of_the_machine(published):
    _, folder = published
    with zipfile.ZipFile(folder / "records.zip") as archive:
        texts = [archive.read(name).decode() for name in archive.namelist()]
    assert len(texts) == 6
    texts += [path.read_text() for path in folder.rglob("*.*") if path.suffix != ".zip"]
    here = ("/home/me", str(folder.parents[2]), str(ROOT))
    assert not any(path in text for text in texts for path in here)


def test_a_study_of_ones_own_changes_nothing_of_the_repository(monkeypatch, data, capsys):
    study = tiny_study()
    record_all(study)
    complete(study)
    monkeypatch.setattr(Study, "load", lambda *_: study)
    before = (ROOT / "README.md").read_text()
    main(["publish", "tiny"])
    assert (study.run_folder / "published" / "records.zip").is_file()
    assert not study.results_folder.exists()
    assert (ROOT / "README.md").read_text() == before
    assert "yours, not the repository's" in capsys.readouterr().out


def test_a_study_that_git_knows_is_published_into_the_repository():
    quick = Study.load("quick")
    assert published_folder(quick) == quick.results_folder
    changed = Study.load("quick", "epochs=3")
    assert published_folder(changed) == changed.run_folder / "published"


def test_a_study_with_some_of_its_pages_is_not_published():
    study = tiny_study()
    record_all(study)
    (study.run_folder / "notebooks").mkdir()
    (study.run_folder / "notebooks" / "01_cohort.ipynb").write_text("{}")
    with pytest.raises(InputError, match=r"not complete.*make study STUDY=tiny"):
        publish(study)


@mpl.rc_context()
def test_publishing_again_changes_nothing(published):
    study, folder = published
    use_book_style()
    publish(study)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in paths}
    publish(study)
    assert [path for path in paths if path.read_bytes() != before[path]] == []


def test_a_published_study_can_be_continued(published):
    study, folder = published
    records = study.run_folder / "records"
    before = {path.name: path.read_text() for path in records.iterdir()}
    shutil.rmtree(records)
    with zipfile.ZipFile(folder / "records.zip") as archive:
        archive.extractall(records)
    assert {path.name: path.read_text() for path in records.iterdir()} == before


@pytest.fixture
def results(data):
    write_summary = (data / "results" / "one" / "summary.json").write_text
    (data / "results" / "one").mkdir(parents=True)
    summary = summary_of("one", images_per_class_max=190, missing_runs=2, minutes=3.2)
    write_summary(json.dumps(summary))
    return data / "results"


def test_every_model_of_every_study_has_a_row_of_the_readme(results):
    section = readme_section(results)
    row = "| `one` | 8 synthetic phantoms | ResNet34 | 190 | 0.70 [0.61,\u00a00.79], 1 seed |  |"
    assert row in section
    assert "| UBC-ResNet34 | 190 | 0.73 [0.61,\u00a00.79], 1 seed | 0.65 |" in section
    assert "2024-05-06, 3 minutes of training, 2 runs missing" in section
    assert "(data/results/one/figure_6.svg)" in section


def test_only_what_is_between_the_marks_of_the_readme_changes(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update_readme(readme)
    assert readme.read_text() == f"before\n{BEGIN}\n{readme_section(results)}\n{END}\nafter\n"


def test_the_readme_shows_the_committed_results():
    section = readme_section(ROOT / "data" / "results")
    assert f"{BEGIN}\n{section}\n{END}" in (ROOT / "README.md").read_text()


def chooser(text: str) -> VBox:
    slider, stack = IntSlider(), Stack([HTML(text)])
    jslink((slider, "value"), (stack, "selected_index"))
    return VBox([slider, stack])


def saved(*widgets: VBox, shown: int):
    state = embed_data(widgets, state=dependency_state(widgets))["manager_state"]
    outputs = [new_output("display_data", one._repr_mimebundle_()) for one in widgets]
    cells = [new_code_cell(outputs=[output]) for output in outputs[:shown]]
    return new_notebook(cells=cells, metadata={"widgets": {STATE: state}})


def test_what_is_shown_keeps_its_parts_and_links_and_the_rest_goes():
    first, second = chooser("kept"), chooser("secret")
    notebook = saved(first, second, shown=1)
    everything = set(notebook.metadata["widgets"][STATE]["state"])
    forget_unshown_widgets(notebook)
    left = notebook.metadata["widgets"][STATE]["state"]
    assert set(left) == set(saved(first, shown=1).metadata["widgets"][STATE]["state"])
    assert set(left) < everything
    assert "secret" not in str(notebook)
    assert sum(model["model_name"] == "LinkModel" for model in left.values()) == 1


def test_nothing_is_kept_where_nothing_is_shown():
    notebook = saved(chooser("secret"), shown=0)
    forget_unshown_widgets(notebook)
    assert "widgets" not in notebook.metadata
