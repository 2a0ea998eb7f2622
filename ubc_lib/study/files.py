"""Where studies are described, and where what they make lies."""

import os
from pathlib import Path

from ubc_lib.system.errors import InputError
from ubc_lib.system.settings import read_yaml

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "studies"


def data_folder() -> Path:
    """Where cohorts, runs and results live: `data/`, or wherever UBC_DATA points."""
    return Path(os.environ.get("UBC_DATA", ROOT / "data"))


def study_names() -> list[str]:
    """Names of the studies in `studies/`."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def described_study(name: str, others: tuple[str, ...] = ()) -> dict:
    """What `studies/<name>.yaml` says, over what the study says that it is `like`."""
    path = STUDIES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(study_names())
        raise InputError(f"There is no study {name!r}. Known studies: {known}.")
    if name in others:
        raise InputError(f"Studies are like each other in a circle: {', '.join(others)}, {name}.")
    described = read_yaml(path)
    other = described.pop("like", None)
    return (described_study(str(other), (*others, name)) if other else {}) | described
