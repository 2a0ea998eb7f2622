"""Convolutions of small maps as products of matrices, for a CPU."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Pair = tuple[int, int]

LARGEST_MAP = 49  # output pixels of an image; 64 measured slower than oneDNN's convolution
FEW_PIXELS = 48  # of all images, up to which a gradient of weights is computed in their own type


class SmallMapConv2d(nn.Conv2d):
    """A convolution that multiplies one matrix of all neighbourhoods where maps are small.

    oneDNN brings the weights into an order of its own at every call, and their gradient back, which
    for the deep layers of small images takes several times as long as the arithmetic. Weights of
    channels last are the matrix as they lie. Groups and dilation are not supported.
    Where no gradient is wanted, the zeros around images are left out.
    """

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, channels, H, W); returns what nn.Conv2d returns."""
        height, width = _positions(images.shape[2:], self.kernel_size, self.stride, self.padding)
        if height * width > LARGEST_MAP:
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        multiply = _Product.apply if torch.is_grad_enabled() else _product_within
        product = multiply(images.to(kind), self.weight, self.stride, self.padding)
        return product if self.bias is None else product + self.bias.to(kind).view(-1, 1, 1)


class _Product(torch.autograd.Function):
    """A matrix of what the kernel sees at each output pixel, times the weights.

    images: (n, channels, H, W), of the type to compute in; weights: (outputs, channels, kernel
    height, kernel width), channels last. Returns (n, outputs, height, width).
    """

    @staticmethod
    def forward(ctx, images, weights, stride, padding):
        ctx.geometry = tuple(images.shape[2:]), tuple(weights.shape[2:]), stride, padding
        ctx.weights = weights.shape, weights.dtype
        seen = _neighbourhoods(images.permute(0, 2, 3, 1), *ctx.geometry[1:]).flatten(3)
        kernels = weights.permute(0, 2, 3, 1).flatten(1).to(images.dtype)
        ctx.save_for_backward(seen, kernels)
        return (seen @ kernels.t()).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        seen, kernels = ctx.saved_tensors
        (outputs, channels, *kernel), kind = ctx.weights
        gradient = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
        of_seen = (gradient @ kernels).view(len(seen), -1, channels)
        is_seen = _is_seen(*ctx.geometry, seen.dtype).expand(len(seen), -1, -1)
        of_images = torch.bmm(is_seen, of_seen).unflatten(1, ctx.geometry[0])
        seen = seen.flatten(0, 2)
        if len(seen) <= FEW_PIXELS:
            # Bringing the product back from bf16 would take longer.
            gradient, seen = gradient.to(kind), seen.to(kind)
        of_weights = (gradient.t() @ seen).to(kind).view(outputs, *kernel, channels)
        return of_images.permute(0, 3, 1, 2), of_weights.permute(0, 3, 1, 2), None, None


def _product_within(images: Tensor, weights: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """As `_Product`, but without a gradient, and without zeros around images.

    Those are five ninths of what a kernel of 3 x 3 sees on a map of 2 x 2. Rows of images come
    first in memory, those of all images together, and each row of the kernel has matrices of its
    own, of what it sees within images.
    """
    geometry = images.shape[2:], weights.shape[2:], stride, padding
    vertically, horizontally = zip(*geometry, strict=True)
    height, width = _positions(*geometry)
    parts = _columns_within(images.permute(2, 0, 3, 1), *horizontally)
    kernels = weights.permute(2, 0, 3, 1).to(images.dtype)
    product = images.new_zeros(height, len(images), width, len(weights))
    for row, of_product, of_images in _rows_within(*vertically):
        for columns, seen, of_kernel in parts:
            matrix = seen[of_images].flatten(0, 2)
            kernel = kernels[row, :, of_kernel].flatten(1)
            product[of_product, :, columns].flatten(0, 2).addmm_(matrix, kernel.t())
    product = product.permute(1, 3, 0, 2)
    return product.contiguous(memory_format=torch.channels_last)


@cache
def _rows_within(side: int, kernel: int, stride: int, padding: int) -> list[tuple]:
    """Rows of a kernel, the rows of output for which each sees a row of images, and those."""
    rows = []
    for row in range(kernel):
        seen = range(row - padding, row + side + padding - kernel + 1, stride)
        within = [position for position, pixel in enumerate(seen) if 0 <= pixel < side]
        if within:
            of_images = slice(seen[within[0]], seen[within[-1]] + 1, stride)
            rows.append((row, slice(within[0], within[-1] + 1), of_images))
    return rows


def _columns_within(
    images: Tensor, side: int, kernel: int, stride: int, padding: int
) -> list[tuple[slice, Tensor, slice]]:
    """Columns of output, what a row of the kernel sees for them, and its columns that see it.

    images: (H, n, W, channels); what is seen: (H, n, columns, channels of all that is seen).
    In bf16 all columns go together, zeros included: that takes less time than a product for each.
    """
    if images.dtype == torch.bfloat16:
        seen = _neighbourhoods(images, (1, kernel), (1, stride), (0, padding)).flatten(3)
        return [(slice(None), seen, slice(None))]
    images = images.contiguous()
    parts = []
    for column, left in enumerate(range(-padding, side + padding - kernel + 1, stride)):
        first = max(-left, 0)
        end = max(first, min(side - left, kernel))
        seen = images[:, :, left + first : left + end].flatten(2).unsqueeze(2)
        parts.append((slice(column, column + 1), seen, slice(first, end)))
    return parts


def _neighbourhoods(images: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """What the kernel sees: (n, H, W, channels) to (n, height, width, *kernel, channels)."""
    top, left = padding
    images = functional.pad(images, (0, 0, left, left, top, top)).contiguous()
    count, *sides, channels = images.shape
    row = sides[1] * channels
    steps = (images[0].numel(), row * stride[0], channels * stride[1], row, channels, 1)
    shape = (count, *_positions(sides, kernel, stride), *kernel, channels)
    return images.as_strided(shape, steps).contiguous()


@cache
def _is_seen(size: Pair, kernel: Pair, stride: Pair, padding: Pair, kind: torch.dtype) -> Tensor:
    """1 where an image's pixel is what the kernel sees, else 0.

    (pixels, output pixels x positions in the kernel). Times a gradient of what is seen, it adds up
    the gradient of each pixel.
    """
    pixels = size[0] * size[1]
    each_alone = torch.eye(pixels, dtype=kind).view(1, *size, pixels)
    return _neighbourhoods(each_alone, kernel, stride, padding).view(-1, pixels).t().contiguous()


def _positions(
    sides: Sequence[int], kernel: Pair, stride: Pair, padding: Pair = (0, 0)
) -> list[int]:
    """How many positions a kernel has within these sides, vertically and horizontally."""
    parts = zip(sides, kernel, stride, padding, strict=True)
    return [(side + 2 * edge - extent) // step + 1 for side, extent, step, edge in parts]
