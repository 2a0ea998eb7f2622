"""Layers that give what torch's give, and take a CPU less time."""

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.nn import functional

from ubc_lib.training.fast.doubled_maps import DecoderBlock, DoubledMapConv2d
from ubc_lib.training.fast.small_maps import SmallMapConv2d


class StemConv2d(nn.Conv2d):
    """A convolution of stride 2 on one channel, as one of stride 1 on four of half the size.

    Processors multiply many channels at a time, and one leaves them idle. The four are the pixels
    of each 2 x 2 square, and the kernel is arranged alike, with zeros where its sides are odd.
    """

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, 1, H, W); returns what nn.Conv2d returns."""
        if images.shape[2] % 2 or images.shape[3] % 2:
            return super().forward(images)
        top, left = self.padding
        padded = functional.pad(images, (left, left, top, top))
        height, width = self.kernel_size
        kernel = functional.pad(self.weight, (0, width % 2, 0, height % 2))
        squares = functional.pixel_unshuffle(padded, 2)
        squares = squares.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(squares, functional.pixel_unshuffle(kernel, 2), self.bias)


def use_cpu_layers(model: nn.Module) -> nn.Module:
    """Let `model` compute so, in place; weights, their names and results stay. Returns it.

    Only layers of exactly the kind that these were written for are replaced.
    """
    for layer in model.modules():
        if _is_plain(layer):
            stem = layer.in_channels == 1 and layer.stride == (2, 2)
            layer.__class__ = StemConv2d if stem else SmallMapConv2d
        elif _doubles(layer):  # met before its convolutions, which are left so
            layer.__class__ = DecoderBlock
            layer.conv1[0].__class__ = DoubledMapConv2d
    return model


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer is torch's convolution without groups, dilation, or padding but by zeros."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
    )


def _doubles(layer: nn.Module) -> bool:
    """Whether a layer is a block of the U-Net decoder by nearest neighbours, without attention."""
    if type(layer) is not UnetDecoderBlock or layer.interpolation_mode != "nearest":
        return False
    attentions = (layer.attention1.attention, layer.attention2.attention)
    first = layer.conv1[0]
    return (
        all(type(attention) is nn.Identity for attention in attentions)
        and _is_plain(first)
        and (first.kernel_size, first.padding, first.stride) == ((3, 3), (1, 1), (1, 1))
    )
