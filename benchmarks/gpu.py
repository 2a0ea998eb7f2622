"""Everything that is measured on a GPU, by one process, each row written as it is measured.

`python -m benchmarks.gpu [--minutes 8] [--folder data/results/benchmarks]`, in this order: the
tests that need a GPU, of which a failing one ends it; the engine against the reference, 224 pixels
first; what may become faster (`gpu_candidates.py`); and for the time that is left runs of the
study `paper`, whose records are kept as an archive. `--dry` does the same on a CPU, in tiny sizes.
"""

import argparse
import importlib.util
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from benchmarks.engine import EPOCHS, KEYS, add_rows, machine, measure
from benchmarks.gpu_candidates import Case, measure_epochs, measure_evaluation, measure_training
from ubc_lib.data.slices import load_slices
from ubc_lib.models import NETWORKS
from ubc_lib.results.archive import publish_records
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT, data_folder
from ubc_lib.training.device import device_name
from ubc_lib.training.provenance import git_commit
from ubc_lib.training.run import train_run

# Of the time, the share that is over when a part must be.
ENDS = {"engine": 0.4, "candidates": 0.65, "paper": 1.0}
CASES = [Case(name, *size, "cuda") for size in ((64, 50), (64, 10), (224, 50)) for name in NETWORKS]
DRY = "name=gpu-dry device=cpu patients_per_class=4 images_per_class=[1,2] epochs=2 image_size=32"


def tests_pass(dry: bool, log: Path) -> bool:
    """Run the tests that need a GPU; without one they are skipped in a dry run, else they fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    asked = {} if dry else {"UBC_GPU": "1"}
    ran = subprocess.run(
        [*command, "tests/training/test_loop.py"],
        cwd=ROOT,
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    log.write_text(ran.stdout + ran.stderr, encoding="utf-8")
    print(ran.stdout[-1500:], flush=True)
    return ran.returncode == 0


def engine_rows(device: str, cells: Iterable[tuple[int, int]], name: str) -> Iterable[Callable]:
    """Measurements, one function each, of every cell, model and engine that is installed."""
    there = importlib.util.find_spec("pytorch_lightning")
    engines = ("reference", "ubc_lib") if there else ("ubc_lib",)
    for (size, images), model, engine in itertools.product(cells, NETWORKS, engines):
        key = dict(zip(KEYS, (name, engine, model, size, images, 0), strict=True))
        yield lambda key=key, asked=(engine, model, device, size, images): [key | measure(*asked)]


def candidate_rows(
    cases: Iterable[Case], name: str, steps: int, left_out: tuple[str, ...]
) -> Iterable[Callable]:
    """Measurements of every case, training first."""
    about = {"machine": name, "commit": git_commit()}
    for case in cases:
        yield lambda case=case: (about | row for row in measure_training(case, steps, left_out))
        yield lambda case=case: (about | row for row in measure_evaluation(case))
        yield lambda case=case: (about | row for row in measure_epochs(case, epochs=steps))


def write_until(deadline: float, path: Path, keys: list[str], parts: Iterable[Callable]) -> None:
    """Add the rows of each part to a CSV as they come, none after the deadline."""
    rows = (row for part in parts for row in part())
    while time.monotonic() < deadline:
        if (row := next(rows, None)) is None:
            return
        add_rows(path, [row], keys)
        print({key: value for key, value in row.items() if key != "machine"}, flush=True)
    print(f"{path.name}: no time for the rest", flush=True)


def train_until(deadline: float, study: Study, archive: Path) -> None:
    """Train runs of a study seed by seed, none begun after the deadline.

    The archive of their records is written after each seed.
    """
    if time.monotonic() > deadline:
        return
    slices = load_slices(study)
    for seed in study.all_seeds:
        for model, size in itertools.product(study.models, study.sizes_of(seed)):
            if time.monotonic() < deadline:
                record = train_run(study, slices, model, size, seed)
                print(model, size, seed, f"{record['result']['seconds']:.1f} s", flush=True)
        if any((study.run_folder / "records").glob("*.json")):
            publish_records(study, archive)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--folder", type=Path, default=data_folder() / "results" / "benchmarks")
    parser.add_argument("--dry", action="store_true", help="on a CPU, in tiny sizes")
    options = parser.parse_args()
    began, folder = time.monotonic(), options.folder
    folder.mkdir(parents=True, exist_ok=True)
    ends = {part: began + 60 * options.minutes * share for part, share in ENDS.items()}
    if not tests_pass(options.dry, folder / "gpu_tests.txt"):
        sys.exit("Tests that need a GPU fail: nothing is measured.")
    device = "cpu" if options.dry else "cuda"
    # What a CPU does of a large product takes minutes.
    here = {"machine": device_name(torch.device("cpu"))} if options.dry else machine(device)
    add_rows(folder / "machines.csv", [here], ["machine"])
    cells, cases, steps, left_out = sorted(EPOCHS["cuda"], reverse=True), CASES, 50, ()
    study = Study.load("paper", "device=cuda")
    if options.dry:
        # The compiler needs minutes on a CPU.
        cells, cases, steps, left_out = (
            [(64, 1)],
            [Case("resnet34", 32, 4, "cpu")],
            1,
            ("compiled",),
        )
        study = Study.load("paper", DRY)
    measured = engine_rows(device, cells, here["machine"])
    write_until(ends["engine"], folder / "engine.csv", KEYS, measured)
    keys = ["machine", "way", "network", "image_size", "batch_size"]
    tried = candidate_rows(cases, here["machine"], steps, left_out)
    write_until(ends["candidates"], folder / "gpu_candidates.csv", keys, tried)
    train_until(ends["paper"], study, folder / f"{study.name}.zip")


if __name__ == "__main__":
    main()
