"""The two networks that are compared, with one output type, and their tables of parameters."""

from typing import NamedTuple

import pandas as pd
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import ClassificationHead
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

from ubc_lib.study import MODEL_NAMES, unknown_name
from ubc_lib.system.errors import InputError

CLASSES = 2
DECODER_CHANNELS = (256, 128, 64, 32, 16)


class Output(NamedTuple):
    """logits: (n, 2), the positive class last; mask_logits: (n, 1, H, W), None without decoder."""

    logits: Tensor
    mask_logits: Tensor | None


class ResNet34(nn.Module):
    """The baseline: a ResNet34 encoder for one input channel, average pooling, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = get_encoder("resnet34", in_channels=1, depth=5, weights=None)
        self.classification_head = ClassificationHead(
            in_channels=self.encoder.out_channels[-1], classes=CLASSES, pooling="avg", dropout=0
        )

    def forward(self, images: Tensor) -> Output:
        """images: float (n, 1, H, W), H and W multiples of 32."""
        return Output(self.classification_head(self.encoder(images)[-1]), None)


class UbcResNet34(ResNet34):
    """The Unet-boosted classifier: the same encoder and classifier beside a U-Net decoder.

    It is `smp.Unet("resnet34", in_channels=1, aux_params=...)` but for the classifier's initial
    weights, which are the baseline's.
    """

    def __init__(self) -> None:
        super().__init__()
        unet = smp.Unet("resnet34", encoder_weights=None, decoder_channels=DECODER_CHANNELS)
        self.decoder = unet.decoder
        self.segmentation_head = unet.segmentation_head

    def forward(self, images: Tensor) -> Output:
        """images: float (n, 1, H, W), H and W multiples of 32."""
        features = self.encoder(images)
        mask_logits = self.segmentation_head(self.decoder(features))
        return Output(self.classification_head(features[-1]), mask_logits)


MODELS: dict[str, type[nn.Module]] = dict(zip(MODEL_NAMES, (ResNet34, UbcResNet34), strict=True))


def build_model(name: str, seed: int) -> nn.Module:
    """A randomly initialised network; one seed gives both models the same encoder and classifier.

    Raises InputError for an unknown name.
    """
    if name not in MODELS:
        raise InputError(unknown_name("model", name, MODELS, "build_model"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name]()


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def parameter_table(name: str, image_size: int = 224) -> pd.DataFrame:
    """Parts of a model with what they give and hold, as the paper's Tables 1 and 2.

    One row per part, in the order of the forward pass: part, output ("64x112x112"), parameters.
    """
    model = build_model(name, seed=0).eval()
    parts = {
        "encoder stem": [model.encoder.conv1, model.encoder.bn1],
        **{f"encoder level {k}": [getattr(model.encoder, f"layer{k}")] for k in range(1, 5)},
    }
    if hasattr(model, "decoder"):
        blocks = enumerate(model.decoder.blocks, start=1)
        parts |= {f"decoder level {k}": [block] for k, block in blocks}
        parts["segmentation head"] = [model.segmentation_head]
    parts["classifier"] = [model.classification_head]

    shapes = {}
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
        }
    )
