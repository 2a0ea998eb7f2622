"""The live explorer: choices lead to pictures, and what is missing is said with what to do."""

import pytest

from tests.conftest import tiny_study
from tests.records import record_all
from ubc_lib.book.live import LiveExplorer, volume_view
from ubc_lib.data.slices import load_slices
from ubc_lib.models import build_model
from ubc_lib.results.record import weights_path
from ubc_lib.system.errors import InputError
from ubc_lib.training.weights import save_weights


@pytest.fixture
def study(study):
    """A study with slices."""
    load_slices(study)
    return study


@pytest.fixture
def trained(study):
    """A study with weights, as training keeps them."""
    for model in study.models:
        save_weights(build_model(model, seed=0), weights_path(study, model))
    return study


def test_the_response_of_a_kept_run_is_drawn(trained):
    explorer = LiveExplorer(trained)
    assert (explorer.model.value, explorer.size.value) == ("ubc_resnet34", 4)
    assert "Response of the model" in explorer.picture.value
    assert "Outline of the lesion" in explorer.picture.value


def test_outline_and_opacity_change_the_picture(trained):
    explorer = LiveExplorer(trained)
    before = explorer.picture.value
    explorer.opacity.value = 0.1
    assert explorer.picture.value != before
    explorer.lesion.value = False
    assert "Outline" not in explorer.picture.value


def test_only_test_patients_with_their_own_slices_are_offered(trained):
    explorer = LiveExplorer(trained)
    assert len(explorer.patient.options) == 4
    for _, patient in explorer.patient.options:
        explorer.patient.value = patient
        assert f"of patient {patient}," in explorer.picture.value


def test_a_model_without_decoder_has_no_response(trained):
    explorer = LiveExplorer(trained)
    explorer.model.value = "resnet34"
    assert "Response" not in explorer.picture.value
    assert "ResNet34 draws no lesion" in explorer.note.value


def test_a_run_whose_weights_are_not_kept_says_how_to_train_it(trained):
    explorer = LiveExplorer(trained)
    explorer.size.value = 2
    assert 'make study STUDY=tiny SET="images_per_class=[2] seeds=[0]"' in explorer.note.value


def test_without_any_weights_the_study_must_be_run(study):
    assert "make study STUDY=tiny" in LiveExplorer(study).note.value


def test_what_the_models_said_stands_below_once_they_ran(study):
    explorer = LiveExplorer(study)
    assert "probability" not in explorer.note.value
    record_all(study)
    patient, place = explorer.patient.value, explorer.place.label
    explorer = LiveExplorer(study)
    explorer.predictions = explorer.predictions.assign(patient=patient, slice_index=int(place))
    explorer.size.value = 1
    assert "UBC-ResNet34: probability of HGG" in explorer.note.value


def test_a_volume_is_shown_with_its_lesion(study):
    patient = LiveExplorer(study).patient.value
    names = [volume.name for volume in volume_view(study, patient).volumes]
    assert names == [f"{patient}_flair.nii.gz", f"{patient}_seg.nii.gz"]


def test_who_only_looks_makes_no_slices(tree):
    with pytest.raises(InputError, match="Run make study STUDY=fresh first"):
        LiveExplorer(tiny_study(tree, name="fresh"))


def test_an_unknown_patient_is_named(study):
    with pytest.raises(InputError, match="no patient 'nobody'"):
        volume_view(study, "nobody")
