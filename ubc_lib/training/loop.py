"""The training loop of one run: one model on one subset, with checkpoints to resume from."""

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ubc_lib.data.slices import Slices
from ubc_lib.losses import joint_loss
from ubc_lib.results.plateau import EVALUATIONS_AVERAGED, plateau_epoch
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.system.files import atomic_path
from ubc_lib.system.seeds import generator
from ubc_lib.system.signals import stop, stop_asked
from ubc_lib.training.device import autocast, choose_precision
from ubc_lib.training.evaluation import Prediction, predict
from ubc_lib.training.fast.cpu_layers import use_cpu_layers
from ubc_lib.training.fast.graphs import Step, StepGraphs
from ubc_lib.training.fast.memory import keep_freed_memory
from ubc_lib.training.fast.optimizer import Adam

CHECKPOINT_SECONDS = 60.0
CHECKPOINT_FORMAT = 2  # another one is not resumed from; the run starts anew


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


@dataclass
class Progress:
    """What training has done so far.

    history: one dict per epoch (epoch, learning_rate, loss, cross_entropy, soft_dice_loss,
    accuracy on the training batches, seconds). predictions: of the test set, by epoch.
    """

    history: list[dict] = field(default_factory=list)
    predictions: dict[int, Prediction] = field(default_factory=dict)

    @property
    def diverged_epoch(self) -> int | None:
        """The epoch in which the loss ceased to be a finite number, the last one; else None."""
        finite = not self.history or math.isfinite(self.history[-1]["loss"])
        return None if finite else self.history[-1]["epoch"]

    def plateau(self, study: Study) -> int | None:
        """The plateau epoch by the study's rule, or None."""
        losses = [row["loss"] for row in self.history]
        return plateau_epoch(losses, study.plateau_window, study.plateau_tolerance)

    def is_finished(self, study: Study) -> bool:
        """Whether all epochs are done or, with stop_at_plateau, the reported metric is known."""
        if self.diverged_epoch or len(self.history) >= study.epochs:
            return True
        plateau = self.plateau(study) if study.stop_at_plateau else None
        if plateau is None:
            return False
        return sum(epoch >= plateau for epoch in self.predictions) >= EVALUATIONS_AVERAGED


def fit(
    model: nn.Module,
    train: Examples,
    test: Examples,
    study: Study,
    seed: int,
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_epoch: Callable[[int], None] = lambda images: None,
    graphs: bool = True,
) -> Progress:
    """Train `model` in place by the paper's protocol: Adam with a rate that falls in steps.

    The order of images depends on `seed` and the epoch alone. With a `checkpoint` path, training
    resumes from it if it was written under the same `identity`, exactly as if it had not stopped.
    `on_epoch` is told how many images have been trained since it was last called. Training ends
    early where the loss is no longer a finite number. On a GPU steps run as CUDA `graphs`; on a
    CPU the model's layers become those of `ubc_lib.training.fast.cpu_layers`.
    Raises InputError after SIGTERM, once a checkpoint is written.
    """
    device = train.images.device
    precision = choose_precision(study.precision, device)
    model.to(device, memory_format=torch.channels_last)
    if device.type == "cpu":
        use_cpu_layers(model)
    optimizer = Adam(model, study.learning_rate)
    progress = _resume(checkpoint, identity, model, optimizer)
    keep_freed_memory()
    step = _training_step(model, optimizer, train, study, precision)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True  # the same seed gives the same bits
        step = StepGraphs(step, model, optimizer) if graphs else step
    on_epoch(len(train) * len(progress.history))
    saved = time.monotonic()
    while not progress.is_finished(study):
        started = time.monotonic()
        epoch = len(progress.history) + 1
        rate = study.learning_rate * study.decay ** ((epoch - 1) // study.decay_every)
        optimizer.set_rate(rate)
        model.train()
        row = {"epoch": epoch, "learning_rate": rate}
        row |= _train_epoch(step, batches(epoch_order(train, seed, epoch), study.batch_size))
        evaluated = epoch % study.evaluate_every == 0 or epoch == study.epochs
        if evaluated and math.isfinite(row["loss"]):
            progress.predictions[epoch] = predict(
                model, test.images, test.masks, test.target, precision
            )
        progress.history.append(row | {"seconds": time.monotonic() - started})
        on_epoch(len(train))
        leaving = stop_asked() and not progress.is_finished(study)
        if checkpoint and (leaving or time.monotonic() - saved >= checkpoint_seconds):
            _save(checkpoint, identity, model, optimizer, progress)
            saved = time.monotonic()
        if leaving:
            stop(epoch)
    return progress


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
    optimizer: Adam,
    train: Examples,
    study: Study,
    precision: str,
) -> Step:
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


def _train_epoch(step: Step, parts: list[Tensor]) -> dict:
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


def _save(path: Path, identity: str, model, optimizer, progress: Progress) -> None:
    predictions = {
        epoch: {name: torch.as_tensor(v) for name, v in asdict(p).items() if v is not None}
        for epoch, p in progress.predictions.items()
    }
    state = {
        "format": CHECKPOINT_FORMAT,
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": progress.history,
        "predictions": predictions,
    }
    # Through memory, since torch's own writer tells a full disk as an error of another kind.
    written = io.BytesIO()
    torch.save(state, written)
    with atomic_path(path) as temporary:
        temporary.write_bytes(written.getbuffer())


def _resume(path: Path | None, identity: str, model, optimizer) -> Progress:
    device = next(model.parameters()).device
    if path is None or not path.is_file():
        return Progress()
    absent = dict.fromkeys(Prediction.__dataclass_fields__)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if (state.get("format"), state["identity"]) != (CHECKPOINT_FORMAT, identity):
            return Progress()
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        predictions = {
            epoch: Prediction(**absent | {name: v.cpu().numpy() for name, v in values.items()})
            for epoch, values in state["predictions"].items()
        }
        return Progress(state["history"], predictions)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"The checkpoint {path} is damaged ({reason}). Delete it; the run then starts anew."
        ) from error
