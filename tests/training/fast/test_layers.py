"""Layers that a CPU computes faster give what torch's layers give."""

import copy

import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import nn
from torch.nn import functional

from ubc_lib.models import NETWORKS, build_model
from ubc_lib.training.fast.doubled_maps import MANY_PIXELS, DecoderBlock, DoubledMapConv2d
from ubc_lib.training.fast.layers import use_cpu_layers
from ubc_lib.training.fast.small_maps import LARGEST_MAP, MANY_IMAGES, SmallMapConv2d


def results(layer: nn.Module, *images: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients of the images, and gradients of the weights."""
    images = [batch.clone().requires_grad_() for batch in images]
    layer.zero_grad()
    output = layer(*images)
    output.square().sum().backward()
    gradients = [batch.grad for batch in images]
    return [output, *gradients, *(weight.grad for weight in layer.parameters())]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """The same but for what rounding leaves of the largest number."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())


def assert_alike(one: nn.Module, other: nn.Module, *images: torch.Tensor) -> None:
    for ours, theirs in zip(results(one, *images), results(other, *images), strict=True):
        assert_close(ours, theirs)


def assert_alike_but_for_rounding(ours: nn.Module, theirs: nn.Module, *images) -> None:
    """`ours` in bf16 gives what `theirs` gives in fp32, within 2 % of the largest number."""
    expected = results(theirs, *images)
    with torch.autocast("cpu", torch.bfloat16):
        output, *gradients = results(ours, *images)
    assert output.dtype is torch.bfloat16
    for number, other in zip([output.float(), *gradients], expected, strict=True):
        assert number.dtype is torch.float32
        assert (number - other).abs().max() < 0.02 * other.abs().max()


class Doubled(nn.Module):
    """What `DoubledMapConv2d` computes, as one would write it."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, small: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        doubled = functional.interpolate(small, scale_factor=2, mode="nearest")
        return self.convolution(torch.cat([doubled, *beside], dim=1))


class Ours(Doubled):
    """The same by `DoubledMapConv2d`."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__(copy.deepcopy(convolution))
        self.convolution.__class__ = DoubledMapConv2d

    def forward(self, small: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        return self.convolution((small, *(beside or (None,))))


def doubled_case(channels, others, outputs, side, bias) -> tuple[nn.Conv2d, list[torch.Tensor]]:
    """A convolution, and two maps to double with what lies beside them."""
    convolution = nn.Conv2d(channels + others, outputs, 3, padding=1, bias=bias)
    small = torch.randn(2, channels, side, side + 1)
    beside = torch.randn(2, others, 2 * side, 2 * side + 2)
    return convolution, [small, beside] if others else [small]


@given(
    channels=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    side=st.integers(1, 8),
    bias=st.booleans(),
    number=st.sampled_from([2, MANY_IMAGES]),
)
def test_a_product_of_matrices_is_the_convolution(
    channels, kernel, stride, padding, side, bias, number
):
    assume(side + 2 * padding >= kernel)
    plain = nn.Conv2d(*channels, kernel, stride=stride, padding=padding, bias=bias)
    product = use_cpu_layers(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(product) is SmallMapConv2d
    images = torch.randn(number, channels[0], side, side + 1)
    assert_alike(product, plain, images)
    with torch.no_grad():
        assert_close(product(images), plain(images))


@pytest.mark.parametrize("images", [1, 2, MANY_IMAGES])
def test_in_bf16_a_product_of_matrices_is_the_convolution_but_for_rounding(images):
    plain = nn.Conv2d(64, 256, 3, padding=1)
    product = use_cpu_layers(nn.Sequential(copy.deepcopy(plain)))
    batch = torch.randn(images, 64, 4, 4)
    assert_alike_but_for_rounding(product, plain, batch)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours, theirs = product(batch), plain(batch)
    assert ours.dtype is torch.bfloat16
    assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_larger_maps_are_left_to_the_convolution_of_torch():
    plain = nn.Conv2d(3, 2, 3, padding=1)
    layer = use_cpu_layers(nn.Sequential(copy.deepcopy(plain)))
    images = torch.randn(2, 3, LARGEST_MAP, 2)
    assert torch.equal(layer(images), plain(images))


@given(
    channels=st.integers(1, 4),
    others=st.integers(0, 3),
    outputs=st.integers(1, 2),
    side=st.integers(1, 16),
    bias=st.booleans(),
)
def test_a_map_convolved_before_it_is_doubled_is_the_doubled_map_convolved(
    channels, others, outputs, side, bias
):
    convolution, images = doubled_case(channels, others, outputs, side, bias)
    assert_alike(Ours(convolution), Doubled(convolution), *images)


@pytest.mark.parametrize("others", [0, 8])
def test_in_bf16_a_map_convolved_before_it_is_doubled_is_that_but_for_rounding(others):
    convolution, images = doubled_case(16, others, 4, 16, bias=False)
    assert images[0].numel() / 16 * 4 > 4 * MANY_PIXELS
    assert_alike_but_for_rounding(Ours(convolution), Doubled(convolution), *images)


@pytest.mark.parametrize("images", [1, 8])
@pytest.mark.parametrize("size", [64, 96])
def test_the_networks_give_what_those_of_segmentation_models_give(size, images):
    theirs = smp.Unet("resnet34", encoder_weights=None, in_channels=1, aux_params={"classes": 2})
    ours = use_cpu_layers(build_model("ubc_resnet34", 0))
    theirs.load_state_dict(ours.state_dict())
    batch = torch.randn(images, 1, size, size)
    with torch.no_grad():
        mask_logits, logits = theirs.eval()(batch)
        output = ours.eval()(batch)
    assert_close(output.logits, logits)
    assert_close(output.mask_logits, mask_logits)


def test_every_layer_that_can_be_faster_is():
    kinds = {type(layer) for layer in use_cpu_layers(build_model("ubc_resnet34", 0)).modules()}
    assert {SmallMapConv2d, DecoderBlock, DoubledMapConv2d} < kinds
    assert nn.Conv2d not in kinds


@pytest.mark.parametrize("model", NETWORKS)
def test_weights_keep_their_names_and_values(model):
    network = NETWORKS[model]()
    before = copy.deepcopy(network.state_dict())
    after = use_cpu_layers(network).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_gradients_of_the_decoder_keep_their_channels_last():
    block = smp.Unet("resnet34", encoder_weights=None).decoder.blocks[3]
    use_cpu_layers(block).to(memory_format=torch.channels_last)
    below = torch.randn(2, 64, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    skip = torch.randn(2, 64, 16, 16).to(memory_format=torch.channels_last)
    block(below, 16, 16, skip).sum().backward()
    assert below.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2},
        {"dilation": 2},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same"},
    ],
    ids=["groups", "dilation", "reflection", "padding by name"],
)
def test_other_convolutions_are_left_as_they_are(options):
    layer = nn.Conv2d(4, 4, 3, **options)
    assert type(use_cpu_layers(nn.Sequential(layer))[0]) is nn.Conv2d


@pytest.mark.parametrize(
    "options",
    [
        {"attention_type": "scse"},
        {"interpolation_mode": "bilinear"},
        {"interpolation_mode": "area"},
    ],
    ids=["attention", "bilinear", "area"],
)
def test_other_blocks_of_a_decoder_compute_what_they_computed(options):
    block = UnetDecoderBlock(24, 8, 16, **options).eval()
    below, skip = torch.randn(2, 24, 4, 4), torch.randn(2, 8, 8, 8)
    expected = block(below, 8, 8, skip)
    assert type(use_cpu_layers(block)) is UnetDecoderBlock
    assert_close(block(below, 8, 8, skip), expected)


def test_a_map_that_does_not_double_computes_what_it_computed():
    block = UnetDecoderBlock(8, 4, 6).eval()
    below, skip = torch.randn(2, 8, 4, 4), torch.randn(2, 4, 7, 9)
    expected = block(below, 7, 9, skip)
    assert type(use_cpu_layers(block)) is DecoderBlock
    assert_close(block(below, 7, 9, skip), expected)
