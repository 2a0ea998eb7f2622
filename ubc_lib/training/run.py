"""Trains the runs of a study: one model and one seed across all subset sizes, each recorded."""

import copy
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from torch import nn

from ubc_lib.data.slices import Slices, load_slices
from ubc_lib.data.split import draw_split
from ubc_lib.models import build_model, check_networks, options, parameter_count
from ubc_lib.results.plateau import EVALUATIONS_AVERAGED, reported_epochs
from ubc_lib.results.record import (
    check_record,
    computing_settings,
    first_weights,
    read_record,
    record_path,
    run_name,
    weights_path,
    write_record,
)
from ubc_lib.results.runs import Runs, tidy
from ubc_lib.study import Run, Study
from ubc_lib.system.errors import InputError, ProcessEndsError
from ubc_lib.system.files import locked
from ubc_lib.system.progress import progress_bar
from ubc_lib.system.seeds import torch_seed
from ubc_lib.system.signals import stopping_on_sigterm
from ubc_lib.training.checkpoint import Checkpoint, Progress
from ubc_lib.training.device import (
    choose_device,
    choose_precision,
    cpu_threads,
    device_errors_named,
)
from ubc_lib.training.examples import Examples, training_examples, training_rows
from ubc_lib.training.loop import fit
from ubc_lib.training.provenance import provenance
from ubc_lib.training.two_step import with_drawn_masks
from ubc_lib.training.weights import (
    DRAWING,
    keeps_weights,
    load_encoder,
    save_weights,
)


def train_across_sizes(study: Study, model: str, seed: int) -> Runs:
    """Train `model` on every subset size of the study; the tables of these runs.

    See `train_runs`.
    """
    runs = [(model, size, seed) for size in study.sizes_of(seed)]
    return tidy(train_runs(study, runs, f"{model} seed {seed}"))


def train_runs(study: Study, runs: Sequence[Run], label: str) -> Iterator[dict]:
    """Train runs (model, images per class, seed) in turn, print a line for each; their records.

    Finished runs are read, not repeated; an interrupted one goes on from its checkpoint. label: of
    the bar that shows progress. Where a run cannot be trained the others still are, and InputError
    is raised in the end; at once, as ProcessEndsError, after SIGTERM and a checkpoint, or where a
    GPU fails.
    """
    check_networks(study)
    slices, failed = load_slices(study), []
    images = [2 * size * study.of(model).epochs for model, size, _ in runs]
    with stopping_on_sigterm(), progress_bar(total=sum(images), unit="image", label=label) as bar:
        for run, count in zip(runs, images, strict=True):
            before = bar.n
            try:
                record = train_run(study, slices, *run, on_epoch=bar.update)
                print(_line(record), flush=True)
                yield record
            except ProcessEndsError:
                raise
            except InputError as error:
                failed.append(error)
                print(error, flush=True)
            bar.update(count - (bar.n - before))
    if failed:
        raise InputError(f"{len(failed)} of {len(runs)} runs were not trained. {failed[-1]}")


def train_run(
    study: Study,
    slices: Slices,
    model: str,
    images_per_class: int,
    seed: int,
    on_epoch=lambda n: None,
) -> dict:
    """The record of one run, trained now unless it is there already.

    Of two processes that want the same run, one trains and the other waits for the record.
    """
    path = record_path(study, model, images_per_class, seed)
    checkpoint = study.run_folder / "checkpoints" / f"{path.stem}.pt"
    lock = locked(checkpoint.with_suffix(".lock"))
    with lock, cpu_threads(study.threads), device_errors_named(path.stem):
        if not path.is_file():
            record, networks = _train(
                study, slices, model, images_per_class, seed, checkpoint, on_epoch
            )
            for part, network in networks.items():
                save_weights(network, weights_path(study, model, seed, part), record)
            write_record(path, record)
            checkpoint.unlink(missing_ok=True)
    record = read_record(path)
    check_record(record, study, slices.fingerprint, path)
    return record


def _train(study, slices, model, images_per_class, seed, checkpoint, on_epoch):
    settings, weights = computing_settings(study, model), first_weights(study, model)
    study = study.of(model)
    device = choose_device(study.device)
    seeds = study.drawn_by(seed)
    split = draw_split(slices.table, study, seed)
    rows = training_rows(slices, split, study, images_per_class, seeds["subset"])
    subset = rows[: 2 * images_per_class]
    start = torch_seed(seeds["initialisation"], "initialisation")
    network = _initial_network(settings["network"], start, **options(study, model))
    if weights:
        load_encoder(network, weights)
    name = run_name(model, images_per_class, seed)
    precision = choose_precision(study.precision, device)
    wanted = [settings, slices.fingerprint, name, device.type, precision, study.layers]
    wanted = json.dumps(wanted, sort_keys=True)
    keep = keeps_weights(study, images_per_class, seed)
    networks, drawn, masks = {"": network}, {}, slices.masks[rows]
    if study.two_step:
        drawing = with_drawn_masks(slices, rows, split.test, study, seeds["initialisation"])
        slices, drawn["two_step"], networks[DRAWING] = drawing
        study = study.model_copy(update={"image": "masked"})
    done = fit(
        network,
        training_examples(slices, rows, len(subset), study, seeds["subset"], device),
        Examples.of(slices, split.test, device, study),
        study,
        seeds["initialisation"],
        checkpoint=Checkpoint(checkpoint, hashlib.sha256(wanted.encode()).hexdigest()),
        keep_weights=keep,
        on_epoch=on_epoch,
    )
    if done.kept:
        network.load_state_dict(done.kept)
    test = slices.table.iloc[split.test]
    result, evaluations, predictions = _evaluate(done, study, test)
    last = list(done.predictions.items())[-EVALUATIONS_AVERAGED:]
    answers = {
        "epoch": [epoch for epoch, _ in last],
        "probability": [one.probability.tolist() for _, one in last],
        "dice": [[*map(_plain, one.dice_per_image().tolist())] for _, one in last],
    }
    record = {
        "run": {
            "study": study.name,
            "model": model,
            "images_per_class": images_per_class,
            "seed": seed,
        },
        "settings": settings,
        "seeds": seeds,
        "fingerprint": slices.fingerprint,
        "provenance": provenance(device, precision),
        "training_rows": rows.tolist(),
        "result": {
            **result,
            "parameters": parameter_count(network),
            "train_labels": images_per_class,
            "train_mask_pixels": int(masks.sum()) if network.draws_masks or study.two_step else 0,
        },
        "evaluations": evaluations,
        "history": _columns(pd.DataFrame(done.history)),
        "predictions": predictions,
        "answers": answers,
        **drawn,
    }
    return record, networks if keep and not done.diverged_epoch else {}


def _initial_network(name: str, seed: int, **asked) -> nn.Module:
    """As `build_model`; a list of runs begins many times with the same weights."""
    return copy.deepcopy(_built(name, seed, **asked))


_built = lru_cache(maxsize=2)(build_model)  # 100 MB each


def _evaluate(done: Progress, study: Study, test: pd.DataFrame) -> tuple[dict, dict, dict]:
    """The reported metric, and the columns of `Runs.evaluations` and `Runs.predictions`.

    A run that diverged has no metric and no predictions.
    """
    target = test["target"].to_numpy()
    evaluations = pd.DataFrame(
        [
            {
                "epoch": epoch,
                "accuracy": prediction.accuracy(target),
                "cross_entropy": prediction.cross_entropy.mean(),
                "dice": prediction.dice(),
                "dice_per_image": prediction.dice_per_image().mean(),
            }
            for epoch, prediction in done.predictions.items()
        ],
        columns=["epoch", "accuracy", "cross_entropy", "dice", "dice_per_image"],
    )
    answered = test[["patient", "slice_index", "label", "target"]]
    if done.diverged_epoch:
        plateau, epochs = None, []
        predictions = answered.iloc[:0].assign(probability=0.0, correct=0.0, dice=0.0)
    else:
        plateau = done.plateau(study)
        epochs = reported_epochs(list(done.predictions), plateau)
        averaged = [done.predictions[epoch] for epoch in epochs]
        predictions = answered.assign(
            probability=np.mean([one.probability for one in averaged], axis=0),
            correct=np.mean([one.correct(target) for one in averaged], axis=0),
            dice=np.mean([one.dice_per_image() for one in averaged], axis=0),
        )
    means = evaluations.loc[evaluations["epoch"].isin(epochs)].mean()
    result = {
        **{key: _plain(means[key]) for key in ("accuracy", "dice", "dice_per_image")},
        "n_test": len(test),
        "plateau_epoch": plateau,
        "plateau_reached": plateau is not None and epochs[0] >= plateau,
        "diverged_epoch": done.diverged_epoch,
        "epochs_run": len(done.history),
        "seconds": sum(row["seconds"] for row in done.history),
    }
    return result, _columns(evaluations), _columns(predictions)


def _columns(table: pd.DataFrame) -> dict[str, list]:
    return {name: [_plain(value) for value in table[name].tolist()] for name in table}


def _plain(value):
    """A value as JSON has it: NaN and infinity, which JSON lacks, become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(record: dict) -> str:
    run, result = record["run"], record["result"]
    name = f"{run['model']} seed {run['seed']}, {run['images_per_class']} images per class"
    if result.get("diverged_epoch"):
        return (
            f"{name}: the loss ceased to be a number in epoch {result['diverged_epoch']}; "
            "no accuracy. Lower learning_rate, or set precision=fp32."
        )
    dice = "" if result["dice"] is None else f", Dice {result['dice']:.2f}"
    plateau = (
        f"plateau at epoch {result['plateau_epoch']}" if result["plateau_reached"] else "no plateau"
    )
    return (
        f"{name}: accuracy {result['accuracy']:.3f}{dice}, {plateau}, "
        f"{result['epochs_run']} epochs, {result['seconds']:.0f} s"
    )
