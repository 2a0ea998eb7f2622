"""A progress bar with the time left on a terminal; nothing of it in pages and logs."""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm

# A notebook's kernel has no terminal of its own; whoever started it passes the name of one.
TERMINAL = "UBC_TERMINAL"


def progress_bar(iterable: Iterable | None = None, *, total: int, unit: str, label: str) -> tqdm:
    """A tqdm bar over `iterable`, or one that is moved by `.update(n)`."""
    name = os.environ.get(TERMINAL)
    try:
        terminal = open(name, "w", encoding="utf-8") if name else sys.stderr  # noqa: SIM115
    except OSError:
        terminal = sys.stderr
    return tqdm(
        iterable,
        total=total,
        unit=unit,
        unit_scale=True,
        desc=label,
        file=terminal,
        disable=not terminal.isatty(),
        leave=False,
        dynamic_ncols=True,
    )
