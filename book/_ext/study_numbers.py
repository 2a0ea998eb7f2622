"""Gives the pages the numbers of the staged studies, as MyST substitutions."""

import json
from pathlib import Path

from ubc_lib.book.quotes import PDF, VERDICTS, explorable, overview, quoted, status_box
from ubc_lib.results.summary import ENOUGH_SEEDS


def read_numbers(app, config):
    """Quote the headline study by name, and all studies in one table."""
    path = Path(app.srcdir, "studies", "summaries.json")
    summaries = json.loads(path.read_text(encoding="utf-8"))
    headline, shown = summaries[0], explorable(summaries)
    has_pdf = Path(app.srcdir, PDF).is_file()
    config.myst_substitutions = {
        **quoted(headline, f"studies/{headline['study']}/"),
        "explorer": quoted(shown, f"studies/{shown['study']}/")["explorer"],
        "status": status_box(headline),
        "studies": overview(summaries),
        "pdf": f"Or all pages as {{download}}`one PDF <{PDF}>`." if has_pdf else "",
        "enough_seeds": str(ENOUGH_SEEDS),
        "rules": "\n".join(f"- **{word}**: {rule}" for word, (rule, _) in VERDICTS.items()),
    }


def setup(app):
    """Register with Sphinx, before MyST reads its settings."""
    app.connect("config-inited", read_numbers, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
