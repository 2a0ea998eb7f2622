"""Networks that are kept, on images that have neither label nor mask."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tests.conftest import brain, lesion, tiny_study, write_nifti, write_tree
from ubc_lib.__main__ import main
from ubc_lib.book.prediction import predict
from ubc_lib.data.planes import fit_plane, unfit_plane
from ubc_lib.data.slices import fingerprint, read_slices, save_slices
from ubc_lib.data.volumes import read_volume
from ubc_lib.models import Output
from ubc_lib.results.record import weights_path
from ubc_lib.results.runs import load_runs
from ubc_lib.system.errors import InputError
from ubc_lib.training import prediction
from ubc_lib.training.prediction import Predictor
from ubc_lib.training.run import train_across_sizes
from ubc_lib.training.weights import DRAWING, save_weights

FIRST = {"network": "resnet34", "two_step": True, "margin": 1}


@pytest.fixture
def trained(tmp_path):
    """A study of three models after one epoch, one of them two-step, with kept weights."""
    study = tiny_study(
        write_tree(tmp_path / "tree", 6),
        models={"resnet34": {}, "ubc_resnet34": {}, "first": FIRST},
        patients_per_class=6,
        images_per_class=(3,),
        epochs=1,
    )
    for model in study.models:
        train_across_sizes(study, model, 0)
    return study


class Bright(nn.Module):
    """Draws what is brighter than one standard deviation, and cannot tell the classes apart."""

    def __init__(self):
        super().__init__()
        self.device_of = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return Output(torch.zeros(len(images), 2), 100 * (images[:, :1] - 1))


@pytest.fixture
def bright(trained, monkeypatch):
    monkeypatch.setattr(prediction, "kept_networks", lambda *_: {0: (Bright(), None)})
    return trained


class Blank(Bright):
    """Draws nothing."""

    def forward(self, images):
        drawn = super().forward(images)
        return drawn._replace(mask_logits=drawn.mask_logits * 0 - 9)


@pytest.mark.parametrize("model", ["resnet34", "ubc_resnet34", "first"])
def test_a_test_patients_slices_are_answered_as_in_the_record(trained, model):
    said = load_runs(trained).predictions.query("model == @model")
    patient = said["patient"].iloc[0]
    (image,) = trained.cohort_root.rglob(f"{patient}_flair.nii*")
    answer = Predictor(trained, model)(image)
    ours = answer.slices.set_index("slice_index")["probability"]
    known = said[said["patient"] == patient].set_index("slice_index")["probability"]
    assert ours.reindex(known.index).to_numpy() == pytest.approx(known.to_numpy(), abs=1e-3)


def test_of_several_seeds_the_mean_is_answered(trained):
    study = trained.model_copy(update={"seeds": (0, 1)})
    image = next(study.cohort_root.rglob("*_flair.nii*"))
    alone = Predictor(study, "resnet34")(image).probability
    twice = weights_path(study, "resnet34", 1)
    twice.write_bytes(weights_path(study, "resnet34", 0).read_bytes())
    assert Predictor(study, "resnet34")(image).probability == pytest.approx(alone)
    train_across_sizes(study.model_copy(update={"keep_weights": "all"}), "resnet34", 1)
    both = Predictor(study, "resnet34")(image).slices["probability"]
    assert len(Predictor(study, "resnet34").networks) == 2
    assert not np.allclose(both, Predictor(trained, "resnet34")(image).slices["probability"])


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA"])
def test_a_mask_lies_on_its_image_however_that_is_stored(bright, tmp_path, axes):
    image = brain(3).astype(np.float32)
    image[lesion() > 0] += 500
    turned = nib.Nifti1Image(image, np.diag([-1, -1, 1, 1])).as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(axes)
        )
    )
    path = write_nifti(tmp_path / "new.nii.gz", np.asarray(turned.dataobj), turned.affine)
    predict(bright, "ubc_resnet34", [path], tmp_path / "out")
    (drawn,) = (tmp_path / "out" / "masks").iterdir()
    volume = read_volume(path, drawn, "new")  # the gate: same place, same grid
    known = lesion().transpose(2, 1, 0) > 0
    assert 2 * (volume.mask & known).sum() / (volume.mask.sum() + known.sum()) > 0.9


def test_of_a_volume_in_which_nothing_is_drawn_all_slices_are_counted(bright, monkeypatch):
    monkeypatch.setattr(prediction, "kept_networks", lambda *_: {0: (Blank(), None)})
    image = next(bright.cohort_root.rglob("*_flair.nii*"))
    assert Predictor(bright, "ubc_resnet34")(image).slices["counted"].all()


def test_of_a_volume_the_slices_with_most_lesion_are_counted(bright, tmp_path):
    image = brain(3).astype(np.float32)
    image[lesion() > 0] += 500  # wider from slice 1 to 4, then narrower
    answer = Predictor(bright, "ubc_resnet34")(write_nifti(tmp_path / "new.nii", image))
    assert answer.slices.query("counted")["slice_index"].tolist() == [3, 4]


@given(st.integers(8, 70), st.integers(8, 70), st.sampled_from(["resize", "crop"]))
def test_what_is_drawn_on_a_square_comes_back_to_its_place(height, width, fit):
    study = tiny_study(fit=fit, image_size=64)
    rows, columns = np.mgrid[:height, :width]
    plane = (np.hypot(rows - height / 2, columns - width / 2) < min(height, width) / 4) * 1.0
    back = unfit_plane(fit_plane(plane, study), plane.shape, study) > 0.5
    assert back.shape == plane.shape
    assert 2 * (back & (plane > 0)).sum() / (back.sum() + plane.sum()) > 0.8


def test_a_folder_of_images_gives_a_table_masks_and_a_page(bright, tmp_path, capsys):
    new = tmp_path / "new"
    new.mkdir()
    picture = Image.fromarray(np.uint8(brain(1)[:, :, 4].clip(0, 255)))
    picture.save(new / "one.png")
    (new / "two.png").write_bytes(b"no image")
    (new / "notes.txt").write_text("not an image either")
    out = tmp_path / "out"
    table = predict(bright, "ubc_resnet34", [new], out)
    assert table["image"].tolist() == [str(new / "one.png"), str(new / "two.png")]
    assert table["answer"].tolist()[0] in ("HGG", "LGG")
    assert "cannot be read" in table["problem"][1]
    assert pd.read_csv(out / "slices.csv")["slice_index"].tolist() == [0]
    assert Image.open(table["mask"][0]).size == picture.size
    page = (out / "index.html").read_text()
    assert "For research alone" in page
    assert page.count("<figure>") == 1


def test_the_command_refuses_a_study_that_was_not_run(tmp_path):
    with pytest.raises(SystemExit, match=r"slices\.npz is not there\. Run make study"):
        main(["predict", "--study", "paper", "--to", str(tmp_path), str(tmp_path / "a.png")])


def test_an_image_that_shows_nothing_or_too_much_keeps_its_row_and_the_others_theirs(
    bright, tmp_path
):
    study = bright.model_copy(update={"normalisation": "none"})
    save_slices(read_slices(bright), study)
    new = tmp_path / "new"
    new.mkdir()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(new / "black.png")
    Image.fromarray(np.full((40, 40), 70_000, np.float32)).save(new / "large.tiff")
    Image.fromarray(np.uint8(brain(1)[:, :, 4].clip(1, 255))).save(new / "sound.png")
    table = predict(study, "ubc_resnet34", [new], tmp_path / "out").set_index("image")
    table.index = [name.rpartition("/")[2] for name in table.index]
    assert "shows nothing" in table.loc["black.png", "problem"]
    assert "too large" in table.loc["large.tiff", "problem"]
    assert table.loc["sound.png", "problem"] == ""
    assert table["probability"].notna().tolist() == [False, False, True]
    with pytest.raises(InputError, match=r"out holds something already"):
        predict(study, "ubc_resnet34", [new], tmp_path / "out")


def test_a_whole_head_is_no_box_for_a_model_of_boxes(bright, tmp_path):
    head = write_nifti(tmp_path / "head.nii", np.pad(brain(1), ((90, 90), (90, 90), (0, 0))))
    study = bright.model_copy(update={"volumes": "boxes"})
    with pytest.raises(InputError, match="a whole head"):
        Predictor(study, "ubc_resnet34")(head)


def test_a_two_step_model_without_the_network_that_draws_answers_nothing(trained):
    weights_path(trained, "first", part=DRAWING).unlink()
    with pytest.raises(InputError, match="damaged or not there"):
        Predictor(trained, "first")


def test_weights_of_data_that_were_corrected_since_are_refused(trained):
    slices = read_slices(trained)
    changed = slices.table.assign(target=1 - slices.table["target"])
    known = fingerprint(slices.images, slices.masks, changed)
    save_slices(replace(slices, table=changed, fingerprint=known), trained)
    with pytest.raises(InputError, match=r"was made differently.*fingerprint of the data"):
        Predictor(trained, "resnet34")


def test_weights_of_other_settings_are_refused(trained):
    other = trained.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(InputError, match=r"was made differently \(learning_rate: 2e-05 -> 0.5\)"):
        Predictor(other, "resnet34")
    path = weights_path(trained, "resnet34")
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(InputError, match="damaged"):
        Predictor(trained, "resnet34")
    save_weights(nn.Linear(2, 2), path)
    with pytest.raises(InputError, match="does not say what it was trained with"):
        Predictor(trained, "resnet34")


@pytest.mark.parametrize("own", [{"image": "masked"}, {"mask_input": True}])
def test_a_model_that_needs_true_masks_answers_nothing_new(tree, own):
    study = tiny_study(tree, models={"control": {"network": "resnet34", **own}})
    with pytest.raises(InputError, match="needs the true mask"):
        Predictor(study, "control")
