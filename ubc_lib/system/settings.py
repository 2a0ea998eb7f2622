"""Settings as people write them: YAML files, and words such as epochs=5."""

import hashlib
import re
import reprlib
import shlex
from pathlib import Path

import yaml
from pydantic import ValidationError

from ubc_lib.system.errors import InputError


def parse_settings(text: str) -> dict:
    """'epochs=5 images_per_class=[1,2]' -> {"epochs": 5, "images_per_class": [1, 2]}."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
        settings = {key: yaml.safe_load(value) for key, sign, value in pairs if sign}
    except Exception:  # PyYAML answers odd text with errors of every kind
        settings, pairs = {}, [text]
    if len(settings) < len(pairs):
        raise InputError(
            f"The settings {text!r} must be key=value pairs, each key once, separated by spaces, "
            "with no spaces inside: images_per_class=[1,2] epochs=5."
        )
    return settings


def read_yaml(path: Path) -> dict:
    """The keys and values of a YAML file; InputError where it holds something else."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML answers odd text with errors of every kind
        raise InputError(f"{path} is not readable YAML: {error}.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} must hold one 'key: value' per line.")
    return fields


def derived_name(name: str, changed: dict) -> str:
    """A name of at most 80 characters for what was changed under `name`: 'quick-epochs_5'."""

    def slug(value) -> str:
        return re.sub(r"[^A-Za-z0-9.]+", ".", str(value)).strip(".")

    parts = [f"{key}_{slug(value)}" for key, value in sorted(changed.items())]
    long = "-".join([name, *parts])
    if len(long) <= 80:
        return long
    return f"{name}-{hashlib.sha256(long.encode()).hexdigest()[:8]}"


def explain(error: ValidationError) -> str:
    """Every field that is wrong, with what it got, in one line."""
    lines = []
    for problem in error.errors():
        field = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "tuple_type":
            text = f"a list is needed, such as [{problem['input']}]"
        lines.append(f"{field}: {text}, got {reprlib.repr(problem['input'])}" if field else text)
    return "; ".join(lines)
