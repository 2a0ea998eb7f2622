"""How long the paper's whole study takes on a GPU, several trainings at once.

`python -m benchmarks.paper [--processes 5]` trains every run of `studies/paper.yaml`
on noise instead of phantoms and adds a row to data/results/benchmarks/paper.csv. Where it is
stopped, the row is missing: a part of the study is not written as the whole.
"""

import argparse
import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.engine import add_rows, arrays
from ubc_lib.models import build_model
from ubc_lib.study import Study
from ubc_lib.study.files import data_folder
from ubc_lib.training.device import choose_device, choose_precision, cpu_threads, device_name
from ubc_lib.training.examples import Examples
from ubc_lib.training.loop import fit
from ubc_lib.training.provenance import git_commit


def train_sizes(study: Study, model: str, seed: int) -> float:
    """Train all sizes of one model and seed; the peak memory of the device in MB."""
    device = choose_device(study.device)
    test = Examples(*(part.to(device) for part in arrays(380, study.image_size)))
    with cpu_threads(1):
        for size in study.images_per_class:
            train = Examples(*(part.to(device) for part in arrays(2 * size, study.image_size)))
            fit(build_model(model, seed), train, test, study, seed)
    return torch.cuda.max_memory_allocated() / 2**20


def measure(study: Study, processes: int) -> dict:
    """Train every run of a study, so many at once; one row of minutes and peak memory."""
    tasks = list(itertools.product(study.models, study.seeds))
    context, started = multiprocessing.get_context("spawn"), time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = [pool.submit(train_sizes, study, model, seed) for model, seed in tasks]
        peaks = [job.result() for job in jobs]
    device = choose_device(study.device)
    return {
        "machine": device_name(device),
        "precision": choose_precision(study.precision, device),
        "processes": processes,
        "runs": len(study.planned_runs),
        "epochs": study.epochs,
        "image_size": study.image_size,
        "minutes": (time.perf_counter() - started) / 60,
        "peak_memory_of_a_process_mb": max(peaks),
        "torch": torch.__version__,
        "commit": git_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=5, help="trainings at once")
    parser.add_argument("--folder", type=Path, default=data_folder() / "results" / "benchmarks")
    options = parser.parse_args()
    row = measure(Study.load("paper", "name=paper-timed device=cuda"), options.processes)
    add_rows(options.folder / "paper.csv", [row], ["machine", "processes", "commit"])
    print(row)


if __name__ == "__main__":
    main()
