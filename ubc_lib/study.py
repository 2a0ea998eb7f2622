"""One study: every setting that a result depends on, checked and frozen."""

import difflib
import hashlib
import os
import re
import reprlib
import shlex
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from ubc_lib.system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "studies"
MODEL_NAMES = ("resnet34", "ubc_resnet34")
LARGEST_SEED = 2**32 - 1

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


def data_folder() -> Path:
    """Where cohorts, runs and results live: `data/`, or wherever UBC_DATA points."""
    return Path(os.environ.get("UBC_DATA", ROOT / "data"))


class Study(BaseModel):
    """The settings of one study, read from `studies/<name>.yaml`.

    Sizes are in pixels unless the name says otherwise; `images_per_class` counts training slices
    of each of the two classes. Each of `seeds` is trained on every size, each of `more_seeds` on
    those that `more_seeds_at` names. A run's seed draws the halves, the subset, and the first
    weights with the order of images, unless `split_seed`, `subset_seed` or `initialisation_seed`
    holds one of them fixed.
    `volumes` says whether the cohort's files show the whole brain or boxes around lesions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
    title: str
    part_of: str | None = None  # the study whose statistics show this one's runs, beside its own

    cohort: Literal["phantom", "brats", "manifest"]
    cohort_root: Path | None = None
    outside_paths: bool = False  # whether a manifest may name files outside its folder
    positive_label: str = "HGG"
    patients_per_class: Annotated[int, Field(ge=2)] = 76
    slices_per_patient: PositiveInt = 5
    phantom_seed: Seed = 2024
    site_confounding: Annotated[float, Field(ge=0, le=1)] = 0.0

    view: Literal["whole", "lesion"] = "whole"
    box_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    fit: Literal["resize", "crop"] = "resize"
    image_size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] = 224
    normalisation: Literal["volume", "slice", "none"] = "volume"

    volumes: Literal["whole", "boxes"] = "whole"
    split_seed: Seed | None = None
    subset_seed: Seed | None = None
    initialisation_seed: Seed | None = None
    models: Annotated[tuple[Literal[MODEL_NAMES], ...], Field(min_length=1)] = MODEL_NAMES
    images_per_class: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    more_seeds: tuple[Seed, ...] = ()
    more_seeds_at: tuple[PositiveInt, ...] = ()

    epochs: PositiveInt = 200
    batch_size: Annotated[int, Field(ge=2)] = 50
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-5
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    decay_every: PositiveInt = 5
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    evaluate_every: PositiveInt = 5
    plateau_window: PositiveInt = 10
    plateau_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    stop_at_plateau: bool = False

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt = 1

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        largest = self.patients_per_class // 2 * self.slices_per_patient
        if max(self.images_per_class) > largest:
            raise ValueError(
                f"images_per_class asks for {max(self.images_per_class)} images, but the training "
                f"half holds {largest} per class ({self.patients_per_class} patients per class, "
                f"half of them, {self.slices_per_patient} slices each)"
            )
        for field in ("models", "images_per_class", "seeds", "more_seeds", "more_seeds_at"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} names a value twice: {list(values)}")
        if self.more_seeds and not self.more_seeds_at:
            raise ValueError("more_seeds need more_seeds_at, the images_per_class to train them on")
        return self

    @classmethod
    def load(cls, name: str, settings: str = "", cohort_root: str | Path = "") -> Self:
        """Read `studies/<name>.yaml` and apply `settings`, e.g. "epochs=5 images_per_class=[1,2]".

        A study with changed settings gets a name of its own (`quick-epochs_5`, or what `name=`
        says), so results never mix. `cohort_root` does not change the name: the fingerprint of
        the data guards against two cohorts under one name.
        Raises InputError naming the unknown study, key or value and what is allowed.
        """
        path = STUDIES / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(study_names())
            raise InputError(f"There is no study {name!r}. Known studies: {known}.")
        described = _read_yaml(path) | {"name": name}
        plain = cls.create(described, source=str(path)).model_dump(mode="json")
        changed = {
            key: value
            for key, value in parse_settings(settings).items()
            if key not in plain or plain[key] != value
        }
        if changed and "name" not in changed:
            changed["name"] = _derived_name(name, changed)
        elif changed.get("name") in study_names():
            raise InputError(f"name={changed['name']} is taken by studies/{changed['name']}.yaml.")
        if str(cohort_root):
            changed["cohort_root"] = str(cohort_root)
        return cls.create(described | changed, source=f"study {name!r}")

    @classmethod
    def create(cls, fields: dict, source: str) -> Self:
        """Build a study from plain values; InputError names every field that is wrong."""
        unknown = [key for key in fields if key not in cls.model_fields]
        if unknown:
            raise InputError(unknown_name("setting", unknown[0], cls.model_fields, source))
        try:
            return cls(**fields)
        except ValidationError as error:
            raise InputError(f"In {source}: {_explain(error)}.") from error

    @property
    def run_folder(self) -> Path:
        """Everything that running this study writes on this machine."""
        return data_folder() / "runs" / self.name

    @property
    def results_folder(self) -> Path:
        """Where the committed results of this study are, if there are any."""
        return data_folder() / "results" / self.name

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """`seeds`, and those of `more_seeds` that have a size to be trained on."""
        return self.seeds + tuple(
            seed for seed in self.more_seeds if seed not in self.seeds and self.sizes_of(seed)
        )

    def sizes_of(self, seed: int) -> tuple[int, ...]:
        """The numbers of images per class on which a seed is trained."""
        if seed in self.seeds or seed not in self.more_seeds:
            return self.images_per_class
        return tuple(size for size in self.images_per_class if size in self.more_seeds_at)

    def drawn_by(self, seed: int) -> dict[str, int]:
        """The seeds of what a run draws: its halves ("split"), "subset" and "initialisation"."""
        fixed = {
            "split": self.split_seed,
            "subset": self.subset_seed,
            "initialisation": self.initialisation_seed,
        }
        return {purpose: seed if own is None else own for purpose, own in fixed.items()}

    @property
    def varied(self) -> tuple[str, ...]:
        """What a run's seed draws, of "split", "subset" and "initialisation"."""
        one, other = self.drawn_by(0), self.drawn_by(1)
        return tuple(purpose for purpose in one if one[purpose] != other[purpose])

    @property
    def planned_runs(self) -> list[tuple[str, int, int]]:
        """Every training that the study asks for: model, images per class, seed."""
        return [
            (model, size, seed)
            for model in self.models
            for size in self.images_per_class
            for seed in self.all_seeds
            if size in self.sizes_of(seed)
        ]

    @property
    def whole_slices(self) -> bool:
        """Whether the models are shown whole slices, as in the paper, not boxes around lesions."""
        return self.view == "whole" and self.volumes == "whole"

    @property
    def memory_mb(self) -> int:
        """Upper estimate of the memory of one training process on a CPU.

        Peaks measured with UBC-ResNet34 in batches of 50: 1618 MB at 64 px and 3414 MB at 224 px
        in bf16, 5459 MB at 224 px in fp32.
        """
        return round(1500 + 90 * self.batch_size * (self.image_size / 224) ** 2)

    @property
    def shareable(self) -> bool:
        """Whether pictures of its patients may be published: only of phantoms."""
        return self.cohort == "phantom"

    def to_yaml(self) -> str:
        """All settings as YAML, without the path of the cohort, which is this machine's."""
        fields = self.model_dump(mode="json", exclude={"cohort_root"})
        return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def run_name(model: str, images_per_class: int, seed: int) -> str:
    """The name of one run's files."""
    return f"{model}-n{images_per_class:03d}-seed{seed}"


def record_path(study: Study, model: str, images_per_class: int, seed: int) -> Path:
    """Where the record of a run is, or will be."""
    return study.run_folder / "records" / f"{run_name(model, images_per_class, seed)}.json"


def study_names() -> list[str]:
    """Names of the studies in `studies/`."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def parts_of(study: Study) -> list[Study]:
    """The studies of `studies/` that belong to this one."""
    others = (Study.load(name) for name in study_names())
    return [other for other in others if other.part_of == study.name]


def parse_settings(text: str) -> dict:
    """'epochs=5 images_per_class=[1,2]' -> {"epochs": 5, "images_per_class": [1, 2]}."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
        settings = {key: yaml.safe_load(value) for key, sign, value in pairs if sign}
    except Exception:  # PyYAML answers odd text with errors of every kind
        settings, pairs = {}, [text]
    if len(settings) < len(pairs):
        raise InputError(
            f"The settings {text!r} must be key=value pairs, each key once, separated by spaces, "
            "with no spaces inside: images_per_class=[1,2] epochs=5."
        )
    return settings


def unknown_name(kind: str, name: str, allowed, where: str) -> str:
    """The message for a misspelt name: the likely one first, then all."""
    near = difflib.get_close_matches(str(name), list(allowed), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {kind} {name!r} in {where}.{hint} Allowed: {', '.join(allowed)}."


def _read_yaml(path: Path) -> dict:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML answers odd text with errors of every kind
        raise InputError(f"{path} is not readable YAML: {error}.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} must hold one 'key: value' per line.")
    return fields


def _derived_name(name: str, changed: dict) -> str:
    def slug(value) -> str:
        return re.sub(r"[^A-Za-z0-9.]+", ".", str(value)).strip(".")

    parts = [f"{key}_{slug(value)}" for key, value in sorted(changed.items())]
    long = "-".join([name, *parts])
    if len(long) <= 80:
        return long
    return f"{name}-{hashlib.sha256(long.encode()).hexdigest()[:8]}"


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {text}, got {reprlib.repr(problem['input'])}" if field else text)
    return "; ".join(lines)
