"""Sentences: the templates of `book/templates`, filled with numbers and names.

Whatever a template prints is escaped, unless a filter made it: names come from cohorts and records.
"""

import html
import re
from functools import cache
from typing import Any

import pandas as pd
from IPython.display import Markdown
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ubc_lib.results import paper
from ubc_lib.statistics import judge
from ubc_lib.statistics.benefit import SMALL, mask_helps
from ubc_lib.study import Pair, Study
from ubc_lib.study.files import ROOT

ABSENT = "–"
NAN = float("nan")


def plain(text: str) -> Markup:
    """A text from a cohort or record as one line of Markdown: no HTML, markup or template."""
    line = html.escape(" ".join(text.split()), quote=False)
    return Markup(re.sub(r"([\\`*{}\[\]#+!|~$])", r"\\\1", line))


def decimals(value: float | None, places: int = 2, signed: bool = False) -> Markup:
    """'0.75', signed '+0.05' or '−0.05'; what rounds to zero has no sign, a dash is missing."""
    if value is None or pd.isna(value):
        return Markup(ABSENT)
    # Adding 0 turns −0.00 into 0.00.
    rounded = round(float(value), places) + 0
    sign = "+" if signed and rounded else ""
    return Markup(f"{rounded:{sign}.{places}f}".replace("-", "−"))


def signed(value: float) -> Markup:
    """'+0.05': a difference."""
    return decimals(value, signed=True)


def bracket(low: float, high: float, signed: bool = True) -> Markup:
    """'[−0.01, +0.11]'; it does not break over lines."""
    return Markup(f"[{decimals(low, signed=signed)},\u00a0{decimals(high, signed=signed)}]")


def interval(value: float, low: float = NAN, high: float = NAN, signed: bool = False) -> Markup:
    """'0.75 [0.66, 0.82]', with a dash for what is missing and no brackets where both ends are."""
    number = decimals(value, signed=signed)
    if pd.isna(value) or (pd.isna(low) and pd.isna(high)):
        return number
    return Markup(f"{number} {bracket(low, high, signed)}")


def p_value(p: float) -> Markup:
    """'0.03', '< 0.001', or a dash."""
    if not pd.isna(p) and p < 0.001:
        return Markup("< 0.001")
    return decimals(p, 3 if p < 0.1 else 2)


def thousands(number: float) -> Markup:
    """'21 279 426', with thin spaces."""
    return Markup(f"{int(number):,}".replace(",", "\u202f"))


def millions(number: float | None, places: int = 1) -> Markup:
    """'21.3 M', or a dash."""
    missing = number is None or pd.isna(number)
    return Markup(ABSENT if missing else f"{number / 1e6:.{places}f} M")


def percent(share: float) -> Markup:
    """'60 %', without decimals."""
    return Markup(f"{share:.0%}")


def counted(number: int, noun: str) -> Markup:
    """'1 seed', '2 seeds'."""
    return Markup(f"{number} {noun}" if number == 1 else f"{number} {noun}s")


def russian(text: str) -> Markup:
    """Numbers with a decimal comma: '0.75 [0.66, 0.82]' as '0,75 [0,66; 0,82]'."""
    return Markup(text.replace(",", ";").replace(".", ","))


FILTERS = {
    "two": decimals,
    "ru": russian,
    **{
        function.__name__: function
        for function in (decimals, signed, bracket, interval, thousands, millions, percent, counted)
    },
}


def _escaped(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOT / "book" / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_escaped,
        trim_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters |= FILTERS
    environment.globals |= {"paper": paper, "judge": judge}
    environment.globals |= {"mask_helps": mask_helps, "small": SMALL}
    return environment


def say(template: str, **values: Any) -> str:
    """The text of a template with these values. Raises jinja2's errors for one that is missing."""
    return _environment().get_template(template).render(values).strip()


def tell(template: str, **values: Any) -> Markdown:
    """The sentences of a template for a notebook's page; tables become lists of their rows."""
    for name, value in values.items():
        if isinstance(value, pd.DataFrame):
            values[name] = value.to_dict("records")
    return Markdown(say(f"{template}.md.j2", **values))


def tell_comparison(study: Study, table: pd.DataFrame) -> Markdown:
    """How many sizes show a difference, pair by pair. table: see `comparison.compare_models`."""
    pairs = [_sides_of_zero(study, pair, table) for pair in study.pairs]
    tests = int(table["holm_p"].notna().sum())
    return tell("comparison", pairs=pairs, tests=tests, of_paper=study.of_paper)


def _sides_of_zero(study: Study, pair: Pair, table: pd.DataFrame) -> dict:
    def counts(rows: pd.DataFrame, low: str, high: str) -> dict:
        above, below = int((rows[low] > 0).sum()), int((rows[high] < 0).sum())
        return {"above": above, "below": below, "sizes": len(rows)}

    rows = table[table["model"].eq(pair.model) & table["against"].eq(pair.against)]
    compared = rows.dropna(subset="difference")
    told = {"model": study.labels[pair.model], "against": study.labels[pair.against]}
    told["sizes"] = len(compared)
    if compared.empty:
        return told
    reaching = (compared["share_at_least_0_10"] * compared["seeds"]).sum()
    over_seeds = compared.dropna(subset="seeds_low")
    return told | {
        "over_patients": counts(compared, "low", "high"),
        "over_seeds": counts(over_seeds, "seeds_low", "seeds_high"),
        "significant": int((compared["holm_p"] < judge.SIGNIFICANT).sum()),
        "seeds": int(compared["seeds"].sum()),
        "reaching": round(reaching),
        "largest": int(compared["images_per_class"].iloc[-1]),
        "same": compared["same_answers"].iloc[-1],
        "unpaired": int(rows["unpaired"].sum()),
    }


def tell_saved(study: Study, table: pd.DataFrame) -> Markdown:
    """The ratio of images at the largest size where it is known. table: see `images_saved`."""
    pairs = [_saved(study, pair, table) for pair in study.pairs]
    return tell("saved", pairs=pairs)


def _saved(study: Study, pair: Pair, table: pd.DataFrame) -> dict:
    rows = table[table["model"].eq(pair.model) & table["against"].eq(pair.against)]
    known = rows.dropna(subset="ratio")
    told = {"model": study.labels[pair.model], "against": study.labels[pair.against]}
    if known.empty:
        return told | {"images": None}
    row = known.iloc[-1]
    low, high = row["ratio_low"], row["ratio_high"]
    sureness = "holds 1" if low <= 1 <= high else "too short"
    if pd.isna(low) or pd.isna(high):
        several = rows[["ratio_low", "ratio_high"]].notna().any(axis=None)
        sureness = "beyond" if several else "few seeds"
    told |= {"images": int(row["images_per_class"]), "accuracy": row["accuracy"]}
    return told | {"ratio": row["ratio"], "low": low, "high": high, "sureness": sureness}
