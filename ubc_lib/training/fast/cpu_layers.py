"""Layers that give what torch's give, and take a CPU less time."""

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ubc_lib.training.fast.doubled_maps import DecoderBlock, DoubledMapConv2d
from ubc_lib.training.fast.small_maps import SmallMapConv2d

MINUS_INFINITY_BITS = -128  # of bf16, as an integer; negative ones above are not numbers


class StemConv2d(nn.Conv2d):
    """A convolution of stride 2 on one channel, as one of stride 1 on four of half the size.

    Processors multiply many channels at a time, and one leaves them idle. The four are the pixels
    of each 2 x 2 square, and the kernel is arranged alike, with zeros where its sides are odd.
    """

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, 1, H, W), H and W even; returns what nn.Conv2d returns."""
        top, left = self.padding
        padded = functional.pad(images, (left, left, top, top))
        height, width = self.kernel_size
        kernel = functional.pad(self.weight, (0, width % 2, 0, height % 2))
        squares = functional.pixel_unshuffle(padded, 2)
        squares = squares.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(squares, functional.pixel_unshuffle(kernel, 2), self.bias)


class BitReLU(nn.ReLU):
    """A ReLU, in place, that compares numbers of bf16 as integers, since their order is the same.

    torch brings each to fp32 and back, which takes longer than reading and writing it.
    """

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers: of any shape."""
        return _Rectify.apply(numbers) if numbers.dtype == torch.bfloat16 else numbers.relu_()


class _Rectify(torch.autograd.Function):
    """max(numbers, 0), in place; what is not a number stays so. numbers: bf16."""

    @staticmethod
    def forward(ctx, numbers):
        functional.threshold_(numbers.view(torch.int16), MINUS_INFINITY_BITS, 0)
        ctx.mark_dirty(numbers)
        ctx.save_for_backward(numbers)
        return numbers

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (numbers,) = ctx.saved_tensors
        bits = gradient.view(torch.int16), numbers.view(torch.int16)
        return torch.ops.aten.threshold_backward(*bits, 0).view(torch.bfloat16)


def use_cpu_layers(model: nn.Module) -> nn.Module:
    """Let `model` compute so, in place; weights, their names and results stay. Returns it."""
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == 1 and layer.dilation == (1, 1):
            stem = layer.in_channels == 1 and layer.stride == (2, 2)
            layer.__class__ = StemConv2d if stem else SmallMapConv2d
        elif type(layer) is nn.ReLU:
            layer.__class__ = BitReLU
        elif type(layer) is UnetDecoderBlock:  # met before its convolutions, which are left so
            layer.__class__ = DecoderBlock
            layer.conv1[0].__class__ = DoubledMapConv2d
    return model
