"""Figures of the statistics: tables in, matplotlib figures out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ubc_lib.figures.curves import DIAMOND, images_axis, legend_above
from ubc_lib.figures.style import NEUTRAL, WIDTH, model_colours
from ubc_lib.results import paper
from ubc_lib.results.runs import whole_curves
from ubc_lib.statistics.efficiency import LearningCurves, curve_band
from ubc_lib.statistics.variance import differences_by_seed
from ubc_lib.study import Pair, Study

DIFFERENCE_COLOUR = "#882255"


def model_differences(study: Study, comparison: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """What each pair of the study differs by at each size, with both of its intervals.

    Thick bars: bootstrap over patients; thin bars: over seeds, Nadeau and Bengio, which may go on
    beyond the frame. Small dots are single seeds, the diamond is the paper's difference, where it
    concerns these patients. Pairs stand beside each other. comparison: see
    `comparison.compare_models`; runs: see `Runs.runs`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    table = comparison.dropna(subset="difference")
    single = differences_by_seed(study, runs)
    if table.empty:
        axes.set_title("Nothing to compare: no size has both models of a pair.")
    for place, pair in enumerate(study.pairs):
        ours, theirs = (_of_pair(one, pair) for one in (table, single))
        colour = DIFFERENCE_COLOUR if len(study.pairs) == 1 else model_colours(study)[pair.model]
        thick = 4 if len(study.pairs) <= 3 else 2
        _draw_pair(axes, ours, theirs, _aside(place, len(study.pairs)), colour, thick)
        if len(study.pairs) > 1:
            label = f"{study.labels[pair.model]} − {study.labels[pair.against]}"
            axes.plot([], [], "o", ms=6, color=colour, label=label)
    for label, width in {"95 %, seeds": 1, "95 %, patients": 4}.items():
        axes.plot([], [], color=NEUTRAL, lw=width, label=label)
    axes.scatter([], [], s=16, color=NEUTRAL, alpha=0.5, lw=0, label="single seeds")
    printed = [(paper.IMAGES_PER_CLASS, paper.DIFFERENCE)] if study.of_paper else []
    for place in printed:
        axes.scatter(*place, edgecolor=NEUTRAL, label="paper", **DIAMOND)
    axes.axhline(0, color=NEUTRAL, ls="--", lw=1.2)
    images_axis(axes, [*table["images_per_class"].unique(), *(size for size, _ in printed)])
    shown = [*table["low"], *table["high"], *single["difference"], *(one for _, one in printed)]
    reach = 1.1 * np.nanmax([*np.abs(np.array(shown, float)), 0.01])
    axes.set(
        xlabel="training images per class",
        ylabel="difference in accuracy",
        ylim=(-reach, reach),
    )
    if len(study.pairs) == 1:
        (pair,) = study.pairs
        axes.set_ylabel(f"accuracy, {study.labels[pair.model]} − {study.labels[pair.against]}")
    legend_above(axes)
    return figure


def _of_pair(table: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    return table[table["model"].eq(pair.model) & table["against"].eq(pair.against)]


def _aside(place: int, pairs: int) -> float:
    """The factor that sets a pair beside the others on a logarithmic axis of sizes."""
    return 1.06 ** (place - (pairs - 1) / 2)


def _draw_pair(
    axes: Axes, table: pd.DataFrame, single: pd.DataFrame, aside: float, colour: str, thick: float
) -> None:
    sizes, difference = table["images_per_class"] * aside, table["difference"]
    for prefix, width in {"seeds_": 1, "": thick}.items():
        # A percentile interval may lie beside its difference.
        arms = [difference - table[f"{prefix}low"], table[f"{prefix}high"] - difference]
        lengths = np.maximum(np.array(arms, float), 0)
        axes.errorbar(sizes, difference, lengths, fmt="none", ecolor=colour, elinewidth=width)
    axes.plot(sizes, difference, "o", ms=6, color=colour)
    # A little to the side, where the intervals do not hide them.
    beside = single["images_per_class"].astype(float) * aside * 1.1
    axes.scatter(beside, single["difference"], s=16, color=NEUTRAL, alpha=0.5, lw=0)


def fitted_curves(study: Study, curves: LearningCurves, runs: pd.DataFrame) -> Figure:
    """Learning curves with their 95 % band over seeds, and the means that they were fitted to.

    curves: see `efficiency.fit_learning_curves`; runs: see `Runs.runs`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    images = np.geomspace(curves.sizes[0], curves.sizes[-1], 100)
    means = whole_curves(runs).groupby(["model", "images_per_class"])["accuracy"].mean()
    for model, of_model in means.groupby(level="model"):
        colour = model_colours(study)[model]
        of_model = of_model.droplevel("model")
        axes.scatter(of_model.index, of_model, s=26, color=colour, label=study.labels[model])
        if model in curves.fitted:
            band = curve_band(curves, model, images)
            axes.fill_between(images, band["low"], band["high"], color=colour, alpha=0.15, lw=0)
            axes.plot(images, band["accuracy"], color=colour, lw=2)
    if not curves.fitted:
        axes.set_title("Too few sizes for a curve.")
    images_axis(axes, list(curves.sizes))
    axes.set(xlabel="training images per class", ylabel="test accuracy")
    legend_above(axes)
    return figure


def roc(study: Study, predictions: pd.DataFrame) -> Figure:
    """Sensitivity against false alarms for every threshold, and where the models' own one lies.

    Slices of all seeds together; a dot is the threshold of one half, by which accuracies are
    counted. predictions: see `Runs.predictions`, of one size.
    """
    figure, axes = _unit_square()
    for model, rows in predictions.groupby("model"):
        if rows["target"].nunique() < 2:
            continue
        colour, target = model_colours(study)[model], rows["target"] == 1
        alarms, found, _ = roc_curve(target, rows["probability"])
        axes.plot(alarms, found, color=colour, lw=1.5, label=study.labels[model])
        said = rows["probability"] > 0.5
        axes.scatter(said[~target].mean(), said[target].mean(), s=60, color=colour, zorder=5)
    if predictions["target"].nunique() < 2:
        axes.set_title("No finished run of this size.")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity")
    legend_above(axes)
    return figure


def reliability_diagram(study: Study, table: pd.DataFrame) -> Figure:
    """The share of positive slices against the probability that a model gave them.

    The area of a dot is the number of slices; on the dashed line probabilities mean what they say.
    table: see `diagnosis.reliability`, of one size.
    """
    figure, axes = _unit_square()
    for model, bins in table.groupby("model"):
        colour = model_colours(study)[model]
        area = 15 + 200 * bins["slices"] / bins["slices"].sum()
        axes.plot(bins["predicted"], bins["observed"], color=colour, lw=1.5)
        axes.scatter(bins["predicted"], bins["observed"], s=area, color=colour, alpha=0.8, lw=0)
        axes.plot([], [], color=colour, marker="o", lw=1.5, label=study.labels[model])
    if table.empty:
        axes.set_title("No finished run of this size.")
    axes.set(xlabel="probability of the positive class", ylabel="share that is positive")
    legend_above(axes)
    return figure


def _unit_square() -> tuple[Figure, Axes]:
    """Axes from 0 to 1 on either side, with their diagonal."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    axes.plot([0, 1], [0, 1], color=NEUTRAL, ls="--", lw=1.2)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    return figure, axes
