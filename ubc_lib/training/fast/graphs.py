"""A training step as CUDA graphs: hundreds of kernels are started by one call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

WARM_UPS = 3  # cuDNN and cuBLAS get their workspaces in the first steps, which a graph cannot do

Step = Callable[[Tensor], Tensor]


class StepGraphs:
    """Calls `step` as a CUDA graph, captured once for each number of rows.

    step: trains `model` with `optimizer` on the given rows, int64 (n,) on the device, and returns a
    tensor; it must not wait for the device, and the optimizer must be capturable. Calling this does
    what calling `step` does; the tensor returned is overwritten by the next call with as many rows.
    """

    def __init__(self, step: Step, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._step, self._model, self._optimizer = step, model, optimizer
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        """Train on `rows`."""
        if len(rows) not in self._graphs:
            self._graphs[len(rows)] = self._capture(rows.clone())
        graph, inputs, outputs = self._graphs[len(rows)]
        inputs.copy_(rows)
        graph.replay()
        return outputs

    def _capture(self, inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), unchanged(self._model, self._optimizer):
            for _ in range(WARM_UPS):
                self._step(inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._step(inputs)
        return graph, inputs, outputs


@contextmanager
def unchanged(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Training within leaves model and optimizer as they were, in the same memory.

    An optimizer that had taken no step is left with zeros, where its first step starts.
    """

    def tensors() -> Iterator[Tensor]:
        kept = chain.from_iterable(state.values() for state in optimizer.state.values())
        return chain(model.parameters(), model.buffers(), kept)

    before = {id(tensor): tensor.detach().clone() for tensor in tensors()}
    yield
    with torch.no_grad():
        for tensor in tensors():
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)])
            else:
                tensor.zero_()
