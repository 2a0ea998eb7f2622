"""Where a result comes from: code, packages, machine and moment."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from ubc_lib.study.files import ROOT
from ubc_lib.training.device import device_name

PACKAGES = ("torch", "torchvision", "segmentation-models-pytorch", "numpy", "scipy", "nibabel")


def git_commit() -> str:
    """The commit of this code, with "+changes" where files of it differ.

    Of a copy without a repository of its own what UBC_COMMIT says, else "unknown"; a repository
    around it says nothing of it.
    """
    if not (ROOT / ".git").exists():
        return os.environ.get("UBC_COMMIT", "unknown")
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", "ubc_lib", "studies", "notebooks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def provenance(device: torch.device, precision: str) -> dict:
    """Commit, date (UTC), device, precision, and versions of Python and the computing packages."""
    return {
        "commit": git_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device_name(device),
        "precision": precision,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
