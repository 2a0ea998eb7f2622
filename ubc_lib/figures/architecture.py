"""Figures 4 and 5: the paper's networks drawn from the tables of their parts."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ubc_lib.figures.style import NEUTRAL, PAPER_COLOURS

WIDE, HIGH = 2.2, 0.62  # of a box, inches
ACROSS, DOWN = 2.5, 0.86  # from one box to the next


def architecture(table: pd.DataFrame, skips: dict[str, str], image_size: int = 224) -> Figure:
    """A network as boxes, one line per resolution, halving downwards.

    Each box tells what a part gives (channels × height × width) and its parameters. Orange is the
    encoder with its classifier, blue what the Unet-boosted classifier adds, and dashed arrows are
    the skip connections. table: see `models.parameter_table`; skips: see `models.skip_connections`.
    """
    places = {"image": (0, 0)}
    places |= {row.part: _place(row.part, row.output, image_size) for row in table.itertuples()}
    columns, lines = zip(*places.values(), strict=True)
    width, top, bottom = max(columns) * ACROSS + WIDE, -min(lines) * DOWN, -max(lines) * DOWN - HIGH
    figure = plt.figure(figsize=(width + 0.1, top - bottom + 0.1))
    axes = figure.add_axes((0, 0, 1, 1), aspect="equal")
    axes.set(xlim=(-0.05, width + 0.05), ylim=(bottom - 0.05, top + 0.05))
    axes.axis("off")

    _box(axes, places["image"], "image", f"1 × {image_size} × {image_size}", NEUTRAL)
    for row in table.itertuples():
        added = row.part.startswith(("decoder", "segmentation"))
        numbers = f"{row.output.replace('x', ' × ')}   ({row.parameters:,})".replace(",", "\u202f")
        colour = PAPER_COLOURS["ubc_resnet34" if added else "resnet34"]
        _box(axes, places[row.part], _title(row.part, row.blocks), numbers, colour)

    encoder = ["image", *table.loc[table["part"].str.startswith("encoder"), "part"]]
    decoder = [*table.loc[table["part"].str.startswith(("decoder", "segm")), "part"]]
    for start, end in [*pairwise([*encoder, "classifier"]), *pairwise([encoder[-1], *decoder])]:
        _between(axes, places[start], places[end])
    for end, start in skips.items():
        _skip(axes, places[start], places[end])
    return figure


def _place(part: str, output: str, image_size: int) -> tuple[int, int]:
    """Column and line of a part: the line counts how often the image has been halved."""
    if part == "classifier":
        return 0, 6
    if part == "segmentation head":
        return 1, -1
    return int(part.startswith("decoder")), int(math.log2(image_size // int(output.split("x")[1])))


def _title(part: str, blocks: int) -> str:
    if part.startswith("encoder level"):
        return f"{part}, {blocks} blocks"
    return {
        "encoder stem": "encoder stem, 7 × 7",
        "classifier": "average pooling, classifier",
    }.get(part, part)


def _box(axes: Axes, place: tuple[int, int], title: str, numbers: str, colour: str) -> None:
    left, top = _corner_of(place)
    axes.add_patch(
        FancyBboxPatch(
            (left, top - HIGH),
            WIDE,
            HIGH,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=to_rgba(colour, 0.12),
            edgecolor=colour,
            linewidth=1.4,
        )
    )
    middle = left + WIDE / 2
    axes.text(middle, top - HIGH * 0.3, title, ha="center", va="center", fontweight="bold", size=10)
    axes.text(middle, top - HIGH * 0.72, numbers, ha="center", va="center", size=10)


def _arrow(axes: Axes, start: tuple, end: tuple, colour: str = NEUTRAL, **line) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, **line},
    )


def _between(axes: Axes, start: tuple[int, int], end: tuple[int, int]) -> None:
    """An arrow between neighbours in a column, or round the corner from encoder to decoder."""
    left, top = _corner_of(start)
    to_left, to_top = _corner_of(end)
    if start[0] != end[0]:
        corner = {"connectionstyle": "angle,angleA=0,angleB=90,rad=4"}
        _arrow(axes, (left + WIDE, top - HIGH / 2), (to_left + WIDE / 2, to_top - HIGH), **corner)
    elif start[1] < end[1]:
        _arrow(axes, (left + WIDE / 2, top - HIGH), (to_left + WIDE / 2, to_top))
    else:
        _arrow(axes, (left + WIDE / 2, top), (to_left + WIDE / 2, to_top - HIGH))


def _skip(axes: Axes, start: tuple[int, int], end: tuple[int, int]) -> None:
    left, top = _corner_of(start)
    to_left, _ = _corner_of(end)
    middle = top - HIGH / 2
    _arrow(axes, (left + WIDE, middle), (to_left, middle), linestyle="--", linewidth=1.2)


def _corner_of(place: tuple[int, int]) -> tuple[float, float]:
    """Left and top of a box, inches."""
    column, line = place
    return column * ACROSS, -line * DOWN
