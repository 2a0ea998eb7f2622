"""Convolutions of small maps as products of matrices, for a CPU."""

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Pair = tuple[int, int]

MANY_IMAGES = 16  # from which leaving out zeros around images saves time
LARGEST_MAP = 49  # output pixels of an image; 64 measured slower than oneDNN's convolution
FEW_PIXELS = 48  # of all images, up to which a gradient of weights is computed in their own type


class SmallMapConv2d(nn.Conv2d):
    """A convolution that multiplies one matrix of all neighbourhoods where maps are small.

    oneDNN brings the weights into an order of its own at every call, and their gradient back, which
    for the deep layers of small images takes several times as long as the arithmetic. Weights of
    channels last are the matrix as they lie. Groups and dilation are not supported.
    With many images and a stride of 1 the zeros around them are left out, but for training in bf16.
    """

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, channels, H, W); returns what nn.Conv2d returns."""
        height, width = _positions(images.shape[2:], self.kernel_size, self.stride, self.padding)
        if height * width > LARGEST_MAP:
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        images = images.to(kind)
        trains_in_bf16 = kind == torch.bfloat16 and torch.is_grad_enabled()
        if len(images) >= MANY_IMAGES and self.stride == (1, 1) and not trains_in_bf16:
            product = _ProductWithin.apply(images, self.weight, self.padding)
        else:
            product = _Product.apply(images, self.weight, self.stride, self.padding)
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


class _ProductWithin(torch.autograd.Function):
    """As `_Product`, without zeros around images, for a stride of 1; in bf16 without a gradient.

    Those are five ninths of what a kernel of 3 x 3 sees on a map of 2 x 2. Rows of images come
    first in memory, those of all images together, and each row of the kernel has matrices of its
    own, of what it sees within images.
    """

    @staticmethod
    def forward(ctx, images, weights, padding):
        ctx.padding = padding
        height, width = _positions(images.shape[2:], weights.shape[2:], (1, 1), padding)
        images = images.permute(2, 0, 3, 1)
        kernels = weights.permute(0, 2, 3, 1).to(images.dtype)
        ctx.save_for_backward(images, kernels)
        product = images.new_zeros(height, images.shape[1], width, len(weights))
        for part, seen, kernel in _matrices(product, images, kernels, padding):
            part.addmm_(seen, kernel.t())
        product = product.permute(1, 3, 0, 2)
        return product.contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        numbers = ctx.saved_tensors
        of_images, of_weights = gradients = [tensor.new_zeros(tensor.shape) for tensor in numbers]
        gradient = gradient.permute(2, 0, 3, 1).contiguous()
        forward = _matrices(gradient, *numbers, ctx.padding)
        backward = _matrices(gradient, *gradients, ctx.padding)
        for (part, seen, kernel), (_, of_seen, of_kernel) in zip(forward, backward, strict=True):
            of_seen.addmm_(part, kernel)
            of_kernel.addmm_(part.t(), seen)
        of_images = of_images.permute(1, 3, 0, 2).contiguous(memory_format=torch.channels_last)
        return of_images, of_weights.permute(0, 3, 1, 2), None


def _matrices(
    product: Tensor, images: Tensor, kernels: Tensor, padding: Pair
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Parts of the product, what is seen for each, and the weights that see it.

    product: (height, n, width, outputs); images: (H, n, W, channels); kernels: (outputs, kernel
    height, kernel width, channels). All three are views where these are contiguous, in fp32.
    """
    height, _, width, outputs = product.shape
    rows, columns = kernels.shape[1:3]
    if images.dtype == torch.bfloat16:
        # With zeros beside images; a product for each column takes longer.
        beside = _neighbourhoods(images, (1, columns), (1, 1), (0, padding[1])).flatten(3)
        across = [(slice(None), slice(None), beside)]
    else:
        images = images.contiguous()
        across = [
            (slice(column, column + 1), of_kernel, images[:, :, of_images].flatten(2).unsqueeze(2))
            for column, of_kernel, of_images in _within(images.shape[2], width, columns, padding[1])
        ]
    for row, of_product, of_images in _within(len(images), rows, height, padding[0]):
        for column, of_kernel, seen in across:
            part, seen = product[of_product, :, column], seen[of_images]
            kernel = kernels[:, row, of_kernel].flatten(1)
            yield part.view(-1, outputs), seen.view(-1, seen.shape[3]), kernel


def _within(side: int, these: int, others: int, padding: int) -> Iterator[tuple[int, slice, slice]]:
    """Each of these positions, the others with which it sees a pixel of a side, and those pixels.

    These are of a kernel and the others of its output, or the reverse: a pixel is the sum of both,
    less the padding.
    """
    for position in range(these):
        first, end = max(padding - position, 0), min(side + padding - position, others)
        if first < end:
            pixel = position - padding
            yield position, slice(first, end), slice(first + pixel, end + pixel)


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
