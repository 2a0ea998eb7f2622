"""Figures of noise and artefacts: what they make of a slice, and of a network's answers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ubc_lib.figures.slices import blank, draw_slice
from ubc_lib.figures.style import WIDTH, model_colours
from ubc_lib.study import Study

METRICS = {"accuracy": "accuracy", "dice": "Dice"}


def artefact_gallery(pictures: dict[str, dict[float, np.ndarray]]) -> Figure:
    """One slice with each artefact, a line for each, the stronger the further right.

    pictures: by artefact and strength, float (H, W); strength 0 is the slice as it is.
    """
    columns = max(map(len, pictures.values()))
    figure, grid = plt.subplots(
        len(pictures),
        columns,
        figsize=(WIDTH, (WIDTH / columns + 0.25) * len(pictures)),
        squeeze=False,
        layout="constrained",
    )
    for line, (name, images) in zip(grid, pictures.items(), strict=True):
        line[0].set_ylabel(name)
        for axes, (strength, image) in zip(line, images.items(), strict=True):
            blank(axes)
            draw_slice(axes, image)
            axes.set_title(f"{strength:g}" if strength else "as it is", loc="left")
    return figure


def answers_under_artefacts(study: Study, table: pd.DataFrame) -> Figure:
    """Accuracy, and Dice beside it, against the strength of each artefact, means over seeds.

    table: see `training.artefacts.under_artefacts`.
    """
    names = [name for name in table["artefact"].unique() if name != "none"]
    metrics = [metric for metric in METRICS if table[metric].notna().any()]
    figure, grid = plt.subplots(
        *(len(names), len(metrics)),
        figsize=(WIDTH, 1.7 * len(names) + 0.5),
        sharey="col",
        squeeze=False,
        layout="constrained",
    )
    means = table.groupby(["model", "artefact", "strength"], as_index=False)[metrics].mean()
    colours = model_colours(study)
    for line, name in zip(grid, names, strict=True):
        for axes, metric in zip(line, metrics, strict=True):
            tested = means[means["artefact"].isin([name, "none"])].dropna(subset=metric)
            for model, of_model in tested.sort_values("strength").groupby("model"):
                drawn = {"color": colours[model], "label": study.labels[model]}
                axes.plot(of_model["strength"], of_model[metric], marker="o", ms=5, **drawn)
            axes.set(ylabel=METRICS[metric], xlabel=name)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure
