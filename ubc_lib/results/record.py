"""The record of a run: what it must hold, and how it is written and read.

A record may come from anyone, so nothing in it is taken on trust. It is written whole or not at
all, and signed.
"""

import hashlib
import json
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ubc_lib.study import Study, with_younger
from ubc_lib.system.errors import InputError, unknown_name
from ubc_lib.system.files import atomic_path

# Of the records that are written now. 1: without diverged_epoch, signed sorted. 2: without network,
# and with "thread(s)" in the name of a CPU. 3: without answers.
FORMAT = 4
CHECKSUM = ', "checksum": '  # ends the text of a record, which it signs
# Settings that say which runs there are, where they run, where images come from (what those hold,
# the fingerprint tells), or what people should know of them; the others decide what a run computes.
GRID_SETTINGS = {
    *("cohort", "cohort_root", "outside_paths", "volumes", "title", "part_of", "keep_weights"),
    *("models", "baseline", "images_per_class", "seeds", "more_seeds", "more_seeds_at"),
    *("device", "layers", "graphs", "threads", "artefacts"),
}

Numbers = list[float | None]
Word = Annotated[str, Field(pattern=r"^[\w.:+-]*$")]  # pages print it as it stands


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Columns(_Part):
    """A table as columns of one length."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_length(cls, columns: Any) -> Any:
        if not isinstance(columns, dict) or len({len(one) for one in columns.values()}) > 1:
            raise ValueError("its columns are not of one length")
        return columns


class _Run(_Part):
    study: str
    model: str
    images_per_class: int
    seed: int


class _Provenance(_Part):
    device: str
    precision: Word
    commit: Word
    date: Word


class _Result(_Part):
    accuracy: float | None
    dice: float | None
    dice_per_image: float | None
    n_test: int
    plateau_epoch: int | None
    plateau_reached: bool
    diverged_epoch: int | None
    epochs_run: int
    seconds: float
    parameters: int
    train_labels: int
    train_mask_pixels: int

    @model_validator(mode="after")
    def _measured_unless_diverged(self) -> Self:
        if (self.accuracy is None) != (self.diverged_epoch is not None):
            raise ValueError("a run has an accuracy, or the epoch in which it diverged")
        return self


class _Evaluations(_Columns):
    epoch: list[int]
    accuracy: Numbers
    cross_entropy: Numbers
    dice: Numbers
    dice_per_image: Numbers


class _History(_Columns):
    epoch: list[int]
    learning_rate: Numbers
    loss: Numbers
    cross_entropy: Numbers
    soft_dice_loss: Numbers
    accuracy: Numbers
    seconds: Numbers


class _Predictions(_Columns):
    patient: list[str]
    slice_index: list[int]
    label: list[str]
    target: list[int]
    probability: Numbers
    correct: Numbers
    dice: Numbers


class _Answers(_Columns):
    """What each of the last evaluations said of every test slice: a row per evaluation."""

    epoch: list[int]
    probability: list[Numbers]
    dice: list[Numbers]


class Record(_Part):
    """The parts of a record that tables and checks are made from; there may be others."""

    format: Annotated[int, Field(ge=1, le=FORMAT)]
    run: _Run
    settings: dict[str, Any]
    fingerprint: str
    provenance: _Provenance
    result: _Result
    evaluations: _Evaluations
    history: _History
    predictions: _Predictions
    answers: _Answers | None = None


def run_name(model: str, images_per_class: int, seed: int) -> str:
    """The name of one run's files."""
    return f"{model}-n{images_per_class:03d}-seed{seed}"


def record_path(study: Study, model: str, images_per_class: int, seed: int) -> Path:
    """Where the record of a run is, or will be."""
    return study.run_folder / "records" / f"{run_name(model, images_per_class, seed)}.json"


def weights_path(study: Study, model: str, seed: int | None = None, part: str = "") -> Path:
    """Where the weights of a model's largest run are kept, of the first seed if none is named."""
    seed = study.seeds[0] if seed is None else seed
    name = run_name(model, max(study.images_per_class), seed)
    return study.run_folder / "weights" / f"{name}{part}.safetensors"


def first_weights(study: Study, model: str) -> Path | None:
    """The file of weights that a model's encoder begins with; None for random ones."""
    own = study.of(model)
    if not own.warm_start:
        return own.encoder_weights
    other = Study.load(own.warm_start)
    return weights_path(other, model if model in other.models else other.baseline)


def check_first_weights(study: Study) -> None:
    """Raise InputError where weights that a model begins with are not there."""
    for model in study.models:
        path, other = first_weights(study, model), study.of(model).warm_start
        if path and not path.is_file():
            wanted = f"Run make study STUDY={other} first." if other else "Name another file."
            raise InputError(f"Model {model} begins with {path}, which is not there. {wanted}")


def computing_settings(study: Study, model: str) -> dict:
    """The settings that decide what a run of a model computes, with the model's own.

    Weights that it begins with are told by their digest, where they are here. Raises InputError for
    a model that the study does not have.
    """
    if model not in study.models:
        raise InputError(unknown_name("model", model, study.models, f"study {study.name}"))
    settings = study.of(model).model_dump(mode="json", exclude=GRID_SETTINGS)
    settings |= {"network": study.models[model].network}
    if path := first_weights(study, model):
        del settings["encoder_weights"]
        if path.is_file():
            settings["encoder_weights"] = _digest(path, path.stat().st_mtime_ns)
    return settings


@cache
def _digest(path: Path, _changed: int) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def write_record(path: Path, record: dict) -> None:
    """Write a record with its format and checksum; whatever fails, an earlier one stays whole."""
    with atomic_path(path) as temporary:
        text = json.dumps({"format": FORMAT} | record, allow_nan=False)
        temporary.write_text(f'{text[:-1]}{CHECKSUM}"{_sha256(text)}"}}')


def read_record(path: Path | zipfile.Path) -> dict:
    """Read a record of any format as one of the present.

    Raises InputError where its checksum says that it was truncated or altered, or where it is not
    what this software writes, naming the first wrong part.
    """
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
        checksum = record.pop("checksum")
        signed = text[: text.rindex(CHECKSUM)] + "}"
    except Exception as error:  # whatever a parser makes of damaged text
        raise InputError(
            f"The record {path} is damaged ({error}). Delete it to run it again."
        ) from error
    # Those of format 1 were signed sorted, which takes three times as long to check.
    if checksum != _sha256(signed) and checksum != _sha256(json.dumps(record, sort_keys=True)):
        raise InputError(f"The record {path} was altered. Delete it to run it again.")
    try:
        record = _upgraded(record)
        Record.model_validate(record)
    except (ValidationError, TypeError, KeyError, AttributeError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else {}
        part = ".".join(map(str, problem.get("loc", ("record",))))
        raise InputError(
            f"The record {path} is not one of this software's ({part}: "
            f"{problem.get('msg', error)}). Delete it to run it again."
        ) from None
    return record


def check_record(record: dict, study: Study, fingerprint: str | None, path: Path) -> None:
    """Raise InputError where a record was made with other settings or other data than asked for."""
    new = computing_settings(study, record["run"]["model"])
    old = with_younger(record["settings"], new)
    changed = [f"{key}: {old[key]} -> {new[key]}" for key in new if old[key] != new[key]]
    if fingerprint not in (None, record["fingerprint"]):
        changed.append(f"fingerprint of the data: {record['fingerprint']} -> {fingerprint}")
    if changed:
        raise InputError(
            f"{path} was made differently ({'; '.join(changed)}). Give the study a new name "
            f'(SET="name=..."), or delete {path.parent} to discard its results.'
        )


def _upgraded(record: dict) -> dict:
    """A record of any format as one of the present; nothing is checked."""
    provenance = record["provenance"]
    device = re.sub(r"\b1 thread\(s\)", "1 thread", provenance["device"])
    return {
        **record,
        "provenance": provenance | {"device": device.replace("thread(s)", "threads")},
        "format": record.get("format", 2 if "diverged_epoch" in record["result"] else 1),
        "settings": {"network": record["run"]["model"]} | record["settings"],
        "result": {"diverged_epoch": None} | record["result"],
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
