"""What a study's numbers let us say: quoted text and a verdict, by fixed rules.

Everything here takes the dictionary of `summary.json`, so no result is ever typed into a page.
"""

import html
import re

from ubc_lib.figures.style import MODEL_LABELS
from ubc_lib.results import paper
from ubc_lib.results.summary import ENOUGH_SEEDS, INTERVAL, in_plural

BASELINE, BOOSTED = MODEL_LABELS
ABSENT = "not run"
PDF = "studies/book.pdf"  # of all pages, below the folder of the book
WITHHELD = (
    "*Pictures of real patients are not published; rerun the study on your copy of the data.*"
)

# Verdict: the rule it follows from, in English and in Russian.
VERDICTS = {
    "reproduced": (
        "the interval of the difference lies above zero and reaches the paper's +0.10",
        "результат воспроизведён: интервал разности выше нуля и достигает +0,10 из статьи",
    ),
    "not reproduced": (
        "the interval of the difference ends below the paper's +0.10",
        "результат не воспроизведён: интервал разности не достигает +0,10 из статьи",
    ),
    "cannot tell": (
        "the interval of the difference holds zero and the paper's +0.10",
        "судить нельзя: интервал разности содержит и ноль, и +0,10 из статьи",
    ),
    "not complete": (
        "one of the models has no finished run, so there is nothing to compare yet",
        "судить нельзя: для одной из моделей нет завершённых запусков",
    ),
}

FEW_SEEDS = (
    f"there are fewer than {ENOUGH_SEEDS} seeds, and the interval is over patients only",
    f"судить нельзя: запусков с разными начальными числами меньше {ENOUGH_SEEDS}, и интервал — "
    "только по пациентам",
)
SMALLER_ADVANTAGE = (
    "there is an advantage, but smaller than the paper's, since the interval of the difference "
    "lies above zero and ends below +0.10",
    "результат не воспроизведён: преимущество есть, но меньше, чем в статье: интервал разности "
    "выше нуля, но не достигает +0,10",
)

SHOWN = {
    True: ("whole slices", "срезы целиком"),
    False: (
        "boxes cut around the lesion (the paper: whole slices)",
        "области вокруг очага (в статье — срезы целиком)",
    ),
}

SCOPES = {
    "synthetic": (
        "These patients are synthetic (phantoms): the result shows that the code works and how the "
        "method behaves on such images, and says nothing about patients.",
        "Пациенты синтетические (фантомы): результат ничего не говорит о настоящих пациентах.",
    ),
    "real": (
        "The result holds for these patients and this protocol; nothing here is a clinical tool.",
        "Результат относится к этим пациентам и этому протоколу и не предназначен для клиники.",
    ),
}


def verdict(summary: dict) -> str:
    """Which of `VERDICTS` holds: by the interval and the number of seeds, never by taste."""
    if summary["difference"] is None:
        return "not complete"
    if has_few_seeds(summary):
        return "cannot tell"
    low, high = summary["difference_interval"]
    if high < paper.DIFFERENCE:
        return "not reproduced"
    return "reproduced" if low > 0 else "cannot tell"


def has_few_seeds(summary: dict) -> bool:
    """Whether both models were run, but with too few seeds to judge."""
    return 0 < summary["paired_seeds"] < ENOUGH_SEEDS


def has_smaller_advantage(summary: dict) -> bool:
    """Whether the boosted model is ahead, though by less than the paper says."""
    return verdict(summary) == "not reproduced" and summary["difference_interval"][0] > 0


def verdict_text(summary: dict) -> str:
    """The verdict, and where it hides an advantage, that there is one."""
    word = verdict(summary)
    if has_smaller_advantage(summary):
        return f"{word}, with an advantage smaller than the paper's"
    return word


def is_phantom(summary: dict) -> bool:
    """Whether a study is of phantoms, so that anyone may look at its slices."""
    return summary["cohort_kind"] == "phantom"


def explorable(summaries: list[dict]) -> dict:
    """The first study whose slices may be looked at by anyone: of phantoms, else the first."""
    return next(filter(is_phantom, summaries), summaries[0])


def quoted(summary: dict, folder: str = "") -> dict[str, str]:
    """Every number of a study as Markdown text, by the name under which pages quote it.

    `folder` leads from the quoting page to the staged pages of the study, and ends with "/".
    """
    reason, reason_ru = _reason(summary)
    scope, scope_ru = SCOPES["synthetic" if is_phantom(summary) else "real"]
    shown, shown_ru = SHOWN[summary["whole_slices"]]
    kind = "slice" if is_phantom(summary) else "training"
    quotes = {
        key: plain(in_plural(value)) if isinstance(value, str) else str(value)
        for key, value in summary.items()
        if not isinstance(value, dict)
    }
    quotes |= {
        "commit": f"`{summary['commit']}`",
        "date": summary["date"][:10],
        "minutes": f"{summary['minutes']:.1f}",
        "difference": _difference(summary),
        "baseline": _baseline(summary),
        "accuracy_dummy": _interval(summary["dummy"]),
        "dice_dummy": _dice(summary["dummy"]),
        "verdict": verdict(summary),
        "reason": reason,
        "reason_ru": reason_ru,
        "scope": scope,
        "scope_ru": scope_ru,
        "shown": shown,
        "shown_ru": shown_ru,
        "title": f"[{quotes['title']}]({folder}index.md)",
        "explorer": f"[the {kind} explorer]({folder}05_explorer.ipynb)",
        "results": f"[figures and tables]({folder}04_results.ipynb)",
        "figure": _figure(folder),
    }
    for model in (BASELINE, BOOSTED):
        numbers = summary["models"].get(model)
        quotes[f"accuracy_{model}"] = _interval(numbers)
        quotes[f"dice_{model}"] = _dice(numbers)
        quotes[f"parameters_{model}"] = thousands(numbers["parameters"]) if numbers else ABSENT
    for model, printed in paper.TABLE_3.items():
        quotes[f"paper_accuracy_{model}"] = f"{printed.accuracy:.2f} ± {printed.half_width:.2f}"
    quotes["paper_dice"] = f"{paper.DICE:.2f}"
    measured = ["difference", *(key for key in quotes if key.startswith(("accuracy_", "dice_")))]
    return quotes | {f"{name}_ru": _in_russian(quotes[name]) for name in measured}


def plain(text: str) -> str:
    """A text from a cohort or record as one line of Markdown: no HTML, markup or template."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*{}\[\]()#+!|~$])", r"\\\1", line)


def status_box(summary: dict) -> str:
    """The admonition on every page with results: whose they are and where they come from."""
    quotes = quoted(summary)
    missing = f" **Runs missing: {quotes['missing_runs']}.**" if summary["missing_runs"] else ""
    trained = f"{quotes['runs']} training(s), {quotes['seeds']} seed(s) at the largest size"
    return (
        ":::{admonition} Where these results come from\n:class: status\n"
        f"Study **{quotes['study']}** · {quotes['cohort']} · {in_plural(trained)} · "
        f"{quotes['device']} · commit {quotes['commit']} · {quotes['date']}.{missing}\n:::"
    )


def overview(summaries: list[dict]) -> str:
    """A Markdown table with one row per study of the book, and the seeds behind each verdict."""
    columns = ("title", f"accuracy_{BASELINE}", f"accuracy_{BOOSTED}", "difference")
    headings = ("Study", *MODEL_LABELS.values(), "Difference", "Verdict")
    rows = [headings, ["---"] * len(headings)]
    for summary in summaries:
        quotes = quoted(summary, f"studies/{summary['study']}/")
        judged = in_plural(f"{verdict_text(summary)} ({quotes['paired_seeds']} seed(s))")
        rows.append([*(quotes[column] for column in columns), judged])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _reason(summary: dict) -> tuple[str, str]:
    """The rule that a verdict follows from, in English and in Russian."""
    if has_few_seeds(summary):
        return FEW_SEEDS
    if has_smaller_advantage(summary):
        return SMALLER_ADVANTAGE
    return VERDICTS[verdict(summary)]


def _figure(folder: str) -> str:
    printed = " and ".join(f"{paper.TABLE_3[model].accuracy:.2f}" for model in MODEL_LABELS)
    return (
        f"```{{figure}} {folder}figure-6.svg\n"
        ":alt: Accuracy of both models against the number of training images per class\n\n"
        "The paper's Figure 6 from our runs. Lines: means of the seeds that have every size, with "
        f"Wilson intervals. Dots: trainings. Diamonds: the paper, {printed}.\n```"
    )


def thousands(number: int) -> str:
    """'21 279 426', with thin spaces."""
    return f"{number:,}".replace(",", "\u202f")


def _in_russian(text: str) -> str:
    """Numbers with a decimal comma: '0.75 [0.66, 0.82]' as '0,75 [0,66; 0,82]'."""
    if text == ABSENT:
        return "нет запусков"
    return text.replace(",", ";").replace(".", ",")


def _baseline(summary: dict) -> str:
    """Whether the model that is not in question comes out as in the paper, by both intervals.

    Nothing where the study has another number of images, or images of another kind.
    """
    numbers, printed = summary["models"].get(BASELINE), paper.TABLE_3[BASELINE]
    largest = summary["images_per_class_max"]
    if not numbers or largest != paper.IMAGES_PER_CLASS or summary["cohort_kind"] == "manifest":
        return ""
    if numbers["high"] < printed.accuracy - printed.half_width:
        found = "stays below"
    elif numbers["low"] > printed.accuracy + printed.half_width:
        found = "lies above"
    else:
        found = "may agree with"
    return f"{MODEL_LABELS[BASELINE]} alone {found} the paper's {printed.accuracy:.2f}."


def _difference(summary: dict) -> str:
    if summary["difference"] is None:
        return ABSENT
    return interval_text(summary["difference"], *summary["difference_interval"], signed=True)


def _interval(numbers: dict | None) -> str:
    if numbers is None:
        return ABSENT
    return interval_text(*(numbers[name] for name in INTERVAL))


def _dice(numbers: dict | None) -> str:
    return ABSENT if numbers is None or numbers["dice"] is None else f"{numbers['dice']:.2f}"


def interval_text(value: float, low: float, high: float, signed: bool = False) -> str:
    """'0.75 [0.66, 0.82]', or with signs '+0.05 [−0.01, +0.11]'; it does not break over lines."""
    text = signed_text if signed else _two_decimals
    return f"{text(value)} [{text(low)},\u00a0{text(high)}]"


def signed_text(value: float) -> str:
    """'+0.05', '−0.05' or, where it rounds to zero, '0.00'."""
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def _two_decimals(value: float) -> str:
    return signed_text(value).removeprefix("+")
