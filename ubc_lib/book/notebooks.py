"""Runs notebooks with papermill, and refuses parameters that they do not have."""

import ast
import os
import sys
import tempfile
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from ubc_lib.study import Study
from ubc_lib.study.cohort import LARGEST_SEED
from ubc_lib.system.errors import InputError, unknown_name
from ubc_lib.system.files import atomic_path
from ubc_lib.system.progress import TERMINAL
from ubc_lib.system.signals import sigterm_forwarded

_LITERALS = (str, int, float, bool, list, tuple, dict, type(None))
_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython"}


def open_study(namespace: dict, *parameters: str) -> Study:
    """A notebook's first call: the study that its parameters ask for.

    namespace: the notebook's `globals()` right after the parameters cell. parameters: the names it
    has besides `study`, `settings` and `cohort_root`. Papermill injects misspelt names too, so
    InputError names any other one, and any value out of range, with what is allowed.
    """
    known = ["study", "settings", "cohort_root", *parameters]
    given = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, _LITERALS) and not name.startswith("_") and name not in _IPYTHON
    }
    for name in given:
        if name not in known:
            raise InputError(unknown_name("parameter", name, known, "this notebook"))
    for name in ("study", "settings", "cohort_root"):
        if not isinstance(given[name], str):
            raise InputError(f"Parameter {name} must be a text, got {given[name]!r}.")
    study = Study.load(given["study"], given["settings"], given["cohort_root"])
    if given.get("model", study.baseline) not in study.models:
        raise InputError(unknown_name("model", given["model"], study.models, f"study {study.name}"))
    seed = given.get("seed", 0)
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"Parameter seed must be a whole number to {LARGEST_SEED}, got {seed!r}.")
    return study


def execute(source: Path, target: Path, parameters: dict) -> None:
    """Run a notebook with parameters; the executed copy appears at `target` when all went well.

    Raises InputError with the notebook's own last words otherwise; what it had done by then is
    kept beside the target as `<name>.failed.ipynb`.
    """
    if sys.stderr.isatty():
        os.environ[TERMINAL] = os.ttyname(sys.stderr.fileno())
    failed = target.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    with (
        atomic_path(target) as temporary,
        tempfile.TemporaryDirectory(prefix="kernel-") as sockets,
    ):
        # Sockets in a folder of its own: nobody else can listen, and parallel kernels keep apart.
        connection = {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}
        try:
            with sigterm_forwarded():
                papermill.execute_notebook(
                    source,
                    temporary,
                    parameters,
                    kernel_name="python3",
                    progress_bar=False,
                    stdout_file=sys.stdout,
                    config=Config(KernelManager=connection),
                    # It calls being shut down while it idles an error.
                    extra_arguments=["--log-level=CRITICAL"],
                )
        except DeadKernelError:
            raise InputError(
                f"{source.name}: its process was killed, by someone or for want of memory. "
                "Finished runs are kept; run the same command again, and it goes on from the last "
                "checkpoint."
            ) from None
        except papermill.PapermillExecutionError as error:
            temporary.replace(failed)
            reason = str(error.evalue)
            if error.ename != "InputError":
                reason = f"{error.ename}: {reason}"
            raise InputError(f"{source.name}: {reason} (Done so far: {failed})") from None


def read_parameters(source: Path, pairs: list[str]) -> dict:
    """'seed=1' -> {"seed": 1}, each value of the type that the notebook's own default has.

    Raises InputError for a name that the notebook does not have or a value of another type.
    """
    defaults = {
        name: ast.literal_eval(about["default"])
        for name, about in papermill.inspect_notebook(source).items()
    }
    values = {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        if name not in defaults:
            raise InputError(unknown_name("parameter", name, defaults, source.name))
        kind = type(defaults[name])
        try:
            values[name] = kind(text)
        except ValueError as error:
            message = f"Parameter {name} of {source.name} must be {kind.__name__}, got {text!r}."
            raise InputError(message) from error
    return values
