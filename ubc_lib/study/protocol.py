"""How a model is trained: what it is shown, what it is asked, and how it learns."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


class Protocol(BaseModel):
    """The settings that a study has for all its models, and an entry of `models` for one.

    What it is shown, what it is asked besides the label, how it begins and how it learns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image: Literal["whole", "masked", "outside"] = "whole"
    """All, or what is inside the true mask or outside it, black elsewhere: a control, given to no
    user, since it needs masks at test time."""
    margin: Annotated[int, Field(ge=0, le=100)] = 0
    """By how many pixels that mask is grown before."""
    mask_input: bool = False
    """The true mask is a second channel: a control like the one above."""
    two_step: bool = False
    """Shows what is inside a mask that a U-Net drew: see `ubc_lib.training.two_step`."""
    augmentation: Literal["none", "flips", "affine"] = "none"
    """Training images are turned over at random, and turned by up to 10° and scaled by up to 10 %,
    anew in every epoch."""

    mask: Literal["union", "labels", "box"] = "union"
    """Of all labels of the lesion together, of each label of BraTS, or the box around it."""
    masks_of: Literal["own", "another"] = "own"
    """Whether each training image gets another patient's mask."""
    masks_from: Literal["subset", "half"] = "subset"
    """Slices of the training half beyond the subset are trained on, too, for their mask alone."""
    mask_gradient: bool = True
    """Without it, what the decoder learns does not reach the encoder."""
    mask_first: NonNegativeInt = 0
    """So many epochs of the mask alone."""
    deep_supervision: bool = False
    """A mask is drawn at every scale of the decoder."""
    dice: Literal["batch", "image"] = "batch"
    """Equation (3) over a batch at once, or the mean of its images."""
    positive_weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """For how many negative images a positive one counts in equation (2)."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The weight of the label in equation (4)."""

    start: Literal["shared", "library"] = "shared"
    """Whatever a seed gives, the same in both of the paper's networks, or as
    segmentation_models_pytorch begins a classifier beside a decoder."""
    encoder_weights: Path | None = None
    """A file of safetensors that the encoder begins with."""
    warm_start: str = ""
    """A study whose kept network of the same model, else of its baseline, gives those weights."""
    epochs: PositiveInt = 200
    """At most."""
    batch_size: Annotated[int, Field(ge=2)] = 50
    """Images of a step; a last batch of one joins the one before."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    """Adam's, at first."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """What the rate is multiplied by, every so often."""
    decay_every: PositiveInt = 5
    """How often."""
    decay_by: Literal["epochs", "steps"] = "epochs"
    """What of."""

    evaluate_every: PositiveInt = 5
    """Epochs between two tests; the last epoch is tested, too."""
    plateau_window: PositiveInt = 10
    """Epochs whose mean loss is compared with that of as many before."""
    plateau_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The plateau begins where that falls by less than this share of the first epoch's loss."""
    stop_at_plateau: bool = False
    """End a run once its plateau, and the five evaluations from there on, are known."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of layers' arithmetic: bf16 where the device has units for it, or what is named."""

    @property
    def needs_mask(self) -> bool:
        """Whether a model is shown the true mask of a test image, which no user has."""
        return self.image != "whole" or self.mask_input

    def contradiction(self, fewest: int, most: int, half: int | None) -> str | None:
        """What of these settings cannot be together, or not with so many images per class.

        half: images of each class in the training half, where that is known beforehand.
        """
        problems = {
            "margin needs two_step, or an image that is masked or outside": (
                self.margin and self.image == "whole" and not self.two_step
            ),
            "two_step makes the image itself; it needs image: whole and no mask_input": (
                self.two_step and self.needs_mask
            ),
            "two_step trains on five parts of the patients: images_per_class of 3 or more": (
                self.two_step and fewest < 3
            ),
            f"masks_from: half has no slice left over from {most} images_per_class": (
                self.masks_from == "half" and most == half
            ),
            "warm_start and encoder_weights both say what the encoder begins with": (
                self.warm_start and self.encoder_weights
            ),
            f"mask_first: {self.mask_first} leaves none of {self.epochs} epochs for labels": (
                self.mask_first >= self.epochs
            ),
        }
        return next((problem for problem, is_there in problems.items() if is_there), None)


class Model(Protocol):
    """An entry of `models`: a network, with what of the protocol is its own (the fields set)."""

    network: Name
    """A name of `ubc_lib.models.NETWORKS`; without it the entry's own."""
    label: Annotated[str, Field(min_length=1, max_length=40)]
    """What readers see of it; without it the entry's name."""
    against: str | None = None
    """The model that it is compared with, where that is not the baseline."""

    @property
    def own(self) -> dict[str, Any]:
        """What of the protocol is this model's own."""
        return self.model_dump(include=Protocol.model_fields.keys() & self.model_fields_set)
