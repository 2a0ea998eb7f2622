"""How sure an accuracy is when several slices come from one patient.

Slices of a patient resemble each other, so patients are what is drawn, not slices. A patient whom
several seeds test is drawn once, with all that was predicted of it: seeds share patients, and
testing the same patient again says little about other patients. The trained networks count as
given; what another training would change shows over seeds.
"""

import numpy as np
import pandas as pd

from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.checks import check_predictions
from ubc_lib.system.seeds import generator

REPLICATES = 2000
CONFIDENCE = 0.95


def patient_sums(predictions: pd.DataFrame, column: str = "correct") -> pd.DataFrame:
    """One row per patient: target, slices (over all seeds) and total, the sum of `column`."""
    sums = predictions.groupby("patient", sort=True).agg(
        target=("target", "first"), slices=(column, "size"), total=(column, "sum")
    )
    return sums.reset_index()


def bootstrap_weights(target: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """How often each patient is drawn, float (replicates, patients), each class by itself.

    target: the class of each patient. Every replicate draws as many patients of a class, with
    replacement, as there are.
    """
    rng = generator(seed, "bootstrap")
    weights = np.zeros((replicates, len(target)))
    for label in np.unique(target):
        members = np.flatnonzero(target == label)
        drawn = rng.integers(len(members), size=(replicates, len(members)))
        places = drawn + len(members) * np.arange(replicates)[:, None]
        counts = np.bincount(places.ravel(), minlength=places.size)
        weights[:, members] = counts.reshape(places.shape)
    return weights


def percentiles(replicates: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap replicates, as (low, high)."""
    low, high = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def patient_bootstrap(
    predictions: pd.DataFrame,
    column: str = "correct",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval (low, high) of the mean of a column over slices and seeds.

    predictions: of one model and size, see `Runs.predictions`; `correct`, the mean over the
    reported epochs, counts as the fraction that it is. Patients are drawn with replacement within
    their class, each with all its slices in all seeds.

    Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    sums = patient_sums(predictions, column)
    weights = bootstrap_weights(sums["target"].to_numpy(), replicates, seed)
    means = (weights @ sums["total"].to_numpy()) / (weights @ sums["slices"].to_numpy())
    return percentiles(means)


def design_effect(predictions: pd.DataFrame) -> float:
    """How many times the variance of an accuracy exceeds that of independent slices; at least 1.

    predictions: of one model and size. Each seed's test half counts by itself: its variance
    between patients, linearised, over the binomial p (1 − p) / n; the ratio is of the sums over
    seeds. With equal slices per patient and yes/no answers it is Kish's 1 + (m − 1) ρ for m slices
    and a correlation ρ within patients. A `correct` that is a mean over epochs varies less than a
    yes or no, which is no merit of the slices: a ratio below 1 counts as 1. NaN where all slices
    are right, or all wrong, or there is one patient.

    Source: Kish, Survey Sampling (1965), sections 5.4 and 8.2.
    """
    halves = predictions.groupby(["seed", "patient"], as_index=False).agg(
        slices=("correct", "size"), total=("correct", "sum")
    )
    of_seed = halves.groupby("seed")
    accuracy = of_seed["total"].transform("sum") / of_seed["slices"].transform("sum")
    halves["squared"] = (halves["total"] - accuracy * halves["slices"]) ** 2
    halves["binomial"] = halves["slices"] * accuracy * (1 - accuracy)
    seeds = halves.groupby("seed").agg(
        patients=("patient", "size"),
        slices=("slices", "sum"),
        squared=("squared", "sum"),
        binomial=("binomial", "sum"),
    )
    if (seeds["patients"] < 2).any() or not seeds["binomial"].sum() > 0:
        return float("nan")
    between = seeds["patients"] / (seeds["patients"] - 1) * seeds["squared"] / seeds["slices"] ** 2
    ratio = between.sum() / (seeds["binomial"] / seeds["slices"] ** 2).sum()
    return max(1.0, float(ratio))


def accuracy_intervals(
    predictions: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Accuracy of each model and size with what the Wilson interval of slices leaves out.

    Columns model, images_per_class, seeds, patients (over all seeds), slices (of one test half),
    accuracy, wilson_low, wilson_high (independent slices of one half, as in the paper),
    design_effect, effective_slices (slices / design_effect), effective_low, effective_high
    (Wilson with that many), low, high (see `patient_bootstrap`; all seeds' patients).
    """
    check_predictions(predictions)
    rows = []
    for (model, size), cell in predictions.groupby(["model", "images_per_class"]):
        slices = int(cell.groupby("seed").size().min())
        accuracy, effect = float(cell["correct"].mean()), design_effect(cell)
        effective = slices / effect if effect > 0 else float("nan")
        intervals = {
            "wilson": wilson_interval(accuracy * slices, slices),
            "effective": wilson_interval(accuracy * effective, effective)
            if effect > 0
            else (float("nan"), float("nan")),
            "": patient_bootstrap(cell, "correct", replicates, seed),
        }
        rows.append(
            {
                "model": model,
                "images_per_class": size,
                "seeds": cell["seed"].nunique(),
                "patients": cell["patient"].nunique(),
                "slices": slices,
                "accuracy": accuracy,
                "design_effect": effect,
                "effective_slices": effective,
            }
            | {
                f"{name}_{end}".lstrip("_"): value
                for name, interval in intervals.items()
                for end, value in zip(("low", "high"), interval, strict=True)
            }
        )
    return pd.DataFrame(rows)
