"""The rules by which the paper's claims are held against a study: numbers in, verdicts out.

A rule gives a verdict, the numbers that it was reached by, and reasons, each a key; the words for
all three stand in `book/templates/verdict.md.j2`, beside the rule in words.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ubc_lib.results import paper
from ubc_lib.results.summary import ENOUGH_SEEDS, PAPER_PAIR, read_summary

REPRODUCED, NOT_REPRODUCED, CANNOT_TELL = "reproduced", "not reproduced", "cannot tell"
NOT_COMPLETE = "not complete"
BOOSTED, BASELINE = PAPER_PAIR
DICE_TOLERANCE = 0.05
SMALL_ADVANTAGE = paper.DIFFERENCE / 2
MASK_TOLERANCE = 0.1
SIGNIFICANT = 0.05
ALWAYS_HALF = 0.25  # the Brier score of a probability of 0.5 for every slice

# Table 3 says nothing of how its two accuracies go together, so they count as independent.
HALF_WIDTHS = [paper.TABLE_3[model].half_width for model in (BASELINE, BOOSTED)]
PAPER_HALF_WIDTH = math.hypot(*HALF_WIDTHS)
PAPER_LOW, PAPER_HIGH = paper.DIFFERENCE - PAPER_HALF_WIDTH, paper.DIFFERENCE + PAPER_HALF_WIDTH


@dataclass(frozen=True)
class Judgement:
    """What was measured (nothing where it was not run), a verdict, and reasons by key."""

    verdict: str
    numbers: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The first reason; empty without one."""
        return self.reasons[0] if self.reasons else ""


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

    def rows(self, name: str, *columns: str, **keys: str | int) -> pd.DataFrame:
        """The rows of a table that have these values; columns that it lacks are empty."""
        table = self.tables.get(name, pd.DataFrame())
        table = table.reindex(columns=list(dict.fromkeys([*table.columns, *columns, *keys])))
        for key, value in keys.items():
            table = table[table[key] == value]
        return table

    def row_at_largest_size(self, name: str, *columns: str, **keys: str) -> dict:
        """The first such row at the largest size; NaN without one."""
        largest = self.summary["images_per_class_max"]
        rows = self.rows(name, *columns, images_per_class=largest, **keys)
        return dict.fromkeys(columns, math.nan) | next(iter(rows.to_dict("records")), {})

    def model(self, name: str) -> dict | None:
        """What the summary says of a model; None where it has no runs."""
        return self.summary["models"].get(name)


def judge_headline(summary: dict) -> Judgement:
    """The verdict on the paper's main claim, by the interval and the number of seeds.

    Reasons: those of `words.rule` in the templates.
    """
    one = summary["headline"]
    if one is None or (one["model"], one["against"]) != PAPER_PAIR:
        return Judgement(NOT_COMPLETE, {}, ("not the paper's",))
    if one["difference"] is None:
        return Judgement(NOT_COMPLETE, {}, ("not complete",))
    low, high = one["interval"]
    numbers = {"difference": one["difference"], "low": low, "high": high}
    numbers |= {"size": summary["images_per_class_max"], "seeds": one["paired_seeds"]}
    if one["paired_seeds"] < ENOUGH_SEEDS:
        return Judgement(CANNOT_TELL, numbers, ("few seeds",))
    if high >= paper.DIFFERENCE:
        word = REPRODUCED if low > 0 else CANNOT_TELL
        return Judgement(word, numbers, (word,))
    reasons = ["smaller advantage" if low > 0 else "below"]
    reasons.append("below the paper's interval" if high < PAPER_LOW else "overlaps the paper's")
    return Judgement(NOT_REPRODUCED, numbers, tuple(reasons))


def baseline_beside_paper(summary: dict) -> str:
    """Whether the baseline lies "below" or "above" the paper's, or may "agree" with it.

    By both intervals. Empty where the study has another number of images, or patients that are not
    of the paper's kind.
    """
    numbers, printed = summary["models"].get(BASELINE), paper.TABLE_3[BASELINE]
    of_the_kind = summary["synthetic"] or summary["cohort_kind"] == "brats"
    if not numbers or summary["images_per_class_max"] != paper.IMAGES_PER_CLASS or not of_the_kind:
        return ""
    if numbers["high"] < printed.accuracy - printed.half_width:
        return "below"
    return "above" if numbers["low"] > printed.accuracy + printed.half_width else "agree"


def _difference(evidence: Evidence) -> Judgement:
    judged = judge_headline(evidence.summary)
    if judged.verdict == NOT_COMPLETE:
        return Judgement(CANNOT_TELL, {}, ("one model has no runs",))
    return judged


def _small_sizes(evidence: Evidence) -> Judgement:
    ends = ["low", "seeds_low", "high", "seeds_high"]
    columns = ["images_per_class", "seeds", "difference", "holm_p", *ends]
    table = evidence.rows("comparison", *columns, model=BOOSTED, against=BASELINE)
    table = table[table["images_per_class"] < table["images_per_class"].max()]
    table = table.dropna(subset="difference")
    if table.empty:
        return Judgement(CANNOT_TELL, {}, ("no smaller size",))
    enough = table["seeds"] >= ENOUGH_SEEDS
    low, high = table[ends[:2]].min(axis=1), table[ends[2:]].max(axis=1)
    ahead = enough & (low > 0) & (table["holm_p"] < SIGNIFICANT)
    excluded = enough & (high < SMALL_ADVANTAGE)
    numbers = {"difference": float(table["difference"].mean()), "sizes": len(table)}
    numbers |= {"ahead": int(ahead.sum()), "excluded": int(excluded.sum())}
    if enough.mean() < 0.5:
        return Judgement(CANNOT_TELL, numbers, ("few seeds at most sizes",))
    if ahead.mean() > 0.5:
        return Judgement(REPRODUCED, numbers)
    if excluded.mean() > 0.5:
        return Judgement(NOT_REPRODUCED, numbers)
    return Judgement(CANNOT_TELL, numbers, ("too few for most sizes",))


def _dice(evidence: Evidence) -> Judgement:
    dice = (evidence.model(BOOSTED) or {}).get("dice")
    if dice is None:
        return Judgement(CANNOT_TELL, {}, ("the boosted model has no runs",))
    if not evidence.summary["whole_slices"]:
        return Judgement(CANNOT_TELL, {"dice": dice}, ("easier in boxes",))
    close = dice >= paper.DICE - DICE_TOLERANCE
    return Judgement(REPRODUCED if close else NOT_REPRODUCED, {"dice": dice})


def _rises_with_dice(evidence: Evidence) -> Judgement:
    table = evidence.rows("dice_correlation", "over", "rho", "low", "high", model=BOOSTED)
    over_sizes = table[table["over"] == "sizes"]
    if over_sizes.empty or over_sizes["rho"].isna().all():
        return Judgement(CANNOT_TELL, {}, ("one size",))
    within = table[table["over"] == "seeds"].dropna(subset="low")
    numbers = over_sizes.iloc[0][["rho", "low", "high"]].to_dict()
    numbers |= {
        "sizes": len(within),
        "median": float(within["rho"].median()),
        "positive": int((within["low"] > 0).sum()),
        "negative": int((within["high"] < 0).sum()),
    }
    reasons = ("a trend over sizes",)
    if numbers["low"] > 0:
        return Judgement(REPRODUCED, numbers, reasons)
    verdict = NOT_REPRODUCED if numbers["high"] <= 0 else CANNOT_TELL
    return Judgement(verdict, numbers, reasons)


def _better_than_dummy(evidence: Evidence) -> Judgement:
    baseline = evidence.model(BASELINE)
    if baseline is None:
        return Judgement(CANNOT_TELL, {}, ("the baseline has no runs",))
    dummy = evidence.summary["dummy"]["accuracy"]
    ends = ("effective_low", "effective_high")
    row = evidence.row_at_largest_size("design_effect", *ends, model=BASELINE)
    low, high = (row[end] for end in ends)
    numbers = {"accuracy": baseline["accuracy"], "low": low, "high": high, "dummy": dummy}
    if math.isnan(low):
        return Judgement(CANNOT_TELL, numbers, ("no interval of alike slices",))
    numbers["brier"] = evidence.row_at_largest_size("diagnosis", "brier", model=BASELINE)["brier"]
    below = high < paper.TABLE_3[BASELINE].accuracy
    reasons = ["the paper's lies above"] if below else []
    reasons += ["worse than always half"] if numbers["brier"] > ALWAYS_HALF else []
    if low > dummy:
        return Judgement(REPRODUCED, numbers, tuple(reasons))
    verdict = NOT_REPRODUCED if high <= dummy else CANNOT_TELL
    return Judgement(verdict, numbers, tuple(reasons))


def _size_of_networks(evidence: Evidence) -> Judgement:
    rows = evidence.rows("table_3", "model", "parameters", "paper_parameters")
    rows = rows.dropna(subset=["parameters", "paper_parameters"]).set_index("model")
    if rows.empty:
        return Judgement(CANNOT_TELL, {}, ("no model has runs",))
    ours, printed = ((rows[name] / 1e6).round(1) for name in ("parameters", "paper_parameters"))
    same = ours.eq(printed).all()
    numbers = {"parameters": rows["parameters"].to_dict()}
    return Judgement(REPRODUCED if same else NOT_REPRODUCED, numbers)


def _mask_pixels(evidence: Evidence) -> Judgement:
    columns = ["mask_pixels", "paper_mask_pixels"]
    rows = evidence.rows("table_3", *columns)[columns].dropna()
    if rows.empty:
        return Judgement(CANNOT_TELL, {}, ("the boosted model has no runs",))
    ours, printed = rows.iloc[0]
    numbers = {"pixels": ours, "image_size": evidence.summary["image_size"]}
    if not evidence.summary["whole_slices"] or numbers["image_size"] != 224:
        return Judgement(CANNOT_TELL, numbers, ("other images",))
    close = abs(ours / printed - 1) <= MASK_TOLERANCE
    return Judgement(REPRODUCED if close else NOT_REPRODUCED, numbers)


def _plateau(evidence: Evidence) -> Judgement:
    table = evidence.rows("plateau", "images_per_class", "runs", "reached", "upper_quartile")
    table = table[table["model"].isin(PAPER_PAIR)] if "model" in table else table
    table = table.dropna(subset="images_per_class")
    if table["reached"].sum() == 0:
        return Judgement(CANNOT_TELL, {}, ("no run reached it",))
    numbers = {"reached": int(table["reached"].sum()), "runs": int(table["runs"].sum())}
    numbers |= {"latest": math.nan, "epochs": evidence.summary["epochs"]}
    if table["upper_quartile"].isna().any():
        return Judgement(CANNOT_TELL, numbers, ("fewer than three quarters",))
    numbers["latest"] = float(table["upper_quartile"].max())
    early = numbers["latest"] < paper.PLATEAU
    return Judgement(REPRODUCED if early else NOT_REPRODUCED, numbers)


# The paper's claims, in the order of the page.
CLAIMS: dict[str, Callable[[Evidence], Judgement]] = {
    "difference": _difference,
    "small_sizes": _small_sizes,
    "dice": _dice,
    "rises_with_dice": _rises_with_dice,
    "better_than_dummy": _better_than_dummy,
    "size_of_networks": _size_of_networks,
    "mask_pixels": _mask_pixels,
    "plateau": _plateau,
}


def localisation(evidence: list[Evidence]) -> Judgement:
    """Our hypothesis: the mask helps where the lesion has to be found, so not in boxes.

    Compares the first study of whole slices with the first of boxes, of the same kind of patients.
    """
    complete = [
        one.summary for one in evidence if judge_headline(one.summary).verdict != NOT_COMPLETE
    ]
    for kind in dict.fromkeys(one["cohort_kind"] for one in complete):
        measured = [one for one in complete if one["cohort_kind"] == kind]
        whole = next((one for one in measured if one["whole_slices"]), None)
        boxes = next((one for one in measured if not one["whole_slices"]), None)
        if whole and boxes:
            return _gain_of_whole_slices(whole, boxes)
    return Judgement(CANNOT_TELL, {}, ("not both kinds of images",))


def _gain_of_whole_slices(whole: dict, boxes: dict) -> Judgement:
    numbers = {"whole": whole, "boxes": boxes}
    seeds = min(one["headline"]["paired_seeds"] for one in (whole, boxes))
    if seeds < ENOUGH_SEEDS:
        return Judgement(CANNOT_TELL, numbers, ("few seeds",))
    (low, high), (others_low, others_high) = (one["headline"]["interval"] for one in (whole, boxes))
    if low > others_high:
        return Judgement("supported", numbers)
    if high < others_low:
        return Judgement("contradicted", numbers)
    return Judgement(CANNOT_TELL, numbers, ("the intervals overlap",))


def shortcut(evidence: Evidence) -> list[Judgement]:
    """Whether each model uses a scanner that gives the grade away: "used", "not used"."""
    judged = []
    for row in evidence.rows("shortcut").to_dict("records"):
        low = float(np.nanmin([row["low"], row["seeds_low"]]))
        high = float(np.nanmax([row["high"], row["seeds_high"]]))
        verdict = "used" if low > 0 else "not used"
        if row["seeds"] < ENOUGH_SEEDS or low <= 0 <= high:
            verdict = CANNOT_TELL
        judged.append(Judgement(verdict, row | {"low": low, "high": high}))
    return judged
