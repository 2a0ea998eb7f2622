"""Gives the pages the numbers of the staged studies, as MyST substitutions."""

import json
from pathlib import Path

from ubc_lib.book.verdict import PDF, substitutions


def read_numbers(app, config):
    """Quote the headline study by name, and all studies in one table."""
    path = Path(app.srcdir, "studies", "summaries.json")
    summaries = json.loads(path.read_text(encoding="utf-8"))
    has_pdf = Path(app.srcdir, PDF).is_file()
    config.myst_substitutions = substitutions(summaries, has_pdf)


def setup(app):
    """Register with Sphinx, before MyST reads its settings."""
    app.connect("config-inited", read_numbers, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
