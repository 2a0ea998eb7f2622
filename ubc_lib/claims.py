"""The paper's claims, one by one: what our studies measured, and the rule that decides on each.

Every verdict follows from the numbers of a study by a rule that is printed beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ubc_lib import paper
from ubc_lib.quotes import (
    has_few_seeds,
    interval_text,
    signed_text,
    verdict,
)
from ubc_lib.style import MODEL_LABELS
from ubc_lib.summary import ENOUGH_SEEDS, read_summary

BASELINE, BOOSTED = MODEL_LABELS
REPRODUCED, NOT_REPRODUCED, CANNOT_TELL = "reproduced", "not reproduced", "cannot tell"

FEW_SEEDS = f"Fewer than {ENOUGH_SEEDS} seeds."
DICE_TOLERANCE = 0.05
SMALL_ADVANTAGE = 0.05
MASK_TOLERANCE = 0.1


@dataclass(frozen=True)
class Evidence:
    """What one study measured: its summary, and its tables by name."""

    summary: dict
    tables: dict[str, pd.DataFrame]

    @classmethod
    def of(cls, folder: Path) -> "Evidence":
        """Read `summary.json` and `tables/*.csv` of a folder of results."""
        tables = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("tables/*.csv"))}
        return cls(read_summary(folder), tables)

    def table(self, name: str) -> pd.DataFrame:
        """A table by name; empty where the study lacks it."""
        return self.tables.get(name, pd.DataFrame())


@dataclass(frozen=True)
class Judgement:
    """What was measured, one of three verdicts, and why where the rule alone does not say."""

    measured: str
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, where it stands there, and how a study is held against it."""

    title: str
    paper: str
    rule: str
    judge: Callable[[Evidence], Judgement]


def _difference(evidence: Evidence) -> Judgement:
    summary = evidence.summary
    if summary["difference"] is None:
        return Judgement("not run", CANNOT_TELL, "One of the models has no runs.")
    low, high = summary["difference_interval"]
    measured = (
        f"{interval_text(summary['difference'], low, high, signed=True)} at "
        f"{summary['images_per_class_max']} per class, {summary['paired_seeds']} seed(s)"
    )
    why = ""
    if has_few_seeds(summary):
        why = FEW_SEEDS
    elif low > 0 and high < paper.DIFFERENCE:
        why = "There is an advantage, but smaller."
    return Judgement(measured, verdict(summary), why)


def _small_sizes(evidence: Evidence) -> Judgement:
    columns = ["images_per_class", "seeds", "difference", "holm_p", "high"]
    table = evidence.table("comparison").reindex(columns=columns)
    table = table[table["images_per_class"] < table["images_per_class"].max()]
    table = table.dropna(subset="difference")
    if table.empty:
        return Judgement("not run", CANNOT_TELL, "No smaller size was run with both models.")
    ahead = (table["difference"] > 0) & (table["holm_p"] < 0.05)
    excluded = table["high"] < SMALL_ADVANTAGE
    measured = (
        f"mean difference {signed_text(table['difference'].mean())}; ahead beyond chance at "
        f"{ahead.sum()} of {len(table)} sizes; an advantage of {SMALL_ADVANTAGE:.2f} excluded at "
        f"{excluded.sum()}"
    )
    if table["seeds"].median() < ENOUGH_SEEDS:
        return Judgement(measured, CANNOT_TELL, FEW_SEEDS)
    if ahead.mean() > 0.5:
        return Judgement(measured, REPRODUCED)
    if excluded.mean() > 0.5:
        return Judgement(measured, NOT_REPRODUCED)
    return Judgement(measured, CANNOT_TELL, "Too few seeds or patients for most sizes.")


def _dice(evidence: Evidence) -> Judgement:
    summary = evidence.summary
    dice = summary["models"].get(BOOSTED, {}).get("dice")
    if dice is None:
        return Judgement("not run", CANNOT_TELL, f"{MODEL_LABELS[BOOSTED]} has no runs.")
    measured = f"{dice:.2f}"
    if not summary["whole_slices"]:
        why = "The models see boxes around the lesion, where it is easier to draw."
        return Judgement(measured, CANNOT_TELL, why)
    close = dice >= paper.DICE - DICE_TOLERANCE
    return Judgement(measured, REPRODUCED if close else NOT_REPRODUCED)


def _rises_with_dice(evidence: Evidence) -> Judgement:
    table = evidence.table("dice_correlation").reindex(columns=["over", "rho", "low", "high"])
    over_sizes = table[table["over"] == "sizes"]
    if over_sizes.empty or over_sizes["rho"].isna().all():
        return Judgement("not run", CANNOT_TELL, "A correlation needs several sizes.")
    rho, low, high = over_sizes[["rho", "low", "high"]].iloc[0]
    within = table[table["over"] != "sizes"].dropna(subset="rho")
    measured = f"Spearman {interval_text(rho, low, high)} over sizes"
    if len(within):
        measured += (
            f"; within a size, over seeds, {signed_text(within['rho'].median())} in the median of "
            f"{len(within)} sizes"
        )
    why = "Over sizes both rise with the number of images, whatever causes what."
    if low > 0:
        return Judgement(measured, REPRODUCED, why)
    return Judgement(measured, NOT_REPRODUCED if high <= 0 else CANNOT_TELL, why)


def _better_than_dummy(evidence: Evidence) -> Judgement:
    summary = evidence.summary
    baseline = summary["models"].get(BASELINE)
    if baseline is None:
        return Judgement("not run", CANNOT_TELL, f"{MODEL_LABELS[BASELINE]} has no runs.")
    dummy = summary["dummy"]["accuracy"]
    low, high = baseline["low"], baseline["high"]
    measured = f"{interval_text(baseline['accuracy'], low, high)} against {dummy:.2f}"
    if low > dummy:
        return Judgement(measured, REPRODUCED)
    return Judgement(measured, NOT_REPRODUCED if high <= dummy else CANNOT_TELL)


def _size_of_networks(evidence: Evidence) -> Judgement:
    table = evidence.table("table_3")
    columns = ["model", "parameters", "paper_parameters"]
    rows = table.reindex(columns=columns).dropna()
    if rows.empty:
        return Judgement("not run", CANNOT_TELL, "No model has runs.")
    measured = ", ".join(
        f"{MODEL_LABELS[row.model]} {row.parameters / 1e6:.1f} M" for row in rows.itertuples()
    )
    same = (rows["parameters"] / 1e6).round(1).eq((rows["paper_parameters"] / 1e6).round(1)).all()
    return Judgement(measured, REPRODUCED if same else NOT_REPRODUCED)


def _mask_pixels(evidence: Evidence) -> Judgement:
    summary, table = evidence.summary, evidence.table("table_3")
    rows = table.reindex(columns=["mask_pixels", "paper_mask_pixels"]).dropna()
    if rows.empty:
        return Judgement("not run", CANNOT_TELL, f"{MODEL_LABELS[BOOSTED]} has no runs.")
    ours, printed = rows.iloc[0]
    measured = f"{ours / 1e6:.2f} M"
    if not summary["whole_slices"] or summary["image_size"] != 224:
        why = f"Not whole slices of 224 pixels, but {summary['image_size']} pixels a side."
        return Judgement(measured, CANNOT_TELL, why)
    close = abs(ours / printed - 1) <= MASK_TOLERANCE
    return Judgement(measured, REPRODUCED if close else NOT_REPRODUCED)


def _plateau(evidence: Evidence) -> Judgement:
    columns = ["images_per_class", "runs", "reached", "upper_quartile"]
    table = evidence.table("plateau").reindex(columns=columns).dropna(subset="images_per_class")
    if table["reached"].sum() == 0:
        return Judgement("not run", CANNOT_TELL, "No run reached its plateau.")
    latest = table["upper_quartile"].max()
    measured = (
        f"{table['reached'].sum():.0f} of {table['runs'].sum():.0f} runs reached it; three "
        f"quarters of each size's by epoch {latest:.0f}"
    )
    if table["upper_quartile"].isna().any():
        why = "At some size fewer than three quarters of the runs reached it."
        return Judgement(measured, CANNOT_TELL, why)
    return Judgement(measured, REPRODUCED if latest < paper.PLATEAU else NOT_REPRODUCED)


CLAIMS = (
    Claim(
        "The boosted classifier is more accurate at 190 images per class",
        "0.81 ± 0.04 against 0.71 ± 0.05, so +0.10 (Table 3)",
        "*Reproduced* if the 95 % interval of the difference lies above zero and reaches the "
        "paper's +0.10; *not reproduced* if it ends below +0.10; otherwise, and with fewer than "
        f"{ENOUGH_SEEDS} seeds, *cannot tell*. The interval reaches as far as either of two does, "
        "one over patients and one over seeds.",
        _difference,
    ),
    Claim(
        "It is more accurate with fewer images, too",
        "the curve of UBC-ResNet34 lies above (Figure 6)",
        "*Reproduced* if it is ahead at more than half of the smaller sizes with a permutation "
        "p below 0.05, corrected over sizes (Holm); *not reproduced* if an advantage of "
        f"{SMALL_ADVANTAGE:.2f} lies above the interval at more than half of them; *cannot tell* "
        f"otherwise, and where most sizes have fewer than {ENOUGH_SEEDS} seeds.",
        _small_sizes,
    ),
    Claim(
        "The decoder draws the lesion",
        f"Dice {paper.DICE} (Table 3)",
        f"*Reproduced* if Dice is at least {paper.DICE - DICE_TOLERANCE:.2f} on whole slices (the "
        "paper gives no interval; we allow 0.05); boxes cannot tell.",
        _dice,
    ),
    Claim(
        "Accuracy rises with Dice",
        "larger Dice goes with larger accuracy over the sizes (Figure 7)",
        "*Reproduced* if the interval of Spearman's correlation over sizes lies above zero; "
        "*not reproduced* if it lies below.",
        _rises_with_dice,
    ),
    Claim(
        "The baseline beats a dummy",
        "0.71 ± 0.05 against 0.50 ± 0.05 (Table 3)",
        "*Reproduced* if the Wilson interval of ResNet34 lies above the dummy's accuracy.",
        _better_than_dummy,
    ),
    Claim(
        "The networks have the stated size",
        "21.3 M and 24.4 M parameters (Tables 1 to 3)",
        "*Reproduced* if both agree to 0.1 M.",
        _size_of_networks,
    ),
    Claim(
        "The masks give 0.90 M positive labels",
        "190 positive labels and 0.90 M positive pixels (Table 3)",
        f"*Reproduced* if the pixels agree to {MASK_TOLERANCE:.0%}, at 224 pixels a side.",
        _mask_pixels,
    ),
    Claim(
        "Training reaches its plateau early",
        f"after 20, after 60 and before {paper.PLATEAU} epochs",
        f"*Reproduced* if at every size three quarters of the runs are there before epoch "
        f"{paper.PLATEAU}, by the rule on the training loss.",
        _plateau,
    ),
)
