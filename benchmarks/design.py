"""Chooses the points of the designed phantoms by the baseline alone, as the rules say.

`python -m benchmarks.design decoy` (or outline) trains the baseline on every point of the grid of
data/rules/before_the_runs.yaml and writes data/rules/design_<kind>.csv: the accuracy of each seed,
the mean of its last five evaluations, and which point is chosen. Finished runs are not repeated.
"""

import argparse
import itertools

import pandas as pd
import yaml

from ubc_lib.results.runs import KEYS, write_table
from ubc_lib.study import ROOT, Study
from ubc_lib.training.run import train_across_sizes

RULES = ROOT / "data" / "rules" / "before_the_runs.yaml"


def measure(kind: str, rules: dict) -> pd.DataFrame:
    """One row per point of the grid and seed, with the accuracy of the last evaluations."""
    design, tables = rules["design"], []
    grid = design[f"phantom_{kind}"]
    for amplitude, count in itertools.product(grid["phantom_amplitude"], grid["phantom_count"]):
        point = {"phantom_amplitude": amplitude, "phantom_count": count}
        settings = {**point, "name": f"design_{kind}_{amplitude}_{count}", "models": "[resnet34]"}
        settings["seeds"] = f"[{','.join(map(str, design['seeds']))}]"
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        study = Study.load(f"screening_phantom_{kind}", words)
        for seed in study.seeds:
            results = train_across_sizes(study, study.baseline, seed)
            last = results.evaluations.groupby(KEYS).tail(rules["primary"]["evaluations"])
            run = results.runs.iloc[0]
            row = {**point, "seed": seed, "accuracy": last["accuracy"].mean()}
            tables.append(row | {key: run[key] for key in ("commit", "date", "device")})
    return pd.DataFrame(tables)


def choose(measured: pd.DataFrame, rules: dict) -> pd.DataFrame:
    """The same with a column chosen: the point nearest to the middle of the range, if within."""
    low, high = rules["design"]["baseline"]
    point = ["phantom_amplitude", "phantom_count"]
    means = measured.groupby(point)["accuracy"].mean()
    within = means[means.between(low, high)]
    best = (within - (low + high) / 2).abs().idxmin() if len(within) else None
    return measured.assign(
        chosen=[best == one for one in zip(*map(measured.get, point), strict=True)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["decoy", "outline"])
    kind = parser.parse_args().kind
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    write_table(RULES.with_name(f"design_{kind}.csv"), choose(measure(kind, rules), rules))


if __name__ == "__main__":
    main()
