"""A classifier as a diagnostic test: what it finds, what it spares, and what its answers mean."""

import numpy as np
import pandas as pd

from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.checks import check_predictions
from ubc_lib.statistics.resampling import REPLICATES, bootstrap_weights, percentiles

BINS = 10


def diagnosis_table(
    predictions: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """One row per model and size; every value is the mean over seeds.

    Columns model, images_per_class, seeds; auc (area under the ROC curve of slices, within each
    seed) with auc_low and auc_high (bootstrap over patients, see `resampling`); sensitivity and
    specificity (shares of right slices of the positive and the negative class); balanced_accuracy
    (their mean: one half for one answer to all, however uneven the classes); brier (mean squared
    error of the probability; 0.25 for always 0.5); patient_accuracy (by the mean probability of a
    patient's slices). sensitivity_low etc. are Wilson intervals on the slices, or patients, of one
    test half, taken as independent. `correct` counts as the fraction that it is; a class that is
    absent leaves NaN.

    predictions: see `Runs.predictions`; InputError where `check_predictions` refuses them.
    """
    check_predictions(predictions)
    rows = []
    for (model, size), cell in predictions.groupby(["model", "images_per_class"]):
        auc, auc_low, auc_high = ranked_pairs(cell, replicates, seed)
        positive = cell["target"] == 1
        patients = patient_answers(cell)
        shares = {
            "sensitivity": cell.loc[positive, ["seed", "correct"]],
            "specificity": cell.loc[~positive, ["seed", "correct"]],
            "patient_accuracy": patients[["seed", "correct"]],
        }
        row = {"model": model, "images_per_class": size, "seeds": cell["seed"].nunique()}
        row |= {"auc": auc, "auc_low": auc_low, "auc_high": auc_high}
        for name, share in shares.items():
            row |= _share(name, share)
        row["balanced_accuracy"] = (row["sensitivity"] + row["specificity"]) / 2
        row["brier"] = ((cell["probability"] - cell["target"]) ** 2).mean()
        rows.append(row)
    return pd.DataFrame(rows)


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """How the slices of a class are answered in one test half, as means over seeds.

    Columns model, images_per_class, label (the true class), right, wrong. predictions: see
    `Runs.predictions`; `correct` counts as the fraction that it is.
    """
    cells = predictions.groupby(["model", "images_per_class", "label", "seed"])["correct"]
    counts = cells.agg(right="sum", slices="size")
    counts["wrong"] = counts.pop("slices") - counts["right"]
    return counts.groupby(["model", "images_per_class", "label"]).mean().reset_index()


def ranked_pairs(
    predictions: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> tuple[float, float, float]:
    """Area under the ROC curve and its bootstrap interval over patients: (auc, low, high).

    The share of pairs of a positive and a negative slice of one seed in which the positive one has
    the larger probability, ties counting half. predictions: of one model and size. NaN where a
    class is absent.

    Source: Hanley & McNeil, Radiology 143 (1982) 29–36.
    """
    patients = predictions.groupby("patient")["target"].first()
    positive, negative = (patients.index[patients == label] for label in (1, 0))
    if positive.empty or negative.empty:
        return (float("nan"),) * 3
    is_positive = predictions["target"].to_numpy() == 1
    probability = predictions["probability"].to_numpy()
    row, column = (group.get_indexer(predictions["patient"]) for group in (positive, negative))
    won, pairs = np.zeros((2, len(positive) * len(negative)))
    for places in predictions.groupby("seed").indices.values():
        first, second = places[is_positive[places]], places[~is_positive[places]]
        outcome = np.sign(np.subtract.outer(probability[first], probability[second])) / 2 + 0.5
        cell = np.add.outer(row[first] * len(negative), column[second]).ravel()
        won += np.bincount(cell, outcome.ravel(), minlength=len(won))
        pairs += np.bincount(cell, minlength=len(won))
    won, pairs = (counts.reshape(len(positive), len(negative)) for counts in (won, pairs))
    target = np.repeat([1, 0], [len(positive), len(negative)])
    weights = bootstrap_weights(target, replicates, seed)
    left, right = weights[:, target == 1], weights[:, target == 0]
    again = ((left @ won) * right).sum(axis=1) / ((left @ pairs) * right).sum(axis=1)
    return (float(won.sum() / pairs.sum()), *percentiles(again))


def patient_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per model, size, seed and patient: target, probability (mean of slices), correct."""
    keys = ["model", "images_per_class", "seed", "patient"]
    patients = predictions.groupby(keys, as_index=False).agg(
        target=("target", "first"), probability=("probability", "mean")
    )
    right = (patients["probability"] > 0.5) == (patients["target"] == 1)
    return patients.assign(correct=right.astype(float))


def reliability(predictions: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """How often the positive class is true where a model gives it some probability.

    Slices of all seeds together, in `bins` equal steps of probability; empty ones have no row.
    Columns model, images_per_class, predicted (mean probability), observed (share of positive
    slices), slices. predictions: see `Runs.predictions`; InputError where `check_predictions`
    refuses them.
    """
    check_predictions(predictions)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    step = np.searchsorted(edges, predictions["probability"])
    by_step = predictions.groupby(["model", "images_per_class", step])
    table = by_step.agg(
        predicted=("probability", "mean"), observed=("target", "mean"), slices=("target", "size")
    )
    return table.droplevel(2).reset_index()


def _share(name: str, answers: pd.DataFrame) -> dict:
    if answers.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    n, share = int(answers.groupby("seed").size().min()), float(answers["correct"].mean())
    low, high = wilson_interval(share * n, n)
    return {name: share, f"{name}_low": low, f"{name}_high": high}
