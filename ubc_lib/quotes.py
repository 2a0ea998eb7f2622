"""What a study's numbers let us say: quoted text and a verdict, by fixed rules.

Everything here takes the dictionary of `summary.json`, so no result is ever typed into a page.
"""

from ubc_lib.style import MODEL_LABELS
from ubc_lib.summary import accuracy_text

BASELINE, BOOSTED = MODEL_LABELS
ABSENT = "not run"

# Verdict: the rule it follows from, in English and in Russian.
VERDICTS = {
    "reproduced": (
        "the boosted model is ahead and the two intervals do not overlap",
        "результат воспроизведён: UBC-ResNet34 точнее, интервалы не пересекаются",
    ),
    "not reproduced": (
        "the boosted model is behind and the two intervals do not overlap",
        "результат не воспроизведён: UBC-ResNet34 менее точна, интервалы не пересекаются",
    ),
    "cannot tell": (
        "the two intervals overlap",
        "судить нельзя: интервалы пересекаются",
    ),
    "not complete": (
        "runs are missing, so there is nothing to compare yet",
        "судить нельзя: не все запуски завершены",
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
    """Which of `VERDICTS` holds: by the intervals of both models alone, never by taste."""
    models = summary["models"]
    if summary["missing_runs"] or not {BASELINE, BOOSTED} <= models.keys():
        return "not complete"
    if models[BOOSTED]["low"] > models[BASELINE]["high"]:
        return "reproduced"
    if models[BOOSTED]["high"] < models[BASELINE]["low"]:
        return "not reproduced"
    return "cannot tell"


def explorable(summaries: list[dict]) -> dict:
    """The first study whose slices may be looked at by anyone: of phantoms, else the first."""
    return next((one for one in summaries if one["cohort_kind"] == "phantom"), summaries[0])


def quoted(summary: dict, folder: str = "") -> dict[str, str]:
    """Every number of a study as Markdown text, by the name under which pages quote it.

    `folder` leads from the quoting page to the staged pages of the study, and ends with "/".
    """
    word = verdict(summary)
    scope, scope_ru = SCOPES["synthetic" if summary["cohort_kind"] == "phantom" else "real"]
    quotes = {key: str(value) for key, value in summary.items() if not isinstance(value, dict)}
    quotes |= {
        "commit": f"`{summary['commit']}`",
        "date": summary["date"][:10],
        "minutes": f"{summary['minutes']:.1f}",
        "difference": _signed(summary["difference"]),
        "accuracy_dummy": _interval(summary["dummy"]),
        "verdict": word,
        "reason": VERDICTS[word][0],
        "reason_ru": VERDICTS[word][1],
        "scope": scope,
        "scope_ru": scope_ru,
        "title": f"[{summary['title']}]({folder}index.md)",
        "explorer": f"[the slice explorer]({folder}05_explorer.ipynb)",
        "results": f"[figures and tables]({folder}04_results.ipynb)",
        "figure": _figure(summary, folder),
    }
    for model in (BASELINE, BOOSTED):
        numbers = summary["models"].get(model)
        dice = numbers and numbers["dice"]
        quotes[f"accuracy_{model}"] = _interval(numbers)
        quotes[f"dice_{model}"] = ABSENT if dice is None else f"{dice:.2f}"
        quotes[f"parameters_{model}"] = f"{numbers['parameters']:,}" if numbers else ABSENT
    return quotes


def status_box(summary: dict) -> str:
    """The admonition on every page with results: whose they are and where they come from."""
    quotes = quoted(summary)
    missing = f" **Runs missing: {quotes['missing_runs']}.**" if summary["missing_runs"] else ""
    return (
        ":::{admonition} Where these results come from\n:class: status\n"
        f"Study **{quotes['study']}** · {quotes['cohort']} · {quotes['device']} · "
        f"commit {quotes['commit']} · {quotes['date']}.{missing}\n:::"
    )


def overview(summaries: list[dict]) -> str:
    """A Markdown table with one row per study of the book."""
    columns = ("title", "cohort", f"accuracy_{BASELINE}", f"accuracy_{BOOSTED}", "difference")
    headings = ("Study", "Cohort", *MODEL_LABELS.values(), "Difference", "Verdict")
    rows = [headings, ["---"] * len(headings)]
    for summary in summaries:
        quotes = quoted(summary, f"studies/{summary['study']}/")
        rows.append([quotes[column] for column in (*columns, "verdict")])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(summary: dict, folder: str) -> str:
    return (
        f"```{{figure}} {folder}figure-6.svg\n"
        ":alt: Accuracy of both models against the number of training images per class\n\n"
        f"Accuracy on {summary['n_test']} test slices against labelled training images per class, "
        f"study {summary['study']}, with 95 % Wilson intervals. Redraws the paper's Figure 6.\n```"
    )


def _interval(numbers: dict | None) -> str:
    if numbers is None:
        return ABSENT
    return accuracy_text(numbers).replace(", ", ",\u00a0")


def _signed(number: float | None) -> str:
    return ABSENT if number is None else f"{number:+.2f}".replace("-", "−")
