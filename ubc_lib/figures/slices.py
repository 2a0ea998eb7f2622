"""Pictures of slices: inputs, lesion masks and what the model responds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ubc_lib.data.slices import Slices
from ubc_lib.figures.style import LESION_COLOUR, RESPONSE_COLOURS, WIDTH, literal
from ubc_lib.system.errors import InputError

MOST_RESPONSES = 4  # that a line has room for


def example_rows(slices: Slices, rows: np.ndarray, per_class: int) -> np.ndarray:
    """One slice, the one with most lesion, of each of `per_class` patients of either class.

    rows: row numbers of the slice table to choose from. Patients are taken evenly from the sorted
    list of names; fewer are taken where there are fewer. Positive class first.
    """
    chosen = []
    for _, of_class in slices.table.iloc[rows].groupby("target", sort=True):
        largest = of_class.sort_values("lesion_area").groupby("patient").tail(1)
        largest = largest.sort_values("patient")
        n = min(per_class, len(largest))
        chosen = [*largest.index[np.linspace(0, len(largest) - 1, n).round().astype(int)], *chosen]
    return np.array(chosen)


def patient_rows(slices: Slices, rows: np.ndarray, patients: int) -> np.ndarray:
    """All of the given rows that belong to `patients` patients, as many of each class.

    Patients are chosen as in `example_rows`; fewer where there are fewer. Raises InputError for
    less than one patient.
    """
    if patients < 1:
        raise InputError(f"Parameter patients must be 1 or more, got {patients}.")
    examples = example_rows(slices, rows, per_class=(patients + 1) // 2)
    chosen = slices.table["patient"].iloc[examples[:patients]]
    return np.concatenate(
        [rows[(slices.table["patient"].iloc[rows] == patient).to_numpy()] for patient in chosen]
    )


def grey(image: np.ndarray) -> np.ndarray:
    """Intensities as grey from 0 to 1, float (H, W): percentiles 0.5 to 99.5 of the brain.

    image: float (H, W), exactly 0 outside the brain, which is drawn black whatever 0 means inside.
    """
    brain = image != 0
    if not brain.any():
        return np.zeros_like(image)
    low, high = np.percentile(image[brain], [0.5, 99.5])
    return np.where(brain, np.clip((image - low) / max(high - low, 1e-6), 0, 1), 0)


def slice_grid(slices: Slices, rows: np.ndarray, masks: bool = False) -> Figure:
    """Figures 1 and 2: slices in a grid, one line per class, with their lesion masks or without.

    rows: row numbers of the slice table, as `example_rows` gives them.
    """
    table = slices.table.iloc[rows]
    labels = list(dict.fromkeys(table["label"]))
    columns = int(table["label"].value_counts().max())
    side = WIDTH / columns
    figure, grid = plt.subplots(
        len(labels),
        columns,
        figsize=(WIDTH, (side + 0.05) * len(labels)),
        squeeze=False,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for label, line in zip(labels, grid, strict=True):
        of_class = table.index[table["label"] == label]
        for axes in line:
            blank(axes)
        for axes, row in zip(line, of_class, strict=False):
            draw_slice(axes, slices.images[row])
            if masks:
                draw_mask(axes, slices.masks[row])
        line[0].set_ylabel(literal(label))
    return figure


def response_grid(
    slices: Slices,
    rows: np.ndarray,
    responses: dict[str, np.ndarray],
    predictions: pd.DataFrame,
    labels: dict[str, str],
) -> Figure:
    """Figure 3: image with lesion mask, and response maps before thresholding, a slice per line.

    responses: by model, of `MOST_RESPONSES` at most, probability of lesion, float (len(rows), H,
    W). predictions: of one run of each, see `Runs.predictions`; from it come the true class and the
    model's confidence in its answer. labels: what readers see of each model.
    """
    shown = dict(list(responses.items())[:MOST_RESPONSES])
    side = WIDTH / (2 + len(shown))
    figure, grid = plt.subplots(
        len(rows),
        2 + len(shown),
        figsize=(WIDTH, (side + 0.3) * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    probability = predictions.set_index(["model", "patient", "slice_index"])["probability"]
    classes = slices.table.drop_duplicates("target").set_index("target")["label"]
    for place, (line, row) in enumerate(zip(grid, rows, strict=True)):
        one = slices.table.iloc[row]
        for axes in line:
            blank(axes)
        draw_slice(line[0], slices.images[row])
        draw_slice(line[1], slices.images[row])
        draw_mask(line[1], slices.masks[row])
        line[0].set_title(f"true: {literal(one.label)}", loc="left")
        for axes, (model, response) in zip(line[2:], shown.items(), strict=True):
            drawn = axes.imshow(response[place], cmap=RESPONSE_COLOURS, vmin=0, vmax=1)
            positive = probability[model, one.patient, one.slice_index]
            answer, confidence = classes[int(positive > 0.5)], max(positive, 1 - positive)
            who = "model" if len(shown) == 1 else labels[model]
            axes.set_title(f"{who}: {literal(answer)} {confidence:.2f}", loc="left")
    figure.colorbar(
        drawn,
        ax=grid[-1].tolist(),
        location="bottom",
        label="probability of lesion",
        aspect=40,
        pad=0.01,
    )
    return figure


def confident_answers(slices: Slices, predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n slices that a model was surest of where it was right, then n where it was wrong.

    predictions: of one run, see `Runs.predictions`. Of each patient only the surest slice counts,
    since its slices are alike; fewer rows come where there are fewer. Columns: row (of the slice
    table), right, label, answer, confidence.
    """
    labels = slices.table.drop_duplicates("target").set_index("target")["label"]
    places = slices.table[["patient", "slice_index"]].rename_axis("row").reset_index()
    said = places.merge(predictions, on=["patient", "slice_index"])
    said["answer"] = (said["probability"] > 0.5).map({True: labels[1], False: labels[0]})
    said["right"] = said["answer"] == said["label"]
    said["confidence"] = np.maximum(said["probability"], 1 - said["probability"])
    surest = said.sort_values("confidence", ascending=False).drop_duplicates(["patient", "right"])
    chosen = surest.groupby("right").head(n).sort_values("right", ascending=False, kind="stable")
    columns = ["row", "right", "label", "answer", "confidence"]
    return chosen[columns].reset_index(drop=True)


def draw_slice(axes: Axes, image: np.ndarray) -> None:
    """A slice in grey. image: float (H, W)."""
    axes.imshow(grey(image), cmap="gray", vmin=0, vmax=1)


def draw_mask(axes: Axes, mask: np.ndarray) -> None:
    """A lesion as a translucent area with its outline. mask: bool (H, W)."""
    if mask.any():
        axes.contourf(mask, levels=[0.5, 1], colors=[LESION_COLOUR], alpha=0.25)
        axes.contour(mask, levels=[0.5], colors=[LESION_COLOUR], linewidths=1.2)


def blank(axes: Axes) -> None:
    """Axes for a picture alone."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
