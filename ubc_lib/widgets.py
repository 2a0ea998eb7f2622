"""The slice explorer: works with a kernel and, because every link is a jslink, without one."""

import base64
import html
import io
from collections.abc import Iterable
from functools import partial

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
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage

from ubc_lib.errors import InputError
from ubc_lib.pictures import grey
from ubc_lib.slices import Slices
from ubc_lib.style import LESION_COLOUR, RESPONSE_COLOURS, model_label

SIDE = 224  # pixels of an encoded picture
QUALITY = 70  # of webp; that of transparency is coarser, since it is stored without loss
ALPHA_QUALITY = 30
SHOWN = "384px"  # width on the page where there is room
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
    positive = slices.table.loc[slices.table["target"] == 1, "label"].iloc[0]
    markup = pd.DataFrame(
        {
            "slice": [_slice(slices, row) for row in rows],
            "lesion": [_lesion(slices.masks[row]) for row in rows],
            "caption": [_caption(one, predictions, positive) for one in table.itertuples()],
        }
    )
    switches = {"lesion": _switch("lesion", on=True)}
    if responses is not None:
        # Before the lesion, so that its outline is drawn on top.
        markup.insert(1, "response", [_response(response) for response in responses])
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


def _caption(one, predictions: pd.DataFrame | None, positive: str) -> str:
    """Patient, class and slice, and what each model said about it. one: a row of the table."""
    patient, label = html.escape(one.patient), html.escape(one.label)
    lines = [f"<b>{patient}</b>, {label}, slice {one.slice_index}"]
    if predictions is not None:
        said = predictions[
            predictions["patient"].eq(one.patient) & predictions["slice_index"].eq(one.slice_index)
        ]
        for model in said.itertuples():
            answer = f"probability of {html.escape(positive)} {model.probability:.2f}"
            dice = "" if pd.isna(model.dice) else f", Dice {model.dice:.2f}"
            lines.append(f"{model_label(model.model)}: {answer}{dice}")
    style = "line-height: 1.5; color: var(--jp-widgets-label-color, inherit)"
    return f'<div style="{style}">{"<br>".join(lines)}</div>'


def _slice(slices: Slices, row: int) -> str:
    one = slices.table.iloc[row]
    shades = Image.fromarray(np.uint8(255 * grey(slices.images[row])))
    alt = f"Slice {one['slice_index']} of patient {one['patient']}, {one['label']}"
    return _picture(shades.resize((SIDE, SIDE), Image.Resampling.BICUBIC), alt)


def _lesion(mask: np.ndarray) -> str:
    """The outline of a lesion, transparent elsewhere. mask: bool (H, W)."""
    enlarged = Image.fromarray(np.uint8(255 * mask)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    inside = np.asarray(enlarged) > 127
    outline = inside & ~ndimage.binary_erosion(inside, iterations=2)
    return _picture(_tinted(to_rgb(LESION_COLOUR), outline), "Outline of the lesion")


def _response(response: np.ndarray) -> str:
    """A response as colours over the slice, the fainter the lower. response: float (H, W)."""
    colours = colormaps[RESPONSE_COLOURS](response)[..., :3]
    drawn = _tinted(colours, 0.7 * np.clip(response, 0, 1))
    return _picture(drawn, "Response of the model: probability of lesion at each pixel")


def _tinted(colours, opacity: np.ndarray) -> Image.Image:
    """An image of `colours` (three, or H x W x 3) with `opacity` (H, W), all from 0 to 1."""
    rgba = np.zeros((*opacity.shape, 4))
    rgba[..., :3], rgba[..., 3] = colours, opacity
    return Image.fromarray(np.uint8(255 * rgba))


def _picture(image: Image.Image, alt: str) -> str:
    # An ipywidgets Image cannot carry a text for those who do not see it. The class keeps the
    # book's theme from dimming pictures, and their transparent parts from filling, in dark mode.
    encoded = io.BytesIO()
    image.save(encoded, "webp", quality=QUALITY, alpha_quality=ALPHA_QUALITY)
    data = base64.b64encode(encoded.getvalue()).decode()
    return (
        f'<img class="dark-light" alt="{html.escape(alt)}" src="data:image/webp;base64,{data}" '
        'style="display: block; width: 100%; background: none">'
    )
