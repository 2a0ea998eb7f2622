"""A curve over sizes is of the same seeds everywhere."""

from tests.prediction_samples import runs_of
from ubc_lib.results.runs import whole_curves


def test_seeds_that_lack_a_size_are_left_out_of_curves():
    by_size = {1: [0.5, 0.6], 4: [0.5, 0.6, 0.1, 0.1]}
    runs = runs_of({"resnet34": by_size, "ubc_resnet34": by_size})
    assert sorted(whole_curves(runs)["seed"].unique()) == [0, 1]
    assert len(whole_curves(runs)) == 8


def test_a_seed_of_one_model_only_is_left_out():
    runs = runs_of({"resnet34": {1: [0.5, 0.6]}, "ubc_resnet34": {1: [0.5]}})
    assert whole_curves(runs)["seed"].unique().tolist() == [0]


def test_a_seed_with_a_diverged_run_is_left_out():
    runs = runs_of({"resnet34": {1: [0.5, 0.6], 4: [0.5, float("nan")]}})
    assert whole_curves(runs)["seed"].unique().tolist() == [0]


def test_where_no_seed_has_all_sizes_all_are_kept():
    runs = runs_of({"resnet34": {1: [0.5], 4: [0.5]}})
    runs.loc[runs["images_per_class"] == 4, "seed"] = 7
    assert whole_curves(runs).equals(runs)
