"""Whatever makes training faster and changes nothing but rounding.

A guest: it stays while it pays (`benchmarks/pieces.py` measures each piece removed alone), nothing
but the training loop knows it, and without this folder the loop gives the same results, slower.
"""

from torch import nn

from ubc_lib.training.fast.graphs import StepGraphs
from ubc_lib.training.fast.layers import use_cpu_layers

__all__ = ["StepGraphs", "speed_up"]


def speed_up(model: nn.Module) -> None:
    """Prepare the layers of `model` where it is on a CPU, in place."""
    if next(model.parameters()).device.type == "cpu":
        use_cpu_layers(model)
