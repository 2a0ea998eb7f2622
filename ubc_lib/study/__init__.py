"""One study: every setting that a result depends on, checked and frozen."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationError,
    field_serializer,
    model_validator,
)

from ubc_lib.study.cohort import Cohort, Seed
from ubc_lib.study.files import data_folder, described_study, study_names
from ubc_lib.study.protocol import Model, Name, Protocol
from ubc_lib.system.errors import InputError, unknown_name
from ubc_lib.system.settings import derived_name, explain, parse_settings

SYNTHETIC = "phantom"  # the cohort that is made, not read
# Patients whom the paper is about, or made in their likeness.
PAPER_COHORTS = (SYNTHETIC, "brats", "brats2020_slices")
# The networks of the paper, as it prints their names.
PAPER_LABELS = {"resnet34": "ResNet34", "ubc_resnet34": "UBC-ResNet34"}


# Settings that leave the runs of a study as they are.
SAME_RUNS = ("graphs", "artefacts")


def _off(value):
    """YAML reads the word off as false."""
    return "off" if value is False else value


Run = tuple[str, int, int]  # model, images per class, seed


class Pair(NamedTuple):
    """Two models that are compared: the difference is of `model` less `against`."""

    model: str
    against: str


class Study(Protocol, Cohort):
    """The settings of one study, read from `studies/<name>.yaml`.

    A file that names another study in `like` has its settings but for those it gives itself.
    Models are trained alike but for what an entry of `models` says of itself. A run's seed draws
    the halves, the subset, and the first weights with the order of images.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
    """That of its file."""
    title: str
    """What readers see of it."""
    part_of: str | None = None
    """The study whose statistics show this one's runs, beside its own."""

    volumes: Literal["whole", "boxes"] = "whole"
    """Whether files show whole brains, or boxes cut around lesions beforehand."""
    split: Literal["halves", "given", "site"] = "halves"
    """Who is tested: half of the patients, those that a manifest says, or in turn, by seed, those
    of each site that sent both classes."""
    split_seed: Seed | None = None
    """Holds the halves fixed, whatever a run's seed."""
    subset_seed: Seed | None = None
    """Holds the subset fixed."""
    initialisation_seed: Seed | None = None
    """Holds the first weights, and the order of images, fixed."""
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    """Names, or a mapping from names to settings of their own; both of the paper's without it."""
    baseline: str
    """What models are compared with: ResNet34 or, without it, the first."""
    images_per_class: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    """Sizes of subsets: training slices of each of the two classes."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """Trained on every size."""
    more_seeds: tuple[Seed, ...] = ()
    """Trained on the sizes of more_seeds_at alone."""
    more_seeds_at: tuple[PositiveInt, ...] = ()
    """Those sizes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """A GPU where there is one, or what is named."""
    layers: Literal["auto", "torch"] = "auto"
    """Whether some are written by hand for speed, or all are torch's."""
    graphs: Annotated[Literal["auto", "off"], BeforeValidator(_off)] = "auto"
    """Whether a GPU's training steps are replayed as CUDA graphs; not where layers are torch's."""
    keep_weights: Literal["first", "all"] = "first"
    """Of the largest runs, those of the first seed or of all."""
    artefacts: bool = False
    """Test the kept networks on images with noise and artefacts, too: see
    `ubc_lib.training.artefacts`."""
    threads: PositiveInt = 1
    """Of a training on a CPU."""

    @model_validator(mode="before")
    @classmethod
    def _models_and_baseline(cls, fields: dict) -> dict:
        """What goes without saying of models: both of the paper's, networks, labels, baseline."""
        models = fields.get("models", [*PAPER_LABELS])
        names = [*models] if isinstance(models, dict | list | tuple) else []
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"models must name one or more models, got {models!r}")
        if len(set(names)) < len(names):
            raise ValueError(f"models names a value twice: {names}")
        entries = {}
        for name in names:
            entry = (models[name] if isinstance(models, dict) else None) or {}
            if not isinstance(entry, dict):
                raise ValueError(f"models.{name} must hold settings, got {entry!r}")
            label = PAPER_LABELS.get(name, name.replace("_", " "))
            entries[name] = {"network": name, "label": label} | entry
        baseline = [*(name for name in PAPER_LABELS if name in names), *names][0]
        return {"baseline": baseline} | fields | {"models": entries}

    @field_serializer("models")
    def _plain_models(self, models: dict[str, Model]) -> dict:
        return {name: entry.model_dump(exclude_unset=True) for name, entry in models.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        largest = self.patients_per_class // 2 * self.slices_per_patient
        largest = largest if self.split == "halves" else None
        if largest and max(self.images_per_class) > largest:
            raise ValueError(
                f"images_per_class asks for {max(self.images_per_class)} images, but the training "
                f"half holds {largest} per class ({self.patients_per_class} patients per class, "
                f"half of them, {self.slices_per_patient} slices each)"
            )
        for field in ("images_per_class", "seeds", "more_seeds", "more_seeds_at"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} names a value twice: {list(values)}")
        if self.more_seeds and not self.more_seeds_at:
            raise ValueError("more_seeds need more_seeds_at, the images_per_class to train them on")
        if "dummy" in self.models:
            raise ValueError("dummy is the name of the classifier that guesses; rename the model")
        sizes = min(self.images_per_class), max(self.images_per_class)
        for name in self.models:
            if problem := self.of(name).contradiction(*sizes, largest):
                raise ValueError(f"{problem} (model {name})")
        for name, other in [("baseline", self.baseline), *self.pairs]:
            if other not in self.models:
                raise ValueError(f"{name} is compared with {other!r}, none of the models")
        return self

    @model_validator(mode="after")
    def _masks_make_sense(self) -> Self:
        if self.mask_above is not None and self.mask_value is not None:
            raise ValueError("mask_above and mask_value both say what a mask marks; set one")
        if self.without_lesion and (self.view == "lesion" or self.smallest_lesion_mm2):
            raise ValueError("without_lesion: there is no lesion to cut boxes or ask areas of")
        for name in self.models if self.without_lesion else ():
            if self.of(name).needs_mask:
                raise ValueError(f"without_lesion: its masks give the class away (model {name})")
        return self

    @classmethod
    def load(cls, name: str, settings: str = "", cohort_root: str | Path = "") -> Self:
        """Read `studies/<name>.yaml` and apply `settings`, e.g. "epochs=5 images_per_class=[1,2]".

        A study with changed settings gets a name of its own (`quick-epochs_5`, or what `name=`
        says), so results never mix, but for `SAME_RUNS`; of `cohort_root` the fingerprint of the
        data takes care.
        Raises InputError naming the unknown study, key or value and what is allowed.
        """
        described = described_study(name) | {"name": name}
        given = parse_settings(settings)
        plain = cls.create(described, source=f"studies/{name}.yaml").model_dump(mode="json")
        asked = cls.create(described | given, source=f"study {name!r}").model_dump(mode="json")
        changed = {key: value for key, value in given.items() if plain[key] != asked[key]}
        renaming = {key: value for key, value in changed.items() if key not in SAME_RUNS}
        if renaming and "name" not in changed:
            changed["name"] = derived_name(name, renaming)
        elif changed.get("name") in study_names():
            raise InputError(f"name={changed['name']} is taken by studies/{changed['name']}.yaml.")
        if "seeds" in changed and "more_seeds" not in given:  # these seeds and no others
            changed |= {"more_seeds": [], "more_seeds_at": []}
        if str(cohort_root):
            changed["cohort_root"] = str(Path(cohort_root).expanduser())
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
            raise InputError(f"In {source}: {explain(error)}.") from error

    @property
    def run_folder(self) -> Path:
        """Everything that running this study writes on this machine."""
        return data_folder() / "runs" / self.name

    @property
    def results_folder(self) -> Path:
        """Where the committed results of this study are, if there are any."""
        return data_folder() / "results" / self.name

    @property
    def pairs(self) -> list[Pair]:
        """Every model but the baseline, with the one that it is compared with."""
        against = {name: entry.against or self.baseline for name, entry in self.models.items()}
        return [Pair(*pair) for pair in against.items() if pair[0] != pair[1]]

    @property
    def labels(self) -> dict[str, str]:
        """What readers see of each model."""
        return {name: entry.label for name, entry in self.models.items()}

    def of(self, model: str) -> Self:
        """This study with what of the protocol is the model's own."""
        return self.model_copy(update=self.models[model].own)

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
        drawn = tuple(purpose for purpose in one if one[purpose] != other[purpose])
        return tuple(purpose for purpose in drawn if (purpose, self.split) != ("split", "given"))

    @property
    def planned_runs(self) -> list[Run]:
        """Every training that the study asks for."""
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
    def of_paper(self) -> bool:
        """Whether its patients are of the paper's kind, so that the paper's values concern it."""
        return self.cohort in PAPER_COHORTS

    @property
    def synthetic(self) -> bool:
        """Whether its patients are phantoms, so that anyone may see them."""
        return self.cohort == SYNTHETIC

    def to_yaml(self) -> str:
        """All settings as YAML, without paths, which are this machine's; of files their names."""
        fields = self.model_dump(mode="json", exclude={"cohort_root"})
        for entry in (fields, *fields["models"].values()):
            if entry.get("encoder_weights"):
                entry["encoder_weights"] = Path(entry["encoder_weights"]).name
        return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def with_younger(settings: dict, wanted: Iterable[str]) -> dict:
    """Stored settings with the wanted ones that are younger: those had their default's meaning."""
    younger = {key: Study.model_fields[key].default for key in wanted if key not in settings}
    return json.loads(json.dumps(younger, default=str)) | settings


def parts_of(study: Study) -> list[Study]:
    """The studies of `studies/` that belong to this one."""
    others = (Study.load(name) for name in study_names())
    return [other for other in others if other.part_of == study.name]
