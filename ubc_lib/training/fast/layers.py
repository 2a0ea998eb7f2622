"""Layers that give what torch's give, and take a CPU less time."""

from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import nn

from ubc_lib.training.fast.doubled_maps import DecoderBlock, DoubledMapConv2d
from ubc_lib.training.fast.small_maps import SmallMapConv2d


def use_cpu_layers(model: nn.Module) -> nn.Module:
    """Let `model` compute so, in place; weights, their names and results stay. Returns it.

    Only layers of exactly the kind that these were written for are replaced.
    """
    for layer in model.modules():
        if _is_plain(layer):
            layer.__class__ = SmallMapConv2d
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
