"""Tables and sentences as a reader sees them, every number from tidy results."""

import html
import zlib

import pandas as pd
from IPython.display import HTML, Markdown
from pandas.io.formats.style import Styler

from ubc_lib.book.quotes import plain, thousands
from ubc_lib.data.slices import Slices
from ubc_lib.figures.style import MODEL_LABELS, model_label
from ubc_lib.results import paper
from ubc_lib.results.paper import DUMMY
from ubc_lib.study import Study

ABSENT = "–"


def show(table: pd.DataFrame, label: str, decimals: int = 2) -> HTML:
    """A table in a box of its own that scrolls on a narrow screen; label: what a reader hears.

    Whole numbers, such as epochs, have no decimals and thin spaces between thousands, missing
    values are a dash; texts are escaped, models get the names that the paper gives them.
    """
    table = table.rename(columns=lambda name: name.replace("_", " "))
    if "model" in table:
        table["model"] = table["model"].replace(MODEL_LABELS)
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
        .format(lambda n: ABSENT if pd.isna(n) else thousands(int(n)), integers)
        .set_table_styles(cells)
    )
    return HTML(
        f'<div style="overflow-x: auto" role="region" tabindex="0" '
        f'aria-label="{html.escape(label)}">{styler.to_html()}</div>'
    )


def show_table_3(table: pd.DataFrame, study: Study) -> HTML:
    """Table 3 for reading: one line per model, ours and the paper's side by side.

    table: see `tables.table_3`. A model without a finished run says so.
    """
    names = MODEL_LABELS | {DUMMY: f"always {study.positive_label}, all marked"}
    lines = pd.DataFrame(
        {
            "model": table["model"].map(names),
            "accuracy (95 % interval)": [
                _interval(row.accuracy, row.low, row.high) for row in table.itertuples()
            ],
            "paper's accuracy": [
                f"{row.paper_accuracy:.2f} ± {row.paper_half_width:.2f}"
                for row in table.itertuples()
            ],
            "Dice": table["dice"].map(_two_decimals),
            "paper's Dice": table["paper_dice"].map(_two_decimals),
            "parameters": table["parameters"].map(_millions),
            "positive labels": [_labels(row.labels, row.mask_pixels) for row in table.itertuples()],
        }
    )
    without = ~table["model"].eq(DUMMY) & table["seeds"].eq(0)
    lines.loc[without, "accuracy (95 % interval)"] = "no finished run"
    return show(lines, "Table 3: accuracy and Dice of both models beside the paper's")


def parameter_match(model: str, table: pd.DataFrame) -> Markdown:
    """Whether a model has the paper's parameters. table: see `tables.parameters_beside_paper`."""
    parts, total = table.iloc[:-1], int(table["parameters"].iloc[-1])
    differing = parts.loc[parts["parameters"] != parts["paper"], "part"].tolist()
    agreement = f"All {len(parts)} parts have the paper's number of parameters."
    if differing:
        agreement = f"**Not as in the paper: {', '.join(differing)}.**"
    printed = _millions(paper.TABLE_3[model].parameters)
    ours = f"{_millions(total)} ({thousands(total)})"
    return Markdown(f"{agreement} In all {ours}; the paper says {printed}.")


def membership(study: Study, slices: Slices) -> Markdown:
    """Who is in the cohort, how its halves are drawn, and who was left out and why."""
    patients = slices.table.drop_duplicates("patient")["label"].value_counts()
    counted = " and ".join(f"{n} {plain(label)}" for label, n in patients.items())
    text = (
        f"The cohort has {counted} patients with {study.slices_per_patient} slices each; "
        f"a study draws {study.patients_per_class} patients of each class and halves them. "
    )
    text += (
        f"Every seed draws its own halves; those of seed {study.seeds[0]} are shown."
        if study.split_seed is None
        else "The halves are the same for all seeds."
    )
    if slices.left_out:
        listed = ", ".join(map(plain, slices.left_out))
        text += f" Left out, with fewer slices that show a lesion: {listed}."
    return Markdown(text)


def headline(table: pd.DataFrame, study: Study) -> Markdown:
    """What came out, in two or three sentences. table: see `tables.table_3`."""
    rows = table.set_index("model")
    parts = [_result(model, rows.loc[model]) for model in study.models]
    dummy = rows.loc[DUMMY]
    size = max(study.images_per_class)
    text = f"Trained on {size} images per class, {' and '.join(parts)}. "
    text += (
        f"Always answering {plain(study.positive_label)} gives {dummy.accuracy:.2f} "
        f"on these {int(dummy.n_test)} test slices. "
    )
    printed = [
        f"{paper.TABLE_3[model].accuracy:.2f} for {model_label(model)}" for model in study.models
    ]
    text += f"The paper reports {' and '.join(printed)}, at {paper.IMAGES_PER_CLASS} per class."
    return Markdown(text)


def completeness(study: Study, missing: pd.DataFrame) -> Markdown:
    """Whether every run is there, and how many are not. missing: see `tables.missing_runs`."""
    planned = len(study.planned_runs)
    if missing.empty:
        return Markdown(f"All {planned} runs of this study have finished.")
    return Markdown(
        f"**{len(missing)} of {planned} runs have not finished** and are left out. The last table "
        "of this page counts them, and `missing_runs.csv` names them."
    )


def _result(model: str, row: pd.Series) -> str:
    if not row.seeds:
        return f"{model_label(model)} has no finished run"
    seeds = "one seed" if row.seeds == 1 else f"mean of {row.seeds:.0f} seeds"
    dice = "" if pd.isna(row.dice) else f", Dice {row.dice:.2f}"
    accuracy = _interval(row.accuracy, row.low, row.high)
    return f"{model_label(model)} answers with accuracy **{accuracy}**{dice} ({seeds})"


def _interval(value: float, low: float, high: float) -> str:
    return ABSENT if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _two_decimals(value: float) -> str:
    return ABSENT if pd.isna(value) else f"{value:.2f}"


def _millions(value: float) -> str:
    return ABSENT if pd.isna(value) else f"{value / 1e6:.1f} M"


def _labels(labels: float, pixels: float) -> str:
    if pd.isna(labels):
        return ABSENT
    return f"{labels:.0f}" + (f", {pixels / 1e6:.2f} M pixels" if pixels else "")
