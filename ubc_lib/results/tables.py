"""Tidy results in, the paper's tables out, with the paper's printed numbers beside ours."""

import numpy as np
import pandas as pd

from ubc_lib.results import paper
from ubc_lib.results.paper import DUMMY
from ubc_lib.results.runs import KEYS, Runs
from ubc_lib.results.wilson import wilson_interval
from ubc_lib.study import Study


def parameters_beside_paper(parts: pd.DataFrame) -> pd.DataFrame:
    """Tables 1 and 2: the parts of a network, their parameters and the paper's.

    parts: see `models.parameter_table`. Columns part, output, parameters, paper; the last row is
    the total.
    """
    table = parts[["part", "output", "parameters"]]
    table = table.assign(paper=table["part"].map(paper.PARAMETERS).astype("Int64"))
    table.loc[len(table)] = ["total", "", table["parameters"].sum(), table["paper"].sum()]
    return table


def cohort_overview(slices: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Patients and slices of each class in each half. slices: see `Slices.table`; rows as ints."""
    halves = pd.Series("not drawn", index=slices.index, name="half")
    halves.iloc[train], halves.iloc[test] = "training", "test"
    counted = slices.groupby([halves, "label"])["patient"].agg(patients="nunique", slices="size")
    order = {"training": 0, "test": 1, "not drawn": 2}
    return counted.reset_index().sort_values(
        ["half", "label"], key=lambda column: column.replace(order), ignore_index=True
    )


def sites(slices: pd.DataFrame) -> pd.DataFrame:
    """Patients of each class by contributing site; a site that is not known is called so."""
    patients = slices.drop_duplicates("patient")
    known = patients["site"].fillna("").replace("", "not known")
    return pd.crosstab(known, patients["label"]).rename_axis(columns=None).reset_index()


def lesion_areas(slices: pd.DataFrame) -> tuple[pd.Series, str]:
    """Lesion area of each slice and its unit: cm², or pixels where an image states no millimetres.

    slices: see `Slices.table`.
    """
    area, pixel_mm2 = slices["lesion_area"], slices["pixel_mm2"]
    if pixel_mm2.isna().any():
        return area / pixel_mm2.fillna(1), "pixels"
    return area / 100, "cm²"


def lesion_statistics(slices: pd.DataFrame) -> pd.DataFrame:
    """Lesion area of the slices of each class, its unit, and its share of the image."""
    areas, unit = lesion_areas(slices)
    area = slices.assign(area=areas).groupby("label")["area"]
    columns = {"count": "slices", "std": "sd", "25%": "lower quartile", "50%": "median"}
    described = area.describe().rename(columns=columns | {"75%": "upper quartile"})
    described = described.astype({"slices": int}).reset_index()
    share = slices.groupby("label")["lesion_fraction"].median().to_numpy()
    return described.assign(unit=unit, **{"median share of the image": share})


def missing_runs(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the study that have not finished: model, images_per_class, seed."""
    planned = pd.MultiIndex.from_tuples(study.planned_runs, names=KEYS)
    return planned.difference(runs.set_index(KEYS).index, sort=False).to_frame(index=False)


def accuracy_by_images(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds for each model and size, with the Wilson 95 % interval of the accuracy.

    runs: see `Runs.runs`; a run that diverged has no accuracy and counts in no mean. Columns model,
    images_per_class, seeds, n_test, accuracy, dice, low, high. The interval is that of the mean
    accuracy on one test half of n_test slices, as in the paper, so it does not shrink with more
    seeds.
    """
    means = runs.groupby(["model", "images_per_class"], as_index=False).agg(
        seeds=("accuracy", "count"),
        n_test=("n_test", "min"),
        accuracy=("accuracy", "mean"),
        dice=("dice", "mean"),
    )
    return _with_interval(means)


def table_3(
    study: Study, runs: pd.DataFrame, predictions: pd.DataFrame, slices: pd.DataFrame
) -> pd.DataFrame:
    """Table 3 at the study's largest size: every model and a dummy.

    Columns model, parameters, labels, mask_pixels (positive ones seen in training), seeds, n_test,
    accuracy, dice, low, high, and the paper's paper_parameters, paper_mask_pixels,
    paper_accuracy, paper_half_width, paper_dice, NaN where they do not concern these patients. A
    model without a finished run keeps its row, with 0 seeds and nothing else of ours. The dummy,
    counted on the test slices, always answers with the commoner class (positive if both are alike)
    and marks every pixel. slices: see `Slices.table`.
    """
    largest = max(study.images_per_class)
    ours = runs[runs["images_per_class"] == largest]
    constant = ours.groupby("model")[["parameters", "train_labels", "train_mask_pixels"]].mean()
    constant = constant.rename(
        columns={"train_labels": "labels", "train_mask_pixels": "mask_pixels"}
    )
    measured = accuracy_by_images(ours).set_index("model").drop(columns="images_per_class")
    table = constant.join(measured).reindex([*study.models, DUMMY])
    table["seeds"] = table["seeds"].fillna(0).astype(int)
    n_test = int(runs["n_test"].min())
    positive = float(predictions["target"].mean())
    dummy = {"n_test": n_test, "accuracy": max(positive, 1 - positive)}
    shares = slices.set_index(["patient", "slice_index"])["lesion_fraction"]
    share = shares.reindex(predictions.set_index(shares.index.names).index).mean()
    dummy["dice"] = 2 * share / (1 + share)
    table.loc[DUMMY, list(dummy)] = list(dummy.values())
    table = _with_interval(table.reset_index())
    printed = pd.DataFrame(paper.TABLE_3.values(), index=paper.TABLE_3.keys(), dtype=float)
    return table.join(printed.loc[[*paper.printed(study)]].add_prefix("paper_"), on="model")


def answers_by_image(slices: pd.DataFrame, predictions: pd.DataFrame, size: int) -> pd.DataFrame:
    """What the models said of every slice that any seed tested, at one number of images per class.

    Columns patient, image (file), slice_index, label, seeds, and for each model its mean
    probability of the positive class and share of right answers. slices: see `Slices.table`;
    predictions: see `Runs.predictions`.
    """
    keys = ["patient", "slice_index"]
    answered = predictions[predictions["images_per_class"] == size]
    means = answered.pivot_table(["probability", "correct"], keys, "model")
    means.columns = [f"{model}_{value}" for value, model in means.columns]
    told = slices[[*keys, "image", "label"]].merge(
        answered.groupby(keys)["seed"].nunique().rename("seeds").reset_index(), on=keys
    )
    return told.merge(means.reset_index(), on=keys)


def training_table(results: Runs, seed: int) -> pd.DataFrame:
    """Every epoch of the runs of one seed: of the training half and, where it was tested, the test.

    Columns KEYS, epoch and those of `Runs.history` and `Runs.evaluations`; what both have ends in
    _training or _test.
    """
    tested, trained = (
        table[table["seed"] == seed] for table in (results.evaluations, results.history)
    )
    return trained.merge(tested, how="left", on=[*KEYS, "epoch"], suffixes=("_training", "_test"))


def run_overview(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """How many runs of each model and size are done or missing, diverged or reached the plateau.

    Columns model, images_per_class, done, missing, diverged, plateau_reached, plateau_epoch (mean),
    minutes.
    """
    names = KEYS[:2]
    planned = pd.DataFrame(study.planned_runs, columns=KEYS).groupby(names, sort=False).size()
    overview = (
        runs.groupby(names)
        .agg(
            done=("seed", "nunique"),
            diverged=("accuracy", lambda accuracy: accuracy.isna().sum()),
            plateau_reached=("plateau_reached", "sum"),
            plateau_epoch=("plateau_epoch", "mean"),
            minutes=("seconds", lambda seconds: seconds.sum() / 60),
        )
        .reindex(planned.index)
    )
    counts = ["done", "diverged", "plateau_reached"]
    overview[counts] = overview[counts].fillna(0).astype(int)
    overview.insert(1, "missing", planned - overview["done"])
    return overview.reset_index()


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    """Columns low and high for accuracy on n_test slices; NaN where there is no accuracy."""
    intervals = [
        wilson_interval(accuracy * n, n) if np.isfinite(accuracy) else (np.nan, np.nan)
        for accuracy, n in zip(table["accuracy"], table["n_test"], strict=True)
    ]
    return table.assign(low=[low for low, _ in intervals], high=[high for _, high in intervals])
