"""One model against another, paired: the same seed, split, subset and test slices."""

from itertools import product

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from ubc_lib.results import paper
from ubc_lib.results.runs import KEYS
from ubc_lib.statistics.checks import check_predictions
from ubc_lib.statistics.resampling import (
    CONFIDENCE,
    REPLICATES,
    patient_bootstrap,
    patient_sums,
)
from ubc_lib.study import Pair, Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import generator

# Halves by patient: as many patients test as train.
TEST_TRAIN_RATIO = 1.0
SIDES = ("", "_against")

COLUMNS = [
    *Pair._fields,
    "images_per_class",
    "seeds",
    "unpaired",
    "patients",
    "slices",
    "accuracy",
    "accuracy_against",
    "difference",
    "low",
    "high",
    "seeds_low",
    "seeds_high",
    "sd_over_seeds",
    "share_at_least_0_10",
    "same_answers",
    "mcnemar_p",
    "permutation_p",
    "holm_p",
]


def compare_models(
    study: Study, predictions: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """One row per pair of the study and size: what the models differ by, and how sure that is.

    predictions: see `Runs.predictions`. Only seeds that both models have are counted; the others
    are in `unpaired`. `correct` counts as the fraction that it is, except for McNemar's test.
    Columns, NaN where nothing can be said:

    - model, against (see `Study.pairs`), images_per_class
    - seeds, unpaired, patients (over all seeds), slices (of one test half)
    - accuracy, accuracy_against, difference: means, of the model less the other
    - low, high: bootstrap over patients (see `resampling`), the trained networks as given
    - seeds_low, seeds_high: over seeds, see `corrected_resampled_interval`
    - sd_over_seeds, share_at_least_0_10: of the differences of single seeds
    - same_answers: share of slices, over seeds, that both models give the same class
    - mcnemar_p: exact, on slices as if independent, by probability > 0.5; the median over seeds
    - permutation_p, holm_p: see `permutation_p_value`; adjusted by Holm over all rows

    Raises InputError where a pair of runs was not tested on the same slices, or `check_predictions`
    refuses the table.
    """
    check_predictions(predictions)
    rows = []
    for pair, (size, cell) in product(study.pairs, predictions.groupby("images_per_class")):
        of_pair = cell[cell["model"].isin(pair)]
        seeds = of_pair.groupby("seed")["model"].agg(set)
        both = seeds.index[seeds.map(set(pair).issubset)]
        row = {**pair._asdict(), "images_per_class": size}
        row |= {"seeds": len(both), "unpaired": len(seeds) - len(both)}
        if len(both):
            slices = paired_slices(of_pair[of_pair["seed"].isin(both)], pair)
            row |= _compared(slices, replicates, seed)
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.astype({"patients": "Int64", "slices": "Int64"})
    tested = table["permutation_p"].notna()
    if tested.any():
        adjusted = multipletests(table.loc[tested, "permutation_p"], method="holm")[1]
        table.loc[tested, "holm_p"] = adjusted
    return table


def paired_slices(predictions: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """One row per size, seed and test slice, with what both models said of it.

    Columns images_per_class, seed, patient, slice_index, target, and of the model and the one
    against it correct, correct_against, and right, right_against (whether probability > 0.5 agrees
    with the target).
    Raises InputError naming a slice that only one model of a pair was tested on.
    """
    keys = [*KEYS[1:], "patient", "slice_index", "target"]
    halves = []
    for model, end in zip(pair, SIDES, strict=True):
        one = predictions[predictions["model"] == model]
        right = (one["probability"] > 0.5) == (one["target"] == 1)
        halves.append(one[keys].assign(**{f"correct{end}": one["correct"], f"right{end}": right}))
    pairs = halves[0].merge(halves[1], on=keys, how="outer", indicator="found")
    alone = pairs[pairs["found"] != "both"]
    if not alone.empty:
        first = alone.iloc[0]
        model = pair.model if first["found"] == "left_only" else pair.against
        raise InputError(
            f"Only {model} predicts patient {first['patient']}, slice {first['slice_index']} "
            f"({first['images_per_class']} images per class, seed {first['seed']}). Models are "
            "compared on the same slices; give runs of one study."
        )
    return pairs.drop(columns="found").astype({f"right{end}": bool for end in SIDES})


def corrected_resampled_interval(
    differences: np.ndarray,
    test_train_ratio: float = TEST_TRAIN_RATIO,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Interval (low, high) of a mean over seeds whose test and training halves overlap.

    mean ± t s √(1/J + n_test/n_train), t with J − 1 degrees of freedom, for J seeds with standard
    deviation s. The second term does not shrink with more seeds: they draw on the same patients.
    NaN for fewer than two seeds.

    Source: Nadeau & Bengio, Inference for the generalization error, Machine Learning 52 (2003)
    239–281.
    """
    seeds = len(differences)
    if seeds < 2:
        return float("nan"), float("nan")
    spread = np.std(differences, ddof=1) * np.sqrt(1 / seeds + test_train_ratio)
    half_width = stats.t.ppf((1 + confidence) / 2, seeds - 1) * spread
    mean = np.mean(differences)
    return float(mean - half_width), float(mean + half_width)


def mcnemar_p_value(first: np.ndarray, second: np.ndarray) -> float:
    """Exact p of McNemar's test; bool arrays (slices,): whether each model is right."""
    table = [
        [np.sum(first & second), np.sum(first & ~second)],
        [np.sum(~first & second), np.sum(~first & ~second)],
    ]
    return float(mcnemar(table, exact=True).pvalue)


def permutation_p_value(totals: np.ndarray, replicates: int = REPLICATES, seed: int = 0) -> float:
    """Two-sided p that differences by patient are as likely in favour of either model.

    totals: difference in correct answers of each patient, over its slices and seeds. Under the
    null hypothesis the models' names can be swapped patient by patient, which turns the sign.
    The observed order counts as one of the replicates, so p is never 0.
    """
    rng = generator(seed, "permutation")
    signs = rng.choice([-1.0, 1.0], size=(replicates, len(totals)))
    extreme = np.abs(signs @ totals) >= np.abs(np.sum(totals)) - 1e-9
    return float((1 + extreme.sum()) / (1 + replicates))


def _compared(pairs: pd.DataFrame, replicates: int, seed: int) -> dict:
    pairs["difference"] = pairs["correct"] - pairs["correct_against"]
    right = [f"right{end}" for end in SIDES]
    by_seed = pairs.groupby("seed")
    differences = by_seed["difference"].mean().to_numpy()
    sums = patient_sums(pairs, "difference")
    low, high = patient_bootstrap(pairs, "difference", replicates, seed)
    seeds_low, seeds_high = corrected_resampled_interval(differences)
    return {
        "patients": len(sums),
        "slices": by_seed.size().min(),
        "accuracy": pairs["correct"].mean(),
        "accuracy_against": pairs["correct_against"].mean(),
        "difference": pairs["difference"].mean(),
        "low": low,
        "high": high,
        "seeds_low": seeds_low,
        "seeds_high": seeds_high,
        "sd_over_seeds": np.std(differences, ddof=1) if len(differences) > 1 else np.nan,
        "share_at_least_0_10": np.mean(differences >= paper.DIFFERENCE - 1e-9),
        "same_answers": (pairs[right[0]] == pairs[right[1]]).mean(),
        "mcnemar_p": np.median([mcnemar_p_value(*half.to_numpy().T) for _, half in by_seed[right]]),
        "permutation_p": permutation_p_value(sums["total"].to_numpy(), replicates, seed),
    }
