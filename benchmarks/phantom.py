"""Seconds, memory and disk space per phantom patient.

`python benchmarks/phantom.py [--patients 8] [--workers 1]` writes a cohort to a temporary folder
and appends a row to benchmarks/phantom.csv.
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import pandas as pd

from ubc_lib.phantom.cohort import write_phantom
from ubc_lib.study import Study

RESULTS = Path(__file__).with_suffix(".csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=8, help="of each grade")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    study = Study.load("paper", f"patients_per_class={arguments.patients} images_per_class=[1]")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_phantom(Path(folder), study, arguments.workers)
        wall = time.perf_counter() - start
        again = time.perf_counter()
        write_phantom(Path(folder), study, arguments.workers)
        again = time.perf_counter() - again
        size = sum(path.stat().st_size for path in Path(folder).rglob("*"))
    patients = 2 * arguments.patients
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # The figures of other processes than this one cannot be had until they end.
    alone = arguments.workers == 1
    row = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "workers": arguments.workers,
        "patients": patients,
        "seconds": round(wall, 1),
        "seconds per patient and worker": round(wall * arguments.workers / patients, 2),
        "processor seconds per patient": (
            round((usage.ru_utime + usage.ru_stime) / patients, 2) if alone else None
        ),
        "seconds when complete": round(again, 4),
        "peak memory, MB": round(usage.ru_maxrss / 1024) if alone else None,
        "megabytes per patient": round(size / patients / 1e6, 2),
    }
    pd.DataFrame([row]).to_csv(RESULTS, mode="a", header=not RESULTS.exists(), index=False)
    print(pd.Series(row).to_string())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
