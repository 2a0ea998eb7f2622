"""How a model is trained: what it is shown, what it is asked, and how it learns."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


class Protocol(BaseModel):
    """The settings that a study has for all its models, and an entry of `models` for one.

    Shown: the whole `image`, or what is inside the true mask (`masked`) or outside it, black (0)
    elsewhere; `margin` is by how many pixels that mask is grown before. `mask_input`: the true mask
    is a second channel. These are controls, given to no user, since they need masks at test time.
    `two_step`: what is inside a mask that a U-Net drew, see `ubc_lib.training.two_step`.
    `augmentation`: training images are turned over at random, and with `affine` turned by up to 10°
    and scaled by up to 10 %, anew in every epoch.

    Asked, besides the label: the `mask` of the lesion, the union of its labels or each of the
    `labels` of BraTS by itself, or the `box` around it. `masks_of: another`
    gives each training image the mask of another patient. `masks_from: half`: slices of the
    training half that are not in the subset are trained on, too, for their mask alone. Without
    `mask_gradient` the decoder learns, but what it learns does not reach the encoder. `mask_first`:
    so many epochs of the mask alone. `deep_supervision`: a mask is drawn at every scale of the
    decoder. `dice`: equation (3) over a batch at once, or the mean of its images.

    Begun with: `start: shared`, whatever a seed gives, the same in both of the paper's networks, or
    `library`, as segmentation_models_pytorch begins a classifier beside a decoder;
    `encoder_weights`, a file of safetensors for the encoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Literal["whole", "masked", "outside"] = "whole"
    margin: Annotated[int, Field(ge=0, le=100)] = 0
    mask_input: bool = False
    two_step: bool = False
    augmentation: Literal["none", "flips", "affine"] = "none"

    mask: Literal["union", "labels", "box"] = "union"
    masks_of: Literal["own", "another"] = "own"
    masks_from: Literal["subset", "half"] = "subset"
    mask_gradient: bool = True
    mask_first: NonNegativeInt = 0
    deep_supervision: bool = False
    dice: Literal["batch", "image"] = "batch"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    start: Literal["shared", "library"] = "shared"
    encoder_weights: Path | None = None
    epochs: PositiveInt = 200
    batch_size: Annotated[int, Field(ge=2)] = 50
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    decay_every: PositiveInt = 5
    decay_by: Literal["epochs", "steps"] = "epochs"

    evaluate_every: PositiveInt = 5
    plateau_window: PositiveInt = 10
    plateau_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    stop_at_plateau: bool = False

    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def contradiction(self, fewest: int, most: int, half: int) -> str | None:
        """What of these settings cannot be together, or not with so many images per class.

        half: images of each class in the training half.
        """
        if self.margin and self.image == "whole" and not self.two_step:
            return "margin needs two_step, or an image that is masked or outside"
        if self.two_step and (self.image != "whole" or self.mask_input):
            return "two_step makes the image itself; it needs image: whole and no mask_input"
        if self.two_step and fewest < 3:
            return "two_step trains on five parts of the patients: images_per_class of 3 or more"
        if self.masks_from == "half" and most == half:
            return f"masks_from: half has no slice left over from {most} images_per_class"
        if self.mask_first >= self.epochs:
            return f"mask_first: {self.mask_first} leaves none of {self.epochs} epochs for labels"
        return None


class Model(Protocol):
    """An entry of `models`: a network, with what of the protocol is its own (the fields set).

    network: a name of `ubc_lib.models.NETWORKS`, the entry's own where none is given. label: what
    readers see. against: the model that it is compared with, where that is not the baseline.
    """

    network: Name
    label: Annotated[str, Field(min_length=1, max_length=40)]
    against: str | None = None

    @property
    def own(self) -> dict[str, Any]:
        """What of the protocol is this model's own."""
        return self.model_dump(include=Protocol.model_fields.keys() & self.model_fields_set)
