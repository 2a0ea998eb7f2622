"""The U-Net decoder's convolutions of doubled maps, computed before the maps are doubled."""

from collections.abc import Iterator

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ubc_lib.training.fast.small_maps import SmallMapConv2d

MANY_PIXELS = 300  # of all images together, for each output channel; fewer measured slower


class DecoderBlock(UnetDecoderBlock):
    """A block of the U-Net decoder whose first convolution is a `DoubledMapConv2d`."""

    def forward(
        self,
        feature_map: Tensor,
        target_height: int,
        target_width: int,
        skip_connection: Tensor | None = None,
    ) -> Tensor:
        """As of the class it extends, for nearest neighbours and no attention."""
        height, width = feature_map.shape[2:]
        if (target_height, target_width) != (2 * height, 2 * width):
            return super().forward(feature_map, target_height, target_width, skip_connection)
        return self.conv2(self.conv1((feature_map, skip_connection)))


class DoubledMapConv2d(SmallMapConv2d):
    """A convolution, 3 x 3 with padding 1, of a map that is doubled and one that lies beside it.

    Doubled by nearest neighbours, a map has each pixel in two rows and two columns, and three rows
    of a kernel see two pixels of the map as it was. So four kernels of 2 x 2 on that map give the
    four pixels, with four ninths of the arithmetic.
    """

    def forward(self, maps: tuple[Tensor, Tensor | None] | Tensor) -> Tensor:
        """maps: (n, channels, H, W) and (n, others, 2 H, 2 W); returns (n, outputs, 2 H, 2 W).

        One map alone is convolved as it is.
        """
        if isinstance(maps, Tensor):
            return super().forward(maps)
        small, beside = maps
        count, channels, height, width = small.shape
        if 4 * count * height * width <= MANY_PIXELS * self.out_channels:
            return super().forward(_double(small, beside))
        kernels = _on_half(_on_half(self.weight[:, :channels], axis=3), axis=2)
        bias = None if self.bias is None else self.bias.repeat(4)
        squares = functional.conv2d(small, _channels_last(kernels), bias, padding=1)
        doubled = _Interleave.apply(squares)
        if beside is None:
            return doubled
        kernels = _channels_last(self.weight[:, channels:])
        return functional.conv2d(beside, kernels, padding=1).add_(doubled)


def _double(small: Tensor, beside: Tensor | None) -> Tensor:
    doubled = functional.interpolate(small, scale_factor=2)
    if beside is None:
        return doubled
    if doubled.requires_grad:
        # Its gradient is a part of a larger one, which torch would bring to channels first.
        doubled.register_hook(_channels_last)
    return torch.cat([doubled, beside], dim=1)


def _on_half(kernels: Tensor, axis: int) -> Tensor:
    """Kernels for a map of half the size along `axis`: weights that see the same pixel, added up.

    kernels: 3 long there; returns twice as many, 2 long, first for odd output pixels, then even.
    """
    before, at, after = kernels.unbind(axis)
    odd, even = (before + at, after), (before, at + after)
    return torch.cat([torch.stack(pair, axis) for pair in (odd, even)])


class _Interleave(torch.autograd.Function):
    """Squares of 2 x 2 pixels that lie in channels, side by side, without the outermost pixels.

    squares: (n, 4 x channels, H + 1, W + 1). Returns (n, channels, 2 H, 2 W).
    """

    @staticmethod
    def forward(ctx, squares):
        squares = squares.permute(0, 2, 3, 1).contiguous()
        count, height, width, channels = ctx.shape = squares.shape
        pixels = squares.new_empty(count, 2 * height - 2, 2 * width - 2, channels // 4)
        for these, those in _same(squares, pixels):
            those.copy_(these)
        return pixels.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        pixels = gradient.permute(0, 2, 3, 1).contiguous()
        squares = pixels.new_empty(ctx.shape)
        rows_and_columns = squares.unflatten(3, (2, 2, -1))
        rows_and_columns[:, 0, :, 0] = rows_and_columns[:, -1, :, 1] = 0
        rows_and_columns[:, :, 0, :, 0] = rows_and_columns[:, :, -1, :, 1] = 0
        for these, those in _same(squares, pixels):
            these.copy_(those)
        return squares.permute(0, 3, 1, 2)


def _same(squares: Tensor, pixels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of the same pixels in both, all of them; runs in memory are as long as can be.

    squares: (n, H + 1, W + 1, 4 x channels); pixels: (n, 2 H, 2 W, channels).
    """
    channels = pixels.shape[3]
    for row in range(2):
        these = squares.unflatten(3, (2, -1))[:, 1 - row : squares.shape[1] - row, :, row]
        those = pixels.flatten(2)[:, 1 - row :: 2]
        yield these[:, :, 0, channels:], those[..., :channels]
        yield these[:, :, -1, :channels], those[..., -channels:]
        inner = those[..., channels:-channels].unflatten(2, (-1, 2 * channels))
        yield these[:, :, 1:-1], inner


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)
