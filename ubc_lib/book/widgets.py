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
from torch import nn

from ubc_lib.book.layers import (
    answer_gallery,
    lesion_layer,
    positive_label,
    response_layer,
    slice_caption,
    slice_layer,
)
from ubc_lib.data.slices import Slices
from ubc_lib.figures.curves import training_curves
from ubc_lib.figures.slices import confident_answers
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.training.weights import response_of

SHOWN = "384px"  # width on the page where there is room
SHOWN_CURVES = "540px"
SHOWN_ANSWERS = "576px"
PLAY_MILLISECONDS = 700


def slice_explorer(
    study: Study,
    slices: Slices,
    rows: np.ndarray,
    predictions: pd.DataFrame | None = None,
    responses: dict[str, np.ndarray] | None = None,
) -> VBox:
    """Choose a patient, move or play through its slices, switch lesion and responses on and off.

    rows: row numbers of the slice table, those to show.
    predictions: for the captions, rows of `Runs.predictions`, at most one per slice and model.
    responses: by model, probability of lesion, float (len(rows), H, W), drawn over the slices.
    Raises InputError when there are no rows, or not one response per row.
    """
    if not len(rows):
        raise InputError("slice_explorer got no slices to show; give at least one row.")
    for response in (responses or {}).values():
        if len(response) != len(rows):
            raise InputError(
                f"slice_explorer got {len(response)} responses for {len(rows)} slices."
            )
    table = slices.table.iloc[rows]
    said = partial(slice_caption, predictions=predictions, positive=positive_label(slices))
    markup = pd.DataFrame(
        {
            "slice": [slice_layer(slices, row) for row in rows],
            # Before the lesion, so that its outline is drawn on top.
            **{
                model: [response_layer(one) for one in response]
                for model, response in (responses or {}).items()
            },
            "lesion": [lesion_layer(slices.masks[row]) for row in rows],
            "caption": [said(one, labels=study.labels) for one in table.itertuples()],
        }
    )
    switches = {"lesion": _switch(["lesion on", "lesion off"])}
    if responses:
        names = [study.labels[model] for model in responses]
        offers = [f"response of {name}" for name in names] if len(names) > 1 else ["response on"]
        switches["response"] = _switch(["response off", *offers])

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
        caption, lesion = stacks.pop("caption"), stacks.pop("lesion")
        if responses:
            drawn = [page(), *(stacks.pop(model) for model in responses)]
            stacks["response"] = _stack(switches["response"], drawn, layout)
        stacks["lesion"] = _stack(switches["lesion"], [lesion, page()], layout)
        pile = GridBox([*stacks.values()], layout={"grid_template_columns": "100%"})
        panels.append(VBox([_player(slider), pile, caption]))

    choice = Dropdown(options=names, description="patient", layout={"width": "auto"})
    return VBox(
        [choice, *switches.values(), _stack(choice, panels, layout)],
        layout={"width": "100%", "max_width": SHOWN},
    )


def training_explorer(
    study: Study, history: pd.DataFrame, evaluations: pd.DataFrame, runs: pd.DataFrame
) -> VBox:
    """Choose images per class and seed, see loss, accuracy and Dice of every model over epochs.

    Offered are the seeds that a size has. Tables: see `Runs`.
    """
    layout, panels = Layout(flex_flow="column", width="auto"), []
    sizes = sorted(runs["images_per_class"].unique())
    for n in sizes:
        of_seeds = [group for _, group in runs[runs["images_per_class"] == n].groupby("seed")]
        seed = _dropdown("seed", [group["seed"].iloc[0] for group in of_seeds])
        curves = [HTML(_curves(study, history, evaluations, group)) for group in of_seeds]
        panels.append(VBox([seed, _stack(seed, curves, layout)]))
    size = _dropdown("images per class", sizes, index=len(sizes) - 1)
    return VBox(
        [size, _stack(size, panels, layout)],
        layout={"width": "100%", "max_width": SHOWN_CURVES},
    )


def _dropdown(name: str, values: list[int], index: int = 0) -> Dropdown:
    return Dropdown(
        options=[str(value) for value in values],
        index=index,
        description=name,
        style={"description_width": "9em"},
        layout={"width": "16em"},
    )


def answer_explorer(
    study: Study,
    slices: Slices,
    predictions: pd.DataFrame,
    networks: dict[str, nn.Module | None],
    n: int = 3,
) -> VBox:
    """Choose a model, see the slices that it was surest of, right and wrong, n of each.

    predictions: of one run of each model, see `Runs.predictions`. networks: see
    `weights.drawing_networks`; what they respond is laid over the slices.
    """
    there = [model for model in study.models if model in set(predictions["model"])]
    galleries = []
    for model in there:
        answers = confident_answers(slices, predictions[predictions["model"] == model], n)
        network = networks.get(model)
        rows = answers["row"].to_numpy()
        drawn = network and response_of(study, model, network, slices, rows)
        galleries.append(HTML(answer_gallery(slices, answers, drawn)))
    names = [study.labels[model] for model in there]
    choice = Dropdown(options=names, description="model", layout={"width": "auto"})
    layout = Layout(flex_flow="column", width="auto")
    return VBox(
        [choice, _stack(choice, galleries, layout)],
        layout={"width": "100%", "max_width": SHOWN_ANSWERS},
    )


def _curves(
    study: Study, history: pd.DataFrame, evaluations: pd.DataFrame, runs: pd.DataFrame
) -> str:
    """The training of each model on one subset, on axes that are the same for every subset."""
    figure = training_curves(study, history, evaluations, runs, by="model")
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


def _switch(options: list[str]) -> ToggleButtons | Dropdown:
    """The first option is chosen; more than two do not stand beside each other on a phone."""
    if len(options) > 2:
        name = options[0].partition(" ")[0]
        return Dropdown(options=options, description=name, layout={"width": "auto"})
    return ToggleButtons(
        options=options,
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
