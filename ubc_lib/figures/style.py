"""One look for the whole book: names, colours and fonts."""

from itertools import cycle

import seaborn as sns
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

from ubc_lib.study import Study
from ubc_lib.system.files import atomic_path

# Okabe & Ito's and Tol's colours, dark enough for white; the first two and what follows are told
# apart with every common colour blindness, ten of them by most readers.
PAPER_COLOURS = {"resnet34": "#D55E00", "ubc_resnet34": "#0072B2"}
OTHER_COLOURS = [
    "#117733",
    "#AA4499",
    "#332288",
    "#8A7A00",
    "#CC5577",
    "#2A8F83",
    "#661100",
    "#555555",
]
CLASS_COLOURS = {1: "#AA4499", 0: "#117733"}
LESION_COLOUR = "#FFB000"
RESPONSE_COLOURS = "magma"
RESPONSE_OPACITY = 0.7  # over a slice, where a response is 1
NEUTRAL = "#595959"

# Inches. Shown in a column 350 CSS pixels wide, text of 11 points is still 10 pixels high.
WIDTH = 5.4


def use_book_style() -> None:
    """Set the book's fonts and lines, and SVG as the format of figures in a notebook.

    The background stays white in dark mode too, so that every colour keeps its contrast.
    """
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "axes.grid": True,
            "axes.labelsize": 11,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.figsize": (WIDTH, 3.8),
            "font.family": "DejaVu Sans",
            "font.size": 11,
            "grid.color": "#E4E4E4",
            "legend.fontsize": 10,
            "legend.frameon": False,
            "savefig.bbox": "tight",
            # Fixed, so that the same numbers give the same file.
            "svg.hashsalt": "ubc",
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
        },
    )
    set_matplotlib_formats("svg", metadata={"Date": None})


def save_figure(study: Study, figure: Figure, name: str) -> None:
    """Write a figure as `<name>.svg` in the run folder; the same numbers give the same file."""
    with atomic_path(study.run_folder / f"{name}.svg") as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def model_colours(study: Study) -> dict[str, str]:
    """A colour for each model of a study: the paper's always have the same."""
    others = [name for name in study.models if name not in PAPER_COLOURS]
    return PAPER_COLOURS | dict(zip(others, cycle(OTHER_COLOURS), strict=False))


def literal(name: str) -> str:
    """A name from a cohort as a text of a figure, in which a dollar begins no formula."""
    return name.replace("$", r"\$")


def sequence_colours(n: int) -> list[tuple[float, float, float]]:
    """n colours for an ordered quantity such as the number of images, light (few) to dark."""
    return sns.color_palette("crest", n)
