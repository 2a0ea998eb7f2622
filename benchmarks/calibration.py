"""Phantom against BraTS 2019, feature by feature, in aggregates alone."""

from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks.lesion_features import lesion_features

CALIBRATION = Path(__file__).parents[1] / "data" / "calibration"
TARGETS = CALIBRATION / "brats2019_lesion_statistics.csv"
PHANTOM_FEATURES = CALIBRATION / "phantom_lesion_features.csv"

GEOMETRY = [
    "lesion_area_largest_slice",
    "lesion_area_mean_of_5_largest_slices",
    "lesion_volume",
    "index_of_largest_slice",
    "axial_slices_with_lesion",
]
SHAPE = [*GEOMETRY[:3], "perimeter_squared_over_area_largest_slice", "lesion_components"]
FLAIR = [f"flair_z_{m}_{where}_lesion" for where in ("inside", "around") for m in ("mean", "sd")]
# Allowed distance of means in real standard deviations, and of sd as a share, for the sizes of a
# lesion and for its look; of each feature's AUC; of the random forest's accuracy.
GEOMETRY_TOLERANCE = (0.25, 0.30)
LOOK_TOLERANCE = (0.35, 0.40)
AUC_TOLERANCE = 0.08
FOREST_TARGETS = {"shape": 0.60, "shape and FLAIR": 0.73}
FOREST_TOLERANCE = 0.06


def read_targets(path: Path = TARGETS) -> pd.DataFrame:
    """The calibration table of BraTS 2019: one row per feature and grade."""
    return pd.read_csv(path, comment="#")


def measure_cohort(folder: Path, workers: int = -1) -> pd.DataFrame:
    """Feature table of a tree with HGG/ and LGG/: patient, grade and one column per feature.

    workers: processes; -1 means one per core.
    """
    jobs = [
        joblib.delayed(_measure_patient)(path, grade)
        for grade in ("HGG", "LGG")
        for path in sorted((Path(folder) / grade).iterdir())
    ]
    return pd.DataFrame(joblib.Parallel(n_jobs=workers)(jobs))


def aggregate(features: pd.DataFrame) -> pd.DataFrame:
    """Per feature and grade n, mean, sd, percentiles and AUC for HGG, as in the targets."""
    rows = []
    for feature in features.columns.drop(["patient", "grade"]):
        known = features[["grade", feature]].dropna()
        auc = roc_auc_score(known["grade"] == "HGG", known[feature])
        for grade, values in known.groupby("grade")[feature]:
            percentiles = {f"p{q:02d}": values.quantile(q / 100) for q in (5, 25, 50, 75, 95)}
            rows.append(
                {
                    "feature": feature,
                    "grade": grade,
                    "n": len(values),
                    "mean": values.mean(),
                    "sd": values.std(),
                    **percentiles,
                    "auc_hgg": auc,
                }
            )
    return pd.DataFrame(rows)


def compare(targets: pd.DataFrame, phantom: pd.DataFrame) -> pd.DataFrame:
    """One row per feature and grade: mean, sd and AUC of both, distances, and what is within.

    mean_shift is in real standard deviations, sd_ratio is phantom over real. Columns
    mean_within, sd_within and auc_within say whether each lies in its tolerance.
    """
    both = targets.merge(phantom, on=["feature", "grade"], suffixes=("_real", "_phantom"))
    geometry = both["feature"].isin(GEOMETRY)
    mean_tolerance, sd_tolerance = (
        np.where(geometry, *pair) for pair in zip(GEOMETRY_TOLERANCE, LOOK_TOLERANCE, strict=True)
    )
    both["mean_shift"] = (both["mean_phantom"] - both["mean_real"]) / both["sd_real"]
    both["sd_ratio"] = both["sd_phantom"] / both["sd_real"]
    both["mean_within"] = both["mean_shift"].abs() <= mean_tolerance
    both["sd_within"] = (both["sd_ratio"] - 1).abs() <= sd_tolerance
    both["auc_within"] = (both["auc_hgg_phantom"] - both["auc_hgg_real"]).abs() <= AUC_TOLERANCE
    return both


def forest_accuracy(features: pd.DataFrame, columns: list[str], draws: int = 5) -> float:
    """Accuracy of the reference random forest on HGG against LGG.

    300 trees, stratified 5-fold cross-validation over patients, as many HGG drawn at random as
    there are LGG, mean over the draws.
    """
    low = features[features["grade"] == "LGG"]
    high = features[features["grade"] == "HGG"]
    scores = []
    for draw in range(draws):
        table = pd.concat([high.sample(len(low), random_state=draw), low])
        predicted = cross_val_predict(
            RandomForestClassifier(300, random_state=draw),
            table[columns],
            table["grade"],
            cv=StratifiedKFold(5, shuffle=True, random_state=draw),
        )
        scores.append((predicted == table["grade"]).mean())
    return float(np.mean(scores))


def forest_table(features: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the reference forests on both sets of features, beside the real cohort's."""
    columns = {"shape": SHAPE, "shape and FLAIR": SHAPE + FLAIR}
    rows = []
    for name, real in FOREST_TARGETS.items():
        accuracy = forest_accuracy(features, columns[name])
        within = abs(accuracy - real) <= FOREST_TOLERANCE
        rows.append({"Features": name, "BraTS 2019": real, "Phantom": accuracy, "within": within})
    return pd.DataFrame(rows)


def _measure_patient(folder: Path, grade: str) -> dict:
    flair, labels = (
        np.asarray(nib.load(folder / f"{folder.name}_{kind}.nii.gz").dataobj)
        for kind in ("flair", "seg")
    )
    return {"patient": folder.name, "grade": grade, **lesion_features(flair, labels)}
