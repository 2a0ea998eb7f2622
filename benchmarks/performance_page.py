"""The tables and the figure of the book's page on performance.

`python -m benchmarks.performance_page` reads data/results/benchmarks/ and writes book/performance/.
"""

import re
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ubc_lib.figures.style import PAPER_COLOURS, WIDTH, use_book_style
from ubc_lib.study import PAPER_LABELS
from ubc_lib.study.files import ROOT
from ubc_lib.system.files import atomic_path

BENCHMARKS = ROOT / "data" / "results" / "benchmarks"
PAGE = ROOT / "book" / "performance"
# Multiplications and additions of one forward pass at 224 pixels; training takes three times that.
FLOPS = {"resnet34": 7.2e9, "ubc_resnet34": 11.8e9}
# Adam reads weight, gradient and two moments, and writes all but the gradient: 4 bytes each.
ADAM_BYTES = 28
BATCH = 50
PHASES = ("training", "evaluation")
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
    """Images per second that the measured rates of the machine allow the networks as written.

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
    """Times as fast as the reference, and what was aimed at on a CPU, in the words of the page."""

    def text(row: pd.Series) -> str:
        ratio = row["ratio"]
        if is_gpu(row["machine"]):
            return f"{ratio:.2f}"
        wanted = FP32_TARGET
        if row["precision"] == "bf16":
            few = row["images_per_class"] <= SMALL
            wanted = BF16_SMALL_TARGET if few else BF16_TARGETS[row["model"], row["image_size"]]
        if ratio >= wanted:
            return f"{ratio:.2f} ({wanted:.1f} met)"
        beyond = f", floor {row['limit']:.1f}" if row["limit"] < wanted else ""
        return f"{ratio:.2f} ({wanted:.1f} not met{beyond})"

    table = pd.concat(
        speed.assign(
            phase=phase,
            ratio=speed[f"{phase}_ratio"],
            limit=speed[f"{phase}_floor"] / speed[f"{phase}_reference"],
        )
        for phase in PHASES
    ).reset_index()
    table["shown"] = table.apply(text, axis=1)
    return _by_images(table, ["machine", "precision", "model", "image_size", "phase"])


def rate_table(speed: pd.DataFrame) -> pd.DataFrame:
    """Images per second of both loops and of the floor, in the words of the page."""
    loops = {"reference": "reference", "ubc_lib": "this library", "floor": "floor"}
    table = pd.concat(
        speed.assign(phase=phase, loop=name, shown=speed[f"{phase}_{loop}"].map("{:.1f}".format))
        for phase in PHASES
        for loop, name in loops.items()
    )
    return _by_images(table, ["machine", "model", "image_size", "phase", "loop"])


def run_table(engine: pd.DataFrame) -> pd.DataFrame:
    """Seconds per run and its epochs, memory and start-up, in the words of the page."""
    engine = engine.assign(loop=engine["engine"].replace("ubc_lib", "this library"))
    rows = ["machine", "model", "image_size", "loop"]
    others = engine.groupby(rows)
    cells = engine.groupby([*rows, "images_per_class"])
    table = cells[["run_seconds", "epochs"]].median().reset_index()
    table["shown"] = [f"{row.run_seconds:.1f} ({row.epochs:.0f})" for row in table.itertuples()]
    start_up = others["start_up_seconds"].median().map("{:.0f}".format).replace("nan", "–")
    memory = others["peak_memory_mb"].max().map("{:.0f}".format)
    extra = {"Start-up, s": start_up, "Peak memory, MB": memory}
    extra |= {"Repeats": others["repeat"].nunique()}
    return _by_images(table, rows).assign(**{name: one.array for name, one in extra.items()})


def _by_images(table: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The column `shown` with one column for each number of images per class."""
    wide = table.pivot(index=rows, columns="images_per_class", values="shown").sort_index()
    wide = wide.fillna("").rename(columns="{} per class".format).rename_axis(columns=None)
    wide = wide.reset_index()
    # Few columns of words leave a phone room for the numbers.
    wide["machine"] = wide["machine"].map(_short)
    if "precision" in rows:
        wide["machine"] += ", " + wide.pop("precision")
    pixels = wide.pop("image_size").map(", {} px".format)
    wide["model"] = wide["model"].map(PAPER_LABELS) + pixels
    return wide.rename(columns=str.capitalize)


def _short(machine: str) -> str:
    return re.sub(r"CPU \((.*), .* thread.*", r"\1", machine)


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
            "Machine": precision["machine"].map(_short),
            "Compared": precision["compared"],
            "Model": precision["model"].map(PAPER_LABELS),
            "Measure": precision["metric"].replace({"dice": "Dice"}),
            "Seeds": precision["seeds"],
            "First": precision["first"].map("{:.3f}".format),
            "Second": precision["second"].map("{:.3f}".format),
            "Difference": precision["difference"].map("{:+.4f}".format),
            "Standard error over seeds": precision["standard_error"].map("{:.4f}".format),
        }
    )


def pieces_table(pieces: pd.DataFrame) -> pd.DataFrame:
    """How many times as long a training takes without each piece, in the words of the page."""
    measured = ["machine", "precision", "model", "image_size", "piece"]
    pieces = pieces.drop_duplicates(measured, keep="last")
    pixels = pieces["image_size"].map(", {} px".format)
    spread = pieces[["times", "least", "largest"]].to_numpy()
    return pd.DataFrame(
        {
            "Machine": pieces["machine"].map(_short) + ", " + pieces["precision"],
            "Model": pieces["model"].map(PAPER_LABELS) + pixels,
            "Without": pieces["piece"],
            "Times as long": [f"{median:.2f} ({a:.2f} to {b:.2f})" for median, a, b in spread],
        }
    )


def gpu_table(single: pd.DataFrame) -> pd.DataFrame:
    """Cells that were measured once on a GPU: images per second of training, and times as fast.

    single: images per second of this library and of the reference, and how many times as fast this
    library evaluates.
    """
    ratios = single["training"] / single["training_reference"]
    return pd.DataFrame(
        {
            "Machine": single["machine"] + ", commit " + single["commit"],
            "Model": single["model"].map(PAPER_LABELS),
            "Pixels": single["image_size"],
            "Images per class": single["images_per_class"],
            "Trained per second": single["training"],
            "Times as fast": ratios.map("{:.1f}".format),
            "Times as fast in evaluation": single["evaluation_ratio"].map("{:.1f}".format),
            "Memory, GB": single["memory_gb"],
        }
    )


def noise_text(engine: pd.DataFrame) -> str:
    """Markdown that says how far the times as fast in training differ between repeats of a row."""
    rates = engine.set_index([*CELL, "repeat", "engine"])["training_images_per_second"]
    loops = rates.unstack("engine")
    ratios = (loops["ubc_lib"] / loops["reference"]).groupby(CELL)
    spread = (ratios.max() / ratios.min())[ratios.count() > 1]
    if spread.empty:
        return "No machine was measured more than once, so what is noise is not known.\n"
    return (
        f"Rows of training that were measured more than once: {len(spread)}. In half of them the "
        f"largest number of times as fast was more than {spread.median():.2f} times the smallest, "
        f"at most {spread.max():.2f} times. Differences of that size are noise.\n"
    )


def is_gpu(machine: str) -> bool:
    """Whether the name of a machine is that of a GPU."""
    return not machine.startswith("CPU")


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
                color=PAPER_COLOURS[model],
                ls="-" if name == "ubc_lib" else ":",
                marker="o",
                ms=4,
                label=f"{PAPER_LABELS[model]}, {'this library' if name == 'ubc_lib' else name}",
            )
        axes.set(xscale="log", yscale="log", title=f"{_short(machine)}\n{size} pixels")
    figure.supxlabel("images in an epoch")
    figure.supylabel("seconds per epoch")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def write_page(benchmarks: Path, page: Path) -> None:
    """Write the page's tables and figure from the benchmark's results."""
    engine, machines, precision, pieces, single = (
        pd.read_csv(benchmarks / f"{name}.csv")
        for name in ("engine", "machines", "precision", "pieces", "gpu_single")
    )
    speed = speed_table(engine, machines)
    tables = {
        "targets": target_table(speed),
        "rates": rate_table(speed),
        "runs": run_table(engine),
        "machines": machine_table(machines),
        "precision": precision_table(precision),
        "pieces": pieces_table(pieces),
        "gpu": gpu_table(single),
    }
    for name, table in tables.items():
        with atomic_path(page / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    use_book_style()
    with atomic_path(page / "noise.md") as path:
        path.write_text(noise_text(engine), encoding="utf-8")
    with atomic_path(page / "epochs.svg") as path:
        epoch_figure(engine).savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    write_page(BENCHMARKS, PAGE)
