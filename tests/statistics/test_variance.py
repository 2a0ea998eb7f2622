"""What seeds alone do to accuracy."""

import numpy as np
import pytest

from tests.conftest import tiny_study
from tests.prediction_samples import runs_of
from tests.result_samples import some_runs
from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.variance import (
    chance_of_shape,
    differences_by_seed,
    runs_by_source,
    variance_split,
)
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError

STUDY = tiny_study()

CURVES = {1: [0.5, 0.6], 2: [0.7, 0.65], 3: [0.6, 0.7]}


def sd_of(table, source, model="resnet34", against=""):
    cell = table["source"].eq(source) & table["model"].eq(model) & table["against"].eq(against)
    row = table[cell]
    return row["sd"].item()


def scattered(deviation, seeds=400, mean=0.6, stream=0):
    return list(mean + np.random.default_rng(stream).normal(0, deviation, seeds))


class TestVarianceSplit:
    def test_recovers_simulated_deviations(self):
        whole = np.hypot(np.hypot(0.01, 0.02), 0.04)
        tables = {
            "initialisation": runs_of({"resnet34": {4: scattered(0.01)}}),
            "subset": runs_of({"resnet34": {4: scattered(0.02, stream=1)}}),
            "split": runs_of({"resnet34": {4: scattered(whole, stream=2)}}),
        }
        table = variance_split(STUDY, tables)
        for source, deviation in (("initialisation", 0.01), ("subset", 0.02), ("split", 0.04)):
            assert sd_of(table, source) == pytest.approx(deviation, rel=0.15)
        assert (table["low"] <= table["sd"]).all()
        assert (table["sd"] <= table["high"]).all()

    def test_variances_add_up_by_hand(self):
        tables = {
            "initialisation": runs_of({"resnet34": {4: [0.5, 0.52]}}),  # variance 0.0002
            "subset": runs_of({"resnet34": {4: [0.5, 0.54]}}),  # 0.0008
            "split": runs_of({"resnet34": {4: [0.5, 0.6]}}),  # 0.005
        }
        table = variance_split(STUDY, tables)
        assert sd_of(table, "split") == pytest.approx(0.004**0.5)
        assert sd_of(table, "all") == pytest.approx(0.005**0.5)

    def test_a_measured_deviation_has_the_interval_of_a_normal_variables(self):
        # sd 0.1 of 5: 0.1·√(4 / 11.1433) and 0.1·√(4 / 0.484419), from tables of χ² with 4 degrees.
        spread = 0.1 * np.sqrt(0.4) * np.array([-2, -1, 0, 1, 2])
        row = variance_split(STUDY, {"subset": runs_of({"resnet34": {4: [*(0.6 + spread)]}})})
        row = row[row["source"] == "subset"].iloc[0]
        assert (row.sd, row.low, row.high) == pytest.approx((0.1, 0.059914, 0.287356), rel=1e-4)

    def test_a_split_that_adds_nothing_is_0_not_imaginary(self):
        tables = {
            "initialisation": runs_of({"resnet34": {4: [0.5, 0.6]}}),
            "subset": runs_of({"resnet34": {4: [0.5, 0.6]}}),
            "split": runs_of({"resnet34": {4: [0.5, 0.6]}}),
        }
        table = variance_split(STUDY, tables)
        assert sd_of(table, "split") == 0
        assert table.loc[table["source"] == "split", ["low", "high"]].isna().all(axis=None)

    def test_the_difference_of_the_models_scatters_by_itself(self):
        # Both models move together, so their difference does not.
        together = {"resnet34": {4: [0.5, 0.6, 0.7]}, "ubc_resnet34": {4: [0.6, 0.7, 0.8]}}
        table = variance_split(STUDY, {"split": runs_of(together)})
        assert sd_of(table, "all") == pytest.approx(0.1)
        assert sd_of(table, "all", *STUDY.pairs[0]) == pytest.approx(0, abs=1e-12)

    def test_one_seed_or_an_absent_table_leaves_gaps(self):
        one = {"subset": runs_of({"resnet34": {4: [0.5]}})}
        table = variance_split(STUDY, one)
        assert table["sd"].isna().all()
        assert table.set_index("source")["seeds"].to_dict() == {
            "initialisation": 0,
            "subset": 1,
            "split": 0,
            "all": 0,
        }

    def test_an_unknown_source_or_other_data_is_refused(self):
        runs = runs_of({"resnet34": {4: [0.5, 0.6]}})
        with pytest.raises(InputError, match=r"\['luck'\]; allowed are initialisation"):
            variance_split(STUDY, {"luck": runs})
        with pytest.raises(InputError, match="different data"):
            variance_split(STUDY, {"subset": runs, "split": runs.assign(fingerprint="g")})

    def test_without_tables_there_are_no_rows(self):
        assert variance_split(STUDY, {}).empty


class TestSources:
    def test_runs_are_told_apart_by_what_their_seeds_change(self):
        study = Study.load("lesion_crops")
        parts = ("initialisation", "subset", "to_the_end")  # the last one's seeds change all three
        names = [study.name, *(f"{study.name}_{part}" for part in parts)]
        parts = {name: some_runs(seeds=(number,)) for number, name in enumerate(names)}
        seeds = {
            source: runs["seed"].unique().tolist()
            for source, runs in runs_by_source(study, parts).items()
        }
        assert seeds == {"split": [0], "initialisation": [1], "subset": [2]}

    def test_a_study_of_one_split_is_none_of_them(self):
        study = Study.load("quick")
        assert study.varied == ("subset", "initialisation")
        assert runs_by_source(study, {"quick": some_runs()}) == {}


class TestShapes:
    def test_counts_curves_above_both_neighbours_at_two(self):
        (row,) = chance_of_shape(runs_of({"resnet34": CURVES})).itertuples()
        assert (row.shape, row.curves, row.shown, row.share) == ("outlier at 2", 2, 1, 0.5)
        assert (row.low, row.high) == wilson_interval(1, 2)

    def test_counts_curves_below_both_neighbours_at_ten(self):
        curves = {8: [0.6, 0.6, 0.6], 10: [0.5, 0.6, 0.65], 15: [0.7, 0.7, 0.7]}
        (row,) = chance_of_shape(runs_of({"ubc_resnet34": curves})).itertuples()
        assert (row.shape, row.curves, row.shown) == ("dip at 10", 3, 1)

    def test_a_curve_with_a_gap_is_not_counted(self):
        curves = CURVES | {3: [0.6]}
        assert chance_of_shape(runs_of({"resnet34": curves}))["curves"].item() == 1

    @pytest.mark.parametrize("sizes", [(2, 3), (1, 3), (1, 2)])
    def test_without_both_neighbours_there_is_no_shape(self, sizes):
        curves = {size: [0.5, 0.6] for size in sizes}
        assert chance_of_shape(runs_of({"resnet34": curves})).empty


def test_a_seed_of_one_model_has_no_difference():
    runs = runs_of({"resnet34": {4: [0.5, 0.6]}, "ubc_resnet34": {4: [0.7]}})
    (row,) = differences_by_seed(STUDY, runs).itertuples()
    assert (row.model, row.against, row.seed) == ("ubc_resnet34", "resnet34", 0)
    assert row.difference == pytest.approx(0.2)
