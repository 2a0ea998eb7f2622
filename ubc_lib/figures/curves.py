"""Result figures: tidy tables in, matplotlib figures out."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from ubc_lib.figures.style import (
    CLASS_COLOURS,
    NEUTRAL,
    WIDTH,
    literal,
    model_colours,
    sequence_colours,
)
from ubc_lib.results import paper
from ubc_lib.results.runs import whole_curves
from ubc_lib.results.tables import accuracy_by_images, lesion_areas
from ubc_lib.study import Study

# How every value of the paper is drawn.
DIAMOND = {"marker": "D", "s": 42, "facecolor": "white", "linewidth": 1.8}


def accuracy_against_images(study: Study, runs: pd.DataFrame, dummy: float) -> Figure:
    """Figure 6: test accuracy against training images per class, every model.

    Lines are means over the seeds of `whole_curves` with their Wilson 95 % band, dots all single
    seeds, diamonds the paper's values at 190 images, where they concern these patients, the dashed
    line a dummy that always gives one answer. runs: see `Runs.runs`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    colours, faint = model_colours(study), min(0.15, 0.3 / len(study.models))
    for model, means in _by_model(study, runs):
        colour, single = colours[model], runs[runs["model"] == model]
        axes.fill_between(
            means["images_per_class"], means["low"], means["high"], color=colour, alpha=faint, lw=0
        )
        axes.plot(
            means["images_per_class"],
            means["accuracy"],
            color=colour,
            lw=2,
            marker="o",
            ms=5,
            label=study.labels[model],
        )
        axes.scatter(
            single["images_per_class"], single["accuracy"], s=16, color=colour, alpha=0.5, lw=0
        )
        if model in paper.printed(study):
            printed = paper.IMAGES_PER_CLASS, paper.TABLE_3[model].accuracy
            axes.scatter(*printed, edgecolor=colour, zorder=5, **DIAMOND)
    sizes = [*runs["images_per_class"].unique()]
    if study.of_paper:
        axes.scatter([], [], edgecolor=NEUTRAL, label="paper", **DIAMOND)
        sizes.append(paper.IMAGES_PER_CLASS)
    axes.axhline(dummy, color=NEUTRAL, ls="--", lw=1.2, label="one answer for all")
    images_axis(axes, sizes)
    axes.set(xlabel="training images per class", ylabel="test accuracy")
    legend_above(axes)
    return figure


def accuracy_against_dice(study: Study, runs: pd.DataFrame) -> Figure:
    """Figure 7: test accuracy against Dice for every model that draws masks, labelled by size.

    Large dots are means over seeds (see `whole_curves`), small ones single seeds, the diamond the
    paper's value at 190 images per class. runs: see `Runs.runs`.
    """
    runs = runs.dropna(subset="dice")
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    sizes, colours = [], model_colours(study)
    for model, means in _by_model(study, runs):
        colour, single = colours[model], runs[runs["model"] == model]
        axes.plot(means["dice"], means["accuracy"], color=colour, lw=1, alpha=0.5)
        axes.scatter(single["dice"], single["accuracy"], s=16, color=colour, alpha=0.5, lw=0)
        axes.scatter(
            means["dice"], means["accuracy"], s=60, color=colour, label=study.labels[model]
        )
        sizes += [
            axes.text(
                row.dice,
                row.accuracy,
                f"{row.images_per_class}",
                fontsize=10,
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )
            for row in means.itertuples()
        ]
        if model in paper.printed(study):
            printed = paper.TABLE_3[model].dice, paper.TABLE_3[model].accuracy
            label = f"paper, {paper.IMAGES_PER_CLASS} images"
            axes.scatter(*printed, edgecolor=colour, label=label, **DIAMOND)
    if runs.empty:
        axes.set_title("No model of this study draws masks.")
    axes.margins(0.1)
    axes.locator_params(axis="x", nbins=6)
    axes.set(xlabel="Dice on the test set", ylabel="test accuracy")
    legend_above(axes)
    adjust_text(
        sizes,
        ax=axes,
        iter_lim=500,
        expand=(1.4, 1.7),
        arrowprops={"arrowstyle": "-", "lw": 0.8, "color": NEUTRAL},
    )
    return figure


def training_curves(
    study: Study,
    history: pd.DataFrame,
    evaluations: pd.DataFrame,
    runs: pd.DataFrame,
    by: str = "images_per_class",
) -> Figure:
    """Loss, accuracy and Dice over epochs, one line per run.

    A dot marks the plateau epoch of each run that reached it. Accuracy: dotted on the training
    batches, solid on the test set. Tables: see `Runs`. by: what the runs differ in, and are
    coloured by, "images_per_class" or "model".
    """
    values = sorted(runs[by].unique())
    colours = dict(zip(values, sequence_colours(len(values)), strict=True))
    colours = model_colours(study) if by == "model" else colours
    with_dice = evaluations["dice"].notna().any()
    figure, panels = plt.subplots(
        2 + with_dice, figsize=(WIDTH, 2.5 * (2 + with_dice) + 0.8), sharex=True
    )
    for run in runs.itertuples():
        value = getattr(run, by)
        colour, label = colours[value], study.labels[value] if by == "model" else value
        trained = _of_run(history, run)
        tested = _of_run(evaluations, run)
        curves = [trained["loss"], tested["accuracy"], tested["dice"]][: len(panels)]
        panels[1].plot(trained["accuracy"], color=colour, ls=":", lw=1)
        for axes, curve in zip(panels, curves, strict=True):
            axes.plot(curve, color=colour, lw=1.6, label=label)
            if run.plateau_reached:
                height = np.interp(run.plateau_epoch, curve.index, curve)
                axes.plot(run.plateau_epoch, height, "o", ms=6, color=colour)
    panels[0].set_ylabel("training loss")
    panels[1].set_ylabel("accuracy")
    panels[-1].set_xlabel("epoch")
    if with_dice:
        panels[2].set_ylabel("Dice (test)")
    panels[0].legend(
        title=None if by == "model" else "images per class",
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=min(len(values), 2 if by == "model" else 5),
        handlelength=1.2,
    )
    figure.align_ylabels()
    return figure


def areas_by_class(slices: pd.DataFrame) -> Figure:
    """Lesion area on the chosen slices of each class; one dot per slice over its quartiles.

    slices: see `Slices.table`.
    """
    (area, unit), label = lesion_areas(slices), slices["label"].map(literal)
    drawn = slices.assign(area=area, label=label).sort_values("target")
    classes = drawn.drop_duplicates("target")
    palette = {row.label: CLASS_COLOURS[row.target] for row in classes.itertuples()}
    shared = {"data": drawn, "x": "area", "y": "label", "hue": "label", "legend": False}
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    sns.stripplot(**shared, palette=palette, size=3, alpha=0.5, jitter=0.3, ax=axes)
    sns.boxplot(**shared, palette=palette, fill=False, width=0.75, showfliers=False, ax=axes)
    axes.set(xlabel=f"lesion area of a slice, {unit}", ylabel="", xlim=(0, None))
    return figure


def _by_model(study: Study, runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Means of each model that has runs, in the order of the study: see `accuracy_by_images`."""
    means = accuracy_by_images(whole_curves(runs))
    there = set(means["model"])
    return ((model, means[means["model"] == model]) for model in study.models if model in there)


def _of_run(table: pd.DataFrame, run) -> pd.DataFrame:
    same = (
        table["model"].eq(run.model)
        & table["images_per_class"].eq(run.images_per_class)
        & table["seed"].eq(run.seed)
    )
    return table[same].set_index("epoch")


def images_axis(axes: Axes, sizes: list[int]) -> None:
    """A logarithmic axis with a tick at each size, but not where two labels would touch."""
    axes.set_xscale("log", base=2)
    ticks = sorted(set(sizes))
    apart = [b for a, b in zip([0.01, *ticks], ticks, strict=False) if np.log2(b / a) > 0.45]
    axes.set_xticks(apart, [str(tick) for tick in apart])
    axes.xaxis.set_minor_locator(NullLocator())


def legend_above(axes: Axes) -> None:
    """The legend, where there is one, above the axes in two columns."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
