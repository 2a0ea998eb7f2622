"""When training stops gaining."""

import numpy as np
import pandas as pd

from ubc_lib.results.plateau import EVALUATIONS_AVERAGED
from ubc_lib.results.runs import KEYS, Runs
from ubc_lib.statistics.checks import finished_runs
from ubc_lib.study import Study, parts_of


def plateau_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Epochs to the plateau of the training loss, by model: for each size and for all of them.

    Columns model, images_per_class (missing: all), runs, diverged (left out of the others), reached
    (how many of the runs), median, lower_quartile, upper_quartile. A run that ended before its
    plateau counts as later than every other: a quartile among such is NaN, as where no run is
    left. Quartiles are epochs of runs, never between two.

    runs: see `Runs.runs`; InputError where `finished_runs` refuses them.
    """
    finished = runs.index.isin(finished_runs(runs).index)
    reached = runs["plateau_reached"].astype(bool) & runs["plateau_epoch"].notna()
    epoch = runs["plateau_epoch"].where(reached, np.inf)
    timed = runs.assign(finished=finished, reached=reached, epoch=epoch)
    rows = []
    for model, of_model in timed.groupby("model"):
        rows.append(_quartiles(of_model) | {"model": model})
        for size, of_size in of_model.groupby("images_per_class"):
            rows.append(_quartiles(of_size) | {"model": model, "images_per_class": size})
    columns = ["model", "images_per_class", "runs", "diverged", "reached", "median"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "lower_quartile", "upper_quartile"])
    epochs = ["median", "lower_quartile", "upper_quartile"]
    return table.astype(dict.fromkeys(["images_per_class", *epochs], "Int64"))


def trained_on(study: Study, parts: dict[str, Runs]) -> pd.DataFrame:
    """Runs of a study that ended at their plateau, beside the same ones trained for all epochs.

    Columns model, images_per_class, seed; precision, epochs_run, accuracy and dice as the study
    reports them; precision_same_rule, all_epochs, accuracy_same_rule and dice_same_rule as the
    longer run reports them, by the same rule; accuracy_at_end and dice_at_end, the means of its
    last evaluations, as many as the rule averages. No rows where no part of the study was
    trained on. parts: see `load_parts`.
    """
    longer = [one.name for one in parts_of(study) if study.stop_at_plateau > one.stop_at_plateau]
    reported = ["precision", "epochs_run", "accuracy", "dice"]
    tables = [pd.DataFrame(columns=[*KEYS, *reported])]
    for results in (parts[name] for name in longer if name in parts):
        last = results.evaluations.groupby(KEYS).tail(EVALUATIONS_AVERAGED)
        ended = last.groupby(KEYS)[["accuracy", "dice"]].mean().add_suffix("_at_end")
        same = results.runs.set_index(KEYS)[reported].add_suffix("_same_rule")
        same = same.rename(columns={"epochs_run_same_rule": "all_epochs"})
        stopped = parts[study.name].runs.dropna(subset="accuracy")[[*KEYS, *reported]]
        tables.append(stopped.merge(same, on=KEYS).merge(ended, on=KEYS))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _quartiles(runs: pd.DataFrame) -> dict:
    finished = runs[runs["finished"]]
    # There is nothing between a number and never.
    quantiles = {"q": [0.25, 0.5, 0.75], "method": "inverted_cdf"}
    cuts = np.quantile(finished["epoch"], **quantiles) if len(finished) else np.full(3, np.nan)
    lower, median, upper = np.where(np.isfinite(cuts), cuts, np.nan)
    return {
        "runs": len(finished),
        "diverged": len(runs) - len(finished),
        "reached": int(finished["reached"].sum()),
        "median": median,
        "lower_quartile": lower,
        "upper_quartile": upper,
    }
