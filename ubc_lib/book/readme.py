"""Keeps the README's results the same as the committed ones.

Use: python -m ubc_lib.book.readme
"""

from pathlib import Path

from ubc_lib.figures.style import MODEL_LABELS
from ubc_lib.results.summary import accuracy_text, in_plural, read_summary
from ubc_lib.study import ROOT, data_folder
from ubc_lib.system.files import atomic_path

BEGIN = "<!-- results: written by python -m ubc_lib.book.readme -->"
END = "<!-- end of results -->"


def results_section(results: Path) -> str:
    """A table of every committed study, and Figure 6 of each, in Markdown.

    results: the folder with one folder per study.
    """
    lines = [
        "| study | cohort | model | images per class | accuracy (95 % interval) | Dice |",
        "|---|---|---|---|---|---|",
    ]
    figures = []
    for folder in sorted(path.parent for path in results.glob("*/summary.json")):
        summary = read_summary(folder)
        for model, label in MODEL_LABELS.items():
            lines.append(_row(summary, label, summary["models"].get(model)))
        figure = Path("data", "results", folder.name, "figure_6.svg")
        figures.append(f"![Accuracy against images per class, study {folder.name}]({figure})")
        missing = f", {summary['missing_runs']} runs missing" if summary["missing_runs"] else ""
        figures.append(
            f"*Study `{folder.name}`: {summary['title']}. {summary['device']}, commit "
            f"{summary['commit']}, {summary['date'][:10]}, {summary['minutes']:.0f} minutes of "
            f"training{missing}.*"
        )
    if not figures:
        return "No results are committed yet."
    return in_plural("\n".join([*lines, "", *"\n\n".join(figures).splitlines()]))


def update(readme: Path = ROOT / "README.md") -> None:
    """Rewrite the part of the README between its two result marks."""
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    section = results_section(data_folder() / "results")
    with atomic_path(readme) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{section}\n{END}{after}", encoding="utf-8")


def _row(summary: dict, label: str, one: dict | None) -> str:
    accuracy, dice = "no finished run", ""
    if one:
        accuracy = f"{accuracy_text(one)}, {one['seeds']} seed(s)"
        dice = "" if one["dice"] is None else f"{one['dice']:.2f}"
    cells = [f"`{summary['study']}`", summary["cohort"], label, summary["images_per_class_max"]]
    return f"| {' | '.join(map(str, [*cells, accuracy, dice]))} |"


if __name__ == "__main__":
    update()
