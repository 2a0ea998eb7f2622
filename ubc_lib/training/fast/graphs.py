"""A training step as CUDA graphs: hundreds of kernels are started by one call."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from ubc_lib.system.errors import ProcessEndsError
from ubc_lib.training.device import is_lost, is_out_of_memory

# cuDNN and cuBLAS get their workspaces, and Adam its state, in the first steps, which a graph
# cannot do.
EAGER_STEPS = 3

Step = Callable[[Tensor], Tensor]


class StepGraphs:
    """Calls `step`, after its first times with so many rows by a CUDA graph of it.

    step: trains on the given rows, int64 (n,) on the device, and returns a tensor; it must not wait
    for the device, and its optimizer must be capturable. Calling this does what calling `step`
    does; the tensor returned is overwritten by the next call.
    """

    def __init__(self, step: Step) -> None:
        self._step, self._taken = step, Counter()
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def __call__(self, rows: Tensor) -> Tensor:
        """Train on `rows`; ProcessEndsError where a graph cannot be captured."""
        count = len(rows)
        if self._taken[count] < EAGER_STEPS:
            self._taken[count] += 1
            return self._eager(rows)
        if count not in self._graphs:
            self._graphs[count] = self._capture(rows.clone())
        graph, inputs, outputs = self._graphs[count]
        inputs.copy_(rows)
        graph.replay()
        return outputs

    def _eager(self, rows: Tensor) -> Tensor:
        """One step on the stream that graphs are captured on, between what is before and after."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            outputs = self._step(rows)
        torch.cuda.current_stream().wait_stream(self._stream)
        return outputs

    def _capture(self, inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                outputs = self._step(inputs)
        except RuntimeError as error:
            # What broke a capture comes before the error of ending it.
            cause = error.__context__ or error
            if is_out_of_memory(cause) or is_lost(cause):
                raise cause from None
            reason = str(cause).partition("\n")[0]
            raise ProcessEndsError(
                f"A training step could not be captured as a CUDA graph ({reason}). This "
                "process cannot go on: set graphs=off."
            ) from error
        return graph, inputs, outputs
