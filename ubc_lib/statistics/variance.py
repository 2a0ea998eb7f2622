"""What chance alone does to an accuracy: how far seeds scatter, and which shapes they draw."""

import numpy as np
import pandas as pd
from scipy.stats import chi2

from ubc_lib.results.runs import Runs
from ubc_lib.results.wilson import wilson_interval
from ubc_lib.statistics.checks import finished_runs
from ubc_lib.statistics.resampling import REPLICATES, percentiles
from ubc_lib.study import Pair, Study, parts_of
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import generator

SOURCES = ("initialisation", "subset", "split")
CELL = [*Pair._fields, "images_per_class"]
# What the paper remarks on its Figure 6: images per class, and the sign of the bend.
SHAPES = {"outlier at 2": (2, 1), "dip at 10": (10, -1)}


def accuracy_by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracies with a row per size and seed and a column per model, NaN where a run is missing.

    runs: see `Runs.runs`; InputError where `finished_runs` refuses them.
    """
    finished = finished_runs(runs)
    wide = finished.pivot(index=["images_per_class", "seed"], columns="model", values="accuracy")
    return wide.rename_axis(columns=None)


def differences_by_seed(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """What each of the study's pairs differs by, seed by seed, where both models have the run.

    Columns model, against, images_per_class, seed, difference. runs: see `accuracy_by_seed`.
    """
    wide = accuracy_by_seed(runs).reindex(columns=[*study.models])
    tables = [pd.DataFrame(columns=[*CELL, "seed", "difference"])]
    for pair in study.pairs:
        difference = (wide[pair.model] - wide[pair.against]).dropna().rename("difference")
        tables.append(difference.reset_index().assign(**pair._asdict())[tables[0].columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def runs_by_source(study: Study, parts: dict[str, Runs]) -> dict[str, pd.DataFrame]:
    """The tables of `variance_split`: runs of a study and its parts by what their seeds change.

    parts: see `load_parts`.
    """
    tables = {"split": parts[study.name].runs} if len(study.varied) == len(SOURCES) else {}
    for part in parts_of(study):
        if part.name in parts and part.varied in {("initialisation",), ("subset",)}:
            tables[part.varied[0]] = parts[part.name].runs
    return tables


def variance_split(
    study: Study, tables: dict[str, pd.DataFrame], replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """The standard deviation of accuracy that each source of chance brings.

    tables: runs (see `Runs.runs`) by what their seeds change: `initialisation` alone, `subset`
    alone, or with `split` all three. The variance due to the split is what the last has beyond the
    other two. Columns source (initialisation, subset, split; `all` together), model, against
    (where it is the difference of a pair that varies), images_per_class, seeds, sd, low, high
    (95 %). Intervals of what was measured are those of a normal variable's standard deviation, by
    χ²; that of `split` is a bootstrap over seeds, each table by itself, absent where the others
    leave it nothing (sd 0). NaN below two seeds, or where a table is absent; no rows without any.

    Raises InputError for an unknown source, or tables of different data.
    """
    if any(name not in SOURCES for name in tables):
        raise InputError(f"variance_split got {list(tables)}; allowed are {', '.join(SOURCES)}.")
    measured = {name: _measured(study, runs) for name, runs in tables.items()}
    prints = {runs["fingerprint"].iloc[0] for runs in tables.values() if "fingerprint" in runs}
    if len(prints) > 1:
        raise InputError("variance_split got runs on different data (their fingerprints differ).")
    columns = ["source", *CELL, "seeds", "sd", "low", "high"]
    rng = generator(seed, "bootstrap")
    rows = []
    for cell in dict.fromkeys(cell for table in measured.values() for cell in table):
        values = {name: table.get(cell, np.array([])) for name, table in measured.items()}
        variances = {name: _variances(drawn, replicates, rng) for name, drawn in values.items()}
        nothing = np.full(1 + replicates, np.nan)
        total = variances.get("split", nothing)
        alone = [variances.get(source, nothing) for source in SOURCES[:2]]
        parts = dict(zip(SOURCES, [*alone, total - sum(alone)], strict=True)) | {"all": total}
        for source, variance in parts.items():
            deviation = np.sqrt(np.maximum(variance, 0))
            seeds = len(values.get("split" if source == "all" else source, []))
            if source != "split":
                low, high = _deviation_interval(deviation[0], seeds)
            else:
                low, high = percentiles(deviation[1:]) if variance[0] > 0 else (np.nan, np.nan)
            rows.append((source, *cell, seeds, deviation[0], low, high))
    return pd.DataFrame(rows, columns=columns)


def chance_of_shape(runs: pd.DataFrame) -> pd.DataFrame:
    """How many single curves of accuracy over images show what the paper remarks on its own.

    An outlier at 2 images per class lies above both neighbouring sizes, a dip at 10 below both. A
    seed counts where it has all three sizes; a shape whose sizes the study lacks has no row.
    Columns shape, model, curves, shown, share, low, high (Wilson, seeds as independent).
    runs: see `Runs.runs`; InputError where `finished_runs` refuses them.
    """
    wide = accuracy_by_seed(runs)
    sizes = sorted(runs["images_per_class"].unique())
    rows = []
    for shape, (size, sign) in SHAPES.items():
        place = sizes.index(size) if size in sizes else 0
        if not 0 < place < len(sizes) - 1:
            continue
        for model in wide.columns:
            curves = sign * wide[model].unstack("images_per_class")
            curves = curves[sizes[place - 1 : place + 2]].dropna()
            if curves.empty:
                continue
            shown = int(curves[size].gt(curves.drop(columns=size).max(axis=1)).sum())
            low, high = wilson_interval(shown, len(curves))
            counted = {"curves": len(curves), "shown": shown, "share": shown / len(curves)}
            rows.append({"shape": shape, "model": model, **counted, "low": low, "high": high})
    columns = ["shape", "model", "curves", "shown", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _deviation_interval(deviation: float, n: int) -> tuple[float, float]:
    """95 % interval of the standard deviation of n normal values; NaN below two."""
    if n < 2:
        return float("nan"), float("nan")
    low, high = deviation * np.sqrt((n - 1) / chi2.ppf([0.975, 0.025], n - 1))
    return float(low), float(high)


def _measured(study: Study, runs: pd.DataFrame) -> dict[tuple, np.ndarray]:
    """Differences of pairs, then accuracies, of all seeds, by the values of `CELL`.

    An accuracy is against nothing, "".
    """
    accuracies = finished_runs(runs).assign(against="").rename(columns={"accuracy": "value"})
    differences = differences_by_seed(study, runs).rename(columns={"difference": "value"})
    return {
        cell: values.to_numpy(float)
        for table in (differences, accuracies)
        for cell, values in table.groupby(CELL, dropna=False)["value"]
    }


def _variances(values: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """The sample variance of values, then that of each bootstrap replicate."""
    if len(values) < 2:
        return np.full(1 + replicates, np.nan)
    drawn = values[rng.integers(len(values), size=(replicates, len(values)))]
    return np.append(np.var(values, ddof=1), np.var(drawn, axis=1, ddof=1))
