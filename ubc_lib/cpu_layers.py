"""Layers that give what torch's give, and take a CPU less time in bf16."""

from collections.abc import Iterator
from functools import cache

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

LARGEST_MAP = 49
DOUBLED_PIXELS_PER_CHANNEL = 300
BITS_OF_MINUS_INFINITY = -128  # of bf16, as an integer; greater negative ones are not a number
FEW_PIXELS = 48  # of all images, up to which a gradient of weights is computed in their own type


class SmallMapConv2d(nn.Conv2d):
    """A convolution that multiplies one matrix of all neighbourhoods where maps are small.

    oneDNN brings the weights into an order of its own at every call, and their gradient back, which
    for the deep layers of small images takes several times as long as the arithmetic. Weights of
    channels last are the matrix as they lie. Groups and dilation are not supported.
    """

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, channels, H, W); returns what nn.Conv2d returns."""
        height, width = (
            (side + 2 * padding - kernel) // stride + 1
            for side, padding, kernel, stride in zip(
                images.shape[2:], self.padding, self.kernel_size, self.stride, strict=True
            )
        )
        if height * width > LARGEST_MAP:
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        product = _Product.apply(images.to(kind), self.weight, self.stride, self.padding)
        return product if self.bias is None else product + self.bias.to(kind).view(-1, 1, 1)


class _Product(torch.autograd.Function):
    """A convolution as a matrix of what the kernel sees at each output pixel, times the weights.

    images: (n, channels, H, W), of the type to compute in; weights: (outputs, channels, kernel
    height, kernel width), channels last. For few pixels the weights' gradient is computed in their
    own type: bringing it back from bf16 takes longer.
    """

    @staticmethod
    def forward(ctx, images, weights, stride, padding):
        ctx.geometry = tuple(images.shape[2:]), tuple(weights.shape[2:]), stride, padding
        seen = _neighbourhoods(images.permute(0, 2, 3, 1), *ctx.geometry[1:])
        flat = weights.permute(0, 2, 3, 1).flatten(1).to(images.dtype)
        ctx.save_for_backward(seen, flat)
        ctx.weights = weights.shape, weights.dtype
        return (seen.flatten(3) @ flat.t()).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        seen, flat = ctx.saved_tensors
        (outputs, channels, *kernel), kind = ctx.weights
        count, seen, gradient = len(seen), seen.flatten(3).flatten(0, 2), gradient.permute(0, 2, 3, 1)
        gradient = gradient.reshape(-1, outputs)
        product_kind = kind if len(seen) <= FEW_PIXELS else seen.dtype
        of_weights = gradient.to(product_kind).t() @ seen.to(product_kind)
        of_weights = of_weights.to(kind).view(outputs, *kernel, channels).permute(0, 3, 1, 2)
        of_neighbours = (gradient @ flat).view(count, -1, channels)
        who_sees = _who_sees(*ctx.geometry, seen.dtype).expand(count, -1, -1)
        of_images = torch.bmm(who_sees, of_neighbours).unflatten(1, ctx.geometry[0])
        return of_images.permute(0, 3, 1, 2), of_weights, None, None


def _neighbourhoods(images: Tensor, kernel, stride, padding) -> Tensor:
    """What a kernel sees: (n, H, W, channels) to (n, height, width, *kernel, channels), a copy."""
    top, left = padding
    images = functional.pad(images, (0, 0, left, left, top, top)).contiguous()
    count, height, width, channels = images.shape
    size = [
        (side - extent) // step + 1
        for side, extent, step in zip((height, width), kernel, stride, strict=True)
    ]
    row = width * channels
    steps = (height * row, row * stride[0], channels * stride[1], row, channels, 1)
    return images.as_strided((count, *size, *kernel, channels), steps).contiguous()


@cache
def _who_sees(size, kernel, stride, padding, kind) -> Tensor:
    """(pixels, output pixels x positions in the kernel): 1 where the pixel is what is seen there."""
    pixels = size[0] * size[1]
    each_alone = torch.eye(pixels, dtype=kind).view(1, *size, pixels)
    return _neighbourhoods(each_alone, kernel, stride, padding).view(-1, pixels).t().contiguous()


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
        squares = _channels_last(functional.pixel_unshuffle(padded, 2))
        return functional.conv2d(squares, functional.pixel_unshuffle(kernel, 2), self.bias)


class DecoderBlock(UnetDecoderBlock):
    """A block of the U-Net decoder whose first convolution is a `DoubledConv2d`."""

    def forward(
        self,
        feature_map: Tensor,
        target_height: int,
        target_width: int,
        skip_connection: Tensor | None = None,
    ) -> Tensor:
        """As of the class it extends, for twice as large a target and without attention."""
        return self.conv2(self.conv1((feature_map, skip_connection)))


class DoubledConv2d(SmallMapConv2d):
    """A convolution, 3 x 3 with padding 1, of a map that is doubled, and of another beside it.

    Doubled by nearest neighbours, a map has each pixel four times, of which a kernel sees two or
    one in each direction. So four kernels of 2 x 2 on the map as it was give the four pixels, in
    four ninths of the arithmetic and without the doubled map. It takes many pixels for that to pay.
    """

    def forward(self, maps: tuple[Tensor, Tensor | None]) -> Tensor:
        """maps: (n, channels, H, W) and (n, others, 2 H, 2 W); returns (n, outputs, 2 H, 2 W)."""
        small, other = maps
        count, channels, height, width = small.shape
        if 4 * count * height * width <= DOUBLED_PIXELS_PER_CHANNEL * self.out_channels:
            doubled = functional.interpolate(small, scale_factor=2)
            if other is None:
                return super().forward(doubled)
            if doubled.requires_grad:
                # Its gradient is a part of a larger one, which torch would bring to channels first.
                doubled.register_hook(_channels_last)
            return super().forward(torch.cat([doubled, other], dim=1))
        kernels = _on_half(_on_half(self.weight[:, :channels], axis=3), axis=2)
        doubled = _Interleave.apply(functional.conv2d(small, _channels_last(kernels), padding=1))
        if other is None:
            return doubled
        beside = _channels_last(self.weight[:, channels:])
        return doubled + functional.conv2d(other, beside, padding=1)


def _on_half(kernel: Tensor, axis: int) -> Tensor:
    """Kernels for a map of half the size: weights that fall on the same pixel, added up.

    Along `axis` 3 become 2. First come the outputs of odd pixels, then those of even ones.
    """
    before, at, after = kernel.unbind(axis)
    odd, even = (before + at, after), (before, at + after)
    return torch.cat([torch.stack(pair, axis) for pair in (odd, even)])


class _Interleave(torch.autograd.Function):
    """Squares of 2 x 2 pixels that lie in channels, side by side, without the outermost pixels.

    quarters: (n, 4 x channels, H + 1, W + 1). Returns (n, channels, 2 H, 2 W).
    """

    @staticmethod
    def forward(ctx, quarters):
        quarters = quarters.permute(0, 2, 3, 1).contiguous()
        count, height, width, channels = ctx.shape = quarters.shape
        output = quarters.new_empty(count, 2 * height - 2, 2 * width - 2, channels // 4)
        for there, here in _Interleave.same_pixels(quarters, output):
            here.copy_(there)
        return output.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.permute(0, 2, 3, 1).contiguous()
        quarters = gradient.new_empty(ctx.shape)
        squares = quarters.unflatten(3, (2, 2, -1))
        for edge in (squares[:, 0, :, 0], squares[:, -1, :, 1]):
            edge.zero_()
        for edge in (squares[:, :, 0, :, 0], squares[:, :, -1, :, 1]):
            edge.zero_()
        for there, here in _Interleave.same_pixels(quarters, gradient):
            there.copy_(here)
        return quarters.permute(0, 3, 1, 2)

    @staticmethod
    def same_pixels(quarters: Tensor, output: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Views of the same pixels in both, with channels last, as long in memory as can be."""
        channels = output.shape[3]
        for row in range(2):
            there = quarters.unflatten(3, (2, -1))[:, 1 - row : quarters.shape[1] - row, :, row]
            here = output.flatten(2)[:, 1 - row :: 2]
            pairs = here[..., channels:-channels].unflatten(2, (-1, 2 * channels))
            yield there[:, :, 1:-1], pairs
            yield there[:, :, 0, channels:], here[..., :channels]
            yield there[:, :, -1, :channels], here[..., -channels:]


class BitReLU(nn.ReLU):
    """A ReLU in place that takes numbers of bf16 as integers, which order positive ones alike.

    torch brings bf16 to fp32 and back, which takes longer than the memory needs.
    """

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers: of any shape."""
        return _Rectify.apply(numbers) if numbers.dtype == torch.bfloat16 else numbers.relu()


class _Rectify(torch.autograd.Function):
    """max(numbers, 0) in place; what is not a number stays so. numbers: bf16."""

    @staticmethod
    def forward(ctx, numbers):
        functional.threshold_(numbers.view(torch.int16), BITS_OF_MINUS_INFINITY, 0)
        ctx.mark_dirty(numbers)
        ctx.save_for_backward(numbers)
        return numbers

    @staticmethod
    def backward(ctx, gradient):
        (numbers,) = ctx.saved_tensors
        bits = gradient.view(torch.int16), numbers.view(torch.int16)
        return torch.ops.aten.threshold_backward(*bits, 0).view(torch.bfloat16)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def use_cpu_layers(model: nn.Module) -> nn.Module:
    """Let `model` compute so, in place; weights, their names and results stay. Returns it."""
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == 1 and layer.dilation == (1, 1):
            stem = layer.in_channels == 1 and layer.stride == (2, 2)
            layer.__class__ = StemConv2d if stem else SmallMapConv2d
        elif type(layer) is UnetDecoderBlock:
            layer.__class__ = DecoderBlock
            layer.conv1[0].__class__ = DoubledConv2d
        elif isinstance(layer, nn.ReLU):
            layer.__class__ = BitReLU
    return model
