"""The paper's claims, one by one: what our studies measured, and the rule that decides on each.

Every verdict follows from the numbers of a study by a rule that is printed beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

from ubc_lib.book.quotes import (
    has_few_seeds,
    has_smaller_advantage,
    interval_text,
    signed_text,
    verdict,
)
from ubc_lib.figures.style import MODEL_LABELS
from ubc_lib.results import paper
from ubc_lib.results.summary import ENOUGH_SEEDS
from ubc_lib.statistics.evidence import CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, Evidence, Judgement

BASELINE, BOOSTED = MODEL_LABELS
FEW_SEEDS = f"Fewer than {ENOUGH_SEEDS} seeds"
OVER_PATIENTS_ONLY = f"{FEW_SEEDS}: the interval is over patients only."
BOXES = "Boxes: the paper's whole slices were not tested by this study."
DICE_TOLERANCE = 0.05
SMALL_ADVANTAGE = paper.DIFFERENCE / 2
MASK_TOLERANCE = 0.1
ALWAYS_HALF = 0.25  # the Brier score of a probability of 0.5 for every slice

# Table 3 says nothing of how its two accuracies go together, so they count as independent.
HALF_WIDTHS = [paper.TABLE_3[model].half_width for model in (BASELINE, BOOSTED)]
PAPER_HALF_WIDTH = math.hypot(*HALF_WIDTHS)
PAPER_LOW, PAPER_HIGH = paper.DIFFERENCE - PAPER_HALF_WIDTH, paper.DIFFERENCE + PAPER_HALF_WIDTH
PAPER_INTERVAL = f"[{signed_text(PAPER_LOW)},\u00a0{signed_text(PAPER_HIGH)}]"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, where it stands there, and how a study is held against it."""

    title: str
    paper: str
    rule: str
    judge: Callable[[Evidence], Judgement]


def _on_images(judge: Callable[[Evidence], Judgement]) -> Callable[[Evidence], Judgement]:
    """Remark that a study did not show the paper's images, wherever accuracies are judged."""

    @wraps(judge)
    def judged(evidence: Evidence) -> Judgement:
        found = judge(evidence)
        if evidence.summary["whole_slices"] or found.measured == "not run":
            return found
        return replace(found, why=f"{found.why} {BOXES}".lstrip())

    return judged


@_on_images
def _difference(evidence: Evidence) -> Judgement:
    summary = evidence.summary
    if summary["difference"] is None:
        return Judgement("not run", CANNOT_TELL, "One of the models has no runs.")
    low, high = summary["difference_interval"]
    measured = (
        f"{interval_text(summary['difference'], low, high, signed=True)} at "
        f"{summary['images_per_class_max']} per class, {summary['paired_seeds']} seed(s)"
    )
    if has_few_seeds(summary):
        return Judgement(measured, verdict(summary), OVER_PATIENTS_ONLY)
    remarks = []
    if has_smaller_advantage(summary):
        remarks.append("There is an advantage, but smaller than the paper's.")
    if verdict(summary) == NOT_REPRODUCED:
        found = "ends below" if high < PAPER_LOW else "overlaps"
        remarks.append(f"The interval {found} the paper's own, {PAPER_INTERVAL}.")
    return Judgement(measured, verdict(summary), " ".join(remarks))


@_on_images
def _small_sizes(evidence: Evidence) -> Judgement:
    columns = ["images_per_class", "seeds", "difference", "holm_p"]
    ends = ["low", "seeds_low", "high", "seeds_high"]
    table = evidence.table("comparison").reindex(columns=columns + ends)
    table = table[table["images_per_class"] < table["images_per_class"].max()]
    table = table.dropna(subset="difference")
    if table.empty:
        return Judgement("not run", CANNOT_TELL, "No smaller size was run with both models.")
    enough = table["seeds"] >= ENOUGH_SEEDS
    low, high = table[ends[:2]].min(axis=1), table[ends[2:]].max(axis=1)
    ahead = enough & (low > 0) & (table["holm_p"] < 0.05)
    excluded = enough & (high < SMALL_ADVANTAGE)
    measured = (
        f"mean difference {signed_text(table['difference'].mean())}; ahead beyond chance at "
        f"{ahead.sum()} of {len(table)} sizes; an advantage of {SMALL_ADVANTAGE:.2f} excluded at "
        f"{excluded.sum()}"
    )
    if enough.mean() < 0.5:
        return Judgement(measured, CANNOT_TELL, f"{FEW_SEEDS} at most sizes.")
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


@_on_images
def _rises_with_dice(evidence: Evidence) -> Judgement:
    table = evidence.table("dice_correlation").reindex(columns=["over", "rho", "low", "high"])
    over_sizes = table[table["over"] == "sizes"]
    if over_sizes.empty or over_sizes["rho"].isna().all():
        return Judgement("not run", CANNOT_TELL, "A correlation needs several sizes.")
    rho, low, high = over_sizes[["rho", "low", "high"]].iloc[0]
    within = table[table["over"] == "seeds"].dropna(subset="low")
    alone = math.isnan(low)
    number = signed_text(rho).removeprefix("+") if alone else interval_text(rho, low, high)
    measured = f"Spearman {number} over sizes"
    if len(within):
        measured += (
            f"; within a size, over seeds, {signed_text(within['rho'].median())} in the median of "
            f"{len(within)} sizes"
        )
    why = "A trend over sizes, where both rise with the number of images, whatever causes what. "
    if within.empty:
        why += "The runs of one size are too few to tell anything."
    else:
        positive, negative = (within["low"] > 0).sum(), (within["high"] < 0).sum()
        why += (
            f"Over the runs of one size the correlation is positive at {positive}, negative at "
            f"{negative} of {len(within)} sizes; at the others nothing can be told."
        )
    if low > 0:
        return Judgement(measured, REPRODUCED, why)
    return Judgement(measured, NOT_REPRODUCED if high <= 0 else CANNOT_TELL, why)


@_on_images
def _better_than_dummy(evidence: Evidence) -> Judgement:
    summary = evidence.summary
    baseline = summary["models"].get(BASELINE)
    if baseline is None:
        return Judgement("not run", CANNOT_TELL, f"{MODEL_LABELS[BASELINE]} has no runs.")
    accuracy, dummy = baseline["accuracy"], summary["dummy"]["accuracy"]
    row = evidence.at_largest_size("design_effect", model=BASELINE)
    low, high = (row.get(f"effective_{end}", math.nan) for end in ("low", "high"))
    if math.isnan(low):
        why = "The study has no interval in which the slices of a patient are alike."
        return Judgement(f"{accuracy:.2f} against {dummy:.2f}", CANNOT_TELL, why)
    measured = f"{interval_text(accuracy, low, high)} against {dummy:.2f}"
    remarks = []
    if high < (printed := paper.TABLE_3[BASELINE].accuracy):
        remarks.append(f"The paper's {printed:.2f} lies above the interval.")
    brier = evidence.at_largest_size("diagnosis", model=BASELINE).get("brier", math.nan)
    if brier > ALWAYS_HALF:
        remarks.append(
            f"The Brier score is {brier:.2f}, worse than {ALWAYS_HALF}, that of always saying 0.5."
        )
    why = " ".join(remarks)
    if low > dummy:
        return Judgement(measured, REPRODUCED, why)
    return Judgement(measured, NOT_REPRODUCED if high <= dummy else CANNOT_TELL, why)


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
    measured = f"{table['reached'].sum():.0f} of {table['runs'].sum():.0f} runs reached it"
    if table["upper_quartile"].isna().any():
        why = (
            "At some size fewer than three quarters of a model's runs reached it within "
            f"{evidence.summary['epochs']} epochs."
        )
        return Judgement(measured, CANNOT_TELL, why)
    latest = table["upper_quartile"].max()
    measured += f"; at every size three quarters of each model's by epoch {latest:.0f}"
    return Judgement(measured, REPRODUCED if latest < paper.PLATEAU else NOT_REPRODUCED)


CLAIMS = (
    Claim(
        "The boosted classifier is more accurate at 190 images per class",
        "0.81 ± 0.04 against 0.71 ± 0.05, so +0.10 (Table 3)",
        "*Reproduced* if the 95 % interval of the difference lies above zero and reaches the "
        "paper's +0.10; *not reproduced* if it ends below +0.10; otherwise, and with fewer than "
        f"{ENOUGH_SEEDS} seeds, *cannot tell*. The interval reaches as far as either of two does, "
        f"one over patients and, from {ENOUGH_SEEDS} seeds on, one over seeds. The paper's +0.10 "
        "is itself uncertain: the half widths of its two accuracies, unpaired, give √("
        + " + ".join(f"{half_width}²" for half_width in HALF_WIDTHS)
        + f") = {PAPER_HALF_WIDTH:.2f}, so {PAPER_INTERVAL}.",
        _difference,
    ),
    Claim(
        "It is more accurate with fewer images, too",
        "the curve of UBC-ResNet34 lies above (Figure 6)",
        "*Reproduced* if at more than half of the smaller sizes the interval, as above, lies above "
        "zero with a permutation p below 0.05, corrected over sizes (Holm); *not reproduced* if an "
        f"advantage of {SMALL_ADVANTAGE:.2f} lies above the interval at more than half of them; "
        f"*cannot tell* otherwise. A size with fewer than {ENOUGH_SEEDS} seeds counts for neither. "
        f"The paper gives no difference here; {SMALL_ADVANTAGE:.2f} is half of its +0.10, which is "
        "our choice and has no other reason.",
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
        "*Reproduced* if the 95 % interval of ResNet34 lies above the dummy's accuracy, *not "
        "reproduced* if it does not reach above it, otherwise *cannot tell*. It is a Wilson "
        "interval of as many independent slices as the test half is worth, since slices of one "
        "patient are alike.",
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
        f"Only “before {paper.PLATEAU} epochs” is tested: *reproduced* if at every size three "
        f"quarters of each model's runs are there before epoch {paper.PLATEAU}, by the rule on the "
        "training loss; *cannot tell* where fewer get there.",
        _plateau,
    ),
)
