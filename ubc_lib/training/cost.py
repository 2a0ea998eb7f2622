"""What a study costs: time and memory of its jobs, from rates fitted to measured runs.

A job is one model and one seed across all subset sizes, on one thread of a CPU; a GPU takes a small
part of that time.
"""

import math
from functools import cache

import numpy as np
import pandas as pd

from ubc_lib.study import Run, Study
from ubc_lib.study.files import ROOT

RATES = ROOT / "data" / "cost" / "rates.csv"
ERRORS = RATES.with_name("errors.csv")
MACHINES = (1, 4, 16, 64)
# Of the sums of learning rates that were tried, those below `little` left networks near chance.
WARNED_BELOW = {"little": 0.005, "few_steps": 100}
WORK = ["steps", "trained_megapixels", "tested_megapixels"]
CARD_IN_CORES = 10  # at least: an H200 took a 50th to an 85th of what a core should
STARTUP_MINUTES = 5  # of a job: environment, notebook and slices, also from a slow shared folder


def work(
    images_per_class, epochs, batch_size: int, image_size: int, n_test, evaluate_every: int
) -> pd.DataFrame:
    """What the time of runs grows with: optimiser steps, and pixels trained on and tested on.

    Numbers or columns of equal length in, one row per run and the columns of `WORK` out.
    """
    images, epochs = 2 * np.asarray(images_per_class), np.asarray(epochs)
    tested, megapixels = (epochs // evaluate_every) * np.asarray(n_test), image_size**2 / 1e6
    return pd.DataFrame(
        {
            "steps": epochs * -(-images // batch_size),
            "trained_megapixels": epochs * images * megapixels,
            "tested_megapixels": tested * megapixels,
        }
    )


def predict_seconds(rates: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Seconds that runs should take; a network that was never measured counts as the slowest.

    runs: columns of `WORK` and model; rates: see `fit_rates`.
    """
    known = rates.set_index("model")[WORK]
    per_unit = known.reindex(runs["model"]).fillna(known.max()).to_numpy()
    return (runs[WORK] * per_unit).sum(axis=1)


def distance(study: Study, model: str, images_per_class: int) -> tuple[int, float]:
    """Optimiser steps of a run to its last epoch, and the sum of their learning rates.

    Adam moves no weight by much more than that sum, whatever the gradients.
    """
    own = study.of(model)
    steps = -(-2 * images_per_class // own.batch_size)
    done = np.arange(own.epochs * steps) // (steps if own.decay_by == "epochs" else 1)
    return len(done), float((own.learning_rate * own.decay ** (done // own.decay_every)).sum())


def outlook(study: Study, rates: pd.DataFrame) -> list[dict]:
    """What a run of each model will take: label, size (the largest), steps, distance, time.

    time: of all sizes of one seed, on one CPU thread, in words.
    """
    told = []
    for model, label in study.labels.items():
        size = max(study.images_per_class)
        steps, moved = distance(study, model, size)
        hours = job_seconds(study, model, study.images_per_class, rates) / 3600
        told.append({"label": label, "size": size, "steps": steps, "distance": moved})
        told[-1]["time"] = in_words(hours)
    return told


def in_words(hours: float) -> str:
    """'3.2 hours' or, of less than one, '12 minutes'."""
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{round(60 * hours)} minutes" if hours > 1 / 60 else "a minute"


def job_seconds(study: Study, model: str, sizes: tuple[int, ...], rates: pd.DataFrame) -> float:
    """Expected seconds of a job that trains every epoch of these sizes on one CPU thread."""
    n_test = study.patients_per_class * study.slices_per_patient
    own = study.of(model)
    protocol = own.epochs, own.batch_size, study.image_size, n_test, own.evaluate_every
    runs = work(sizes, *protocol).assign(model=study.models[model].network)
    return float(predict_seconds(rates, runs).sum())


def job_minutes(study: Study, model: str, sizes: tuple[int, ...]) -> int:
    """Minutes to ask a cluster for, with the safety factor that measured runs call for."""
    rates = read_rates()
    factor = float(rates["safety_factor"].max())
    return math.ceil(STARTUP_MINUTES + factor * job_seconds(study, model, sizes, rates) / 60)


def shares(study: Study, cards: int) -> list[list[Run]]:
    """The runs of each of so many cards: equal times, as far as can be, each seed by seed."""
    rates = read_rates()
    seconds = {run: job_seconds(study, run[0], (run[1],), rates) for run in study.planned_runs}
    found, busy = [[] for _ in range(cards)], np.zeros(cards)
    for run in sorted(seconds, key=seconds.get, reverse=True):
        card = int(busy.argmin())
        found[card].append(run)
        busy[card] += seconds[run]
    return [sorted(runs, key=lambda run: run[2]) for runs in found]


def card_minutes(study: Study, cards: int) -> int:
    """Minutes to ask for on each of so many GPUs: a core's time, by what a card saves at least."""
    rates = read_rates()
    longest = max(
        sum(job_seconds(study, model, (size,), rates) for model, size, _ in runs)
        for runs in shares(study, cards)
    )
    in_cores = float(rates["safety_factor"].max()) * longest / 60
    return math.ceil(STARTUP_MINUTES + in_cores / CARD_IN_CORES)


def study_hours(study: Study, rates: pd.DataFrame, machines: tuple[int, ...] = MACHINES) -> dict:
    """Expected hours of a study on so many CPU cores, each with a job of its own.

    Keys: jobs (their number), "longest job" and, for each N of `machines`, "N at once".
    """
    jobs = [
        job_seconds(study, model, study.sizes_of(seed), rates) / 3600
        for model in study.models
        for seed in study.all_seeds
    ]
    at_once = {f"{n} at once": _makespan(jobs, n) for n in machines}
    return {"jobs": len(jobs), "longest job": max(jobs), **at_once}


def _makespan(jobs: list[float], machines: int) -> float:
    """When the last job ends, longest first, each on the machine that is free first."""
    busy = np.zeros(machines)
    for duration in sorted(jobs, reverse=True):
        busy[busy.argmin()] += duration
    return float(busy.max())


def memory_mb(study: Study) -> int:
    """Upper estimate of the memory of one training process on a CPU.

    Peaks measured with UBC-ResNet34 in batches of 50: 1618 MB at 64 px in bf16, 6292 MB at 224 px
    in fp32.
    """
    largest = max(study.of(model).batch_size for model in study.models)
    return round(1500 + 100 * largest * (study.image_size / 224) ** 2)


def card_memory_mb(study: Study) -> int:
    """The same of one that trains on a GPU, whose libraries take memory of the machine's, too."""
    return memory_mb(study) + 4000


@cache
def read_rates() -> pd.DataFrame:
    """The committed rates, see `fit_rates`, with the safety factor in a column of its own."""
    return pd.read_csv(RATES)


def read_errors() -> pd.DataFrame:
    """How many times as long as predicted runs took that the rates were not fitted to."""
    return pd.read_csv(ERRORS)
