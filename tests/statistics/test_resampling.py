"""Intervals that draw patients, and what five slices of one patient are worth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from tests.prediction_samples import predictions_of, random_predictions
from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.resampling import (
    accuracy_intervals,
    bootstrap_weights,
    design_effect,
    patient_bootstrap,
)

ANSWERS = st.lists(
    st.lists(st.sampled_from([0, 0.2, 0.4, 0.6, 0.8, 1]), min_size=3, max_size=3),
    min_size=4,
    max_size=12,
)


def alternating(answers):
    return predictions_of(answers, np.arange(len(answers)) % 2)


def test_agrees_with_an_independent_bootstrap_of_whole_patients():
    rng = np.random.default_rng(1)
    right = rng.random((60, 5)) < rng.beta(2, 1, size=(60, 1))
    target = np.repeat([0, 1], 30)
    ours = patient_bootstrap(predictions_of(right, target), replicates=20_000)
    sums = right.sum(axis=1)
    theirs = bootstrap(
        (sums[:30], sums[30:]),
        lambda first, second, axis: (first.sum(axis) + second.sum(axis)) / right.size,
        n_resamples=20_000,
        vectorized=True,
        method="percentile",
        rng=rng,
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.004)


def test_a_patient_of_several_seeds_is_drawn_with_all_of_them():
    half = predictions_of([[1, 0], [0, 0], [1, 1], [1, 0]], [0, 0, 1, 1])
    again = half.assign(seed=1)
    assert patient_bootstrap(pd.concat([half, again])) == patient_bootstrap(half)


@given(ANSWERS)
@settings(max_examples=40, deadline=None)
def test_an_interval_stays_within_0_and_1(answers):
    low, high = patient_bootstrap(alternating(answers), replicates=200)
    assert 0 <= low <= high <= 1


@given(st.integers(2, 12), st.sampled_from([0, 1]))
@settings(max_examples=20, deadline=None)
def test_where_all_patients_are_alike_nothing_is_uncertain(patients, answer):
    table = alternating(np.full((patients, 3), answer))
    assert patient_bootstrap(table, replicates=100) == (answer, answer)


@given(ANSWERS)
@settings(max_examples=20, deadline=None)
def test_right_and_wrong_swapped_mirror_the_interval(answers):
    low, high = patient_bootstrap(alternating(answers), replicates=200)
    mirrored = patient_bootstrap(alternating(1 - np.array(answers)), replicates=200)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_every_draw_keeps_the_number_of_patients_of_each_class():
    target = np.array([0, 1, 1, 0, 1])
    weights = bootstrap_weights(target, replicates=50, seed=3)
    assert (weights[:, target == 0].sum(axis=1) == 2).all()
    assert (weights[:, target == 1].sum(axis=1) == 3).all()
    assert weights.std() > 0


def test_the_same_seed_draws_the_same_and_another_others():
    target = np.arange(10) % 2
    first, again, other = (bootstrap_weights(target, 50, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_five_slices_that_answer_as_one_are_worth_one():
    # Kish: 1 + (5 - 1) · 1 = 5, but for P / (P - 1) of a sample of P = 10 patients.
    right = np.repeat([[1], [0]], 5, axis=0).repeat(5, axis=1)
    assert design_effect(alternating(right)) == pytest.approx(5 * 10 / 9)


@given(ANSWERS)
@settings(max_examples=40, deadline=None)
def test_slices_are_never_worth_more_than_they_are(answers):
    table = alternating(answers)
    effect = design_effect(table)
    assert np.isnan(effect) or effect >= 1
    (row,) = accuracy_intervals(table, replicates=10).itertuples()
    assert np.isnan(effect) or row.effective_slices <= row.slices


def test_one_slice_of_each_patient_is_worth_one_slice():
    answers = np.random.default_rng(0).choice([0.4, 0.6], size=(40, 1))  # means over epochs
    assert design_effect(alternating(answers)) == 1


def test_independent_slices_are_worth_themselves():
    table = random_predictions(sizes=(2,), seeds=range(40), patients=40, models=("resnet34",))
    assert design_effect(table) == pytest.approx(1, abs=0.05)


def test_of_slices_all_right_no_effect_can_be_told():
    assert np.isnan(design_effect(alternating(np.ones((4, 5)))))


def test_the_table_puts_wilson_beside_what_the_slices_are_worth():
    right = np.repeat([[1], [1], [0], [1]], 3, axis=0).repeat(5, axis=1)
    (row,) = accuracy_intervals(alternating(right)).itertuples()
    assert (row.patients, row.slices, row.seeds, row.accuracy) == (12, 60, 1, 0.75)
    assert row.effective_slices == pytest.approx(60 / row.design_effect)
    assert (row.wilson_low, row.wilson_high) == wilson_interval(45, 60)
    assert row.effective_low < row.wilson_low < row.wilson_high < row.effective_high
    assert (row.low, row.high) == patient_bootstrap(alternating(right))


def test_a_cell_without_a_design_effect_keeps_its_row():
    (row,) = accuracy_intervals(alternating(np.ones((4, 5)))).itertuples()
    assert row.accuracy == row.low == row.high == 1
    assert np.isnan(row.effective_slices)
    assert np.isnan(row.effective_low)


def test_several_seeds_make_the_slices_of_a_half_no_more():
    right = np.repeat([[1], [1], [0], [1]], 3, axis=0).repeat(5, axis=1)
    once = alternating(right)
    again = pd.concat([once, *(once.assign(seed=seed) for seed in (1, 2))], ignore_index=True)
    (one,), (three,) = (list(accuracy_intervals(table).itertuples()) for table in (once, again))
    assert three.seeds == 3
    assert three.slices == one.slices
    for name in ("effective_slices", "wilson_low", "effective_low"):
        assert getattr(three, name) == pytest.approx(getattr(one, name))
