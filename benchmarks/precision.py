"""Do bf16, and CUDA graphs, change what a small study finds? Paired over seeds.

`python -m benchmarks.precision [--device cpu] [--seeds 10]` trains a small phantom study in each
way and writes data/results/benchmarks/precision.csv: mean accuracy and Dice of both ways, their
difference, and the standard error of the mean over seeds. Finished runs are not repeated.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.engine import add_rows
from ubc_lib.data.slices import load_slices
from ubc_lib.results.runs import tidy
from ubc_lib.study import Study
from ubc_lib.study.files import data_folder
from ubc_lib.training.run import train_run

# Steps are larger than the paper's, so that something is learnt in few of them.
SMALL = "images_per_class=[10] epochs=15 evaluate_every=3 learning_rate=0.0002 split_seed=null"
WAYS = {
    "fp32": "precision=fp32",
    "bf16": "precision=bf16",
    "bf16 without graphs": "precision=bf16 graphs=off",
}
COMPARED = {"cpu": [("bf16", "fp32")], "cuda": [("bf16", "fp32"), ("bf16", "bf16 without graphs")]}


def accuracies(way: str, device: str, seeds: int) -> pd.DataFrame:
    """Tidy rows of the runs in one way: see `Runs.runs`."""
    name = f"precision-{device}-{way.replace(' ', '_')}"
    wanted = f"{SMALL} {WAYS[way]} name={name} device={device} seeds={list(range(seeds))}"
    study = Study.load("quick", wanted.replace(", ", ","))
    slices = load_slices(study)
    return tidy(train_run(study, slices, *one) for one in study.planned_runs).runs


def compare(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One row per model, size and metric: both means, their difference, the standard error.

    The standard error is that of the second mean over seeds.
    """
    keys = ["model", "images_per_class"]
    both = first.merge(second, on=[*keys, "seed"], suffixes=("_first", "_second"))
    rows = []
    for (model, size), runs in both.groupby(keys):
        for metric in ("accuracy", "dice"):
            one, other = runs[f"{metric}_first"], runs[f"{metric}_second"]
            rows.append(
                {
                    "model": model,
                    "images_per_class": size,
                    "metric": metric,
                    "seeds": len(runs),
                    "first": one.mean(),
                    "second": other.mean(),
                    "difference": (one - other).mean(),
                    "standard_error": other.sem(),
                }
            )
    return pd.DataFrame(rows).dropna()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(COMPARED), default="cpu")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=data_folder() / "results" / "benchmarks")
    options = parser.parse_args()
    for first, second in COMPARED[options.device]:
        tables = [accuracies(way, options.device, options.seeds) for way in (first, second)]
        found = compare(*tables)
        found.insert(0, "machine", tables[0]["device"].iloc[0])
        found.insert(1, "compared", f"{first} against {second}")
        keys = ["machine", "compared", "model", "images_per_class", "metric"]
        add_rows(options.folder / "precision.csv", found.to_dict("records"), keys)
        print(found.to_string(index=False))


if __name__ == "__main__":
    main()
