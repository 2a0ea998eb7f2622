"""How many labelled images a model saves: learning curves, and where they are level."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit

from ubc_lib.results.runs import whole_curves
from ubc_lib.statistics.resampling import percentiles
from ubc_lib.statistics.variance import accuracy_by_seed
from ubc_lib.study import Pair, Study
from ubc_lib.system.seeds import generator

REPLICATES = 500
# a, b and c of the curve: an accuracy, a loss of accuracy, and how fast it goes.
BOUNDS = ([0.0, 0.0, 0.01], [1.0, 1.0, 3.0])
START = (0.8, 0.3, 0.5)


@dataclass(frozen=True)
class LearningCurves:
    """Fitted curves accuracy(n) = a − b n^(−c) by model.

    sizes: images per class that the study trained on, ascending. fitted: (3,), the parameters a, b
    and c for the means over seeds. replicates: (replicates, 3), for seeds drawn with replacement,
    the same in all models; no rows unless several seeds have every size. A model with fewer than
    four sizes is absent.
    """

    sizes: np.ndarray
    fitted: dict[str, np.ndarray]
    replicates: dict[str, np.ndarray]


def learning_curve(images: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    """Accuracy after `images` per class: it rises towards a, where b, c ≥ 0."""
    return a - b * np.power(images, -c)


def fit_learning_curves(
    runs: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> LearningCurves:
    """Fit a learning curve to each model, weighted by its seeds, and again to resampled seeds.

    Least squares within 0 ≤ a, b ≤ 1 and 0.01 ≤ c ≤ 3, so that no curve falls. Fitted and drawn are
    the seeds of `whole_curves`. runs: see `Runs.runs`; InputError where `finished_runs` refuses
    them.

    Source: Cortes et al., Learning curves: asymptotic values and rate of convergence, NIPS 6
    (1993); Mukherjee et al., J. Comput. Biol. 10 (2003) 119–142.
    """
    wide = accuracy_by_seed(whole_curves(runs))
    seeds = len(wide.index.unique("seed"))
    drawn = generator(seed, "bootstrap").integers(seeds, size=(replicates, seeds))
    # Few seeds give few different draws, and a fit takes milliseconds.
    different, draw = np.unique(np.sort(drawn, axis=1), axis=0, return_inverse=True)
    fitted, refitted = {}, {}
    for model in wide.columns:
        by_seed = wide[model].unstack("images_per_class").dropna(axis=1, how="all")
        if by_seed.shape[1] <= len(START):
            continue
        sizes, values = by_seed.columns.to_numpy(float), by_seed.to_numpy()
        fitted[model] = _fit(sizes, values, START)
        refitted[model] = np.empty((0, len(START)))
        if seeds > 1 and wide.unstack("images_per_class").notna().all(axis=None):
            again = [_fit(sizes, values[rows], fitted[model]) for rows in different]
            refitted[model] = np.array(again)[draw]
    return LearningCurves(np.sort(runs["images_per_class"].unique()), fitted, refitted)


def curve_table(curves: LearningCurves) -> pd.DataFrame:
    """Columns model, limit (the accuracy a for ever more images), low, high (95 %), b, c."""
    rows = []
    for model, (a, b, c) in curves.fitted.items():
        low, high = _interval(curves.replicates[model][:, 0])
        rows.append({"model": model, "limit": a, "low": low, "high": high, "b": b, "c": c})
    return pd.DataFrame(rows, columns=["model", "limit", "low", "high", "b", "c"])


def curve_band(curves: LearningCurves, model: str, images: np.ndarray) -> pd.DataFrame:
    """The fitted curve of a model at `images` per class: columns accuracy, low, high (95 %)."""
    again = [learning_curve(images, *parameters) for parameters in curves.replicates[model]]
    nothing = np.full((2, len(images)), np.nan)
    low, high = np.quantile(again, [0.025, 0.975], axis=0) if again else nothing
    fitted = learning_curve(images, *curves.fitted[model])
    return pd.DataFrame({"accuracy": fitted, "low": low, "high": high})


def images_saved(study: Study, curves: LearningCurves) -> pd.DataFrame:
    """How many times the images one model needs for the accuracy that another reaches.

    One row per pair of the study and size; columns model, against, images_per_class, accuracy (of
    the model, fitted), images_against (per class, that the other needs for that accuracy), ratio
    (above 1: the model saves images), ratio_low, ratio_high (95 %), not_below, not_above. Curves
    are only compared within the sizes that were trained: where the other needs more than the
    largest the ratio is NaN and not_below says what it is at least; where it needs fewer than the
    smallest, not_above says what it is at most. An end of the interval that lies beyond is NaN. No
    rows of a pair unless both models have a curve.
    """
    columns = [*Pair._fields, "images_per_class", "accuracy", "images_against", "ratio"]
    columns += ["ratio_low", "ratio_high", "not_below", "not_above"]
    pairs = [pair for pair in study.pairs if set(pair) <= set(curves.fitted)]
    tables = [_saved(curves, pair) for pair in pairs]
    return pd.concat([*tables], ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _saved(curves: LearningCurves, pair: Pair) -> pd.DataFrame:
    sizes = curves.sizes.astype(float)
    needed = _needed(curves.fitted[pair.against], curves.fitted[pair.model], sizes)
    both = zip(curves.replicates[pair.against], curves.replicates[pair.model], strict=True)
    again = [_needed(against, model, sizes) for against, model in both]
    # There is nothing between a number and a size that is never reached.
    quantiles = {"q": [0.025, 0.975], "axis": 0, "method": "nearest"}
    low, high = np.quantile(again, **quantiles) if again else np.full((2, len(sizes)), np.nan)
    return pd.DataFrame(
        {
            **pair._asdict(),
            "images_per_class": curves.sizes,
            "accuracy": learning_curve(sizes, *curves.fitted[pair.model]),
            "images_against": _measured(needed),
            "ratio": _measured(needed) / sizes,
            "ratio_low": _measured(low) / sizes,
            "ratio_high": _measured(high) / sizes,
            "not_below": np.where(needed == np.inf, sizes[-1] / sizes, np.nan),
            "not_above": np.where(needed == 0, sizes[0] / sizes, np.nan),
        }
    )


def _fit(sizes: np.ndarray, values: np.ndarray, start) -> np.ndarray:
    """Parameters for values (seeds, sizes), of which some may be NaN."""
    counts = np.isfinite(values).sum(axis=0)
    there = counts > 0
    means = np.nansum(values, axis=0)[there] / counts[there]
    lowest, highest = map(np.array, BOUNDS)
    return curve_fit(
        learning_curve,
        sizes[there],
        means,
        p0=np.clip(start, lowest + 1e-6, highest - 1e-6),
        sigma=1 / np.sqrt(counts[there]),
        bounds=(lowest, highest),
    )[0]


def _needed(against: np.ndarray, model: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Images that the other model needs; inf beyond the largest size, 0 below the smallest."""
    a, b, c = against
    missing = a - learning_curve(sizes, *model)
    with np.errstate(divide="ignore", over="ignore"):
        needed = np.where(missing > 0, np.power(b / np.maximum(missing, 1e-12), 1 / c), np.inf)
    needed[needed > sizes[-1] * (1 + 1e-9)] = np.inf
    needed[needed < sizes[0] * (1 - 1e-9)] = 0
    return needed


def _measured(needed: np.ndarray) -> np.ndarray:
    return np.where((needed > 0) & np.isfinite(needed), needed, np.nan)


def _interval(values: np.ndarray) -> tuple[float, float]:
    return percentiles(values) if len(values) else (float("nan"), float("nan"))
