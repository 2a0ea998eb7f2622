"""The saved state of widgets in an executed notebook: all that a page without a kernel has."""

import json
import re

from nbformat import NotebookNode

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"


def forget_unshown_widgets(notebook: NotebookNode) -> None:
    """Take out, in place, the state of widgets that no output shows, nor anything shown holds."""
    state = notebook.metadata.pop("widgets", {}).get(STATE)
    shown = [
        output.data[VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if VIEW in output.get("data", {})
    ]
    if not state or not shown:
        return
    models, kept = state["state"], set()
    while shown:
        name = shown.pop()
        if name not in kept:
            kept.add(name)
            shown += _held(models[name])
    # A link is held by nothing; it holds the two that it joins.
    kept |= {
        name
        for name, model in models.items()
        if model["model_name"] == "LinkModel" and kept.issuperset(_held(model))
    }
    state["state"] = {name: model for name, model in models.items() if name in kept}
    notebook.metadata["widgets"] = {STATE: state}


def _held(model: dict) -> list[str]:
    return re.findall(r"IPY_MODEL_(\w+)", json.dumps(model["state"]))
