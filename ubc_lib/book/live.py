"""The explorers that need a kernel: any run of a study, with responses computed on demand."""

from functools import partial

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
from ubc_lib.book.words import say
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.slices import read_slices
from ubc_lib.data.split import draw_split
from ubc_lib.figures.style import RESPONSE_OPACITY
from ubc_lib.models import network_class
from ubc_lib.results.runs import has_runs, load_runs
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError
from ubc_lib.training.weights import load_weights, response_of


class LiveExplorer(VBox):
    """Choose run, test patient, slice and opacity; see what the run's model responds.

    Nothing is written. Raises InputError where the study has no slices yet.
    """

    def __init__(self, study: Study):
        wide = {"style": {"description_width": "9em"}, "layout": {"width": "auto"}}
        choose = partial(Dropdown, **wide)
        self.study, self.slices = study, read_slices(study)
        self.predictions = load_runs(study).predictions if has_runs(study) else None
        self.networks = {model: load_weights(study, model) for model in study.models}
        models = [(label, model) for model, label in reversed(study.labels.items())]
        self.model = choose(options=models, description="model")
        sizes = sorted(study.images_per_class, reverse=True)
        self.size = choose(options=sizes, description="images per class")
        self.seed = choose(options=study.seeds, description="seed")
        self.patient = choose(description="patient")
        self.place = SelectionSlider(options=[0], description="slice", **wide)
        self.opacity = FloatSlider(
            RESPONSE_OPACITY, max=1, step=0.05, description="opacity", **wide
        )
        self.lesion = Checkbox(True, description="outline of the lesion", **wide)
        self.picture, self.note = HTML(), HTML()
        run, view = [self.model, self.size], [self.place, self.opacity, self.lesion]
        shown = [*run, self.seed, self.patient, *view, self.picture, self.note]
        super().__init__(shown, layout={"max_width": SHOWN})
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
        row, model = self.place.value, self.model.value
        draws = network_class(self.study.models[model].network).draws_masks
        first = self.size.value, self.seed.value
        is_kept = first == (max(self.study.images_per_class), self.study.seeds[0])
        network = self.networks[model] if draws and is_kept else None
        layers = [slice_layer(self.slices, row)]
        if network:
            (response,) = response_of(self.study, model, network, self.slices, [row])
            layers.append(response_layer(response, self.opacity.value))
        if self.lesion.value:
            layers.append(lesion_layer(self.slices.masks[row]))
        self.picture.value = stacked(layers)
        said = self.predictions
        if said is not None:
            said = said[said["images_per_class"].eq(first[0]) & said["seed"].eq(first[1])]
        one = next(self.slices.table.iloc[[row]].itertuples())
        caption = slice_caption(one, said, positive_label(self.slices), self.study.labels)
        values = {"study": self.study, "model": model, "size": first[0], "seed": first[1]}
        values |= {"drawn": network is not None, "draws": draws, "kept": is_kept}
        self.note.value = caption + say("live.html.j2", **values)


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
    lesion = {"colormap": "warm", "opacity": 0.5, "cal_min": 0, "cal_max": 1}
    viewer.load_volumes(
        [{"path": found["image"], "colormap": "gray"}, {"path": found["mask"], **lesion}]
    )
    return viewer
