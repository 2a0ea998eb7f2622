"""Invented predictions, small enough to count by hand."""

import numpy as np
import pandas as pd

from ubc_lib.study import PAPER_LABELS


def predictions_of(right, target, model="resnet34", images_per_class=2, seed=0) -> pd.DataFrame:
    """Predictions of one run from the shares of right answers, right (patients, slices).

    target: the class of each patient. The probability is on the side that the answer is on.
    """
    right = np.asarray(right, float)
    patients, slices = right.shape
    classes = np.repeat(target, slices)
    correct = right.ravel()
    return pd.DataFrame(
        {
            "model": model,
            "images_per_class": images_per_class,
            "seed": seed,
            "patient": np.repeat([f"p{number:02d}" for number in range(patients)], slices),
            "slice_index": np.tile(np.arange(slices), patients),
            "target": classes,
            "probability": np.where(classes == 1, correct, 1 - correct) * 0.8 + 0.1,
            "correct": correct,
        }
    )


def random_predictions(
    sizes=(2, 4, 8), seeds=(0, 1), patients=10, slices=5, accuracy=None, models=PAPER_LABELS
) -> pd.DataFrame:
    """Runs whose right answers are drawn slice by slice; accuracy by model, 0.6 if not given."""
    rng = np.random.default_rng(0)
    target = np.arange(patients) % 2
    accuracy = accuracy or {}
    return pd.concat(
        [
            predictions_of(
                rng.random((patients, slices)) < accuracy.get(model, 0.6), target, model, size, seed
            )
            for model in models
            for size in sizes
            for seed in seeds
        ],
        ignore_index=True,
    )


def runs_of(accuracies: dict, models=PAPER_LABELS) -> pd.DataFrame:
    """Runs of one study; accuracies: by model, size and seed, {model: {size: [by seed]}}."""
    rows = [
        {"study": "tiny", "fingerprint": "f", "model": model, "images_per_class": size}
        | {"seed": seed, "accuracy": accuracy, "dice": np.nan}
        for model in models
        for size, by_seed in accuracies.get(model, {}).items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return pd.DataFrame(rows)
