import pytest

from tests.conftest import tiny_study
from tests.records import made_record, record_all
from ubc_lib.errors import InputError
from ubc_lib.results import load_runs, tidy
from ubc_lib.summary import read_summary, summarise, summary_lines, write_summary
from ubc_lib.tables import table_3


def summary_of(study, loaded) -> dict:
    return summarise(study, loaded, table_3(study, loaded.runs, loaded.predictions))


@pytest.fixture
def finished():
    study = tiny_study(seeds=(0, 1))
    record_all(study)
    return study


def test_the_headline_is_at_the_largest_size(finished):
    summary = summary_of(finished, load_runs(finished))
    assert summary["images_per_class_max"] == 4
    one = summary["models"]["ubc_resnet34"]
    assert (one["accuracy"], one["dice"], one["seeds"]) == (0.75, 0.5, 2)
    assert one["low"] < 0.75 < one["high"]
    assert summary["models"]["resnet34"]["dice"] is None
    assert summary["dummy"]["accuracy"] == 0.5
    assert summary["minutes"] == 12 * 0.5
    assert summary["missing_runs"] == 0


def test_the_difference_is_of_seeds_that_both_models_have():
    study = tiny_study(seeds=(0, 1))
    records = [
        made_record(study, "resnet34", 4, 0, accuracy=0.5),
        made_record(study, "ubc_resnet34", 4, 0, accuracy=0.75),
        made_record(study, "ubc_resnet34", 4, 1, accuracy=1.0),
    ]
    assert summary_of(study, tidy(records))["difference"] == 0.25


def test_missing_runs_are_counted_and_a_missing_model_left_out():
    study = tiny_study()
    summary = summary_of(study, tidy([made_record(study, "resnet34", 4)]))
    assert summary["missing_runs"] == 5
    assert summary["difference"] is None
    assert "ubc_resnet34: no finished run" in summary_lines(summary)


def test_five_lines_say_what_came_out(finished):
    lines = summary_lines(summary_of(finished, load_runs(finished)))
    assert len(lines) == 5
    assert lines[0].startswith("resnet34: accuracy 0.75 [")
    assert lines[2] == "Dice: 0.50"
    assert "8 patients of a BraTS tree (study tiny)" in lines[3]
    assert "6.0 minutes" in lines[4]


def test_a_summary_is_read_as_it_was_written(finished):
    summary = summary_of(finished, load_runs(finished))
    write_summary(finished, summary)
    assert read_summary(finished.run_folder) == summary


def test_a_missing_summary_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="make study STUDY=gone"):
        read_summary(tmp_path / "gone")
