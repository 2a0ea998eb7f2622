"""What 5 000 finished runs cost to read, to tabulate and to plan for.

`python -m benchmarks.many_runs [--seeds 209]` generates the records of a study of the paper's size,
2 models on 12 sizes, in a temporary folder, and writes benchmarks/many_runs.csv: seconds and peak
memory of each step, at a quarter of the runs and at all of them, so that growth shows.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from tests.records import made_record
from ubc_lib.data.readers import reader_of
from ubc_lib.figures.curves import accuracy_against_dice, accuracy_against_images
from ubc_lib.results.record import record_path, write_record
from ubc_lib.results.runs import Runs, load_runs
from ubc_lib.results.summary import summarise
from ubc_lib.results.tables import accuracy_by_images, missing_runs, run_overview, table_3
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT

RESULTS = Path(__file__).with_suffix(".csv")
EPOCHS, EVALUATED = 200, 40


def generate(study: Study) -> None:
    """Records of runs that never happened, each of the length that the paper's protocol gives."""
    chance = np.random.default_rng(0)
    n_test = study.patients_per_class * study.slices_per_patient
    patients = [f"BraTS19_SITE_{number // study.slices_per_patient}_1" for number in range(n_test)]
    target = [number // study.slices_per_patient % 2 for number in range(n_test)]
    for model, size, seed in study.planned_runs:
        dice = None if model == "resnet34" else float(chance.uniform(0.5, 0.9))
        accuracy = float(chance.uniform(0.5, 0.9))
        record = made_record(study, model, size, seed, accuracy)
        record["result"] |= {
            "dice": dice,
            "dice_per_image": dice,
            "n_test": n_test,
            "epochs_run": EPOCHS,
        }
        record |= {
            "evaluations": {
                "epoch": list(range(5, 5 * EVALUATED + 1, 5)),
                **{name: [accuracy] * EVALUATED for name in ("accuracy", "cross_entropy")},
                **{name: [dice] * EVALUATED for name in ("dice", "dice_per_image")},
            },
            "history": {
                "epoch": list(range(1, EPOCHS + 1)),
                **{
                    name: chance.random(EPOCHS).tolist()
                    for name in ("learning_rate", "loss", "cross_entropy", "accuracy", "seconds")
                },
                "soft_dice_loss": [dice] * EPOCHS,
            },
            "predictions": {
                "patient": patients,
                "slice_index": list(range(n_test)),
                "label": ["HGG" if one else "LGG" for one in target],
                "target": target,
                "probability": chance.random(n_test).tolist(),
                "correct": chance.integers(0, 2, n_test).astype(float).tolist(),
                "dice": [dice] * n_test,
            },
        }
        write_record(record_path(study, model, size, seed), record)


def timed(step: str, runs: int, work: Callable, *arguments):
    """A row for the table, and what the work gave."""
    started, used = time.perf_counter(), _processor_seconds()
    result = work(*arguments)
    seconds, used = time.perf_counter() - started, _processor_seconds() - used
    peak = max(map(_largest_kilobytes, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))) / 1024
    row = {"step": step, "runs": runs, "seconds": round(seconds, 1)}
    row |= {"of a processor": round(used, 1), "peak MB": round(peak)}
    print(row, flush=True)
    return row, result


def _processor_seconds() -> float:
    """Of this process and the children that have ended."""
    return sum(os.times()[:4])


def _largest_kilobytes(who: int) -> int:
    return resource.getrusage(who).ru_maxrss


def tables_and_figures(study: Study, loaded: Runs) -> None:
    """What the results notebook makes."""
    slices = loaded.predictions[["patient", "slice_index"]].drop_duplicates()
    compared = table_3(study, loaded.runs, loaded.predictions, slices.assign(lesion_fraction=0.1))
    dummy = compared.loc[compared["model"] == "dummy", "accuracy"].item()
    accuracy_against_images(study, loaded.runs, dummy).savefig(os.devnull, format="svg")
    accuracy_against_dice(study, loaded.runs).savefig(os.devnull, format="svg")
    accuracy_by_images(loaded.runs)
    run_overview(study, loaded.runs)
    missing_runs(study, loaded.runs)
    difference = compare_models(study, loaded.predictions)
    summarise(study, loaded, compared, difference, reader_of(study).patients)


def statistics(study: Study, settings: str) -> None:
    """The statistics notebook as a study runs it, in a process of its own that reads again."""
    target = study.run_folder / "notebooks" / "06_statistics.ipynb"
    source = "notebooks/06_statistics.ipynb", str(target), "study=paper", f"settings={settings}"
    command = sys.executable, "-m", "ubc_lib", "notebook", *source
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def plan(settings: str) -> None:
    """`snakemake --dry-run` on the whole study."""
    targets = "snakemake", "book", "--dry-run", "--quiet", "all", "--cores", "2", "--nolock"
    configuration = "--config", "study=paper", f"settings={settings}", "gpu=no"
    subprocess.run([*targets, *configuration], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=209, help="209 make 5 016 runs")
    most = parser.parse_args().seeds
    mpl.use("agg")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UBC_DATA"] = folder
        for seeds in (most // 4, most):
            settings = f"name=many seeds={list(range(seeds))}".replace(", ", ",")
            study = Study.load("paper", settings)
            generate(study)
            runs = len(study.planned_runs)
            read, loaded = timed("read records", runs, load_runs, study)
            shown, _ = timed("tables and figures", runs, tables_and_figures, study, loaded)
            judged, _ = timed("statistics, read anew", runs, statistics, study, settings)
            planned, _ = timed("plan (snakemake -n)", runs, plan, settings)
            rows += [read, shown, judged, planned]
    pd.DataFrame(rows).to_csv(RESULTS, index=False)


if __name__ == "__main__":
    sys.exit(main())
