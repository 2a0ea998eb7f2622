"""Which patients a study has, and what of their images is shown to its models."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from ubc_lib.study.protocol import Name

LARGEST_SEED = 2**32 - 1

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
# Labels and sites may be numbers, which YAML reads as such.
Text = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


class Cohort(BaseModel):
    """Whose images a study has, and what is made of them: the settings that slices depend on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cohort: Name
    """The reader of the cohort, see `ubc_lib.data.readers`; phantoms are made, not read."""
    cohort_root: Path | None = None
    """The folder or manifest that it reads, usually given as COHORT_ROOT."""
    outside_paths: bool = False
    """Whether a manifest may name files outside its folder."""
    positive_label: Text = "HGG"
    """The label that counts as positive."""
    sites: tuple[Text, ...] = ()
    """Sites to keep, all if empty; "TCIA*" names several."""
    smallest_lesion_mm2: Annotated[float, Field(ge=0)] = 0.0
    """On a slice that is taken; in pixels where images state no millimetres."""
    mask_above: float | None = None
    """Values of a mask above this are lesion; without it, and mask_value, any but 0 is."""
    mask_value: float | None = None
    """The one value of a mask that is lesion."""
    mask_share_max: Annotated[float, Field(gt=0, le=1)] | None = None
    """The largest share of an image that a lesion may have."""
    without_lesion: Text = ""
    """The label whose images hold no lesion, and need no mask."""
    patients_per_class: Annotated[int, Field(ge=2)] = 76
    """How many a seed draws of each class; half of them train, half test."""
    slices_per_patient: PositiveInt = 5
    """The slices with most lesion; patients with fewer are left out."""
    phantom: Literal["plain", "decoy", "outline"] = "plain"
    """What tells the grades of phantoms apart: see `ubc_lib.phantom.designed`."""
    phantom_amplitude: Annotated[float, Field(ge=0, le=2)] = 0.0
    """How strongly, in designed phantoms."""
    phantom_count: Annotated[int, Field(ge=1, le=9)] = 1
    """How many decoys, or lobes, a designed phantom has."""
    phantom_seed: Seed = 2024
    """Draws the phantoms."""
    site_confounding: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How tightly the scanner of a phantom goes with its grade."""

    view: Literal["whole", "lesion"] = "whole"
    """The whole slice, or a box around its lesion."""
    box_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """The side of that box; twice the lesion's length where images state no millimetres."""
    fit: Literal["resize", "crop"] = "resize"
    """How a slice becomes a square: padded and resized, or its middle alone."""
    image_size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] = 224
    """The side of that square, in pixels."""
    normalisation: Literal["volume", "slice", "none"] = "volume"
    """Over which pixels that are not 0 intensities become z-scores."""
