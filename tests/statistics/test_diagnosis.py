"""The classifier as a diagnostic test."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from tests.prediction_samples import predictions_of, random_predictions
from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.diagnosis import (
    confusion,
    diagnosis_table,
    patient_answers,
    ranked_pairs,
    reliability,
)
from ubc_lib.statistics.resampling import bootstrap_weights, percentiles

BY_HAND = predictions_of([[1, 0.6], [0, 0], [1, 0.2], [1, 1]], [1, 1, 0, 0])


def noisy(seeds=(0,), patients=12):
    """Probabilities that lean to the truth, of one model and size."""
    table = random_predictions(sizes=(4,), seeds=seeds, patients=patients, models=("resnet34",))
    lean = np.random.default_rng(5).normal(0.2 * table["target"], 0.3)
    return table.assign(probability=(0.4 + lean).clip(0, 1).round(1))


def test_sensitivity_and_specificity_by_hand():
    (row,) = diagnosis_table(BY_HAND).itertuples()
    assert row.sensitivity == pytest.approx(1.6 / 4)
    assert row.specificity == pytest.approx(3.2 / 4)
    assert (row.sensitivity_low, row.sensitivity_high) == wilson_interval(1.6, 4)
    assert (row.specificity_low, row.specificity_high) == wilson_interval(0.8 * 4, 4)


def test_balanced_accuracy_of_one_answer_for_all_is_one_half_however_uneven_the_classes():
    one_answer = predictions_of([[1, 1]] * 9 + [[0, 0]], [1] * 9 + [0])
    (row,) = diagnosis_table(one_answer).itertuples()
    assert (row.sensitivity, row.specificity, row.balanced_accuracy) == (1, 0, 0.5)


def test_right_and_wrong_answers_of_a_class_add_up_to_its_slices_in_one_half():
    both = pd.concat([BY_HAND, BY_HAND.assign(seed=1, correct=1 - BY_HAND["correct"])])
    both["label"] = np.where(both["target"] == 1, "HGG", "LGG")
    first = confusion(both[both["seed"] == 0]).set_index("label")
    assert first.loc["HGG", ["right", "wrong"]].tolist() == pytest.approx([1.6, 2.4])
    mean = confusion(both).set_index("label")
    assert mean[["right", "wrong"]].to_numpy() == pytest.approx(np.full((2, 2), 2.0))


def test_a_patient_is_right_by_the_mean_probability_of_its_slices():
    answers = patient_answers(BY_HAND).set_index("patient")
    assert answers["probability"].tolist() == pytest.approx([0.74, 0.1, 0.42, 0.1])
    assert answers["correct"].tolist() == [1, 0, 1, 1]
    (row,) = diagnosis_table(BY_HAND).itertuples()
    assert row.patient_accuracy == 0.75
    assert (row.patient_accuracy_low, row.patient_accuracy_high) == wilson_interval(3, 4)


def test_area_and_brier_score_agree_with_scikit_learn():
    table = noisy()
    (row,) = diagnosis_table(table).itertuples()
    assert row.auc == pytest.approx(roc_auc_score(table["target"], table["probability"]))
    assert row.brier == pytest.approx(brier_score_loss(table["target"], table["probability"]))


def test_over_seeds_the_area_is_the_mean_of_areas_within_a_seed():
    table = noisy(seeds=(0, 1, 2))
    areas = [
        roc_auc_score(half["target"], half["probability"]) for _, half in table.groupby("seed")
    ]
    assert ranked_pairs(table)[0] == pytest.approx(np.mean(areas))


def test_the_interval_of_the_area_draws_whole_patients():
    table = noisy()
    patients = table.drop_duplicates("patient").sort_values(["target", "patient"], ascending=False)
    patients = pd.concat(
        [half.sort_values("patient") for _, half in patients.groupby("target")][::-1]
    )
    weights = bootstrap_weights(patients["target"].to_numpy(), 100, seed=0)
    areas = []
    for drawn in weights:
        weight = table["patient"].map(dict(zip(patients["patient"], drawn, strict=True)))
        areas.append(roc_auc_score(table["target"], table["probability"], sample_weight=weight))
    assert ranked_pairs(table, replicates=100)[1:] == pytest.approx(percentiles(np.array(areas)))


def test_a_perfect_ranking_is_certain():
    assert ranked_pairs(predictions_of(np.ones((4, 2)), [0, 1, 0, 1])) == (1, 1, 1)


def test_a_class_that_was_not_tested_leaves_gaps():
    (row,) = diagnosis_table(predictions_of([[1, 0], [1, 1]], [1, 1])).itertuples()
    assert np.isnan([row.auc, row.auc_low, row.specificity, row.specificity_high]).all()
    assert row.sensitivity == 0.75


def test_reliability_by_hand():
    table = predictions_of(np.ones((2, 4)), [0, 1])
    table["probability"] = [0.05, 0.05, 0.72, 0.72, 0.05, 0.72, 0.72, 0.78]
    bins = reliability(table)
    assert bins["predicted"].tolist() == pytest.approx([0.05, 0.732])
    assert bins["observed"].tolist() == pytest.approx([1 / 3, 3 / 5])
    assert bins["slices"].tolist() == [3, 5]


def test_probabilities_that_mean_what_they_say_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    table = predictions_of(np.ones((5000, 1)), np.zeros(5000, int))
    probability = rng.random(5000)
    table = table.assign(probability=probability, target=(rng.random(5000) < probability) * 1)
    bins = reliability(table)
    assert bins["observed"].to_numpy() == pytest.approx(bins["predicted"].to_numpy(), abs=0.07)
