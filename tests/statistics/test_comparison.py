"""Two models on the same slices: the difference, its intervals and its p-values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.conftest import tiny_study
from tests.prediction_samples import predictions_of, random_predictions
from ubc_lib.statistics.comparison import (
    compare_models,
    corrected_resampled_interval,
    mcnemar_p_value,
    paired_slices,
    permutation_p_value,
)
from ubc_lib.statistics.resampling import patient_bootstrap
from ubc_lib.system.errors import InputError

STUDY = tiny_study()

SWAP = {"resnet34": "ubc_resnet34", "ubc_resnet34": "resnet34"}


def pair(first, second, target=(0, 1), **run):
    """Predictions of ResNet34 and UBC-ResNet34 on the same slices."""
    return pd.concat(
        [
            predictions_of(right, target, model, **run)
            for model, right in zip(SWAP, (first, second), strict=True)
        ],
        ignore_index=True,
    )


def answers_of(both, first, second, neither):
    """Which of two models is right on each slice, from a table of counts."""
    counts = [both, first, second, neither]
    return np.repeat([1, 1, 0, 0], counts) == 1, np.repeat([1, 0, 1, 0], counts) == 1


FOUR = {
    "resnet34": {},
    "ubc_resnet34": {},
    "ubc_without_mask": {"network": "ubc_resnet34", "against": "ubc_resnet34"},
    "fast": {"network": "resnet34"},
}


class TestManyModels:
    def test_every_pair_of_the_study_has_its_rows_and_holm_counts_them_all(self, monkeypatch):
        given_p = iter([0.01, 0.02, 0.03, 0.5, 0.5, 0.5])
        monkeypatch.setattr(
            "ubc_lib.statistics.comparison.permutation_p_value", lambda *_: next(given_p)
        )
        study = tiny_study(models=FOUR)
        table = compare_models(study, random_predictions(sizes=(2, 4), models=FOUR))
        assert table[["model", "against", "images_per_class"]].to_numpy().tolist() == [
            ["ubc_resnet34", "resnet34", 2],
            ["ubc_resnet34", "resnet34", 4],
            ["ubc_without_mask", "ubc_resnet34", 2],
            ["ubc_without_mask", "ubc_resnet34", 4],
            ["fast", "resnet34", 2],
            ["fast", "resnet34", 4],
        ]
        assert table["holm_p"].iloc[0] == pytest.approx(0.06)

    def test_a_pair_is_what_it_would_be_without_the_other_models(self):
        table = random_predictions(models=FOUR)
        alone = table[table["model"].isin(SWAP)]
        rows = compare_models(tiny_study(models=FOUR), table)[:3].drop(columns="holm_p")
        pd.testing.assert_frame_equal(rows, compare_models(STUDY, alone).drop(columns="holm_p"))

    def test_one_model_has_no_rows(self):
        study = tiny_study(models=["resnet34"])
        assert compare_models(study, random_predictions(models=("resnet34",))).empty


class TestDifference:
    def test_counts_by_hand(self):
        table = pair([[1, 0], [0.4, 0]], [[1, 1], [0.6, 0]])
        (row,) = compare_models(STUDY, table).itertuples()
        assert (row.seeds, row.unpaired, row.patients, row.slices) == (1, 0, 2, 4)
        assert row.accuracy_against == pytest.approx(0.35)
        assert row.accuracy == pytest.approx(0.65)
        assert row.difference == pytest.approx(0.3)
        assert row.share_at_least_0_10 == 1

    def test_equal_answers_are_counted_by_slice(self):
        table = pair([[1, 0], [1, 0]], [[1, 1], [1, 1]])
        assert compare_models(STUDY, table)["same_answers"].item() == 0.5

    def test_a_difference_of_exactly_a_tenth_counts(self):
        table = pair([[1] * 5, [0] * 5], [[1] * 5, [1] + [0] * 4])
        assert compare_models(STUDY, table)["share_at_least_0_10"].item() == 1

    def test_its_interval_is_that_of_a_model_against_one_always_wrong(self):
        right = np.random.default_rng(0).random((8, 5)) < 0.7
        target = np.arange(8) % 2
        table = compare_models(STUDY, pair(np.zeros((8, 5)), right, target))
        alone = patient_bootstrap(predictions_of(right, target))
        assert (table["low"].item(), table["high"].item()) == pytest.approx(alone)

    def test_swapping_the_models_turns_the_sign_and_keeps_every_p(self):
        table = random_predictions(seeds=(0, 1, 2), accuracy={"ubc_resnet34": 0.8})
        swapped = compare_models(STUDY, table.assign(model=table["model"].map(SWAP)))
        plain = compare_models(STUDY, table)
        assert np.allclose(swapped["difference"], -plain["difference"])
        for low, high in (("low", "high"), ("seeds_low", "seeds_high")):
            assert np.allclose(swapped[low], -plain[high])
        for p in ("mcnemar_p", "permutation_p", "holm_p"):
            assert np.allclose(swapped[p], plain[p])

    def test_the_order_of_rows_does_not_matter(self):
        table = random_predictions()
        pd.testing.assert_frame_equal(
            compare_models(STUDY, table),
            compare_models(STUDY, table.sample(frac=1, random_state=0)),
        )

    def test_a_row_does_not_change_when_a_size_joins_but_for_holm(self):
        table = random_predictions(sizes=(2, 4))
        alone = compare_models(STUDY, table[table["images_per_class"] == 2])
        joined = compare_models(STUDY, table)[:1]
        pd.testing.assert_frame_equal(joined.drop(columns="holm_p"), alone.drop(columns="holm_p"))


class TestWhatIsMissing:
    def test_a_run_without_partner_is_counted_and_left_out(self):
        table = random_predictions(sizes=(2,), seeds=(0, 1, 2))
        alone = table["model"].eq("resnet34") & table["seed"].eq(2)
        (row,) = compare_models(STUDY, table[~alone]).itertuples()
        assert (row.seeds, row.unpaired) == (2, 1)
        (paired,) = compare_models(STUDY, table[table["seed"] < 2]).itertuples()
        assert row.difference == paired.difference

    def test_a_size_without_a_pair_stays_as_a_row_of_gaps(self):
        table = random_predictions(sizes=(2, 4))
        table = table[table["model"].eq("resnet34") | table["images_per_class"].eq(2)]
        last = compare_models(STUDY, table).iloc[-1]
        assert (last["images_per_class"], last["seeds"], last["unpaired"]) == (4, 0, 2)
        assert last.drop(["model", "against", "images_per_class", "seeds", "unpaired"]).isna().all()

    def test_with_one_model_every_row_is_a_gap(self):
        table = compare_models(STUDY, random_predictions(models=("ubc_resnet34",)))
        assert (table["seeds"] == 0).all()
        assert table[["difference", "holm_p"]].isna().all(axis=None)

    def test_with_one_seed_only_what_is_over_seeds_is_absent(self):
        table = compare_models(STUDY, random_predictions(seeds=(0,)))
        over_seeds = ["seeds_low", "seeds_high", "sd_over_seeds"]
        assert table[over_seeds].isna().all(axis=None)
        assert table.drop(columns=over_seeds).notna().all(axis=None)

    def test_a_slice_of_one_model_only_is_named(self):
        table = pair([[1, 0], [1, 0]], [[1, 1], [1, 0]])
        with pytest.raises(InputError, match="Only resnet34 predicts patient p01, slice 1"):
            compare_models(STUDY, table.iloc[:-1])


class TestMcNemar:
    @pytest.mark.parametrize(
        ("table", "p"),
        [
            # The tables with which statsmodels tests its exact McNemar test, against an online one.
            ((101, 121, 59, 33), 0.000004),
            ((101, 70, 59, 33), 0.378688),
            ((101, 80, 59, 33), 0.089452),
            ((101, 30, 60, 33), 0.00206),
        ],
    )
    def test_agrees_with_the_documented_examples_of_statsmodels(self, table, p):
        assert mcnemar_p_value(*answers_of(*table)) == pytest.approx(p, abs=1e-6)

    def test_is_the_sign_test_of_the_slices_that_only_one_gets_right(self):
        p = mcnemar_p_value(*answers_of(50, 3, 10, 7))
        assert p == pytest.approx(stats.binomtest(3, 13, 0.5).pvalue)

    def test_models_that_never_disagree_do_not_differ(self):
        assert mcnemar_p_value(*answers_of(5, 0, 0, 5)) == 1

    def test_takes_the_side_of_the_probability_for_yes_or_no(self):
        table = paired_slices(pair([[0.2, 0.4], [0.6, 1]], [[0.6, 0.6], [0.2, 0]]), STUDY.pairs[0])
        assert table["right_against"].tolist() == [False, False, True, True]
        assert table["right"].tolist() == [True, True, False, False]

    def test_of_several_seeds_the_median_is_given(self):
        halves = [answers_of(0, 2, 8, 0), answers_of(0, 5, 5, 0), answers_of(0, 4, 6, 0)]
        table = pd.concat(
            [
                pair(first.reshape(2, 5), second.reshape(2, 5), seed=seed)
                for seed, (first, second) in enumerate(halves)
            ]
        )
        expected = np.median([mcnemar_p_value(*half) for half in halves])
        assert compare_models(STUDY, table)["mcnemar_p"].item() == expected


class TestPermutation:
    def test_agrees_with_every_swap_counted(self):
        totals = np.array([3.0, 1, 2, -1, 2, 0, 1])
        signs = np.array(np.meshgrid(*[[-1, 1]] * len(totals))).reshape(len(totals), -1)
        exact = np.mean(np.abs(totals @ signs) >= totals.sum())
        assert permutation_p_value(totals, replicates=50_000) == pytest.approx(exact, abs=0.01)

    def test_is_never_zero_since_the_observed_order_is_one_of_those_that_count(self):
        assert permutation_p_value(np.ones(60), replicates=99) == pytest.approx(1 / 100)

    @given(st.lists(st.integers(-5, 5), min_size=2, max_size=20))
    @settings(max_examples=30, deadline=None)
    def test_does_not_say_which_model_is_better(self, totals):
        totals = np.array(totals, float)
        p = permutation_p_value(totals, replicates=200)
        assert p == permutation_p_value(-totals, replicates=200)
        assert 0 < p <= 1

    def test_slices_that_repeat_a_patient_are_no_more_evidence(self):
        right = np.array([[1], [1], [1], [0]])
        few = compare_models(STUDY, pair(np.zeros((4, 1)), right, [0, 1, 0, 1]))
        many = compare_models(STUDY, pair(np.zeros((4, 5)), right.repeat(5, axis=1), [0, 1, 0, 1]))
        assert many["permutation_p"].item() == few["permutation_p"].item()
        assert many["mcnemar_p"].item() < few["mcnemar_p"].item()

    def test_keeps_its_level_where_the_models_are_alike(self):
        rng = np.random.default_rng(0)
        p = [permutation_p_value(rng.normal(size=30), 200) for _ in range(3000)]
        assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.012)


class TestHolm:
    def test_by_hand(self, monkeypatch):
        # Ordered 0.01, 0.02, 0.04 of three: × 3, × 2, × 1, never falling.
        given_p = iter([0.04, 0.01, 0.02])
        monkeypatch.setattr(
            "ubc_lib.statistics.comparison.permutation_p_value", lambda *_: next(given_p)
        )
        table = compare_models(STUDY, random_predictions(sizes=(2, 4, 8)))
        assert table["holm_p"].tolist() == pytest.approx([0.04, 0.03, 0.04])

    def test_counts_only_the_sizes_that_were_compared(self):
        table = random_predictions(sizes=(2, 4))
        table = table[table["model"].eq("resnet34") | table["images_per_class"].eq(2)]
        compared = compare_models(STUDY, table)
        assert compared["holm_p"][0] == compared["permutation_p"][0]


class TestNadeauBengio:
    def test_by_hand(self):
        # mean 0.02, s² = (0.03² + 0.01² + 0.02²) / 2 = 0.0007; t(2) = 4.30265 at 97.5 %.
        half_width = 4.30265 * (0.0007 * (1 / 3 + 1)) ** 0.5
        interval = corrected_resampled_interval(np.array([0.05, 0.01, 0.0]))
        assert interval == pytest.approx((0.02 - half_width, 0.02 + half_width), abs=1e-6)

    def test_without_test_patients_in_common_it_is_students(self):
        values = np.array([0.1, 0.3, 0.2, 0.0])
        ours = corrected_resampled_interval(values, test_train_ratio=0)
        theirs = stats.ttest_1samp(values, 0).confidence_interval()
        assert ours == pytest.approx((theirs.low, theirs.high))

    def test_one_seed_says_nothing(self):
        assert np.isnan(corrected_resampled_interval(np.array([0.1]))).all()
