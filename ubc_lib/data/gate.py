"""What must hold of a cohort before anything is trained on it."""

import numpy as np
import pandas as pd

from ubc_lib.data.volumes import Volume
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError

# Of the patient table that every reader gives.
COLUMNS = ["patient", "label", "site", "image", "mask", "channel"]
LARGEST_BOX_MM = 120  # a brain is longer


def check_positive_label(table: pd.DataFrame, study: Study) -> None:
    """Raise InputError where no patient of a patient table has the study's positive label."""
    labels = sorted(table["label"].unique())
    if study.positive_label not in labels:
        raise InputError(
            f"positive_label is {study.positive_label!r}, but the cohort "
            f"{study.cohort_root or study.cohort} holds the labels {labels}. Set positive_label to "
            "one of them."
        )


def check_enough_patients(table: pd.DataFrame, study: Study, left_out: tuple[str, ...]) -> None:
    """Raise InputError where a class has fewer patients than the study asks for."""
    counts = table.drop_duplicates("patient")["label"].value_counts()
    for label in sorted(counts.index):
        if counts[label] < study.patients_per_class:
            listed = f" ({len(left_out)} left out: {', '.join(left_out)})" if left_out else ""
            raise InputError(
                f"Study {study.name} asks for {study.patients_per_class} patients per class, but "
                f"{label} has {counts[label]} with {study.slices_per_patient} lesion slices{listed}"
                ". Lower patients_per_class."
            )
    if len(counts) != 2:
        raise InputError(
            f"Study {study.name}: all usable patients are {counts.index[0]}{left_out}."
        )


def check_box(volume: Volume, patient: str) -> None:
    """Raise InputError where a cohort of boxes around lesions holds a whole head."""
    height, width = np.multiply(volume.image.shape[1:], volume.pixel_mm)
    if max(height, width) > LARGEST_BOX_MM:
        raise InputError(
            f"Patient {patient} measures {height:.0f} x {width:.0f} mm, a whole head; the study's "
            "`volumes: boxes` needs images cut around the lesion beforehand. Set volumes=whole, "
            "and view=lesion to cut the boxes here."
        )
