"""The loop a researcher would write today, which the engine of `ubc_lib` is measured against.

PyTorch Lightning, torchvision's ResNet34 and the U-Net of segmentation-models-pytorch, fp32,
`DataLoader`, Adam with a rate that falls in steps, evaluation of the test set at the same epochs.
"""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import pytorch_lightning as lightning
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet34

from ubc_lib.study import Study


def build(model: str) -> nn.Module:
    """The network for "resnet34" or "ubc_resnet34", with one input channel and two classes."""
    if model == "ubc_resnet34":
        return smp.Unet("resnet34", encoder_weights=None, in_channels=1, aux_params={"classes": 2})
    network = resnet34(num_classes=2)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def dice_loss(mask_logits: Tensor, mask: Tensor) -> Tensor:
    """Equation (3) of the paper."""
    response = mask_logits.sigmoid()
    return 1 - 2 * ((response * mask).sum() + 1) / ((response + mask).sum() + 1)


class Classifier(lightning.LightningModule):
    """Either model with the losses of the paper."""

    def __init__(self, network: nn.Module, study: Study) -> None:
        super().__init__()
        self.network = network
        self.study = study

    def losses(self, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of a batch (images, masks, target), and its accuracy."""
        images, masks, target = batch
        output = self.network(images)
        if not isinstance(output, tuple):
            loss, logits = functional.cross_entropy(output, target), output
        else:
            mask_logits, logits = output
            dice = dice_loss(mask_logits, masks)
            alpha = self.study.alpha
            loss = alpha * functional.cross_entropy(logits, target) + (1 - alpha) * dice
        return loss, (logits.argmax(dim=1) == target).float().mean()

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        """Log the loss, and return it for the backward pass."""
        loss, _ = self.losses(batch)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        """Log loss and accuracy on the test set."""
        loss, accuracy = self.losses(batch)
        self.log_dict({"test_loss": loss, "test_accuracy": accuracy}, batch_size=len(batch[0]))

    def configure_optimizers(self) -> dict:
        """Adam, with a rate that falls in steps."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.study.learning_rate)
        schedule = torch.optim.lr_scheduler.StepLR(
            optimizer, self.study.decay_every, self.study.decay
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}


@dataclass
class Stopwatch(lightning.Callback):
    """Seconds of every training epoch, and of every evaluation, by `clock`."""

    clock: Callable[[], float] = time.perf_counter
    training: list[float] = field(default_factory=list)
    evaluation: list[float] = field(default_factory=list)

    def on_train_epoch_start(self, *_) -> None:
        """An epoch begins, and any evaluation of the last one was its own."""
        self.started = self.clock()
        self.evaluated = 0.0

    def on_validation_start(self, *_) -> None:
        """Evaluation interrupts the epoch."""
        self.evaluation_started = self.clock()

    def on_validation_end(self, *_) -> None:
        """The epoch goes on."""
        self.evaluated = self.clock() - self.evaluation_started
        self.evaluation.append(self.evaluated)

    def on_train_epoch_end(self, *_) -> None:
        """The epoch is over."""
        self.training.append(self.clock() - self.started - self.evaluated)


def fit(
    network: nn.Module, train: TensorDataset, test: TensorDataset, study: Study, watch: Stopwatch
) -> None:
    """Train `network` on the study's device, evaluating on `test` at the study's epochs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    on_gpu = study.device == "cuda"
    trainer = lightning.Trainer(
        max_epochs=study.epochs,
        check_val_every_n_epoch=study.evaluate_every,
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Classifier(network, study),
        DataLoader(train, study.batch_size, shuffle=True, pin_memory=on_gpu),
        DataLoader(test, study.batch_size, pin_memory=on_gpu),
    )
