"""Fits the cost model to measured runs and says how wrong it is on runs it was not fitted to.

`python -m benchmarks.cost --measure` times short trainings of several image sizes on this machine
(benchmarks/cost.csv); without it the rates are fitted anew to those and to the published runs.
Either way data/cost/ is written, which clusters are asked by and the book quotes.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
import yaml
from scipy.optimize import nnls

from ubc_lib.models import build_model
from ubc_lib.results.runs import write_table
from ubc_lib.study import PAPER_LABELS, Study
from ubc_lib.study.files import ROOT
from ubc_lib.training.cost import (
    ERRORS,
    RATES,
    WORK,
    predict_seconds,
    read_rates,
    study_hours,
    work,
)
from ubc_lib.training.device import cpu_threads
from ubc_lib.training.examples import Examples
from ubc_lib.training.loop import fit

MEASURED = Path(__file__).with_suffix(".csv")
HOURS = RATES.with_name("hours.csv")
GRID = [(64, 2), (64, 25), (128, 2), (128, 25), (192, 10), (224, 2), (224, 25)]
EPOCHS, N_TEST = 2, 40
# Their seconds are mostly of waiting: trained at the lowest priority, several at a time.
BESIDE_OTHER_WORK = {"brats2020_slices"}
LEAST_FACTOR = 2.0  # another machine's core may be half as fast


def fit_rates(runs: pd.DataFrame) -> pd.DataFrame:
    """Seconds per unit of `WORK` for each model, by least squares of the relative error.

    runs: columns of `WORK`, model and seconds, one row per measured run. Rates are not negative.
    """
    rows = []
    for model, measured in runs.groupby("model"):
        relative = measured[WORK].div(measured["seconds"], axis=0)
        rates, _ = nnls(relative.to_numpy(), [1.0] * len(relative))
        rows.append({"model": model, **dict(zip(WORK, rates, strict=True))})
    return pd.DataFrame(rows)


def measure() -> pd.DataFrame:
    """Processor seconds of short trainings on noise, one thread, for both models."""
    rows = []
    for model in PAPER_LABELS:
        for side, images_per_class in GRID:
            study = Study.load(
                "quick",
                f"image_size={side} epochs={EPOCHS} evaluate_every=1 stop_at_plateau=false",
            )
            train, test = _noise(2 * images_per_class, side), _noise(N_TEST, side)
            with cpu_threads(1):
                for _ in range(2):  # the first warms up
                    network = build_model(model, seed=0)
                    started = time.process_time()
                    fit(network, train, test, study, seed=0)
                    seconds = time.process_time() - started
            row = {"model": model, "image_size": side, "images_per_class": images_per_class}
            rows.append(row | {"epochs": EPOCHS, "n_test": N_TEST, "seconds": seconds})
            print(rows[-1], flush=True)
    return pd.DataFrame(rows).round({"seconds": 3})


def measured_runs() -> pd.DataFrame:
    """Every measured run: its source, model, `WORK` and seconds."""
    short = pd.read_csv(MEASURED)
    tables = [
        work(one["images_per_class"], one["epochs"], 50, side, one["n_test"], 1).assign(
            source=f"benchmark, {side} px",
            model=one["model"].to_numpy(),
            seconds=one["seconds"].to_numpy(),
        )
        for side, one in short.groupby("image_size")
    ]
    for path in sorted((ROOT / "data" / "results").glob("*/runs.csv")):
        runs = pd.read_csv(path)
        settings = yaml.safe_load(path.with_name("study.yaml").read_text(encoding="utf-8"))
        study = Study.create(settings, source=str(path.with_name("study.yaml")))
        if study.name in BESIDE_OTHER_WORK:
            continue
        runs = runs[runs["device"].str.startswith("CPU")]
        size = runs["images_per_class"], runs["epochs_run"], study.batch_size, study.image_size
        tables.append(
            work(*size, runs["n_test"], study.evaluate_every).assign(
                source=f"study {study.name}",
                model=[study.models[name].network for name in runs["model"]],
                seconds=runs["seconds"].to_numpy(),
            )
        )
    return pd.concat(tables, ignore_index=True)


def errors_left_out(runs: pd.DataFrame) -> pd.DataFrame:
    """For each source of runs, measured over predicted seconds by rates fitted to the others."""
    rows = []
    for source, left_out in runs.groupby("source"):
        rates = fit_rates(runs[runs["source"] != source])
        ratio = left_out["seconds"] / predict_seconds(rates, left_out)
        rows.append(
            {
                "left out": source,
                "runs": len(ratio),
                "median": ratio.median(),
                "smallest": ratio.min(),
                "largest": ratio.max(),
                "sum": left_out["seconds"].sum() / predict_seconds(rates, left_out).sum(),
            }
        )
    return pd.DataFrame(rows)


def hours(rates: pd.DataFrame) -> pd.DataFrame:
    """Hours of the committed studies, and of the paper's with more seeds, on N machines."""
    paper = Study.load("paper")
    studies = {
        "quick": Study.load("quick"),
        "lesion_crops": Study.load("lesion_crops"),
        "paper, 5 seeds": paper,
        "paper, 200 seeds": paper.model_copy(update={"seeds": tuple(range(200))}),
        "paper at 64 px, 200 seeds": paper.model_copy(
            update={"seeds": tuple(range(200)), "image_size": 64}
        ),
    }
    return pd.DataFrame(
        {"study": name, **study_hours(study, rates)} for name, study in studies.items()
    )


def _noise(count: int, side: int) -> Examples:
    chance = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, side, side, generator=chance)
    return Examples(images, images > 1, torch.arange(count) % 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="time trainings on this machine")
    if parser.parse_args().measure:
        measure().to_csv(MEASURED, index=False)
    runs = measured_runs()
    errors = errors_left_out(runs)
    factor = max(LEAST_FACTOR, errors["sum"].max())
    rates = fit_rates(runs).assign(safety_factor=factor)
    for path, table, digits in ((RATES, rates, 6), (ERRORS, errors, 2), (HOURS, hours(rates), 1)):
        write_table(path, table.round(digits))
        print(table.round(digits).to_string(index=False))
    assert set(WORK) <= set(read_rates())


if __name__ == "__main__":
    main()
