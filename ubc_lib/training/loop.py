"""The training loop of one run: one model on one subset, with checkpoints to resume from."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ubc_lib.data.slices import Slices
from ubc_lib.losses import joint_loss
from ubc_lib.study import Study
from ubc_lib.system.seeds import generator
from ubc_lib.system.signals import stop, stop_asked
from ubc_lib.training.checkpoint import Checkpoint, Progress
from ubc_lib.training.device import autocast, choose_precision
from ubc_lib.training.evaluation import predict

try:
    from ubc_lib.training import fast
except ImportError:  # a guest: without it all is the same but for rounding, and slower
    fast = None


@dataclass(frozen=True)
class Examples:
    """Slices on the device: images float (n, 1, H, W), masks bool, the same shape, target (n,)."""

    images: Tensor
    masks: Tensor
    target: Tensor

    @classmethod
    def of(cls, slices: Slices, rows: np.ndarray, device: torch.device) -> "Examples":
        """The given rows of the slice table."""
        return cls(
            torch.as_tensor(slices.images[rows], device=device).unsqueeze(1),
            torch.as_tensor(slices.masks[rows], device=device).unsqueeze(1),
            torch.as_tensor(slices.table["target"].to_numpy()[rows], device=device),
        )

    def __len__(self) -> int:
        return len(self.target)


def fit(
    model: nn.Module,
    train: Examples,
    test: Examples,
    study: Study,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int], None] = lambda images: None,
) -> Progress:
    """Train `model` in place by the paper's protocol: Adam with a rate that falls in steps.

    The order of images depends on `seed` and the epoch alone. With a `checkpoint`, training goes on
    from it exactly as if it had not stopped. `on_epoch` is told how many images have been trained
    since it was last called. Training ends early where the loss is no longer a finite number.
    Unless the study's layers are torch's, `ubc_lib.training.fast` makes it faster.
    Raises InputError after SIGTERM, once a checkpoint is written.
    """
    device = train.images.device
    precision = choose_precision(study.precision, device)
    guest = fast if study.layers == "auto" else None
    model.to(device, memory_format=torch.channels_last)
    if guest:
        guest.speed_up(model)
    optimizer = _adam(model, study.learning_rate)
    done = checkpoint.resume(model, optimizer) if checkpoint else Progress()
    step = _training_step(model, optimizer, train, study, precision)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True  # the same seed gives the same bits
        step = guest.StepGraphs(step, model, optimizer) if guest else step
    on_epoch(len(train) * len(done.history))
    while not done.is_finished(study):
        started = time.monotonic()
        epoch = len(done.history) + 1
        rate = study.learning_rate * study.decay ** ((epoch - 1) // study.decay_every)
        set_rate(optimizer, rate)
        model.train()
        row = {"epoch": epoch, "learning_rate": rate}
        row |= _train_epoch(step, batches(epoch_order(train, seed, epoch), study.batch_size))
        evaluated = epoch % study.evaluate_every == 0 or epoch == study.epochs
        if evaluated and math.isfinite(row["loss"]):
            done.predictions[epoch] = predict(
                model, test.images, test.masks, test.target, precision
            )
        done.history.append(row | {"seconds": time.monotonic() - started})
        on_epoch(len(train))
        leaving = stop_asked() and not done.is_finished(study)
        if checkpoint and (leaving or checkpoint.is_due):
            checkpoint.write(model, optimizer, done)
        if leaving:
            stop(epoch)
    return done


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate from now on; a rate that is a tensor, which CUDA graphs read, stays so."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _adam(model: nn.Module, rate: float) -> torch.optim.Adam:
    """torch's fused Adam; on a GPU as CUDA graphs need it, with a rate that they read."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    rate = torch.tensor(rate, device=device) if on_gpu else rate
    return torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=on_gpu)


def epoch_order(train: Examples, seed: int, epoch: int) -> Tensor:
    """The order of the training images in an epoch: a permutation, int64 (n,), on their device."""
    permutation = generator(seed, f"order of epoch {epoch}").permutation(len(train))
    return torch.as_tensor(permutation, device=train.target.device)


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Split an epoch's order into batches; a last batch of one joins the one before.

    Batch normalisation cannot normalise a single image.
    """
    parts = list(order.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Examples,
    study: Study,
    precision: str,
) -> Callable[[Tensor], Tensor]:
    """A function that trains on the given rows and returns their `_train_epoch` sums, (4,)."""

    def step(rows: Tensor) -> Tensor:
        target = train.target[rows]
        with autocast(rows.device, precision):
            output = model(train.images[rows])
        loss, classification, dice = joint_loss(output, target, train.masks[rows], study.alpha)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            share_right = (output.logits.argmax(dim=1) == target).float().mean()
            no_dice = torch.full_like(loss, math.nan)
            values = [loss, classification, no_dice if dice is None else dice, share_right]
            return len(rows) * torch.stack([value.float() for value in values])

    return step


def _train_epoch(step: Callable[[Tensor], Tensor], parts: list[Tensor]) -> dict:
    """One pass over the training images; means per image of the losses and the accuracy."""
    sums = torch.zeros(4, device=parts[0].device)
    for rows in parts:
        sums += step(rows)
    loss, classification, dice, accuracy = (sums / sum(map(len, parts))).tolist()
    return {
        "loss": loss,
        "cross_entropy": classification,
        "soft_dice_loss": dice,
        "accuracy": accuracy,
    }
