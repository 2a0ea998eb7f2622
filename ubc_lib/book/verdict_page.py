"""The verdict in words: the answer first, then every claim with every study held against it."""

import math

import numpy as np

from ubc_lib.book.quotes import (
    has_few_seeds,
    interval_text,
    is_phantom,
    quoted,
    signed_text,
    verdict,
    verdict_text,
)
from ubc_lib.figures.style import MODEL_LABELS
from ubc_lib.results import paper
from ubc_lib.results.summary import ENOUGH_SEEDS, in_plural
from ubc_lib.statistics.evidence import CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, Evidence, Judgement
from ubc_lib.statistics.judge import CLAIMS, OVER_PATIENTS_ONLY, PAPER_HALF_WIDTH, Claim
from ubc_lib.study import Study
from ubc_lib.training.cost import read_rates, study_hours

WHOLE_SLICES = "brats2019"  # the study that would settle it


def verdict_page(evidence: list[Evidence]) -> str:
    """Markdown for the studies of a book, the headline study first."""
    studies = [one.summary["study"] for one in evidence]
    judged = {claim: [claim.judge(one) for one in evidence] for claim in CLAIMS}
    parts = [_answer(evidence), _overview(studies, judged)]
    parts += [_claim_section(claim, studies, judged[claim]) for claim in CLAIMS]
    parts += ["## Questions of our own", _localisation_section(evidence)]
    parts.append(_shortcut_section(evidence))
    return in_plural("\n\n".join(parts)) + "\n"


def localisation(evidence: list[Evidence]) -> Judgement:
    """Our hypothesis: the mask helps where the lesion has to be found, so not in boxes.

    Compares the first study of whole slices with the first of boxes, of the same kind of patients.
    """
    for kind in dict.fromkeys(one.summary["cohort_kind"] for one in evidence):
        measured = [
            one.summary
            for one in evidence
            if one.summary["cohort_kind"] == kind and one.summary["difference"] is not None
        ]
        whole = next((one for one in measured if one["whole_slices"]), None)
        boxes = next((one for one in measured if not one["whole_slices"]), None)
        if whole and boxes:
            text = "; ".join(
                f"{where} {interval_text(one['difference'], *one['difference_interval'], True)} "
                f"(study {one['study']})"
                for where, one in (("whole slices", whole), ("boxes", boxes))
            )
            if has_few_seeds(whole) or has_few_seeds(boxes):
                return Judgement(text, CANNOT_TELL, OVER_PATIENTS_ONLY)
            if whole["difference_interval"][0] > boxes["difference_interval"][1]:
                return Judgement(text, "supported")
            if whole["difference_interval"][1] < boxes["difference_interval"][0]:
                return Judgement(text, "contradicted")
            return Judgement(text, CANNOT_TELL, "The intervals overlap.")
    return Judgement(
        "not run", CANNOT_TELL, "It needs whole slices and boxes of one kind of patient."
    )


def _answer(evidence: list[Evidence]) -> str:
    real = [one for one in evidence if not is_phantom(one.summary)]
    phantom = [one for one in evidence if is_phantom(one.summary)]
    shown = [group[0] for group in (real, phantom) if group]
    sentences = [_measured(one) for one in shown]
    if {verdict(one.summary) for one in shown} >= {REPRODUCED, NOT_REPRODUCED}:
        sentences.append("Real patients and phantoms do not give the same answer.")
    if not any(one.summary["whole_slices"] for one in real):
        sentences.append(
            "Whole slices of real patients, the paper's own images, are not among the studies of "
            f"this book. {_what_would_settle_it()}"
        )
    return "\n\n".join(sentences)


def _what_would_settle_it() -> str:
    hours = study_hours(Study.load(WHOLE_SLICES), read_rates(), (1,))["1 at once"]
    return (
        "What would settle it, with a copy of BraTS 2019: "
        f"`make study STUDY={WHOLE_SLICES} COHORT_ROOT=…/MICCAI_BraTS_2019_Data_Training`. By the "
        f"[rates measured here](cluster.md), that is {hours:.0f} hours of one CPU core if every "
        "epoch is trained."
    )


def _measured(evidence: Evidence) -> str:
    quotes = quoted(evidence.summary)
    patients = evidence.at_largest_size("comparison").get("patients", math.nan)
    tested = f", whose test halves together hold {patients:.0f} patients" if patients > 0 else ""
    return (
        f"**On {quotes['cohort']}, shown as {quotes['shown']}, the claim is: "
        f"{verdict_text(evidence.summary)}.** With {quotes['images_per_class_max']} images per "
        f"class, the accuracy of UBC-ResNet34 less that of ResNet34 is {quotes['difference']}; the "
        f"paper has {signed_text(paper.DIFFERENCE)} ± {PAPER_HALF_WIDTH:.2f}. {quotes['baseline']} "
        f"By the rule for this verdict, {quotes['reason']} (study {quotes['study']}, "
        f"{quotes['paired_seeds']} seed(s){tested})."
    )


def _overview(studies: list[str], judged: dict[Claim, list[Judgement]]) -> str:
    header = ["Claim, and what the paper has", *studies]
    rows = [header, ["---"] * len(header)]
    rows += [
        [f"{claim.title}: {claim.paper}", *(judgement.verdict for judgement in judgements)]
        for claim, judgements in judged.items()
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"## Every claim, every study\n\n{table}"


def _claim_section(claim: Claim, studies: list[str], judgements: list[Judgement]) -> str:
    rows = ["| Study | We measured | Verdict | Remark |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {study} | {judged.measured} | {judged.verdict} | {judged.why} |"
        for study, judged in zip(studies, judgements, strict=True)
    ]
    table = _cards(rows)
    return f"### {claim.title}\n\nThe paper: {claim.paper}. {claim.rule}\n\n{table}"


def _cards(rows: list[str]) -> str:
    """A table whose rows become cards on a narrow screen."""
    return "\n".join([":::{table}", ":class: claims", "", *rows, ":::"])


def _localisation_section(evidence: list[Evidence]) -> str:
    judged = localisation(evidence)
    return (
        "### Does the mask help where the lesion has to be found?\n\n"
        "A mask says where to look. It may help in a whole slice, and less in a box around the "
        "lesion. *Supported* if the interval of the difference on whole slices lies above that on "
        f"boxes; *contradicted* if below; fewer than {ENOUGH_SEEDS} seeds *cannot tell*.\n\n"
        f"Measured: {judged.measured}. Verdict: **{judged.verdict}**. {judged.why}"
    )


def _shortcut_section(evidence: list[Evidence]) -> str:
    rows = [
        f"| {one.summary['study']} | {MODEL_LABELS[row.model]} | {row.images_per_class} "
        f"| {row.independent:.2f} | {row.tied:.2f} | {interval_text(*_gain(row), signed=True)} "
        f"| {_used(row)} |"
        for one in evidence
        for row in one.table("shortcut").itertuples()
    ]
    header = (
        "| Study | Model | Images per class | Sites independent | Sites tied | Gain | Used |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    return (
        "### What is a scanner that gives the grade away worth?\n\n"
        "In BraTS most sites sent one grade only, and scanners differ. On phantoms the same "
        "training can be run with sites drawn independently of grade, and tied to it as in BraTS. "
        "The gain is the accuracy with tied sites less that with independent ones; its interval "
        "reaches as far as either of two does, over patients and over seeds. The shortcut counts "
        "as *used* if the interval lies above zero, as *not used* if below; fewer than "
        f"{ENOUGH_SEEDS} seeds *cannot tell*.\n\n"
        + ("\n".join([header, *rows]) if rows else "Measured: not run.")
    )


def _gain(row) -> tuple[float, float, float]:
    """Gain of a row of `shortcut.shortcut_gain`, with the wider end of its two intervals."""
    low, high = np.nanmin([row.low, row.seeds_low]), np.nanmax([row.high, row.seeds_high])
    return row.difference, low, high


def _used(row) -> str:
    _, low, high = _gain(row)
    if row.seeds < ENOUGH_SEEDS or low <= 0 <= high:
        return CANNOT_TELL
    return "used" if low > 0 else "not used"
