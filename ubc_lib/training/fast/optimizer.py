"""Adam in one pass over the weights, at a rate that the training loop sets."""

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """torch's fused Adam on the weights of `model`, as they lie in memory.

    On a CPU, torch copies all that is not contiguous at every step, and channels-last weights are
    not: it is given views in which they are. On a GPU the rate is a tensor, which CUDA graphs read.
    """

    def __init__(self, model: nn.Module, rate: float) -> None:
        self._weights = list(model.parameters())
        on_gpu = self._weights[0].is_cuda
        rate = torch.tensor(rate, device=self._weights[0].device) if on_gpu else rate
        views = [_as_it_lies(weight.detach()) for weight in self._weights]
        super().__init__(views, lr=rate, fused=True, capturable=on_gpu)

    def set_rate(self, rate: float) -> None:
        """The learning rate from now on."""
        for group in self.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights."""
        for weight in self._weights:
            weight.grad = None

    def step(self, closure: None = None) -> None:
        """Move the weights by their gradients."""
        views = (view for group in self.param_groups for view in group["params"])
        for view, weight in zip(views, self._weights, strict=True):
            view.grad = None if weight.grad is None else _as_it_lies(weight.grad)
        super().step(closure)


def _as_it_lies(tensor: Tensor) -> Tensor:
    """The same memory as a contiguous tensor, where it is one of channels last."""
    channels_last = tensor.dim() == 4 and not tensor.is_contiguous()
    return tensor.permute(0, 2, 3, 1) if channels_last else tensor
