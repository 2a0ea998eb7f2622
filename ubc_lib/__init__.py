"""A reference reproduction of the Unet-boosted classifier (Sobyanin & Kulikova, 2024).

The names that people want come from here; each is imported when it is first asked for, so that
torch is loaded only where it is needed.
"""

from importlib import import_module
from importlib.metadata import version

__version__ = version("ubc_lib")

_MODULES = {
    "InputError": "ubc_lib.system.errors",
    "NETWORKS": "ubc_lib.models",
    "READERS": "ubc_lib.data.readers",
    "Study": "ubc_lib.study",
    "build_model": "ubc_lib.models",
    "compare_models": "ubc_lib.statistics.comparison",
    "draw_split": "ubc_lib.data.split",
    "fit": "ubc_lib.training.loop",
    "joint_loss": "ubc_lib.losses",
    "load_runs": "ubc_lib.results.runs",
    "load_slices": "ubc_lib.data.slices",
    "predict": "ubc_lib.book.prediction",
    "slices_of": "ubc_lib.data.arrays",
    "tidy": "ubc_lib.results.runs",
    "train_run": "ubc_lib.training.run",
    "train_across_sizes": "ubc_lib.training.run",
    "wilson_interval": "ubc_lib.results.wilson",
}
__all__ = ["__version__", *_MODULES]  # noqa: PLE0604


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'ubc_lib' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
