"""Links that open the clean notebooks on borrowed machines: Binder and Colab."""

import os
from pathlib import Path

import yaml

from ubc_lib.study import ROOT

UNKNOWN = (
    "These pages were built from a copy that does not know its address on GitHub, so they cannot "
    "offer Binder or Colab: `repository` in `_config.yml` gives it.\n"
)


def repository(config: Path) -> tuple[str, str]:
    """Address on GitHub and branch: of `_config.yml` or, where that is silent, of the Action.

    The address is empty where neither knows it.
    """
    named = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]
    of_action = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}"
    known = {"GITHUB_SERVER_URL", "GITHUB_REPOSITORY"} <= os.environ.keys()
    address = named["url"] or (of_action.format_map(os.environ) if known else "")
    return address.removesuffix("/"), named["branch"]


def launch_text(address: str, branch: str, folder: Path = ROOT / "notebooks") -> str:
    """Markdown: a table with both links for every notebook, and what Colab needs first."""
    if not address:
        return UNKNOWN
    name = "/".join(address.split("/")[-2:])
    binder = f"https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/notebooks"
    colab = f"https://colab.research.google.com/github/{name}/blob/{branch}/notebooks"
    rows = [
        f"| `{path.stem}` | [Binder]({binder}/{path.name}) | [Colab]({colab}/{path.name}) |"
        for path in sorted(folder.glob("*.ipynb"))
    ]
    return "\n".join(
        [
            "| Notebook | | |",
            "|---|---|---|",
            *rows,
            "",
            "Binder installs the environment of `environment.yml`, which takes some minutes. Colab",
            "opens the notebook alone; run this in a first cell, to fetch the rest:",
            "",
            "```",
            f"!git clone --quiet {address} ubc",
            "%cd ubc",
            "%pip install --quiet -e .",
            "```",
            "",
        ]
    )
