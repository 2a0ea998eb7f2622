"""What statistics refuse: tables that are empty, broken, or of more than one study."""

import pandas as pd

from ubc_lib.results.runs import KEYS
from ubc_lib.system.errors import InputError

SLICE_KEYS = [*KEYS, "patient", "slice_index"]


def check_predictions(predictions: pd.DataFrame) -> None:
    """Raise InputError unless `predictions` (see `Runs.predictions`) can be counted.

    Refused: no rows, missing columns, missing or impossible numbers, a slice that a run predicts
    twice (two studies in one table), and a patient with two classes.
    """
    _check(predictions, "predictions", SLICE_KEYS, ["target", "probability", "correct"])
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
    for column in runs.columns.intersection(["study", "fingerprint"]):
        values = runs[column].unique()
        if len(values) > 1:
            raise InputError(
                f"The runs are of more than one {column} ({', '.join(map(str, values))}). "
                "Give the runs of one study."
            )
    _check(runs.fillna({"accuracy": 0}), "runs", KEYS, ["accuracy"])
    return runs.dropna(subset="accuracy")


def _check(table: pd.DataFrame, name: str, keys: list[str], shares: list[str]) -> None:
    absent = [column for column in (*keys, *shares) if column not in table]
    if absent:
        raise InputError(f"The {name} lack the column(s) {', '.join(absent)}.")
    if table.empty:
        raise InputError(f"The {name} are empty; at least one finished run is needed.")
    for column in shares:
        wrong = ~table[column].between(0, 1)  # what is missing is not, either
        if wrong.any():
            row = table.loc[wrong.idxmax()]
            raise InputError(
                f"The {name} have {column}={row[column]} for {_described(row, keys)}; allowed is "
                "0 to 1."
            )
    twice = table.duplicated(keys)
    if twice.any():
        raise InputError(
            f"The {name} name {_described(table.loc[twice.idxmax()], keys)} twice. "
            "Give the tables of one study."
        )


def _described(row: pd.Series, keys: list[str]) -> str:
    """'resnet34, 5 images per class, seed 0, ...': the run, or slice, that a message is about."""
    texts = ["{}", "{} images per class", "seed {}", "patient {}", "slice {}"]
    return ", ".join(text.format(row[key]) for text, key in zip(texts, keys, strict=False))
