"""The verdict page, and what other pages quote of a study: rules applied, words from templates."""

from markupsafe import Markup

from ubc_lib.book.words import say
from ubc_lib.results.summary import ENOUGH_SEEDS
from ubc_lib.statistics import judge
from ubc_lib.statistics.benefit import mask_helps
from ubc_lib.statistics.judge import NOT_REPRODUCED, REPRODUCED, Evidence, judge_headline
from ubc_lib.study import Study
from ubc_lib.training.cost import read_rates, study_hours

WHOLE_SLICES, EXPORTED = "brats2019", "brats2020"  # studies that would settle it
FIGURE, ROC = "figure_6.svg", "roc.svg"  # of each study, which landing pages show
DIAGNOSIS = ("balanced_accuracy", "auc", "auc_low", "auc_high", "sensitivity", "specificity")
PDF = "studies/book.pdf"  # of all pages, below the folder of the book
WITHHELD = (
    "*Pictures of real patients are not published; rerun the study on your copy of the data.*"
)


def verdict_page(evidence: list[Evidence]) -> str:
    """Markdown for the studies of a book that concern the paper, the headline study first."""
    evidence = [one for one in evidence if one.summary["of_paper"]]
    real = [one for one in evidence if not one.summary["synthetic"]]
    phantom = [one for one in evidence if one.summary["synthetic"]]
    answers = [group[0] for group in (real, phantom) if group]
    verdicts = {judge_headline(one.summary).verdict for one in answers}
    settled = any(one.summary["whole_slices"] for one in real)
    hours = None if settled else study_hours(Study.load(WHOLE_SLICES), read_rates(), (1,))
    return say(
        "verdict.md.j2",
        evidence=evidence,
        answers=answers,
        disagree=verdicts >= {REPRODUCED, NOT_REPRODUCED},
        settling=WHOLE_SLICES,
        exported=EXPORTED,
        hours=hours and hours["1 at once"],
        claims={name: [rule(one) for one in evidence] for name, rule in judge.CLAIMS.items()},
        localisation=judge.localisation(evidence),
        shortcuts=[(one.summary, judged) for one in evidence for judged in judge.shortcut(one)],
    )


def explorable(summaries: list[dict]) -> dict:
    """The first study whose slices may be looked at by anyone: of phantoms, else the first."""
    return next((one for one in summaries if one["synthetic"]), summaries[0])


def status_box(summary: dict) -> str:
    """The admonition on every page with results: whose they are and where they come from."""
    return say("status.md.j2", summary=summary)


def study_page(evidence: Evidence, tables: list[str]) -> str:
    """The first page of a study: the paper's claim, or whether masks help on patients of one's own.

    tables: names of the files that stand beside it.
    """
    summary = evidence.summary
    return say(
        "study.md.j2" if summary["of_paper"] else "own.md.j2",
        summary=summary,
        judged=judge_headline(summary),
        answers=[(one, mask_helps(summary, one)) for one in summary["comparisons"]],
        diagnosis={
            model: evidence.row_at_largest_size("diagnosis", *DIAGNOSIS, model=model)
            for model in summary["labels"]
        },
        status=Markup(status_box(summary)),
        made=Markup(say("made.md.j2", summary=summary)),
        figure=Markup(say("figure_6.md.j2", folder="", of_paper=summary["of_paper"])),
        explorer=Markup(say("explorer.md.j2", summary=summary, folder="")),
        confusion=evidence.rows(
            "confusion", images_per_class=summary["images_per_class_max"]
        ).to_dict("records"),
        roc=ROC in tables,
        tables=[name for name in tables if name != ROC],
    )


def substitutions(summaries: list[dict], has_pdf: bool) -> dict[str, str]:
    """What landing and prose pages quote, by the name that they use: the first study is theirs."""
    headline, shown = summaries[0], explorable(summaries)
    folder = f"studies/{headline['study']}/"
    judged = judge_headline(headline)
    return {
        "answer": say("answer.md.j2", summary=headline, judged=judged),
        "answer_ru": say("answer_ru.md.j2", summary=headline, judged=judged),
        "status": status_box(headline),
        "figure": say("figure_6.md.j2", folder=folder, of_paper=headline["of_paper"]),
        "results": f"[figures and tables]({folder}04_results.ipynb)",
        "explorer": say("explorer.md.j2", summary=shown, folder=f"studies/{shown['study']}/"),
        "studies": say("overview.md.j2", summaries=summaries),
        "rules": say("rules.md.j2"),
        "pdf": f"Or all pages as {{download}}`one PDF <{PDF}>`." if has_pdf else "",
        "enough_seeds": str(ENOUGH_SEEDS),
    }
