"""Slices as HTML: grey picture, outline of the lesion and response, to be laid over each other."""

import base64
import html
import io

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import ndimage

from ubc_lib.data.slices import Slices
from ubc_lib.figures.slices import grey
from ubc_lib.figures.style import LESION_COLOUR, RESPONSE_COLOURS, RESPONSE_OPACITY

SIDE = 224  # pixels of an encoded picture
QUALITY = 70  # of webp; that of transparency is coarser, since it is stored without loss
ALPHA_QUALITY = 30
GALLERY = "display: grid; gap: 0.5rem; grid-template-columns: repeat(3, 1fr); max-width: 36rem"


def slice_layer(slices: Slices, row: int) -> str:
    """A slice in grey. row: of the slice table."""
    one = slices.table.iloc[row]
    shades = Image.fromarray(np.uint8(255 * grey(slices.images[row])))
    alt = f"Slice {one['slice_index']} of patient {one['patient']}, {one['label']}"
    return _picture(shades.resize((SIDE, SIDE), Image.Resampling.BICUBIC), alt)


def lesion_layer(mask: np.ndarray) -> str:
    """The outline of a lesion, transparent elsewhere. mask: bool (H, W)."""
    enlarged = Image.fromarray(np.uint8(255 * mask)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    inside = np.asarray(enlarged) > 127
    outline = inside & ~ndimage.binary_erosion(inside, iterations=2)
    return _picture(_tinted(to_rgb(LESION_COLOUR), outline), "Outline of the lesion")


def response_layer(response: np.ndarray, opacity: float = RESPONSE_OPACITY) -> str:
    """A response as colours, the fainter the lower; `opacity` is where it is 1.

    response: float (H, W).
    """
    colours = colormaps[RESPONSE_COLOURS](response)[..., :3]
    drawn = _tinted(colours, opacity * np.clip(response, 0, 1))
    return _picture(drawn, "Response of the model: probability of lesion at each pixel")


def slice_caption(
    one, predictions: pd.DataFrame | None, positive: str, labels: dict[str, str]
) -> str:
    """Patient, class and slice, and what each model said about it.

    one: a row of the slice table. predictions: rows of `Runs.predictions`, at most one per slice
    and model. positive: the label whose probability it is. labels: what readers see of each model.
    """
    patient, label = html.escape(one.patient), html.escape(one.label)
    lines = [f"<b>{patient}</b>, {label}, slice {one.slice_index}"]
    if predictions is not None:
        said = predictions[
            predictions["patient"].eq(one.patient) & predictions["slice_index"].eq(one.slice_index)
        ]
        for model in said.itertuples():
            answer = f"probability of {html.escape(positive)} {model.probability:.2f}"
            dice = "" if pd.isna(model.dice) else f", Dice {model.dice:.2f}"
            lines.append(f"{html.escape(labels[model.model])}: {answer}{dice}")
    style = "line-height: 1.5; color: var(--jp-widgets-label-color, inherit)"
    return f'<div style="{style}">{"<br>".join(lines)}</div>'


def stacked(layers: list[str]) -> str:
    """One picture of several layers, the last on top."""
    cells = "".join(f'<div style="grid-area: 1 / 1">{layer}</div>' for layer in layers)
    return f'<div style="display: grid">{cells}</div>'


def answer_gallery(
    slices: Slices, answers: pd.DataFrame, responses: np.ndarray | None = None
) -> str:
    """Slices that a model was sure of, right answers first, with the outline of the lesion.

    answers: see `pictures.confident_answers`. responses: probability of lesion, float
    (len(answers), H, W), laid over the slices.
    """
    shown = []
    for right, title in ((True, "Right"), (False, "Wrong")):
        tiles = []
        for one in answers[answers["right"] == right].itertuples():
            layers = [slice_layer(slices, one.row), lesion_layer(slices.masks[one.row])]
            if responses is not None:
                layers.insert(1, response_layer(responses[one.Index]))
            said = f"{html.escape(one.answer)} {one.confidence:.2f}"
            said += "" if right else f", true: {html.escape(one.label)}"
            tiles.append(f"<div>{stacked(layers)}{said}</div>")
        grid = f'<div style="{GALLERY}">{"".join(tiles)}</div>'
        heading = f'<p style="margin-top: 1em"><b>{title}</b></p>'
        shown += [heading, grid if tiles else "<p>none</p>"]
    return "".join(shown)


def positive_label(slices: Slices) -> str:
    """The label of the positive class."""
    return slices.table.loc[slices.table["target"] == 1, "label"].iloc[0]


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
