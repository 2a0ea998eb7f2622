"""The tables of the statistics as a reader sees them, and what they say in one sentence."""

import pandas as pd
from IPython.display import HTML, Markdown

from ubc_lib.book.wording import ABSENT, show
from ubc_lib.figures.style import MODEL_LABELS
from ubc_lib.results import paper

SIGNIFICANT = 0.05


def show_statistics(
    table: pd.DataFrame, label: str, intervals: dict[str, str] | None = None, nothing: str = ""
) -> HTML | Markdown:
    """A table with its intervals in brackets, or where it has no rows the sentence `nothing`.

    label: what a reader hears. intervals: the columns of numbers that have an interval, with the
    prefix of its two columns ("" for low and high). Columns p and ..._p are p-values; seeds_low
    and seeds_high become the interval of `difference` over seeds.
    """
    if table.empty:
        return Markdown(nothing)
    lines = table.copy()
    for name, prefix in (intervals or {}).items():
        ends = [f"{prefix}_{end}".lstrip("_") for end in ("low", "high")]
        lines[name] = [estimate_text(*numbers) for numbers in table[[name, *ends]].to_numpy()]
        lines = lines.drop(columns=ends)
    if "seeds_low" in lines:
        over_seeds = _bracket(table, "seeds_low", "seeds_high")
        lines = lines.drop(columns=["seeds_low", "seeds_high"])
        lines.insert(lines.columns.get_loc("difference") + 1, "over_seeds", over_seeds)
    for name in lines.columns:
        if name == "p" or name.endswith("_p"):
            lines[name] = lines[name].map(p_text)
    names = MODEL_LABELS | {"share_at_least_0_10": f"seeds ≥ {paper.DIFFERENCE:.2f}"}
    return show(lines.rename(columns=names), label)


def show_comparison(table: pd.DataFrame) -> HTML | Markdown:
    """Accuracies, difference and p-values by size. table: see `comparison.compare_models`."""
    return show_statistics(
        table.drop(columns=["unpaired", "patients", "slices"]).dropna(subset="difference"),
        "Differences between the models at each size",
        {"difference": ""},
        nothing="Nothing to compare: no size has runs of both models.",
    )


def tell_comparison(table: pd.DataFrame) -> Markdown:
    """How many sizes show a difference, by each interval. table: see `comparison.compare_models`.

    Names the pairs of runs that are missing.
    """
    compared = table.dropna(subset="difference")
    if compared.empty:
        return Markdown("Nothing to compare: no size has runs of both models.")
    sentences = [_excluding(compared, "low", "high", "drawing patients again")]
    over_seeds = compared.dropna(subset="seeds_low")
    if over_seeds.empty:
        sentences.append("With one seed to a size, nothing can be said of other seeds.")
    else:
        sentences.append(_excluding(over_seeds, "seeds_low", "seeds_high", "taking other seeds"))
    sentences.append(
        f"After Holm's adjustment for {len(compared)} sizes, the permutation test finds a "
        f"difference at {(compared['holm_p'] < SIGNIFICANT).sum()} of them."
    )
    seeds = compared["seeds"].sum()
    reaching = (compared["share_at_least_0_10"] * compared["seeds"]).sum()
    sentences.append(
        f"Of {seeds} pairs of runs, {reaching:.0f} show a difference of {paper.DIFFERENCE:.2f} or "
        "more, as the paper's one does at 190 images per class."
    )
    largest = compared.iloc[-1]
    sentences.append(
        f"At {largest['images_per_class']:.0f} images per class both models of a pair give the "
        f"same answer to {largest['same_answers']:.0%} of the slices."
    )
    if unpaired := table["unpaired"].sum():
        sentences.append(f"Runs without a partner of the other model, left out: {unpaired}.")
    return Markdown(" ".join(sentences))


def tell_saved(table: pd.DataFrame) -> Markdown:
    """The ratio of images at the largest size where it is known. table: see `images_saved`."""
    known = table.dropna(subset="ratio")
    if known.empty:
        return Markdown(
            "How many images a mask saves cannot be determined: the curves of the two models share "
            "no accuracy, or one of them has fewer than four sizes."
        )
    row = known.iloc[-1]
    ratio = estimate_text(row["ratio"], row["ratio_low"], row["ratio_high"])
    several = table[["ratio_low", "ratio_high"]].notna().any(axis=None)
    return Markdown(
        f"For the accuracy that UBC-ResNet34 reaches with {row['images_per_class']:.0f} images per "
        f"class, {row['accuracy']:.2f}, ResNet34 needs {ratio} times as many. Above 1 the mask "
        f"saves images. {_sureness(row, several)}"
    )


def _sureness(row: pd.Series, several: bool) -> str:
    """How sure a ratio of images is, by its interval."""
    low, high = row["ratio_low"], row["ratio_high"]
    if not several:
        return "There are too few seeds to say how sure that is."
    if pd.isna(low) or pd.isna(high):
        return (
            "A dash is an end beyond the sizes trained: the curves are too level, or too alike, to "
            "determine the ratio."
        )
    if low <= 1 <= high:
        return "The interval holds 1: no saving is shown."
    return (
        "The interval leaves out that seeds share patients, and is too short where seeds are few."
    )


def estimate_text(value: float, low: float, high: float) -> str:
    """'0.03 [−0.02, 0.08]', a dash for what is missing, no brackets where both ends are."""
    if pd.isna(value):
        return ABSENT
    ends = "" if pd.isna(low) and pd.isna(high) else f" [{_number(low)}, {_number(high)}]"
    return f"{_number(value)}{ends}"


def p_text(p: float) -> str:
    """'0.03', '< 0.001', or a dash."""
    if pd.isna(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _number(value: float) -> str:
    # Adding 0 turns −0.00 into 0.00.
    return ABSENT if pd.isna(value) else f"{round(value, 2) + 0:.2f}".replace("-", "−")


def _bracket(table: pd.DataFrame, low: str, high: str) -> list[str]:
    ends = table[[low, high]].astype(float).to_numpy()
    return [ABSENT if pd.isna(a) else f"[{_number(a)}, {_number(b)}]" for a, b in ends]


def _excluding(table: pd.DataFrame, low: str, high: str, source: str) -> str:
    above, below = (table[low] > 0).sum(), (table[high] < 0).sum()
    return (
        f"By {source}, the 95 % interval of the difference lies above zero at {above} and below "
        f"it at {below} of {len(table)} sizes."
    )
