"""What a study measured, as claims are held against it, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ubc_lib.results.summary import read_summary

REPRODUCED, NOT_REPRODUCED, CANNOT_TELL = "reproduced", "not reproduced", "cannot tell"


@dataclass(frozen=True)
class Evidence:
    """What one study measured: its summary, and its tables by name."""

    summary: dict
    tables: dict[str, pd.DataFrame]

    @classmethod
    def of(cls, folder: Path) -> "Evidence":
        """Read `summary.json` and `tables/*.csv` of a folder of results."""
        tables = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("tables/*.csv"))}
        return cls(read_summary(folder), tables)

    def table(self, name: str) -> pd.DataFrame:
        """A table by name; empty where the study lacks it."""
        return self.tables.get(name, pd.DataFrame())

    def at_largest_size(self, name: str, **keys: str) -> dict:
        """The row of a table at the largest size, and with these values; empty without one."""
        keys |= {"images_per_class": self.summary["images_per_class_max"]}
        rows = self.table(name).to_dict("records")
        return next((row for row in rows if keys.items() <= row.items()), {})


@dataclass(frozen=True)
class Judgement:
    """What was measured, one of three verdicts, and why where the rule alone does not say."""

    measured: str
    verdict: str
    why: str = ""
