"""Figures of the statistics: tables in, matplotlib figures out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ubc_lib.figures.curves import DIAMOND, images_axis, legend_above
from ubc_lib.figures.style import MODEL_COLOURS, NEUTRAL, WIDTH, model_label
from ubc_lib.results import paper
from ubc_lib.results.runs import whole_curves
from ubc_lib.statistics.efficiency import LearningCurves, curve_band
from ubc_lib.statistics.variance import DIFFERENCE, accuracy_by_seed

DIFFERENCE_COLOUR = "#882255"


def model_differences(comparison: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """The difference UBC-ResNet34 − ResNet34 at each size, with both of its intervals.

    Thick bars: bootstrap over patients; thin bars: over seeds, Nadeau and Bengio, which may go on
    beyond the frame. Small dots are single seeds, the diamond is the paper's difference.
    comparison: see `comparison.compare_models`; runs: see `Runs.runs`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    table = comparison.dropna(subset="difference")
    reach = 0.12
    if table.empty:
        axes.set_title("Nothing to compare: no size has both models.")
    else:
        single = accuracy_by_seed(runs)[DIFFERENCE].dropna().reset_index()
        over_seeds = table.dropna(subset="seeds_low")
        if not over_seeds.empty:
            _intervals(axes, over_seeds, "seeds_low", "seeds_high", "95 %, seeds", elinewidth=1)
        _intervals(axes, table, "low", "high", "95 %, patients", elinewidth=4)
        axes.plot(
            table["images_per_class"], table["difference"], "o", ms=6, color=DIFFERENCE_COLOUR
        )
        # A little to the side, where the intervals do not hide them.
        beside = single["images_per_class"] * 1.1
        axes.scatter(
            beside, single[DIFFERENCE], s=16, color=NEUTRAL, alpha=0.5, lw=0, label="single seeds"
        )
        reach = max(reach, 1.1 * np.abs([*table["low"], *table["high"], *single[DIFFERENCE]]).max())
    axes.scatter(
        paper.IMAGES_PER_CLASS, paper.DIFFERENCE, edgecolor=NEUTRAL, label="paper", **DIAMOND
    )
    axes.axhline(0, color=NEUTRAL, ls="--", lw=1.2)
    images_axis(axes, [*table["images_per_class"], paper.IMAGES_PER_CLASS])
    axes.set(
        xlabel="training images per class",
        ylabel="accuracy, UBC-ResNet34 − ResNet34",
        ylim=(-reach, reach),
    )
    legend_above(axes)
    return figure


def fitted_curves(curves: LearningCurves, runs: pd.DataFrame) -> Figure:
    """Learning curves with their 95 % band over seeds, and the means that they were fitted to.

    curves: see `efficiency.fit_learning_curves`; runs: see `Runs.runs`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    images = np.geomspace(curves.sizes[0], curves.sizes[-1], 100)
    means = whole_curves(runs).groupby(["model", "images_per_class"])["accuracy"].mean()
    for model, of_model in means.groupby(level="model"):
        colour = MODEL_COLOURS[model]
        of_model = of_model.droplevel("model")
        axes.scatter(of_model.index, of_model, s=26, color=colour, label=model_label(model))
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


def reliability_diagram(table: pd.DataFrame) -> Figure:
    """The share of positive slices against the probability that a model gave them.

    The area of a dot is the number of slices; on the dashed line probabilities mean what they say.
    table: see `diagnosis.reliability`, of one size.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    axes.plot([0, 1], [0, 1], color=NEUTRAL, ls="--", lw=1.2)
    for model, bins in table.groupby("model"):
        colour = MODEL_COLOURS[model]
        area = 15 + 200 * bins["slices"] / bins["slices"].sum()
        axes.plot(bins["predicted"], bins["observed"], color=colour, lw=1.5)
        axes.scatter(bins["predicted"], bins["observed"], s=area, color=colour, alpha=0.8, lw=0)
        axes.plot([], [], color=colour, marker="o", lw=1.5, label=model_label(model))
    if table.empty:
        axes.set_title("No finished run of this size.")
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        aspect="equal",
        xlabel="probability of the positive class",
        ylabel="share that is positive",
    )
    legend_above(axes)
    return figure


def _intervals(
    axes: Axes, table: pd.DataFrame, low: str, high: str, label: str, elinewidth: float
) -> None:
    arms = [table["difference"] - table[low], table[high] - table["difference"]]
    axes.errorbar(
        table["images_per_class"],
        table["difference"],
        # A percentile interval may lie beside its difference.
        yerr=np.maximum(arms, 0),
        fmt="none",
        ecolor=DIFFERENCE_COLOUR,
        elinewidth=elinewidth,
        label=label,
    )
