"""What the record of a run must hold; it may come from anyone, so nothing is taken on trust."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ubc_lib.system.errors import InputError

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
    diverged_epoch: int | None = None
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


class Record(_Part):
    """The parts of a record that tables and checks are made from; there may be others."""

    run: _Run
    settings: dict[str, Any]
    fingerprint: str
    provenance: _Provenance
    result: _Result
    evaluations: _Evaluations
    history: _History
    predictions: _Predictions


def check_format(record: Any, where: str) -> None:
    """Raise InputError, naming the first wrong part, where a record is not what `run` writes."""
    try:
        Record.model_validate(record)
    except (ValidationError, TypeError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else {}
        part = ".".join(map(str, problem.get("loc", ("record",))))
        raise InputError(
            f"The record {where} is not one of this software's ({part}: "
            f"{problem.get('msg', error)}). Delete it to run it again."
        ) from None
