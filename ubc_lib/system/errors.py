"""The errors that a user is told."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do."""


class ProcessEndsError(InputError):
    """This process can train no further: it was asked to stop, or its GPU does nothing more."""


def unknown_name(kind: str, name: str, allowed: Iterable[str], where: str) -> str:
    """The message for a misspelt name: the likely one first, then all."""
    names = list(allowed)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {kind} {name!r} in {where}.{hint} Allowed: {', '.join(names)}."
