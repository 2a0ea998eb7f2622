"""What a cohort shows beside its lesions, in sentences: nothing to refuse, much to know."""

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import binomtest
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

# Of what the files say of themselves, see `Volume.about`, and the patient table's site.
TELLTALES = ("format", "mode", "height", "width", "slices", "pixel_mm", "slice_mm", "site")
TELLS = 0.01  # significance
COLOURED = ("RGB", "RGBA", "P", "CMYK", "YCbCr")
FEWEST = 10  # patients of a class, below which nothing is said
DARK = 12  # of 255: what lies around a body


def look(image: np.ndarray, mask: np.ndarray) -> str:
    """Two perceptual hashes (Zauner 2010) of the slice with most lesion, without margins in one.

    They are the same for a slice that is turned or mirrored. image, mask: (slices, rows, columns),
    see `Volume`.
    """
    plane = image[mask.sum(axis=(1, 2)).argmax()].astype(np.float64)
    grey = (255 * (plane - plane.min()) / max(np.ptp(plane), 1e-9)).astype(np.uint8)
    bright = grey > DARK
    rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.s_[:]
    return f"{_hash(grey)} {_hash(grey[inside])}"


def _hash(grey: np.ndarray) -> str:
    # The side to which imagehash reduces a picture, so that it is done once.
    small = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.LANCZOS))
    turned = [np.rot90(one, k) for one in (small, small.T) for k in range(4)]
    return min(str(imagehash.phash(Image.fromarray(np.ascontiguousarray(one)))) for one in turned)


def likenesses(about: pd.DataFrame) -> list[str]:
    """Pairs of patients with images that share a hash, in words. about: see `patients.examine`."""
    hashes = about.assign(look=about["look"].str.split()).explode("look")
    pairs = {
        f"{patients[0]} and {patients[1]}"
        for _, alike in hashes.groupby("look")["patient"]
        if len(patients := alike.unique()) > 1
    }
    if not pairs:
        return []
    listed = "; ".join(sorted(pairs)[:5]) + ("; …" if len(pairs) > 5 else "")
    return [f"Images look alike in {len(pairs)} pairs, perhaps one patient's: {listed}."]


def labels_together(about: pd.DataFrame, has_labels: bool) -> list[str]:
    """What different values of masks were read as one lesion, in words.

    about: see `patients.examine`. has_labels: whether they are those of BraTS.
    """
    values = {value for values in about["mask_values"] for value in values.split()}
    if has_labels and {"3", "4"} <= values:
        return [
            "Masks hold the labels 3 and 4, as in BraTS 2024 after treatment, where 4 is the "
            "cavity of a resection: it counts as lesion."
        ]
    if not has_labels and len(values) > 1 and any(" " in values for values in about["mask_values"]):
        listed = ", ".join(sorted(values, key=float))
        return [
            f"Masks hold the values {listed}: all are read as one lesion; mask_value takes one."
        ]
    return []


def in_colour(about: pd.DataFrame) -> list[str]:
    """How pictures in colour are read, in words. about: see `patients.examine`."""
    grey = about["mode"].isin(COLOURED) & about["channel"].isna()
    if not grey.any():
        return []
    return [
        f"{grey.sum()} of {len(about)} pictures are stored in colour and read as grey; channel "
        "in a manifest takes red, green or blue."
    ]


def telltales(about: pd.DataFrame) -> list[str]:
    """What beside the pixels tells the classes apart, in words.

    about: `Volume.about` of every image, with patient, label and site. For each column of
    `TELLTALES` a small decision tree guesses the labels of patients that it has not seen; it tells
    where that is right more often than the commoner label, by a binomial test.
    """
    patients = about.drop_duplicates("patient")
    shares = patients["label"].value_counts(normalize=True)
    if shares.min() * len(patients) < FEWEST:
        return []
    found = []
    for column in TELLTALES:
        values = patients[[column]]
        if not pd.api.types.is_numeric_dtype(values[column]):
            values = OrdinalEncoder().fit_transform(values.fillna("none"))
        tree = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=2, random_state=0)
        right = (cross_val_predict(tree, values, patients["label"]) == patients["label"]).sum()
        if binomtest(int(right), len(patients), shares.max(), "greater").pvalue < TELLS:
            found.append(
                f"The files' {column} alone tells {right / len(patients):.0%} of the labels "
                f"({shares.max():.0%} by guessing): a network may learn it in place of the lesion."
            )
    return found
