"""The training loop of one run: one model on one subset, with checkpoints to resume from."""

import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ubc_lib.losses import NO_LABEL, joint_loss
from ubc_lib.study import Study
from ubc_lib.system.seeds import generator
from ubc_lib.system.signals import stop, stop_asked
from ubc_lib.training.checkpoint import Checkpoint, Progress
from ubc_lib.training.device import autocast, choose_precision, computing
from ubc_lib.training.evaluation import predict
from ubc_lib.training.examples import Examples, augmented, check_examples

try:
    from ubc_lib.training import fast
except ImportError:  # a guest: without it all is the same but for rounding, and slower
    fast = None


def fit(
    model: nn.Module,
    train: Examples,
    test: Examples,
    study: Study,
    seed: int,
    *,
    checkpoint: Checkpoint | None = None,
    keep_weights: bool = False,
    on_epoch: Callable[[int], None] = lambda images: None,
) -> Progress:
    """Train `model` in place by the paper's protocol: Adam with a rate that falls in steps.

    The order of images, and how they are augmented, depends on `seed` and the epoch alone. With a
    `checkpoint`, training goes on from it exactly as if it had not stopped. With `keep_weights` the
    weights of the last epoch that is reported are kept. `on_epoch` is told how many images have
    been trained since it was last called. Training ends early where the loss is no
    longer a finite number.
    Unless the study's layers are torch's, `ubc_lib.training.fast` makes it faster.
    Raises InputError for examples of wrong shapes, and after SIGTERM, once a checkpoint is written.
    """
    check_examples(train, "training")
    check_examples(test, "test")
    device = train.images.device
    precision = choose_precision(study.precision, device)
    guest = fast if study.layers == "auto" else None
    model.to(device, memory_format=torch.channels_last)
    if guest:
        guest.speed_up(model)
    optimizer = adam(model, study.learning_rate)
    done = checkpoint.resume(model, optimizer) if checkpoint else Progress()
    seen = train
    if study.augmentation != "none":  # a CUDA graph reads the same memory in every epoch
        seen = Examples(train.images.clone(), train.masks.clone(), train.target)
    alpha = torch.tensor(study.alpha, device=device)
    step = training_step(model, optimizer, seen, alpha, study, precision)
    if guest and device.type == "cuda" and study.graphs == "auto":
        step = guest.StepGraphs(step)
    on_epoch(len(train) * len(done.history))
    model.train()
    while not done.is_finished(study):
        started = time.monotonic()
        epoch = len(done.history) + 1
        if study.augmentation != "none":
            turned = augmented(train, study.augmentation, seed, epoch)
            seen.images.copy_(turned.images)
            seen.masks.copy_(turned.masks)
        alpha.fill_(0.0 if epoch <= study.mask_first else study.alpha)
        parts = batches(epoch_order(train, seed, epoch), study.batch_size)
        rates = learning_rates(study, epoch, len(parts))
        row = {"epoch": epoch, "learning_rate": rates[0]}
        with computing(precision):
            row |= _train_epoch(step, parts, partial(set_rate, optimizer), rates)
            evaluated = epoch % study.evaluate_every == 0 or epoch == study.epochs
            if evaluated and math.isfinite(row["loss"]):
                asked = test.images, test.masks, test.target
                done.predictions[epoch] = predict(model, *asked, precision)
                model.train()
        if keep_weights and epoch in done.predictions:
            done.keep_if_reported(model, study)
        done.history.append(row | {"seconds": time.monotonic() - started})
        on_epoch(len(train))
        leaving = stop_asked() and not done.is_finished(study)
        if checkpoint and (leaving or checkpoint.is_due):
            checkpoint.write(model, optimizer, done)
        if leaving:
            stop(epoch)
    return done


def learning_rates(study: Study, epoch: int, steps: int) -> list[float]:
    """The rate of each step of an epoch: it falls every so many epochs, or steps."""
    before = (epoch - 1) * steps
    done = [epoch - 1] * steps if study.decay_by == "epochs" else range(before, before + steps)
    return [study.learning_rate * study.decay ** (one // study.decay_every) for one in done]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate from now on; a rate that is a tensor, which CUDA graphs read, stays so."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def adam(model: nn.Module, rate: float) -> torch.optim.Adam:
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


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Examples,
    alpha: Tensor,
    study: Study,
    precision: str,
) -> Callable[[Tensor], Tensor]:
    """A function that trains on the given rows and returns their `_train_epoch` sums, (5,)."""

    def step(rows: Tensor) -> Tensor:
        target = train.target[rows]
        with autocast(rows.device, precision):
            output = model(train.images[rows])
        masks, own = train.masks[rows], (study.dice, study.positive_weight)
        losses = joint_loss(output, target, masks, alpha, *own)
        optimizer.zero_grad()
        losses[0].backward()
        optimizer.step()
        with torch.no_grad():
            loss, classification, drawing = losses
            labelled = (target != NO_LABEL).sum()
            right = (output.logits.argmax(dim=1) == target).sum()
            no_dice = torch.full_like(loss, math.nan)
            drawing = no_dice if drawing is None else drawing
            of_images = [len(rows) * loss, len(rows) * drawing]
            of_labels = [labelled * classification, right, labelled]
            return torch.stack([value.float() for value in (*of_images, *of_labels)])

    return step


def _train_epoch(
    step: Callable[[Tensor], Tensor],
    parts: list[Tensor],
    set_step_rate: Callable[[float], None],
    rates: list[float],
) -> dict:
    """One pass over the training images; means of the losses and the accuracy.

    Per image, or per image with a label.
    """
    sums = torch.zeros(5, device=parts[0].device)
    for place, rows in enumerate(parts):
        if place == 0 or rates[place] != rates[place - 1]:
            set_step_rate(rates[place])
        sums += step(rows)
    loss, drawing, classification, right, labelled = sums.tolist()
    images = sum(map(len, parts))
    return {
        "loss": loss / images,
        "cross_entropy": classification / labelled,
        "soft_dice_loss": drawing / images,
        "accuracy": right / labelled,
    }
