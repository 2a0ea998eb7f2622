import json

import pytest

from ubc_lib.book.readme import BEGIN, END, results_section, update
from ubc_lib.study import ROOT

SUMMARY = {
    "study": "one",
    "title": "A title",
    "cohort": "8 patients",
    "images_per_class_max": 190,
    "models": {
        "resnet34": {"accuracy": 0.71, "low": 0.66, "high": 0.75, "dice": None, "seeds": 1},
        "ubc_resnet34": {"accuracy": 0.7, "low": 0.65, "high": 0.74, "dice": 0.77, "seeds": 2},
    },
    "device": "CPU",
    "commit": "abc",
    "date": "2026-01-01T00:00:00",
    "minutes": 3.2,
    "missing_runs": 2,
    "runs": 3,
    "dummy": {"dice": 0.1},
}


@pytest.fixture
def results(data):
    (data / "results" / "one").mkdir(parents=True)
    (data / "results" / "one" / "summary.json").write_text(json.dumps(SUMMARY))
    return data / "results"


def test_every_model_of_every_study_has_a_row(results):
    section = results_section(results)
    assert "| `one` | 8 patients | ResNet34 | 190 | 0.71 [0.66, 0.75], 1 seed |  |" in section
    assert "| UBC-ResNet34 | 190 | 0.70 [0.65, 0.74], 2 seeds | 0.77 |" in section
    assert "commit abc, 2026-01-01, 3 minutes of training, 2 runs missing" in section
    assert "(data/results/one/figure_6.svg)" in section


def test_only_what_is_between_the_marks_changes(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update(readme)
    assert readme.read_text() == f"before\n{BEGIN}\n{results_section(results)}\n{END}\nafter\n"


def test_the_readme_shows_the_committed_results():
    section = results_section(ROOT / "data" / "results")
    assert f"{BEGIN}\n{section}\n{END}" in (ROOT / "README.md").read_text()
