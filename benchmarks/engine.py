"""The engine of `ubc_lib` against the reference loop, alternating, on the same arrays.

`python -m benchmarks.engine [--device cpu] [--repeats 3]` adds rows to
data/results/benchmarks/engine.csv, one per run, and the machine's to machines.csv. Rows that are
there are not measured again: an interrupted benchmark goes on, `--fresh` starts anew. With
ONEDNN_MAX_CPU_ISA=AVX512_CORE in the environment, a processor does without its units for bf16.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from ubc_lib.models import NETWORKS, build_model, parameter_count
from ubc_lib.study import Study
from ubc_lib.study.files import data_folder
from ubc_lib.training.device import (
    choose_device,
    choose_precision,
    computing,
    cpu_threads,
    device_name,
)
from ubc_lib.training.provenance import git_commit

ENGINES = ("reference", "ubc_lib")
# (image size in pixels, images per class) -> epochs, evaluated once, after the last. A run's first
# steps are its slowest, so that few images take more epochs.
EPOCHS = {
    "cpu": {(64, 1): 20, (64, 5): 12, (64, 38): 4, (64, 190): 2}
    | {(224, 1): 10, (224, 5): 6, (224, 38): 3, (224, 190): 1},
    "cuda": {(size, images): 20 for size in (64, 224) for images in (1, 5, 38, 190)},
}
TEST_IMAGES = {("cpu", 64): 100, ("cpu", 224): 64, ("cuda", 64): 380, ("cuda", 224): 380}
KEYS = ["machine", "engine", "model", "image_size", "images_per_class", "repeat"]
PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "pytorch-lightning")

# oneDNN, which does the arithmetic, keeps to this; torch says what the processor could do.
LIMIT = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
if LIMIT == "AVX512_CORE":
    WITHOUT = torch.cpu.get_capabilities() | {"amx_bf16": False, "avx512_bf16": False}
    torch.cpu.get_capabilities = lambda: WITHOUT


def clock_of(device: str):
    """Processor time of this process on a CPU, which others cannot slow down; else wall time."""

    def gpu_clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return time.process_time if device == "cpu" else gpu_clock


def arrays(count: int, image_size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise images (n, 1, H, W), masks bool of the same shape and target (n,): time is the same."""
    noise = torch.Generator().manual_seed(count)
    images = torch.randn(count, 1, image_size, image_size, generator=noise)
    return images, images > 1, torch.arange(count) % 2


def study_of(device: str, image_size: int, images_per_class: int, epochs: int) -> Study:
    """The paper's settings, for so many epochs, evaluated after the last."""
    fields = {
        "name": "benchmark",
        "title": "Benchmark",
        "cohort": "phantom",
        "image_size": image_size,
        "images_per_class": [images_per_class],
        "seeds": [0],
        "epochs": epochs,
        "evaluate_every": epochs,
        "device": device,
    }
    return Study.create(fields, source="the benchmark")


def measure_reference(study: Study, model: str, train, test, clock) -> dict:
    """One run of the reference loop."""
    from torch.utils.data import TensorDataset  # noqa: PLC0415

    from benchmarks import reference  # noqa: PLC0415

    watch = reference.Stopwatch(clock)
    sets = [TensorDataset(images, masks.float(), target) for images, masks, target in (train, test)]
    network = reference.build(model)
    started, wall = clock(), time.perf_counter()
    reference.fit(network, *sets, study, watch)
    return {
        "run_seconds": clock() - started,
        "run_wall_seconds": time.perf_counter() - wall,
        "epoch_seconds": statistics.median(watch.training),
        "evaluation_seconds": statistics.median(watch.evaluation),
    }


def measure_ubc_lib(study: Study, model: str, train, test, clock) -> dict:
    """One run of the engine of this library."""
    from ubc_lib.training.evaluation import predict  # noqa: PLC0415
    from ubc_lib.training.examples import Examples  # noqa: PLC0415
    from ubc_lib.training.loop import fit  # noqa: PLC0415

    device = choose_device(study.device)
    precision = choose_precision(study.precision, device)
    train, test = (Examples(*(part.to(device) for part in parts)) for parts in (train, test))
    network, moments = build_model(model, 0), []
    started, wall = clock(), time.perf_counter()
    fit(network, train, test, study, seed=0, on_epoch=lambda images: moments.append(clock()))
    ended, wall = clock(), time.perf_counter() - wall
    with computing(precision):
        predict(network, test.images, test.masks, test.target, precision)
    evaluation = clock() - ended
    moments[-1] -= evaluation
    return {
        "run_seconds": ended - started,
        "run_wall_seconds": wall,
        "epoch_seconds": statistics.median(b - a for a, b in itertools.pairwise(moments)),
        "evaluation_seconds": evaluation,
    }


def prepare(engine: str, model: str) -> None:
    """What a process does before it trains: imports, and a network."""
    if engine == "reference":
        from benchmarks import reference  # noqa: PLC0415

        reference.build(model)
    else:
        import ubc_lib.training.loop  # noqa: F401, PLC0415

        build_model(model, 0)


def measure(engine: str, model: str, device: str, image_size: int, images: int) -> dict:
    """One row: a run of `engine`, with rates in images per second and memory in MB."""
    epochs = EPOCHS[device][image_size, images]
    study = study_of(device, image_size, images, epochs)
    clock, tested = clock_of(device), TEST_IMAGES[device, image_size]
    data = arrays(2 * images, image_size), arrays(tested, image_size)
    run = measure_reference if engine == "reference" else measure_ubc_lib
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with cpu_threads(study.threads):
        row = run(study, model, *data, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    precision = choose_precision("auto", torch.device(device))
    return {
        "precision": "fp32" if engine == "reference" else precision,
        "epochs": epochs,
        "evaluated_images": tested,
        **row,
        "training_images_per_second": 2 * images / row["epoch_seconds"],
        "evaluation_images_per_second": tested / row["evaluation_seconds"],
        "peak_memory_mb": peak,
        "load": os.getloadavg()[0],
    }


def machine(device: str) -> dict:
    """What the arithmetic floor needs, measured, and where and when it was."""
    clock, place = clock_of(device), torch.device(device)

    def fastest(work) -> float:
        seconds = []
        for _ in range(8):
            started = clock()
            work()
            seconds.append(clock() - started)
        return min(seconds)

    def product_rate(kind: torch.dtype) -> float:
        side = 2048 if device == "cpu" else 8192
        one = torch.ones(side, side, dtype=kind, device=place)
        return 2 * side**3 / fastest(lambda: one @ one) / 1e9

    with cpu_threads(1):
        many = torch.zeros(2**27, device=place)
        other = torch.ones_like(many)
        bandwidth = 2 * many.nbytes / fastest(lambda: many.copy_(other)) / 1e9
        return {
            "machine": device_name(place),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "limited_to": LIMIT,
            "clock": "processor time" if device == "cpu" else "wall time",
            "fp32_gflops": product_rate(torch.float32),
            "bf16_gflops": product_rate(torch.bfloat16),
            "bandwidth_gb_per_second": bandwidth,
            **{f"{name}_parameters": parameter_count(build_model(name, 0)) for name in NETWORKS},
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            "commit": git_commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def add_rows(path: Path, rows: list[dict], keys: list[str]) -> None:
    """Add rows to a CSV; a row of the same keys is replaced."""
    table = pd.DataFrame(rows)
    if path.exists():
        table = pd.concat([pd.read_csv(path), table])
    path.parent.mkdir(parents=True, exist_ok=True)
    table.drop_duplicates(keys, keep="last").to_csv(path, index=False, float_format="%.5g")


def measured(path: Path) -> set[tuple]:
    """The keys of the rows that are there."""
    return (
        set(pd.read_csv(path)[KEYS].itertuples(index=False, name=None)) if path.exists() else set()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(EPOCHS), default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--folder", type=Path, default=data_folder() / "results" / "benchmarks")
    options = parser.parse_args()
    path = options.folder / "engine.csv"
    here = machine(options.device)
    add_rows(options.folder / "machines.csv", [here], ["machine"])
    done = set() if options.fresh else measured(path)
    context = multiprocessing.get_context("spawn")
    sizes = sorted({size for size, _ in EPOCHS[options.device]})
    for repeat, size, model in itertools.product(range(options.repeats), sizes, NETWORKS):
        wanted = [images for side, images in EPOCHS[options.device] if side == size]
        keys = [
            (here["machine"], engine, model, size, images, repeat)
            for images, engine in itertools.product(wanted, ENGINES)
        ]
        if done >= set(keys):
            continue
        # One process each, so that memory is its own, and they take turns run by run.
        workers = {name: ProcessPoolExecutor(1, mp_context=context) for name in ENGINES}
        start_up, rows = {}, []
        for name, worker in workers.items():
            started = time.perf_counter()
            worker.submit(prepare, name, model).result()
            start_up[name] = time.perf_counter() - started
        for key in keys:
            engine, images = key[1], key[4]
            row = workers[engine].submit(measure, engine, model, options.device, size, images)
            rows.append(
                dict(zip(KEYS, key, strict=True))
                | {"start_up_seconds": start_up[engine]}
                | row.result()
            )
            print(
                f"{engine:9} {model:12} {size:3} px, {images:3} per class: "
                f"{rows[-1]['training_images_per_second']:.1f} images/s in training, "
                f"{rows[-1]['evaluation_images_per_second']:.1f} in evaluation",
                flush=True,
            )
        for worker in workers.values():
            worker.shutdown()
        add_rows(path, rows, KEYS)


if __name__ == "__main__":
    main()
