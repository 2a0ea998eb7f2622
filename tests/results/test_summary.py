import math

import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.records import made_record, record_all
from tests.result_samples import some_slices
from ubc_lib.results.runs import load_runs, tidy
from ubc_lib.results.summary import (
    read_summary,
    summarise,
    write_summary,
)
from ubc_lib.results.tables import table_3
from ubc_lib.system.errors import InputError


def summary_of(study, loaded, comparison=None) -> dict:
    table = table_3(study, loaded.runs, loaded.predictions, some_slices().table)
    comparison = compared() if comparison is None else comparison
    return summarise(study, loaded, table, comparison, "BraTS patients")


def compared(size: int = 4, **columns) -> pd.DataFrame:
    """A row of `comparison.compare_models`, of numbers that were never measured."""
    row = {"model": "ubc_resnet34", "against": "resnet34", "images_per_class": size, "seeds": 3}
    row["difference"] = 0.05
    intervals = {"low": -0.01, "high": 0.08, "seeds_low": 0.01, "seeds_high": 0.09}
    return pd.DataFrame([row | intervals | columns])


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
    assert (summary["runs"], summary["missing_runs"]) == (12, 0)


def test_patients_are_those_of_one_seed_or_of_all_where_seeds_draw_others(finished):
    loaded = load_runs(finished)
    assert summary_of(finished, loaded)["cohort"] == "8 BraTS patients"
    loaded.predictions["patient"] = [f"p{number % 9}" for number in loaded.predictions.index]
    assert summary_of(finished, loaded)["cohort"] == "9 BraTS patients (8 a seed)"


def test_the_interval_of_the_difference_reaches_as_far_as_either_does(finished):
    summary = summary_of(finished, load_runs(finished), compared())
    assert summary["headline"] == {
        "model": "ubc_resnet34",
        "against": "resnet34",
        "difference": 0.05,
        "interval": [-0.01, 0.09],
        "paired_seeds": 3,
    }


@pytest.mark.parametrize("seeds_high", [math.nan, 0.9])
def test_with_few_seeds_the_interval_is_that_over_patients(finished, seeds_high):
    few = compared(seeds=2, seeds_high=seeds_high)
    summary = summary_of(finished, load_runs(finished), few)
    assert summary["headline"]["interval"] == [-0.01, 0.08]


@pytest.mark.parametrize("comparison", [compared(size=2), compared(difference=math.nan)])
def test_without_a_pair_at_the_largest_size_there_is_no_difference(finished, comparison):
    summary = summary_of(finished, load_runs(finished), comparison)
    assert summary["headline"]["difference"] is summary["headline"]["interval"] is None


def test_missing_runs_are_counted_and_a_missing_model_left_out():
    study = tiny_study()
    loaded = tidy([made_record(study, "resnet34", 4)])
    summary = summary_of(study, loaded, compared(difference=math.nan))
    assert (summary["runs"], summary["missing_runs"]) == (1, 5)
    assert summary["headline"]["difference"] is None


def test_the_headline_is_of_the_papers_models_wherever_they_stand():
    entries = {"fast": {"network": "resnet34"}, "resnet34": {}, "ubc_resnet34": {}}
    study = tiny_study(models=entries)
    record_all(study)
    rows = [compared(model=model, difference=n) for n, (model, _) in enumerate(study.pairs)]
    summary = summary_of(study, load_runs(study), pd.concat(rows))
    assert [one["model"] for one in summary["comparisons"]] == ["fast", "ubc_resnet34"]
    assert summary["headline"] == summary["comparisons"][1]


def test_a_study_of_one_model_has_no_headline():
    study = tiny_study(models=["resnet34"])
    record_all(study)
    assert summary_of(study, load_runs(study))["headline"] is None


def test_a_summary_is_read_as_it_was_written(finished):
    summary = summary_of(finished, load_runs(finished))
    write_summary(finished, summary)
    assert read_summary(finished.run_folder) == summary


def test_a_missing_summary_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match="make study STUDY=gone"):
        read_summary(tmp_path / "gone")
