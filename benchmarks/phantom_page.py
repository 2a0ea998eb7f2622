"""The tables and figures of the book's page on the phantom.

`python -m benchmarks.phantom_page FOLDER` measures the cohort in FOLDER, 76 patients of each grade,
and writes all of them, to data/calibration/ and book/phantom/.
"""

import argparse
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.calibration import (
    CALIBRATION,
    PHANTOM_FEATURES,
    aggregate,
    compare,
    forest_table,
    measure_cohort,
    read_targets,
)
from ubc_lib.figures.style import CLASS_COLOURS, LESION_COLOUR, NEUTRAL, WIDTH, use_book_style
from ubc_lib.system.files import atomic_path

PAGE = Path(__file__).parents[1] / "book" / "phantom"
GRADE_COLOURS = {"HGG": CLASS_COLOURS[1], "LGG": CLASS_COLOURS[0]}
PERCENTILES = ["p05", "p25", "p50", "p75", "p95"]
# Radiological view of the brain alone, voxels.
VIEW = (slice(38, 202), slice(34, 230))


def comparison_table(features: pd.DataFrame) -> pd.DataFrame:
    """Target, phantom and verdict in words, one row per feature."""
    both = compare(read_targets(), aggregate(features))
    by_grade = {grade: both[both["grade"] == grade].set_index("feature") for grade in GRADE_COLOURS}
    high = by_grade["HGG"]
    table = pd.DataFrame({"Unit": high["unit"]})
    outside = pd.Series("", index=high.index)
    for grade, rows in by_grade.items():
        table[f"{grade}, BraTS 2019"] = _mean_and_sd(rows, "real")
        table[f"{grade}, phantom"] = _mean_and_sd(rows, "phantom")
        for measure in ("mean", "sd"):
            outside += np.where(rows[f"{measure}_within"], "", f"{grade} {measure} ")
    outside += np.where(high["auc_within"], "", "AUC")
    table["AUC, BraTS 2019"] = high["auc_hgg_real"].map("{:.2f}".format)
    table["AUC, phantom"] = high["auc_hgg_phantom"].map("{:.2f}".format)
    table["Outside tolerance"] = outside.str.strip().replace("", "–")
    table.insert(0, "Feature", table.index.map(_in_words))
    return table.reset_index(drop=True)


def quantile_figure(features: pd.DataFrame) -> Figure:
    """Percentiles 5 to 95 of every feature: BraTS 2019 as a bar, the phantom as a line on it."""
    targets = read_targets().set_index(["feature", "grade"])
    phantom = aggregate(features).set_index(["feature", "grade"])
    names = targets.index.get_level_values("feature").unique()
    rows = -(-len(names) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(WIDTH, 1.15 * rows))
    for axis, name in zip(axes.flat, names, strict=False):
        for row, (grade, colour) in enumerate(GRADE_COLOURS.items()):
            _draw_percentiles(
                axis, row, targets.loc[(name, grade)], phantom.loc[(name, grade)], colour
            )
        axis.set_title(fill(_in_words(name), 26), size=10)
        axis.set_yticks(range(len(GRADE_COLOURS)), GRADE_COLOURS)
        axis.set_ylim(1.6, -0.6)
        axis.grid(axis="y", visible=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    figure.tight_layout()
    return figure


def slice_figure(folder: Path, columns: int = 4, rows: int = 2) -> Figure:
    """The slice with the largest lesion of the first patients of each grade, mask outlined."""
    figure, axes = plt.subplots(2 * rows, columns, figsize=(1.5 * columns, 3.9 * rows))
    shown = columns * rows
    paths = [
        p
        for grade in GRADE_COLOURS
        for p in sorted((folder / grade).iterdir(), key=_number)[:shown]
    ]
    for axis, path in zip(axes.flat, paths, strict=True):
        flair, labels = (
            np.asarray(nib.load(path / f"{path.name}_{kind}.nii.gz").dataobj)
            for kind in ("flair", "seg")
        )
        draw(axis, flair, labels, f"{path.parent.name}, site {path.name.split('_')[1]}")
    figure.subplots_adjust(0, 0, 1, 0.97, 0.02, 0.12)
    return figure


def draw(axis, flair: np.ndarray, labels: np.ndarray, title: str) -> None:
    """A patient's slice with the largest lesion, mask outlined."""
    level = int((labels > 0).sum((0, 1)).argmax())
    low, high = np.percentile(flair[flair > 0], (1, 99.7))
    axis.imshow(flair[*VIEW, level].T, cmap="gray", vmin=low, vmax=high)
    axis.contour(labels[*VIEW, level].T > 0, [0.5], colors=LESION_COLOUR, linewidths=0.7)
    axis.set_title(title, size=10, pad=3)
    axis.axis("off")


def _draw_percentiles(axis, row: int, real: pd.Series, phantom: pd.Series, colour: str) -> None:
    low, lower, middle, upper, high = real[PERCENTILES]
    axis.barh(row, high - low, left=low, height=0.62, color=colour, alpha=0.18)
    axis.barh(row, upper - lower, left=lower, height=0.62, color=colour, alpha=0.35)
    axis.plot([middle] * 2, [row - 0.31, row + 0.31], color=colour)
    low, lower, middle, upper, high = phantom[PERCENTILES]
    axis.plot([low, high], [row, row], color=NEUTRAL, linewidth=1)
    axis.plot([lower, upper], [row, row], color="black", linewidth=3)
    axis.plot(middle, row, "o", color="white", markeredgecolor="black", markersize=5)


def _two_digits(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def _in_words(feature: str) -> str:
    return feature.replace("_", " ").replace("flair", "FLAIR")


def _mean_and_sd(both: pd.DataFrame, cohort: str) -> list[str]:
    pairs = zip(both[f"mean_{cohort}"], both[f"sd_{cohort}"], strict=True)
    return [f"{mean:.3g} ± {sd:.2g}" for mean, sd in pairs]


def _number(patient: Path) -> int:
    return int(patient.name.split("_")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a phantom cohort, 76 patients of each grade")
    folder = parser.parse_args().folder
    features = measure_cohort(folder).round(4)
    forest = forest_table(features).drop(columns="within")
    tables = {
        PHANTOM_FEATURES: features,
        CALIBRATION / "comparison.csv": comparison_table(features),
        CALIBRATION / "random_forest.csv": forest.map(_two_digits),
    }
    for target, table in tables.items():
        with atomic_path(target) as path:
            table.to_csv(path, index=False)
    use_book_style()
    figures = {"features.svg": quantile_figure(features), "slices.webp": slice_figure(folder)}
    for name, figure in figures.items():
        with atomic_path(PAGE / name) as path:
            figure.savefig(path, metadata={"Date": None} if name.endswith(".svg") else None)
    print(tables[CALIBRATION / "comparison.csv"].to_string(index=False))
    print(tables[CALIBRATION / "random_forest.csv"].to_string(index=False))


if __name__ == "__main__":
    main()
