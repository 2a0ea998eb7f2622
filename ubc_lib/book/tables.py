"""Tables as a reader sees them: intervals in brackets, models by their labels, texts escaped."""

import html
import zlib

import pandas as pd
from IPython.display import HTML, Markdown
from pandas.io.formats.style import Styler

from ubc_lib.book.words import ABSENT, decimals, interval, millions, p_value, thousands
from ubc_lib.results import paper
from ubc_lib.results.paper import DUMMY
from ubc_lib.study import Study
from ubc_lib.training.cost import distance

# Of all settings, those that a study's training page shows whatever they are.
ASKED_FOR = ("images_per_class", "patients_per_class", "slices_per_patient", "split", "image_size")
ASKED_FOR += ("view", "normalisation", "epochs", "batch_size", "learning_rate", "decay")
ASKED_FOR += ("decay_every", "decay_by", "evaluate_every", "stop_at_plateau")
NOTHING_COMPARED = "Nothing to compare: no size has runs of both models."


def show(table: pd.DataFrame, label: str, study: Study | None = None, decimals: int = 2) -> HTML:
    """A table in a box of its own that scrolls on a narrow screen; label: what a reader hears.

    Whole numbers, such as epochs, have no decimals and thin spaces between thousands, missing
    values are a dash; texts are escaped, and models get the labels that the study gives them.
    """
    table = table.rename(columns=lambda name: name.replace("_", " "))
    for column in table.columns.intersection(["model", "against"]):
        table[column] = table[column].replace(study.labels if study else {})
    floats = table.select_dtypes("float")
    counts = floats.columns[(floats.isna() | (floats % 1 == 0)).all() & (floats > 1).any()]
    integers = [*table.select_dtypes("integer").columns, *counts]
    numbers = table.columns.isin(table.select_dtypes("number").columns)
    cells = [
        {"selector": "th, td", "props": "padding: 0.2em 0.7em"},
        {"selector": "td", "props": "white-space: nowrap"},
    ]
    cells += [
        {"selector": f".col{place}", "props": f"text-align: {'right' if number else 'left'}"}
        for place, number in enumerate(numbers)
    ]
    styler = (
        Styler(table, uuid=f"{zlib.crc32(label.encode()):x}", cell_ids=False)
        .hide(axis="index")
        .format(escape="html", precision=decimals, na_rep=ABSENT)
        .format_index(escape="html", axis="columns")
        .format(lambda n: ABSENT if pd.isna(n) else thousands(n), integers)
        .set_table_styles(cells)
    )
    return HTML(
        f'<div style="overflow-x: auto" role="region" tabindex="0" '
        f'aria-label="{html.escape(label)}">{styler.to_html()}</div>'
    )


def show_protocol(study: Study, model: str) -> HTML:
    """How a model is trained: the settings that every reader asks for, and those of its own."""
    own, largest = study.of(model), max(study.images_per_class)
    told = {name: getattr(own, name) for name in [*ASKED_FOR, *study.models[model].own]}
    told["steps at the largest size"], _ = distance(study, model, largest)
    values = [", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in told.values()]
    table = pd.DataFrame({"setting": list(told), "value": values})
    return show(table, f"Settings of {study.labels[model]}")


def show_table_3(study: Study, table: pd.DataFrame) -> HTML:
    """Table 3 for reading: one line per model, ours and the paper's side by side.

    table: see `tables.table_3`. A model without a finished run says so.
    """
    names = study.labels | {DUMMY: "one answer for all, all marked"}
    rows = list(table.itertuples())
    lines = pd.DataFrame(
        {
            "model": table["model"].map(names),
            "accuracy (95 % interval)": [interval(row.accuracy, row.low, row.high) for row in rows],
            "paper's accuracy": [
                _plus_minus(row.paper_accuracy, row.paper_half_width) for row in rows
            ],
            "Dice": table["dice"].map(decimals),
            "paper's Dice": table["paper_dice"].map(decimals),
            "parameters": table["parameters"].map(millions),
            "positive labels": [_labels(row.labels, row.mask_pixels) for row in rows],
        }
    )
    if not study.of_paper:
        lines = lines.drop(columns=["paper's accuracy", "paper's Dice"])
    without = ~table["model"].eq(DUMMY) & table["seeds"].eq(0)
    lines.loc[without, "accuracy (95 % interval)"] = "no finished run"
    return show(lines, "Table 3: accuracy and Dice of every model")


def show_statistics(
    study: Study,
    table: pd.DataFrame,
    label: str,
    intervals: dict[str, str] | None = None,
    nothing: str = "",
) -> HTML | Markdown:
    """A table with its intervals in brackets, or where it has no rows the sentence `nothing`.

    label: what a reader hears. intervals: the columns of numbers that have an interval, with the
    prefix of its two columns ("" for low and high). Columns p and ..._p are p-values; seeds_low
    and seeds_high become the interval of `difference` over seeds. In a study of one pair the
    columns model and against of a comparison go without saying.
    """
    if table.empty:
        return Markdown(nothing)
    lines = table.copy()
    for name, prefix in (intervals or {}).items():
        ends = [f"{prefix}_{end}".lstrip("_") for end in ("low", "high")]
        lines[name] = [interval(*numbers) for numbers in table[[name, *ends]].to_numpy()]
        lines = lines.drop(columns=ends)
    if "seeds_low" in lines:
        ends = table[["seeds_low", "seeds_high"]].astype(float)
        over_seeds = [interval(0.0, *pair).partition(" ")[2] or ABSENT for pair in ends.to_numpy()]
        lines = lines.drop(columns=[*ends])
        lines.insert(lines.columns.get_loc("difference") + 1, "over_seeds", over_seeds)
    for name in lines.columns:
        if name == "p" or name.endswith("_p"):
            lines[name] = lines[name].map(p_value)
    names = {"share_at_least_0_10": f"seeds ≥ {paper.DIFFERENCE:.2f}"}
    if "accuracy_against" in lines and len(study.pairs) == 1:
        ((model, against),) = study.pairs
        names |= {"accuracy": study.labels[model], "accuracy_against": study.labels[against]}
        lines = lines.drop(columns=["model", "against"])
    return show(lines.rename(columns=names), label, study)


def show_comparison(study: Study, table: pd.DataFrame) -> HTML | Markdown:
    """Accuracies, difference and p-values by size. table: see `comparison.compare_models`."""
    return show_statistics(
        study,
        table.drop(columns=["unpaired", "patients", "slices"]).dropna(subset="difference"),
        "Differences between the models at each size",
        {"difference": ""},
        nothing=NOTHING_COMPARED,
    )


def _plus_minus(value: float, half_width: float) -> str:
    return ABSENT if pd.isna(value) else f"{decimals(value)} ± {decimals(half_width)}"


def _labels(labels: float, pixels: float) -> str:
    if pd.isna(labels):
        return ABSENT
    return f"{labels:.0f}" + (f", {millions(pixels, 2)} pixels" if pixels else "")
