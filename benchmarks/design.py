"""Chooses the points of the designed phantoms by the baseline alone, as the rules say.

`python -m benchmarks.design decoy` (or outline) trains the baseline on every point of the grid of
data/rules/before_the_runs.yaml and writes data/rules/design_<kind>.csv: the accuracy of each seed,
the mean of its last five evaluations, and which point is chosen. Finished runs are not repeated.
`python -m benchmarks.design pictures` draws them beside a plain phantom, for the book.
"""

import argparse
import itertools

import matplotlib.pyplot as plt
import pandas as pd
import yaml
from matplotlib.figure import Figure

from benchmarks.phantom_page import draw
from ubc_lib.figures.style import use_book_style
from ubc_lib.phantom.cohort import GRADES, make_scan
from ubc_lib.phantom.designed import Design
from ubc_lib.results.runs import KEYS, write_table
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.system.files import atomic_path
from ubc_lib.training.run import train_across_sizes

KINDS = ("decoy", "outline")
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


def pictures() -> Figure:
    """Two patients of each grade: plain, and designed as the screening studies say."""
    studies = [Study.load(f"screening_phantom_{kind}") for kind in KINDS]
    designs = [(one.phantom, one.phantom_amplitude, one.phantom_count) for one in studies]
    designs = [Design(), *(Design(*design) for design in designs)]
    figure, axes = plt.subplots(len(designs), 4, figsize=(6, 2 * len(designs)))
    patients = list(itertools.product(GRADES, range(2)))
    for line, design in zip(axes, designs, strict=True):
        for axis, (grade, number) in zip(line, patients, strict=True):
            scan = make_scan(grade, number, studies[0].phantom_seed, 0.0, design)
            draw(axis, scan.flair, scan.labels, f"{grade}, {design.kind}")
    figure.subplots_adjust(0, 0, 1, 0.97, 0.02, 0.12)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=[*KINDS, "pictures"])
    kind = parser.parse_args().kind
    if kind == "pictures":
        use_book_style()
        with atomic_path(ROOT / "book" / "phantom" / "designed.webp") as path:
            pictures().savefig(path)
        return
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    write_table(RULES.with_name(f"design_{kind}.csv"), choose(measure(kind, rules), rules))


if __name__ == "__main__":
    main()
