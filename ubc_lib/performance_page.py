"""The tables and the figure of the book's page on performance.

`python -m ubc_lib.performance_page` reads data/results/benchmarks/ and writes book/performance/.
"""

from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ubc_lib.files import atomic_path
from ubc_lib.study import ROOT
from ubc_lib.style import MODEL_COLOURS, MODEL_LABELS, WIDTH, use_book_style

BENCHMARKS = ROOT / "data" / "results" / "benchmarks"
PAGE = ROOT / "book" / "performance"
# Multiplications and additions of one forward pass at 224 pixels; training takes three times that.
FLOPS = {"resnet34": 7.2e9, "ubc_resnet34": 11.8e9}
# Adam reads weight, gradient and two moments, and writes all but the gradient: 4 bytes each.
ADAM_BYTES = 28
BATCH = 50
CELL = ["machine", "model", "image_size", "images_per_class"]
SMALL = 5  # images per class up to which fixed costs rule
# Training and evaluation at least so many times as fast as the reference: (model, image size).
BF16_TARGETS = {
    ("ubc_resnet34", 224): 5.0,
    ("resnet34", 224): 2.2,
    ("ubc_resnet34", 64): 2.5,
    ("resnet34", 64): 1.6,
}
BF16_SMALL_TARGET, FP32_TARGET = 2.0, 1.3


def speed_table(engine: pd.DataFrame, machines: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats, one row per machine, model, image size and images per class.

    Columns training_reference, training_ubc_lib, training_ratio and evaluation_…, in images per
    second, and the floors training_floor and evaluation_floor of `floors`.
    """
    rates = ["training_images_per_second", "evaluation_images_per_second"]
    medians = engine.groupby([*CELL, "engine"])[rates].median().unstack("engine")
    table = pd.DataFrame(index=medians.index)
    for rate in rates:
        phase = rate.partition("_")[0]
        for one in ("reference", "ubc_lib"):
            table[f"{phase}_{one}"] = medians[rate, one]
        table[f"{phase}_ratio"] = table[f"{phase}_ubc_lib"] / table[f"{phase}_reference"]
    used = engine[engine["engine"] == "ubc_lib"].groupby(CELL)["precision"].first()
    table = table.join(used).reset_index().merge(machines, on="machine")
    return table.assign(**floors(table))


def floors(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Images per second that the measured rates of the machine allow, and no loop can exceed.

    Arithmetic of the convolutions at the rate of a large matrix product in the precision used and,
    in training, the bytes of Adam over the bandwidth of memory, one after the other.
    """
    rate = 1e9 * np.where(table["precision"] == "bf16", table["bf16_gflops"], table["fp32_gflops"])
    scale = (table["image_size"] / 224) ** 2
    forward = table["model"].map(FLOPS) * scale / rate
    parameters = np.where(
        table["model"] == "resnet34", table["resnet34_parameters"], table["ubc_resnet34_parameters"]
    )
    images = 2 * table["images_per_class"]
    adam = np.ceil(images / BATCH) / images * ADAM_BYTES * parameters
    seconds = 3 * forward + adam / (1e9 * table["bandwidth_gb_per_second"])
    return {"training_floor": 1 / seconds, "evaluation_floor": 1 / forward}


def target_table(speed: pd.DataFrame) -> pd.DataFrame:
    """What was aimed at on a CPU, and what was reached, in the words of the page."""
    rows = []
    for row in speed[~is_gpu(speed["machine"])].itertuples():
        wanted = FP32_TARGET
        if row.precision == "bf16":
            few = row.images_per_class <= SMALL
            wanted = BF16_SMALL_TARGET if few else BF16_TARGETS[row.model, row.image_size]
        phases = {"training": row.training_ratio, "evaluation": row.evaluation_ratio}
        for phase, ratio in phases.items():
            rows.append(
                {
                    "Machine": row.machine,
                    "Precision": row.precision,
                    "Model": MODEL_LABELS[row.model],
                    "Pixels": row.image_size,
                    "Images per class": row.images_per_class,
                    "Phase": phase,
                    "Measured": f"{ratio:.2f}",
                    "Aim": f"{wanted:.1f}, {'met' if ratio >= wanted else 'not met'}",
                }
            )
    return pd.DataFrame(rows)


def rate_table(engine: pd.DataFrame, speed: pd.DataFrame) -> pd.DataFrame:
    """Images per second of both loops beside the floor, in the words of the page."""
    repeats = engine.groupby(CELL)["repeat"].nunique().rename("repeats")
    speed = speed.merge(repeats, on=CELL)
    phases = [
        pd.DataFrame(
            {
                "Machine": speed["machine"],
                "Model": speed["model"].map(MODEL_LABELS),
                "Pixels": speed["image_size"],
                "Images per class": speed["images_per_class"],
                "Phase": phase,
                "Reference": speed[f"{phase}_reference"].map("{:.1f}".format),
                "This library": speed[f"{phase}_ubc_lib"].map("{:.1f}".format),
                "Floor": speed[f"{phase}_floor"].map("{:.1f}".format),
                "Repeats": speed["repeats"],
            }
        )
        for phase in ("training", "evaluation")
    ]
    return pd.concat(phases)


def run_table(engine: pd.DataFrame) -> pd.DataFrame:
    """Seconds per run, memory and start-up, with the smallest and largest value of the repeats."""
    cells = engine.groupby([*CELL, "engine"])
    rows = [
        {
            "Machine": machine,
            "Model": MODEL_LABELS[model],
            "Pixels": size,
            "Images per class": images,
            "Loop": {"reference": "reference", "ubc_lib": "this library"}[name],
            "Epochs": rows["epochs"].iloc[0],
            "Seconds per run": _spread(rows["run_seconds"], 1),
            "Start-up, s of wall time": _spread(rows["start_up_seconds"], 0),
            "Peak memory, MB": f"{rows['peak_memory_mb'].max():.0f}",
        }
        for (machine, model, size, images, name), rows in cells
    ]
    return pd.DataFrame(rows)


def machine_table(machines: pd.DataFrame) -> pd.DataFrame:
    """Machines, their measured rates and versions, one column each."""
    table = machines.drop(columns=[name for name in machines if name.endswith("_parameters")])
    table = table.set_index("machine").T.rename_axis("").reset_index()
    table[""] = table[""].str.replace("_", " ")
    return table


def precision_table(precision: pd.DataFrame) -> pd.DataFrame:
    """Paired comparisons in the words of the page."""
    return pd.DataFrame(
        {
            "Compared": precision["compared"],
            "Model": precision["model"].map(MODEL_LABELS),
            "Measure": precision["metric"].replace({"dice": "Dice"}),
            "Seeds": precision["seeds"],
            "First": precision["first"].map("{:.3f}".format),
            "Second": precision["second"].map("{:.3f}".format),
            "Difference": precision["difference"].map("{:+.4f}".format),
            "Standard error over seeds": precision["standard_error"].map("{:.4f}".format),
        }
    )


def gpu_text(engine: pd.DataFrame, paper: pd.DataFrame) -> str:
    """Markdown that says which GPU was measured, and how long the paper's study took on it."""
    if not is_gpu(engine["machine"]).any():
        return (
            "**No GPU has been measured yet.** The code for it is there and has not run on one: "
            "`benchmarks/gpu.sh` measures it.\n"
        )
    sentences = [
        f"The whole `paper` study, {row.runs} runs of {row.epochs} epochs at {row.image_size} "
        f"pixels, took {row.minutes:.1f} minutes of training on {row.machine}, {row.processes} "
        f"runs at once, with at most {row.peak_memory_of_a_process_mb:.0f} MB of its memory each."
        for row in paper.itertuples()
    ]
    return "\n".join(sentences) + "\n"


def is_gpu(machines: pd.Series) -> pd.Series:
    """Which names of machines are those of GPUs."""
    return ~machines.str.startswith("CPU")


def epoch_figure(engine: pd.DataFrame) -> Figure:
    """Seconds of a training epoch against its images, both loops, on logarithmic axes."""
    sizes, machines = sorted(engine["image_size"].unique()), sorted(engine["machine"].unique())
    figure, panels = plt.subplots(
        len(machines),
        len(sizes),
        figsize=(WIDTH, 0.6 + 3.0 * len(machines)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (machine, size) in zip(panels.flat, product(machines, sizes), strict=True):
        here = engine[(engine["image_size"] == size) & (engine["machine"] == machine)]
        for (model, name), rows in here.groupby(["model", "engine"]):
            curve = rows.groupby("images_per_class")["epoch_seconds"].median()
            axes.plot(
                2 * curve.index,
                curve,
                color=MODEL_COLOURS[model],
                ls="-" if name == "ubc_lib" else ":",
                marker="o",
                ms=4,
                label=f"{MODEL_LABELS[model]}, {'this library' if name == 'ubc_lib' else name}",
            )
        axes.set(xscale="log", yscale="log", title=f"{machine}\n{size} pixels")
    figure.supxlabel("images in an epoch")
    figure.supylabel("seconds per epoch")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _spread(values: pd.Series, decimals: int) -> str:
    low, middle, high = values.min(), values.median(), values.max()
    if len(values) == 1:
        return f"{middle:.{decimals}f}"
    return f"{middle:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def write_page(benchmarks: Path, page: Path) -> None:
    """Write the page's tables and figure from the benchmark's results."""
    engine, machines, precision = (
        pd.read_csv(benchmarks / f"{name}.csv") for name in ("engine", "machines", "precision")
    )
    speed = speed_table(engine, machines)
    tables = {
        "targets": target_table(speed),
        "rates": rate_table(engine, speed),
        "runs": run_table(engine),
        "machines": machine_table(machines),
        "precision": precision_table(precision),
    }
    for name, table in tables.items():
        with atomic_path(page / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    use_book_style()
    timed = benchmarks / "paper.csv"
    paper = pd.read_csv(timed) if timed.exists() else pd.DataFrame()
    with atomic_path(page / "gpu.md") as path:
        path.write_text(gpu_text(engine, paper), encoding="utf-8")
    with atomic_path(page / "epochs.svg") as path:
        epoch_figure(engine).savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    write_page(BENCHMARKS, PAGE)
