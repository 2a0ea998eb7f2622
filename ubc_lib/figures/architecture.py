"""Figures 4 and 5: the paper's networks drawn from the tables of their parts."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ubc_lib.figures.style import NEUTRAL, PAPER_COLOURS

WIDE, HIGH = 2.2, 0.62  # of a box, inches
ACROSS, DOWN = 2.5, 0.86  # from one box to the next
TITLES = {"encoder stem": "encoder stem, 7 × 7", "classifier": "average pooling, classifier"}


def architecture(table: pd.DataFrame, skips: dict[str, str], image_size: int = 224) -> Figure:
    """A network as boxes, one line per resolution, halving downwards.

    Each box tells what a part gives (channels × height × width) and its parameters. Orange is the
    encoder with its classifier, blue what the Unet-boosted classifier adds, and dashed arrows are
    the skip connections. table: see `models.parameter_table`; skips: see `models.skip_connections`.
    """
    image = {"part": "image", "output": f"1x{image_size}x{image_size}", "parameters": None}
    rows = [image, *table.to_dict("records")]
    places = {row["part"]: _place(row["part"], row["output"], image_size) for row in rows}
    columns, lines = zip(*places.values(), strict=True)
    width, top, bottom = max(columns) * ACROSS + WIDE, -min(lines) * DOWN, -max(lines) * DOWN - HIGH
    figure = plt.figure(figsize=(width + 0.1, top - bottom + 0.1))
    axes = figure.add_axes((0, 0, 1, 1), aspect="equal")
    axes.set(xlim=(-0.05, width + 0.05), ylim=(bottom - 0.05, top + 0.05))
    axes.axis("off")

    boxes = {}
    for row in rows:
        part, (column, line) = row["part"], places[row["part"]]
        left, below = column * ACROSS, -line * DOWN - HIGH
        added = part.startswith(("decoder", "segmentation"))
        colour = PAPER_COLOURS["ubc_resnet34" if added else "resnet34"]
        colour = NEUTRAL if part == "image" else colour
        look = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 1.4}
        look |= {"facecolor": to_rgba(colour, 0.12), "edgecolor": colour}
        boxes[part] = axes.add_patch(FancyBboxPatch((left, below), WIDE, HIGH, **look))
        title = f"{part}, {row['blocks']} blocks" if part.startswith("encoder level") else part
        numbers = row["output"].replace("x", " × ")
        if row["parameters"]:
            numbers += f"   ({row['parameters']:,})".replace(",", "\u202f")
        centred = {"ha": "center", "va": "center", "size": 10}
        middle, title = left + WIDE / 2, TITLES.get(part, title)
        axes.text(middle, below + HIGH * 0.7, title, fontweight="bold", **centred)
        axes.text(middle, below + HIGH * 0.28, numbers, **centred)

    def arrow(start: str, end: str, **line) -> None:
        """From the middle of a box to that of another, seen between them."""
        ends = [boxes[part].get_bbox() for part in (start, end)]
        middles = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in ends]
        look = {"arrowstyle": "-|>", "color": NEUTRAL, "shrinkA": 0, "shrinkB": 0}
        look |= {"patchA": boxes[start], "patchB": boxes[end]} | line
        axes.annotate("", xy=middles[1], xytext=middles[0], arrowprops=look)

    encoder = [part for part in places if part.startswith(("image", "encoder"))]
    decoder = [part for part in places if part.startswith(("decoder", "segmentation"))]
    for start, end in [*pairwise([*encoder, "classifier"]), *pairwise(decoder)]:
        arrow(start, end)
    if decoder:
        arrow(encoder[-1], decoder[0], connectionstyle="angle,angleA=0,angleB=90,rad=4")
    for end, start in skips.items():
        arrow(start, end, linestyle="--", linewidth=1.2)
    return figure


def _place(part: str, output: str, image_size: int) -> tuple[int, int]:
    """Column and line of a part: the line counts how often the image has been halved."""
    if part == "classifier":
        return 0, 6
    if part == "segmentation head":
        return 1, -1
    return int(part.startswith("decoder")), int(math.log2(image_size // int(output.split("x")[1])))
