"""The explorers that need a kernel: any run of a study, with responses computed on demand."""

import pandas as pd
from ipyniivue import NiiVue
from ipywidgets import HTML, Checkbox, Dropdown, FloatSlider, SelectionSlider, VBox

from ubc_lib.book.layers import (
    lesion_layer,
    positive_label,
    response_layer,
    slice_caption,
    slice_layer,
    stacked,
)
from ubc_lib.book.widgets import SHOWN
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.slices import load_slices
from ubc_lib.data.split import draw_split
from ubc_lib.figures.style import RESPONSE_OPACITY
from ubc_lib.models import network_class
from ubc_lib.results.runs import load_runs
from ubc_lib.study import Study, study_names
from ubc_lib.system.errors import InputError
from ubc_lib.training.evaluation import response_maps
from ubc_lib.training.weights import load_weights

WIDE = {"style": {"description_width": "9em"}, "layout": {"width": "auto"}}


class LiveExplorer(VBox):
    """Choose a study, then what `RunExplorer`, as `shown`, lets you choose in it.

    study: the one shown first. Others can be chosen once their slices are in their run folders.
    Raises InputError where the cohort of the first study cannot be used.
    """

    def __init__(self, study: Study):
        self.study = Dropdown(options=_openable(study), description="study", **WIDE)
        super().__init__(layout={"max_width": SHOWN})
        self._open()
        self.study.observe(self._open, "value")

    def _open(self, _=None) -> None:
        self.shown = RunExplorer(self.study.value)
        self.children = [self.study, self.shown]


class RunExplorer(VBox):
    """Choose run, test patient, slice and opacity; see what the run's model responds."""

    def __init__(self, study: Study):
        self.study, self.slices = study, load_slices(study)
        try:
            self.predictions = load_runs(study).predictions
        except InputError:
            self.predictions = None
        self.networks = {model: load_weights(study, model) for model in study.models}
        models = [(label, model) for model, label in reversed(study.labels.items())]
        sizes = sorted(study.images_per_class, reverse=True)
        self.model = Dropdown(options=models, description="model", **WIDE)
        self.size = Dropdown(options=sizes, description="images per class", **WIDE)
        self.seed = Dropdown(options=study.seeds, description="seed", **WIDE)
        self.patient = Dropdown(description="patient", **WIDE)
        self.place = SelectionSlider(options=[0], description="slice", **WIDE)
        self.opacity = FloatSlider(
            RESPONSE_OPACITY, max=1, step=0.05, description="opacity", **WIDE
        )
        self.lesion = Checkbox(True, description="outline of the lesion", **WIDE)
        self.picture, self.note = HTML(), HTML()
        run, view = [self.model, self.size], [self.place, self.opacity, self.lesion]
        super().__init__([*run, self.seed, self.patient, *view, self.picture, self.note])
        self.seed.observe(self._list_patients, "value")
        self.patient.observe(self._list_slices, "value")
        self._list_patients()
        for choice in [*run, *view]:
            choice.observe(self._draw, "value")
        self._draw()

    def _list_patients(self, _=None) -> None:
        test = draw_split(self.slices.table, self.study, self.seed.value).test
        patients = self.slices.table.iloc[test].drop_duplicates("patient")
        self.patient.options = [
            (f"{one.patient} ({one.label})", one.patient) for one in patients.itertuples()
        ]
        self.patient.index = 0

    def _list_slices(self, _=None) -> None:
        rows = self.slices.table[self.slices.table["patient"] == self.patient.value]
        if len(rows):  # a new list of patients starts with none chosen
            self.place.options = [(str(one.slice_index), one.Index) for one in rows.itertuples()]

    def _draw(self, _=None) -> None:
        row = self.place.value
        layers = [slice_layer(self.slices, row)]
        missing = self._why_no_response()
        if not missing:
            network = self.networks[self.model.value]
            (response,) = response_maps(network, self.slices.images[[row]])
            layers.append(response_layer(response, self.opacity.value))
        if self.lesion.value:
            layers.append(lesion_layer(self.slices.masks[row]))
        self.picture.value = stacked(layers)
        one = next(self.slices.table.iloc[[row]].itertuples())
        said = slice_caption(one, self._said(), positive_label(self.slices), self.study.labels)
        self.note.value = f"{said}<p>{missing}</p>"

    def _said(self) -> pd.DataFrame | None:
        """What all models of the chosen size and seed said about every slice."""
        if self.predictions is None:
            return None
        return self.predictions[
            self.predictions["images_per_class"].eq(self.size.value)
            & self.predictions["seed"].eq(self.seed.value)
        ]

    def _why_no_response(self) -> str:
        """Why the chosen run has no response, and what to do; empty where it has one."""
        study, model = self.study, self.model.value
        if not network_class(study.models[model].network).draws_masks:
            return f"{study.labels[model]} draws no lesion, so it has no response."
        if (self.size.value, self.seed.value) != (max(study.images_per_class), study.seeds[0]):
            settings = f"images_per_class=[{self.size.value}] seeds=[{self.seed.value}]"
            return (
                "A study keeps the weights of its largest subset and first seed. For the response "
                f"of this run, train it by itself: <code>make study STUDY={study.name} "
                f'SET="{settings}"</code>, then open this notebook with <code>settings = '
                f'"{settings}"</code>.'
            )
        if self.networks[model] is None:
            command = f"make study STUDY={study.name}"
            return f"No weights are kept here. Train the model first: <code>{command}</code>."
        return ""


def volume_view(study: Study, patient: str) -> NiiVue:
    """A patient's volume and lesion in three planes and in 3-D.

    Raises InputError for an unknown patient, or one whose images are no volumes.
    """
    cohort = read_cohort(study).set_index("patient")
    if patient not in cohort.index:
        raise InputError(f"Study {study.name} has no patient {patient!r}.")
    found = cohort.loc[[patient]].iloc[0]
    if ".nii" not in found["image"].suffixes:
        raise InputError(f"{found['image']} is a picture; a volume view needs a NIfTI file.")
    viewer = NiiVue(is_radiological_convention=True)
    viewer.load_volumes(
        [
            {"path": found["image"], "colormap": "gray"},
            {"path": found["mask"], "colormap": "warm", "opacity": 0.5, "cal_min": 0, "cal_max": 1},
        ]
    )
    return viewer


def _openable(study: Study) -> dict[str, Study]:
    """The given study, and every other whose slices are on this machine, by name."""
    found = {study.name: study}
    for name in study_names():
        other = Study.load(name, cohort_root=study.cohort_root or "")
        if (other.run_folder / "slices.npz").is_file():
            found.setdefault(name, other)
    return found
