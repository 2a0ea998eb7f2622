"""When training stops gaining."""

import numpy as np
import pandas as pd

from ubc_lib.checks import check_runs


def plateau_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Epochs to the plateau of the training loss, by model: for each size and for all of them.

    Columns model, images_per_class (missing: all), runs, reached (how many of the runs), median,
    lower_quartile, upper_quartile. A run that ended before its plateau counts as later than every
    other: a quartile among such is NaN. Quartiles are epochs of runs, never between two.

    runs: see `Runs.runs`; InputError where `check_runs` refuses them.
    """
    check_runs(runs)
    reached = runs["plateau_reached"].astype(bool) & runs["plateau_epoch"].notna()
    timed = runs.assign(reached=reached, epoch=runs["plateau_epoch"].where(reached, np.inf))
    rows = []
    for model, of_model in timed.groupby("model"):
        rows.append(_quartiles(of_model) | {"model": model})
        for size, of_size in of_model.groupby("images_per_class"):
            rows.append(_quartiles(of_size) | {"model": model, "images_per_class": size})
    columns = ["model", "images_per_class", "runs", "reached", "median", "lower_quartile"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "upper_quartile"])
    epochs = ["median", "lower_quartile", "upper_quartile"]
    return table.astype(dict.fromkeys(["images_per_class", *epochs], "Int64"))


def _quartiles(runs: pd.DataFrame) -> dict:
    # There is nothing between a number and never.
    cuts = np.quantile(runs["epoch"], [0.25, 0.5, 0.75], method="inverted_cdf")
    lower, median, upper = np.where(np.isfinite(cuts), cuts, np.nan)
    return {
        "runs": len(runs),
        "reached": int(runs["reached"].sum()),
        "median": median,
        "lower_quartile": lower,
        "upper_quartile": upper,
    }
