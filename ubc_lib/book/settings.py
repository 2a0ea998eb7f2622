"""Every setting as a page: what it means, what it may be and what it is without being set."""

from ubc_lib.book.words import say
from ubc_lib.study import Study
from ubc_lib.study.cohort import Cohort
from ubc_lib.study.protocol import Model, Protocol

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
BOUNDS |= {"multipleOf": "multiple of"}
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
FIELDS = Study.model_fields | Model.model_fields
FILLED = ("name", "models", "baseline", "network", "label")  # where a study does not say


def settings_page() -> str:
    """Markdown: the settings of a study, of its cohort, and of how a model is trained."""
    schema = Study.model_json_schema()["properties"]
    of_cohort, of_training = Cohort.model_fields.keys(), Protocol.model_fields.keys()
    rooms = {
        "The study": Study.model_fields.keys()
        - Cohort.model_fields.keys()
        - Protocol.model_fields.keys(),
        "The cohort, and what is made of it": of_cohort,
        "Models: what they see, what they are asked, how they learn": of_training,
        "An entry of models, besides": Model.model_fields.keys() - of_training,
    }
    of_model = Model.model_json_schema()["properties"]
    tables = {
        title: [
            _row(name, of_model[name] if "An entry" in title else field)
            for name, field in (of_model if "An entry" in title else schema).items()
            if name in names
        ]
        for title, names in rooms.items()
    }
    return say("settings.md.j2", tables=tables)


def _row(name: str, field: dict) -> dict:
    default = field.get("default")
    shown = "" if default in (None, "", []) else str(default)
    return {
        "name": name,
        "allowed": _allowed(field),
        "default": shown.lower() if isinstance(default, bool) else shown,
        "needed": "default" not in field and name not in FILLED,
        "meaning": " ".join(field.get("description", "").split()),
    }


def _allowed(field: dict) -> str:
    """The type of a value and its bounds, of a JSON schema, in words."""
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " or ".join(_allowed(one) for one in field["anyOf"] if one.get("type") != "null")
    if field.get("type") == "array":
        kind, *bounds = _allowed(field.get("items", {})).split(", ")
        return ", ".join([f"list of {kind}s", *bounds])
    bounds = [f"{sign} {field[key]}" for key, sign in BOUNDS.items() if key in field]
    return ", ".join([WORDS.get(field.get("type", ""), "mapping"), *bounds])
