"""Batch norm in evaluation, as a part of the convolutions before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

WEIGHTS_PER_PIXEL = 0.4  # fewer are scaled in less time than their norm takes


@contextmanager
def folded_norms(model: nn.Module, pixels: int) -> Iterator[None]:
    """Let a model in evaluation mode do without the norms that follow convolutions of few weights.

    How many are few depends on the `pixels`, of all images together, that will be evaluated. A norm
    follows a convolution where it is the next layer of the same module, as in the networks of
    torchvision and segmentation-models-pytorch. Results differ by rounding. The model is not to be
    trained meanwhile; afterwards, also after an error, it is as it was.
    """
    pairs = [
        (convolution, convolution.weight, convolution.bias, module, name, norm)
        for module in model.modules()
        for (_, convolution), (name, norm) in pairwise(module.named_children())
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        if convolution.weight.numel() <= WEIGHTS_PER_PIXEL * pixels
    ]
    try:
        for convolution, weight, bias, module, name, norm in pairs:
            statistics = norm.running_mean, norm.running_var, norm.eps
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                weight, bias, *statistics, norm.weight, norm.bias
            )
            setattr(module, name, nn.Identity())
        yield
    finally:
        for convolution, weight, bias, module, name, norm in pairs:
            convolution.weight, convolution.bias = weight, bias
            setattr(module, name, norm)
