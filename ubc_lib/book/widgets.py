"""The explorers of the book: with a kernel and, because every link is a jslink, without one."""

import io
import re
from collections.abc import Iterable
from functools import partial
from urllib.parse import quote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ipywidgets import (
    HTML,
    Dropdown,
    GridBox,
    HBox,
    Layout,
    Play,
    SelectionSlider,
    Stack,
    ToggleButtons,
    VBox,
    Widget,
    jslink,
)

from ubc_lib.book.layers import (
    lesion_layer,
    positive_label,
    response_layer,
    slice_caption,
    slice_layer,
)
from ubc_lib.data.slices import Slices
from ubc_lib.figures.curves import training_curves
from ubc_lib.system.errors import InputError

SHOWN = "384px"  # width on the page where there is room
SHOWN_CURVES = "540px"
PLAY_MILLISECONDS = 700


def slice_explorer(
    slices: Slices,
    rows: np.ndarray,
    predictions: pd.DataFrame | None = None,
    responses: np.ndarray | None = None,
) -> VBox:
    """Choose a patient, move or play through its slices, switch lesion and response on and off.

    rows: row numbers of the slice table, those to show.
    predictions: for the captions, rows of `Runs.predictions`, at most one per slice and model.
    responses: probability of lesion, float (len(rows), H, W), drawn over the slices.
    Raises InputError when there are no rows, or not one response per row.
    """
    if not len(rows):
        raise InputError("slice_explorer got no slices to show; give at least one row.")
    if responses is not None and len(responses) != len(rows):
        raise InputError(f"slice_explorer got {len(responses)} responses for {len(rows)} slices.")
    table = slices.table.iloc[rows]
    positive = positive_label(slices)
    markup = pd.DataFrame(
        {
            "slice": [slice_layer(slices, row) for row in rows],
            "lesion": [lesion_layer(slices.masks[row]) for row in rows],
            "caption": [slice_caption(one, predictions, positive) for one in table.itertuples()],
        }
    )
    switches = {"lesion": _switch("lesion", on=True)}
    if responses is not None:
        # Before the lesion, so that its outline is drawn on top.
        markup.insert(1, "response", [response_layer(response) for response in responses])
        switches["response"] = _switch("response", on=False)

    # One for all: a saved page writes each layout and style out in full, 1 kB each.
    layout = Layout(flex_flow="column", width="auto", grid_area="1 / 1")
    page = partial(HTML, layout=layout, style=HTML().style)
    panels, names = [], []
    for patient, places in table.groupby("patient", sort=False).indices.items():
        of_patient, shown = table.iloc[places], markup.iloc[places]
        names.append(f"{patient} ({of_patient['label'].iloc[0]})")
        slider = SelectionSlider(
            options=[f"slice {index}" for index in of_patient["slice_index"]],
            layout={"width": "auto", "flex": "1 1 auto"},
        )
        stacks = {kind: _stack(slider, map(page, shown[kind]), layout) for kind in shown}
        for kind, switch in switches.items():
            stacks[kind] = _stack(switch, [stacks[kind], page()], layout)
        caption = stacks.pop("caption")
        pile = GridBox([*stacks.values()], layout={"grid_template_columns": "100%"})
        panels.append(VBox([_player(slider), pile, caption]))

    choice = Dropdown(options=names, description="patient", layout={"width": "auto"})
    return VBox(
        [choice, *switches.values(), _stack(choice, panels, layout)],
        layout={"width": "100%", "max_width": SHOWN},
    )


def training_explorer(history: pd.DataFrame, evaluations: pd.DataFrame, runs: pd.DataFrame) -> VBox:
    """Choose images per class and seed, see loss, accuracy and Dice of every model over epochs.

    Tables: see `Runs`.
    """
    sizes, seeds = (sorted(runs[key].unique()) for key in ("images_per_class", "seed"))
    size, seed = (
        Dropdown(
            options=[str(value) for value in values],
            index=start,
            description=name,
            style={"description_width": "9em"},
            layout={"width": "16em"},
        )
        for name, values, start in (("images per class", sizes, len(sizes) - 1), ("seed", seeds, 0))
    )
    layout = Layout(flex_flow="column", width="auto")
    drawn = runs.groupby(["images_per_class", "seed"]).groups
    by_size = []
    for n in sizes:
        values = [
            _curves(history, evaluations, runs.loc[drawn[n, one]])
            if (n, one) in drawn
            else "This run is missing."
            for one in seeds
        ]
        by_size.append(_stack(seed, map(HTML, values), layout))
    return VBox(
        [size, seed, _stack(size, by_size, layout)],
        layout={"width": "100%", "max_width": SHOWN_CURVES},
    )


def _curves(history: pd.DataFrame, evaluations: pd.DataFrame, runs: pd.DataFrame) -> str:
    """The training of each model on one subset, on axes that are the same for every subset."""
    figure = training_curves(history, evaluations, runs, by="model")
    for axes in figure.axes:
        axes.set_xlim(0, history["epoch"].max())
        axes.set_ylim(0, 1 if axes is not figure.axes[0] else None)
    drawn = io.StringIO()
    # Text as text: letters drawn as paths double the weight.
    with plt.rc_context({"svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    # Places to a tenth of a point: with hundreds of runs, their digits would outweigh the page.
    svg = re.sub(r"\d+\.\d{3,}", lambda place: f"{float(place[0]):.1f}", drawn.getvalue())
    n, seed = runs.iloc[0][["images_per_class", "seed"]]
    alt = f"Training loss, accuracy and Dice over epochs, {n} images per class, seed {seed}"
    return (
        f'<img class="dark-light" alt="{alt}" src="data:image/svg+xml,{quote(svg)}" '
        'style="display: block; width: 100%; background: white">'
    )


def _switch(name: str, on: bool) -> ToggleButtons:
    return ToggleButtons(
        options=[f"{name} on", f"{name} off"],
        index=0 if on else 1,
        style={"button_width": "9em"},
        layout={"width": "auto", "margin": "2px 2px 6px"},
    )


def _player(slider: SelectionSlider) -> HBox:
    play = Play(max=len(slider.options) - 1, interval=PLAY_MILLISECONDS)
    jslink((play, "value"), (slider, "index"))
    return HBox([play, slider], layout={"width": "100%"})


def _stack(control: Widget, children: Iterable[Widget], layout: Layout) -> Stack:
    """Shows the child that the control's index says."""
    stack = Stack([*children], selected_index=control.index, layout=layout)
    jslink((control, "index"), (stack, "selected_index"))
    return stack
