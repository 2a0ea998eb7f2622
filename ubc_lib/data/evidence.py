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
FEWEST = 10  # patients of a class, below which nothing is said


def look(image: np.ndarray, mask: np.ndarray) -> str:
    """The perceptual hash (Zauner 2010) of the slice with most lesion.

    image, mask: (slices, rows, columns), see `Volume`.
    """
    plane = image[mask.sum(axis=(1, 2)).argmax()].astype(np.float64)
    grey = 255 * (plane - plane.min()) / max(np.ptp(plane), 1e-9)
    return str(imagehash.phash(Image.fromarray(grey.astype(np.uint8))))


def likenesses(about: pd.DataFrame) -> list[str]:
    """Pairs of patients with images of equal `look`, in words. about: see `patients.examine`."""
    pairs = [
        f"{patients[0]} and {patients[1]}"
        for _, alike in about.groupby("look")["patient"]
        if len(patients := alike.unique()) > 1
    ]
    listed = "; ".join(pairs[:5]) + ("; …" if len(pairs) > 5 else "")
    return [f"Images look alike, perhaps one patient's: {listed}."] if pairs else []


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
