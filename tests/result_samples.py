"""Invented results and slices, in the shape that the library reads and makes them."""

import numpy as np
import pandas as pd

from ubc_lib.data.slices import Slices
from ubc_lib.results.runs import Runs

PARAMETERS = {"resnet34": 21_279_426, "ubc_resnet34": 24_431_123}
DRAWING = ("resnet34", "ubc_resnet34")  # without and with masks
N_TEST = 8
EPOCHS = 10


def some_runs(sizes=(1, 2, 4), seeds=(0, 1), accuracy=None) -> Runs:
    """Finished runs of each model of `accuracy`; those called ubc_... draw masks, too.

    By default ResNet34 is right in half, UBC-ResNet34 in three of four slices.
    """
    accuracy = accuracy or {"resnet34": 0.5, "ubc_resnet34": 0.75}
    runs, evaluations, history, predictions = [], [], [], []
    for model in accuracy:
        draws = model.startswith("ubc_")
        dice, parameters = (0.6 if draws else np.nan), PARAMETERS[DRAWING[draws]]
        for size in sizes:
            for seed in seeds:
                key = {"model": model, "images_per_class": size, "seed": seed}
                runs.append(
                    key
                    | {
                        "study": "tiny",
                        "accuracy": accuracy[model],
                        "dice": dice,
                        "dice_per_image": dice,
                        "n_test": N_TEST,
                        "plateau_epoch": 6.0,
                        "plateau_reached": True,
                        "epochs_run": EPOCHS,
                        "parameters": parameters,
                        "precision": "fp32",
                        "train_labels": size,
                        "train_mask_pixels": 100 * size if draws else 0,
                        "seconds": 30.0,
                    }
                )
                epochs = np.arange(1, EPOCHS + 1)
                history.append(
                    pd.DataFrame(key | {"epoch": epochs, "loss": 1 / epochs, "accuracy": 1.0})
                )
                evaluations.append(
                    pd.DataFrame(
                        key | {"epoch": epochs[1::2], "accuracy": accuracy[model], "dice": dice}
                    )
                )
                predictions.append(some_slices().table.assign(**key, probability=0.7, dice=dice))
    stacked = (pd.concat(part, ignore_index=True) for part in (evaluations, history, predictions))
    return Runs(pd.DataFrame(runs), *stacked)


def some_slices(slices_per_patient: int = 2, side: int = 32) -> Slices:
    """Two patients of each class; the lesion is a square that grows from slice to slice."""
    rng = np.random.default_rng(0)
    rows, masks = [], []
    for patient, label in (("a1", "HGG"), ("b1", "LGG"), ("c1", "HGG"), ("d1", "LGG")):
        for place in range(slices_per_patient):
            mask = np.zeros((side, side), bool)
            mask[8 : 16 + place, 8 : 16 + place] = True
            masks.append(mask)
            rows.append(
                {
                    "patient": patient,
                    "label": label,
                    "target": int(label == "HGG"),
                    "site": "CBICA" if label == "HGG" else "",
                    "slice_index": 70 + place,
                    "lesion_area": 100.0 * mask.sum(),
                    "lesion_fraction": mask.mean(),
                    "pixel_mm2": 1.0,
                }
            )
    images = rng.normal(size=(len(rows), side, side)).astype(np.float32)
    images[:, :4] = 0
    return Slices(images, np.array(masks), pd.DataFrame(rows), (), "fingerprint")
