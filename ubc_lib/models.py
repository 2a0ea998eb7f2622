"""Networks by name, with one output type, and their tables of parameters.

A network is a class whose `forward` turns images, float (n, channels, H, W) with H and W multiples
of 32, into an `Output`; `draws_masks` says whether it has mask logits. Made without arguments it
takes one channel; those of `options` it takes where it can do what they ask for.
"""

import inspect
from typing import Any, NamedTuple

import pandas as pd
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import ClassificationHead
from segmentation_models_pytorch.base.initialization import initialize_head
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional

from ubc_lib.study import PAPER_LABELS, Study
from ubc_lib.study.protocol import Protocol
from ubc_lib.system.errors import InputError, unknown_name

CLASSES = 2
DECODER_CHANNELS = (256, 128, 64, 32, 16)
DRAWS = "ubc_resnet34"  # the network that draws what a two-step model is shown
LABELS = 3  # of BraTS, see `ubc_lib.data.volumes.PARTS`
# Settings of a model that need a network that draws masks, or one that takes them as arguments.
OF_MASKS = {"mask", "masks_of", "masks_from", "mask_first", "dice"}
OF_NETWORKS = {"start", "mask_gradient", "deep_supervision"}


class Output(NamedTuple):
    """logits: (n, 2), the positive class last; mask_logits: (n, 1, H, W), None without decoder.

    mask_logits have a channel for each label that a network draws. coarser: mask logits at smaller
    scales, (n, 1, h, w) each, where a network was asked for them.
    """

    logits: Tensor
    mask_logits: Tensor | None
    coarser: tuple[Tensor, ...] = ()


class ResNet34(nn.Module):
    """The baseline: a ResNet34 encoder, average pooling, one linear layer."""

    draws_masks = False

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.encoder = get_encoder("resnet34", in_channels=in_channels, depth=5, weights=None)
        self.classification_head = ClassificationHead(
            in_channels=self.encoder.out_channels[-1], classes=CLASSES, pooling="avg", dropout=0
        )

    def forward(self, images: Tensor) -> Output:
        """images: float (n, channels, H, W), H and W multiples of 32."""
        return Output(self.classification_head(self.encoder(images)[-1]), None)


class UbcResNet34(ResNet34):
    """The Unet-boosted classifier: the same encoder and classifier beside a U-Net decoder.

    It is `smp.Unet("resnet34", in_channels=1, aux_params=...)` but for the classifier's initial
    weights, which are the baseline's unless `start` is "library". Arguments: see `Protocol`.
    """

    draws_masks = True

    def __init__(
        self,
        in_channels: int = 1,
        *,
        mask_channels: int = 1,
        start: str = "shared",
        mask_gradient: bool = True,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(in_channels)
        unet = smp.Unet(
            "resnet34",
            encoder_weights=None,
            decoder_channels=DECODER_CHANNELS,
            classes=mask_channels,
        )
        self.decoder = unet.decoder
        self.segmentation_head = unet.segmentation_head
        self.mask_gradient = mask_gradient
        if start == "library":
            initialize_head(self.classification_head)
        coarser = DECODER_CHANNELS[:-1] if deep_supervision else ()
        self.coarser_heads = nn.ModuleList(
            nn.Conv2d(n, mask_channels, 3, padding=1) for n in coarser
        )

    def forward(self, images: Tensor) -> Output:
        """images: float (n, channels, H, W), H and W multiples of 32."""
        features = self.encoder(images)
        drawn_from = features if self.mask_gradient else [one.detach() for one in features]
        maps = []
        hooks = [
            block.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
            for block, _ in zip(self.decoder.blocks, self.coarser_heads, strict=False)
        ]
        mask_logits = self.segmentation_head(self.decoder(drawn_from))
        for hook in hooks:
            hook.remove()
        coarser = tuple(head(one) for head, one in zip(self.coarser_heads, maps, strict=True))
        return Output(self.classification_head(features[-1]), mask_logits, coarser)


NETWORKS: dict[str, type[nn.Module]] = dict(zip(PAPER_LABELS, (ResNet34, UbcResNet34), strict=True))


def network_class(name: str, where: str = "ubc_lib.models") -> type[nn.Module]:
    """The class of a network; InputError for an unknown name, which says where it stands."""
    if name not in NETWORKS:
        raise InputError(unknown_name("network", name, NETWORKS, where))
    return NETWORKS[name]


def options(study: Study, model: str) -> dict[str, Any]:
    """What a model's network is made with beyond its defaults."""
    own, plain = study.of(model), Protocol()
    asked = {name: getattr(own, name) for name in sorted(OF_NETWORKS)}
    asked = {name: value for name, value in asked.items() if value != getattr(plain, name)}
    if own.mask == "labels":
        asked["mask_channels"] = LABELS
    known = inspect.signature(network_class(study.models[model].network)).parameters
    asked = {name: value for name, value in asked.items() if name in known}
    return asked | ({"in_channels": 2} if own.mask_input else {})


def check_networks(study: Study) -> None:
    """Raise InputError where a model's network does not exist, or cannot do what is asked of it."""
    for name, entry in study.models.items():
        where = f"model {name!r} of study {study.name}"
        made = network_class(entry.network, where)
        known = (
            {*Protocol.model_fields} - OF_NETWORKS - (OF_MASKS if not made.draws_masks else set())
        )
        known |= {*inspect.signature(made).parameters}
        asked = {*entry.own, *(["in_channels"] if study.of(name).mask_input else [])}
        asked |= {"mask_channels"} if entry.own.get("mask") == "labels" else set()
        if study.of(name).two_step and made.draws_masks:
            asked.add("two_step")
            known.discard("two_step")
        if asked - known:
            cannot = ", ".join(sorted(asked - known))
            raise InputError(f"Network {entry.network!r} cannot do {cannot}, asked in {where}.")


def build_model(network: str, seed: int, **asked: Any) -> nn.Module:
    """A randomly initialised network; one seed gives both models the same encoder and classifier.

    asked: see `options`. Raises InputError for an unknown name.
    """
    made = network_class(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return made(**asked)


def shown(images: Tensor, masks: Tensor, protocol: Protocol) -> Tensor:
    """What a model is shown of images, float (n, 1, H, W), with masks, bool, the same shape.

    Returns (n, channels, H, W).
    """
    if protocol.image != "whole":
        grown = grow(masks, protocol.margin)
        images = images * (grown if protocol.image == "masked" else ~grown)
    return torch.cat([images, masks.to(images.dtype)], dim=1) if protocol.mask_input else images


def grow(masks: Tensor, pixels: int) -> Tensor:
    """Masks, bool (n, 1, H, W), grown by so many pixels in each direction."""
    window = 2 * pixels + 1
    return functional.max_pool2d(masks.float(), window, stride=1, padding=pixels) > 0


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def parameter_table(network: str, image_size: int = 224) -> pd.DataFrame:
    """Parts of a network with what they give and hold, as the paper's Tables 1 and 2.

    One row per part, in the order of the forward pass: part, output ("64x112x112"), parameters,
    blocks (that follow each other in it).
    """
    model = build_model(network, seed=0).eval()
    parts, shapes = _parts(model), {}
    for part, modules in parts.items():
        modules[-1].register_forward_hook(
            lambda _module, _inputs, output, part=part: shapes.update({part: output.shape[1:]})
        )
    model(torch.zeros(1, 1, image_size, image_size))
    return pd.DataFrame(
        {
            "part": list(parts),
            "output": ["x".join(map(str, shapes[part])) for part in parts],
            "parameters": [sum(map(parameter_count, modules)) for modules in parts.values()],
            "blocks": [len(list(modules[0].children())) for modules in parts.values()],
        }
    )


def skip_connections(network: str) -> dict[str, str]:
    """Which encoder part each decoder level also takes in; levels without one are left out.

    A level has a skip connection where it takes in more channels than the level below gives.
    """
    model = build_model(network, seed=0)
    if not isinstance(model, UbcResNet34):
        return {}
    finer = [*(f"encoder level {k}" for k in (3, 2, 1)), "encoder stem", "image"]
    below, skips = model.encoder.out_channels[-1], {}
    for k, (block, part) in enumerate(zip(model.decoder.blocks, finer, strict=True), start=1):
        if block.conv1[0].in_channels > below:
            skips[f"decoder level {k}"] = part
        below = block.conv2[0].out_channels
    return skips


def _parts(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Modules by the name of the part that they make; of an unknown network its children."""
    if not isinstance(model, ResNet34):
        return {name.replace("_", " "): [child] for name, child in model.named_children()}
    parts = {
        "encoder stem": [model.encoder.conv1, model.encoder.bn1],
        **{f"encoder level {k}": [getattr(model.encoder, f"layer{k}")] for k in range(1, 5)},
    }
    if isinstance(model, UbcResNet34):
        blocks = enumerate(model.decoder.blocks, start=1)
        parts |= {f"decoder level {k}": [block] for k, block in blocks}
        parts["segmentation head"] = [model.segmentation_head]
    return parts | {"classifier": [model.classification_head]}
