"""Do runs that draw better masks also classify better?"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ubc_lib.results.runs import whole_curves
from ubc_lib.statistics.checks import finished_runs
from ubc_lib.statistics.resampling import REPLICATES, percentiles
from ubc_lib.system.seeds import generator

# Draws of fewer points are too much alike for an interval.
ENOUGH_POINTS = 6
COLUMNS = ["model", "over", "images_per_class", "rho", "low", "high", "n"]


def dice_correlation(
    runs: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Spearman's rank correlation of accuracy with Dice, and its 95 % bootstrap interval.

    Rows by `over`: `sizes`, the means of each size over the seeds of `whole_curves`, as in the
    paper's Figure 7, where both rise with the number of images whether or not one helps the other;
    `seeds`, the runs of one size, where the images cannot explain it. Columns model, over,
    images_per_class (only for `seeds`), rho, low, high, n (points, which the bootstrap draws);
    rho is NaN below three points, or where either does not vary, its interval below
    `ENOUGH_POINTS`. Runs without Dice, of models that draw no masks, are left out.

    runs: see `Runs.runs`; InputError where `finished_runs` refuses them.
    """
    rows = []
    for model, drawn in finished_runs(runs).dropna(subset="dice").groupby("model"):
        means = whole_curves(drawn).groupby("images_per_class")[["accuracy", "dice"]].mean()
        points = [("sizes", np.nan, means)]
        points += [("seeds", size, table) for size, table in drawn.groupby("images_per_class")]
        for over, size, table in points:
            values = table[["accuracy", "dice"]].to_numpy()
            rho, low, high = spearman(values, replicates, seed)
            rows.append((model, over, size, rho, low, high, len(values)))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"images_per_class": "Int64"})


def spearman(points: np.ndarray, replicates: int, seed: int) -> tuple[float, float, float]:
    """Rank correlation of points (n, 2) and its percentile bootstrap interval: (rho, low, high)."""
    n = len(points)
    rho = _rank_correlation(points[None])[0] if n > 2 else float("nan")
    if np.isnan(rho) or n < ENOUGH_POINTS:
        return float(rho), float("nan"), float("nan")
    rows = generator(seed, "bootstrap").integers(n, size=(replicates, n))
    again = _rank_correlation(points[rows])
    # A draw of one point again and again has no correlation.
    return (float(rho), *percentiles(again[np.isfinite(again)]))


def _rank_correlation(points: np.ndarray) -> np.ndarray:
    """Spearman's rho of each row, points (rows, n, 2); NaN where a coordinate does not vary."""
    ranks = rankdata(points.round(9), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    together = ranks.prod(axis=2).sum(axis=1)
    scale = np.sqrt((ranks**2).sum(axis=1).prod(axis=1))
    return np.divide(together, scale, out=np.full(len(points), np.nan), where=scale > 0)
