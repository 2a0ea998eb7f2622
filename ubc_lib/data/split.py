"""Who trains and who tests: halves by patient, and nested subsets of those who train."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import generator


@dataclass(frozen=True)
class Split:
    """Row numbers of the slice table (int arrays, sorted); no patient is in both halves."""

    train: np.ndarray
    test: np.ndarray


def draw_split(table: pd.DataFrame, study: Study, seed: int) -> Split:
    """Draw `patients_per_class` patients of each class and halve them, by patient.

    With an odd number the test half is the larger. Or, as `Study.split` says, take what a manifest
    gives, or test the patients of one site and train on all others. table: see `Slices.table`.
    Raises InputError where that leaves too few slices of a class to train on, or none to test.
    """
    if study.split == "halves":
        return _halves(table, study, seed)
    if study.split == "given":
        split = Split(*(np.flatnonzero(table["split"] == side) for side in ("train", "test")))
    else:
        kinds = table.groupby("site")["target"].nunique()
        both = sorted(kinds.index[(kinds == 2) & (kinds.index != "")])
        drawn = study.drawn_by(seed)["split"]
        held_out = table["site"].eq(both[drawn % len(both)] if both else "")
        split = Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))
    wanted, counts = max(study.images_per_class), table["target"].iloc[split.train].value_counts()
    if min(counts.get(0, 0), counts.get(1, 0)) < wanted or not len(split.test):
        raise InputError(
            f"split={study.split} leaves {counts.get(1, 0)} slices of {study.positive_label} and "
            f"{counts.get(0, 0)} others to train on, and {len(split.test)} to test, with seed "
            f"{seed}; images_per_class asks for {wanted} of each. Sites tested in turn are those "
            "that sent both classes."
        )
    return split


def _halves(table: pd.DataFrame, study: Study, seed: int) -> Split:
    rng = generator(study.drawn_by(seed)["split"], "split")
    train, test = [], []
    for _, rows in table.groupby("target", sort=True):
        patients = np.sort(rows["patient"].unique())
        chosen = rng.permutation(patients)[: study.patients_per_class]
        half = study.patients_per_class // 2
        train.extend(chosen[:half])
        test.extend(chosen[half:])
    return Split(*(np.flatnonzero(table["patient"].isin(half)) for half in (train, test)))


def draw_subset(
    table: pd.DataFrame, train: np.ndarray, images_per_class: int, seed: int
) -> np.ndarray:
    """Row numbers of a training subset with `images_per_class` slices of each class, sorted.

    Up to the number of patients it holds one random slice from each of that many patients;
    beyond, every patient gives a second slice, then a third: 76 and 190 images from 38 patients
    are 2 and 5 of each. With one seed, smaller subsets lie within larger ones.
    """
    rng = generator(seed, "subset")
    subset = []
    for _, rows in table.iloc[train].groupby("target", sort=True):
        if images_per_class > len(rows):
            raise InputError(
                f"images_per_class={images_per_class}, but the training half holds {len(rows)} "
                f"slices of {rows['label'].iloc[0]}."
            )
        patients = rng.permutation(np.sort(rows["patient"].unique()))
        place = {patient: position for position, patient in enumerate(patients)}
        shuffled = rows.assign(row=rows.index, place=rows["patient"].map(place))
        shuffled = shuffled.iloc[rng.permutation(len(rows))]
        shuffled["turn"] = shuffled.groupby("patient").cumcount()
        subset.extend(shuffled.sort_values(["turn", "place"])["row"].iloc[:images_per_class])
    return np.sort(np.array(subset))


def of_another_patient(table: pd.DataFrame, rows: np.ndarray, seed: int) -> np.ndarray:
    """For each of the given rows one of them that shows another patient; each is given once.

    Raises InputError where more than half of the rows show one patient.
    """
    patients = table["patient"].iloc[rows]
    counts = patients.value_counts()
    if 2 * counts.iloc[0] > len(rows):
        raise InputError(f"More than half of the training images show patient {counts.index[0]}.")
    drawn = generator(seed, "masks").permutation(np.sort(counts.index))
    order = np.argsort(
        patients.map({one: place for place, one in enumerate(drawn)}).to_numpy(), kind="stable"
    )
    others = np.empty_like(rows)
    others[order] = rows[np.roll(order, counts.iloc[0])]
    return others


def boxes(masks: np.ndarray) -> np.ndarray:
    """The bounding box of each mask, bool (n, H, W)."""
    inside = np.ones_like(masks)
    for axis in (1, 2):
        along = masks.any(axis=3 - axis, keepdims=True)
        begun = np.logical_or.accumulate(along, axis)
        not_over = np.flip(np.logical_or.accumulate(np.flip(along, axis), axis), axis)
        inside &= begun & not_over
    return inside
