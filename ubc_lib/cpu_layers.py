"""Layers that give what torch's give, and take a CPU less time in bf16."""

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.nn import functional

# A convolution is a matrix product where it has at most so many output pixels per output channel.
PIXELS_PER_CHANNEL = 5
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
        pixels = len(images) * height * width
        if pixels > PIXELS_PER_CHANNEL * self.out_channels:
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
        top, left = self.padding
        padded = functional.pad(images, (left, left, top, top)).permute(0, 2, 3, 1).to(kind)
        matrix = _Neighbours.apply(padded, (height, width), self.kernel_size, self.stride)
        product = _Product.apply(matrix, self.weight.permute(0, 2, 3, 1).flatten(1))
        product = product if self.bias is None else product + self.bias.to(kind)
        return product.unflatten(0, (len(images), height, width)).permute(0, 3, 1, 2)


class _Neighbours(torch.autograd.Function):
    """What the kernel sees at each output pixel: a row of kernel height x width x channels.

    images: (n, H, W, channels). Returns (n x height x width, kernel size x channels).
    """

    @staticmethod
    def forward(ctx, images, size, kernel, stride):
        ctx.geometry = images.shape, size, kernel, stride
        count, _, width, channels = images.shape
        row = width * channels
        shape = (count, *size, kernel[0], kernel[1] * channels)
        steps = (images[0].numel(), row * stride[0], channels * stride[1], row, 1)
        windows = images.contiguous().as_strided(shape, steps)
        return windows.reshape(-1, kernel[0] * kernel[1] * channels)

    @staticmethod
    def backward(ctx, gradient):
        shape, (height, width), kernel, (down, right) = ctx.geometry
        parts = gradient.view(shape[0], height, width, kernel[0], kernel[1], shape[3])
        total = gradient.new_zeros(shape, dtype=torch.float32)
        for row in range(kernel[0]):
            for column in range(kernel[1]):
                rows = slice(row, row + down * height, down)
                columns = slice(column, column + right * width, right)
                total[:, rows, columns] += parts[:, :, :, row, column]
        return total.to(gradient.dtype), None, None, None


class _Product(torch.autograd.Function):
    """matrix (pixels, inputs) times transposed weights (outputs, inputs), in the matrix's type.

    For few pixels the weights' gradient skips bf16: bringing it back to fp32 takes longer.
    """

    @staticmethod
    def forward(ctx, matrix, weights):
        ctx.kind = weights.dtype
        weights = weights.to(matrix.dtype)
        ctx.save_for_backward(matrix, weights)
        return matrix @ weights.t()

    @staticmethod
    def backward(ctx, gradient):
        matrix, weights = ctx.saved_tensors
        kind = ctx.kind if len(matrix) <= FEW_PIXELS else matrix.dtype
        of_weights = gradient.to(kind).t() @ matrix.to(kind)
        return gradient @ weights, of_weights.to(ctx.kind)


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
    """A block of the U-Net decoder whose gradients keep their channels last."""

    def forward(
        self,
        feature_map: Tensor,
        target_height: int,
        target_width: int,
        skip_connection: Tensor | None = None,
    ) -> Tensor:
        """As of the class it extends, for nearest neighbours and without attention."""
        feature_map = functional.interpolate(feature_map, size=(target_height, target_width))
        if skip_connection is not None:
            if feature_map.requires_grad:
                # Its gradient is a part of a larger one, which torch would bring to channels first.
                feature_map.register_hook(_channels_last)
            feature_map = torch.cat([feature_map, skip_connection], dim=1)
        return self.conv2(self.conv1(feature_map))


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
        elif isinstance(layer, nn.ReLU):
            layer.inplace = False  # in place, bf16 measured three times as slow
    return model
