"""What a scanner that gives the grade away is worth to each model."""

import numpy as np
import pandas as pd

from ubc_lib.results.runs import Runs
from ubc_lib.statistics.checks import check_predictions
from ubc_lib.statistics.comparison import corrected_resampled_interval
from ubc_lib.statistics.resampling import REPLICATES, patient_bootstrap
from ubc_lib.study import Study, parts_of

INDEPENDENT, TIED = "independent", "tied"
COLUMNS = ["model", "images_per_class", "seeds", INDEPENDENT, TIED, "difference", "low", "high"]
COLUMNS += ["seeds_low", "seeds_high"]


def shortcut_gain(
    study: Study, parts: dict[str, Runs], replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Accuracy where site is tied to grade less that where it is not, by model and size.

    The runs of the study are held against those of its part with more `site_confounding`; no rows
    without one. parts: see `results.load_parts`. Columns: model, images_per_class, seeds (of the
    cohort that has fewer), independent and tied (mean accuracies), difference; low and high from
    the patient bootstrap of each cohort, seeds_low and seeds_high from each cohort's interval over
    seeds (see `corrected_resampled_interval`; NaN with one seed).

    Source: Zou & Donner, Construction of confidence limits about effect measures, Statistics in
    Medicine 27 (2008) 1693–1702, for the interval of a difference from those of its two terms.
    """
    rows = []
    for part in parts_of(study):
        if part.name not in parts or part.site_confounding <= study.site_confounding:
            continue
        tied = dict(list(_cells(parts[part.name])))
        for (model, size), independent in _cells(parts[study.name]):
            if (model, size) in tied:
                arms = independent, tied[model, size]
                gain = _gain(*arms, replicates, seed)
                rows.append({"model": model, "images_per_class": size} | gain)
    return pd.DataFrame(rows, columns=COLUMNS)


def _cells(runs: Runs):
    check_predictions(runs.predictions)
    return runs.predictions.groupby(["model", "images_per_class"])


def _gain(independent: pd.DataFrame, tied: pd.DataFrame, replicates: int, seed: int) -> dict:
    arms = [arm.groupby("seed")["correct"].mean().to_numpy() for arm in (independent, tied)]
    means = [float(arm.mean()) for arm in arms]
    by_patient = [
        patient_bootstrap(arm, "correct", replicates, seed) for arm in (independent, tied)
    ]
    by_seed = [corrected_resampled_interval(arm) for arm in arms]
    low, high = _difference_interval(means, by_patient)
    seeds_low, seeds_high = _difference_interval(means, by_seed)
    return {
        "seeds": min(map(len, arms)),
        INDEPENDENT: means[0],
        TIED: means[1],
        "difference": means[1] - means[0],
        "low": low,
        "high": high,
        "seeds_low": seeds_low,
        "seeds_high": seeds_high,
    }


def _difference_interval(means: list[float], intervals: list[tuple]) -> tuple[float, float]:
    """Of the second mean less the first, from the interval (low, high) of each."""
    (first, second), ((low_1, high_1), (low_2, high_2)) = means, intervals
    difference = second - first
    below = np.hypot(second - low_2, high_1 - first)
    above = np.hypot(high_2 - second, first - low_1)
    return float(difference - below), float(difference + above)
