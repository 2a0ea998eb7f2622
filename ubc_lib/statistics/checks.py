"""What statistics refuse: tables that are empty, broken, or of more than one study."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ubc_lib.results.runs import KEYS
from ubc_lib.system.errors import InputError

SLICE_KEYS = [*KEYS, "patient", "slice_index"]


def check_predictions(predictions: pd.DataFrame) -> None:
    """Raise InputError unless `predictions` (see `Runs.predictions`) can be counted.

    Refused: no rows, missing columns, missing or impossible numbers, a slice that a run predicts
    twice (two studies in one table), and a patient with two classes.
    """
    _check_table(predictions, [*SLICE_KEYS, "target", "probability", "correct"], "predictions")
    for column in ("probability", "correct"):
        _check_shares(predictions[column], column, "predictions")
    if not predictions["target"].isin([0, 1]).all():
        raise InputError("The target of the predictions must be 0 or 1.")
    _check_unique(predictions, SLICE_KEYS, "predictions")
    patients = predictions[["patient", "target"]].drop_duplicates()
    both = patients.loc[patients["patient"].duplicated(), "patient"]
    if not both.empty:
        raise InputError(
            f"Patient {both.iloc[0]} has both classes in the predictions. Give tables of one study."
        )


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs` (see `Runs.runs`) that have an accuracy: those that did not diverge.

    Raises InputError unless they are of one study on one cohort. Refused: no rows, missing columns,
    an accuracy outside 0..1, a run twice, and more than one study or fingerprint.
    """
    _check_table(runs, KEYS, "runs", ["accuracy"])
    finished = runs.dropna(subset="accuracy")
    _check_shares(finished["accuracy"], "accuracy", "runs")
    for column in runs.columns.intersection(["study", "fingerprint"]):
        values = runs[column].unique()
        if len(values) > 1:
            raise InputError(
                f"The runs are of more than one {column} ({', '.join(map(str, values))}). "
                "Give the runs of one study."
            )
    _check_unique(runs, KEYS, "runs")
    return finished


def describe(row: pd.Series) -> str:
    """'resnet34, 5 images per class, seed 0, ...': the run, or slice, that a message is about."""
    named = {"images_per_class": "{} images per class", "seed": "seed {}"}
    named |= {"patient": "patient {}", "slice_index": "slice {}"}
    return ", ".join(named.get(key, "{}").format(row[key]) for key in SLICE_KEYS if key in row)


def _check_table(
    table: pd.DataFrame, columns: list[str], name: str, may_be_missing: Sequence[str] = ()
) -> None:
    absent = [column for column in (*columns, *may_be_missing) if column not in table]
    if absent:
        raise InputError(f"The {name} lack the column(s) {', '.join(absent)}.")
    if table.empty:
        raise InputError(f"The {name} are empty; at least one finished run is needed.")
    missing = table[columns].isna()
    if missing.to_numpy().any():
        column = missing.any().idxmax()
        row = table.loc[missing[column].idxmax()]
        raise InputError(f"The {name} have no {column} for {describe(row)}.")


def _check_shares(values: pd.Series, column: str, name: str) -> None:
    outside = ~np.isfinite(values) | (values < 0) | (values > 1)
    if outside.any():
        raise InputError(f"The {name} have {column}={values[outside].iloc[0]}; allowed is 0 to 1.")


def _check_unique(table: pd.DataFrame, keys: list[str], name: str) -> None:
    twice = table.duplicated(keys)
    if twice.any():
        raise InputError(
            f"The {name} name {describe(table.loc[twice.idxmax()])} twice. "
            "Give the tables of one study."
        )
