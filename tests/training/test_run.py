import copy
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.conftest import brain, tiny_study, write_patient, write_tree
from ubc_lib.data.slices import load_slices
from ubc_lib.data.split import draw_split
from ubc_lib.models import build_model, parameter_count
from ubc_lib.results.record import (
    check_first_weights,
    check_record,
    first_weights,
    read_record,
    record_path,
    weights_path,
)
from ubc_lib.results.runs import load_runs
from ubc_lib.results.tables import accuracy_by_images, run_overview
from ubc_lib.study import Study
from ubc_lib.study.files import ROOT
from ubc_lib.system import files
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import torch_seed
from ubc_lib.training import provenance, run
from ubc_lib.training.provenance import git_commit
from ubc_lib.training.run import train_across_sizes, train_run
from ubc_lib.training.weights import DRAWING, load_weights, save_weights

VARIES = ("seconds", "date")


def without_time(value):
    """A record without what differs from one time to the next."""
    if isinstance(value, dict):
        return {k: without_time(v) for k, v in value.items() if k not in (*VARIES, "checksum")}
    return value


def test_the_commit_is_the_projects_own_never_that_of_a_repository_around_it(monkeypatch):
    assert len(git_commit().removesuffix("+changes")) == 12
    monkeypatch.setattr(provenance, "ROOT", ROOT / "ubc_lib")
    assert git_commit() == "unknown"
    monkeypatch.setenv("UBC_COMMIT", "0123456789ab")
    assert git_commit() == "0123456789ab"


class Begun(Exception):
    """As far as a test goes."""


@pytest.fixture
def begun(monkeypatch) -> list:
    """What training is given, of runs that end there, after their weights are spoilt."""
    given = []

    def fit(model, *_, checkpoint, **__):
        given.append((copy.deepcopy(model.state_dict()), checkpoint.identity))
        torch.nn.utils.vector_to_parameters(torch.zeros(parameter_count(model)), model.parameters())
        raise Begun

    monkeypatch.setattr(run, "fit", fit)
    return given


def test_a_checkpoint_in_another_precision_is_not_gone_on_from(study, begun, monkeypatch):
    for precision in ("fp32", "bf16"):
        monkeypatch.setattr(run, "choose_precision", lambda *_, one=precision: one)
        with pytest.raises(Begun):
            train_run(study, load_slices(study), "resnet34", 2, seed=0)
    (_, first), (_, second) = begun
    assert first != second


def test_a_run_begins_with_the_weights_of_its_seed_whatever_was_trained_before(study, begun):
    for seed in (0, 0, 1):
        with pytest.raises(Begun):
            train_run(study, load_slices(study), "resnet34", 2, seed)
    (first, _), (again, _), (other, _) = begun
    expected = build_model("resnet34", torch_seed(0, "initialisation")).state_dict()
    for name, weights in expected.items():
        assert torch.equal(first[name], weights)
        assert torch.equal(again[name], weights)
    assert not torch.equal(other["encoder.conv1.weight"], first["encoder.conv1.weight"])


@pytest.fixture
def record(study) -> dict:
    return train_run(study, load_slices(study), "ubc_resnet34", 2, seed=0)


def test_a_record_says_where_it_comes_from(record, study):
    assert record["run"] == {
        "study": "tiny",
        "model": "ubc_resnet34",
        "images_per_class": 2,
        "seed": 0,
    }
    assert record["settings"]["epochs"] == study.epochs
    assert record["fingerprint"] == load_slices(study).fingerprint
    assert {"commit", "date", "device", "precision", "packages"} <= set(record["provenance"])
    assert record["seeds"] == {"split": 0, "subset": 0, "initialisation": 0}


def test_the_reported_metric_is_the_mean_of_the_reported_evaluations(record):
    assert record["evaluations"]["epoch"] == [1, 2, 3]
    assert record["result"]["accuracy"] == pytest.approx(np.mean(record["evaluations"]["accuracy"]))
    assert record["result"]["dice"] == pytest.approx(np.mean(record["evaluations"]["dice"]))
    assert np.mean(record["predictions"]["correct"]) == pytest.approx(record["result"]["accuracy"])


def test_every_test_slice_has_its_prediction(record, study):
    table = load_slices(study).table
    test = table.iloc[draw_split(table, study, 0).test]
    assert record["predictions"]["patient"] == test["patient"].tolist()
    assert record["result"]["n_test"] == len(test) == 8


def test_training_rows_are_of_no_test_patient(record, study):
    table = load_slices(study).table
    trained = set(table["patient"].iloc[record["training_rows"]])
    assert not trained & set(record["predictions"]["patient"])


def test_the_baseline_counts_no_mask_pixels_and_has_no_dice(study):
    record = train_run(study, load_slices(study), "resnet34", 2, seed=0)
    assert record["result"]["train_mask_pixels"] == 0
    assert record["result"]["dice"] is None


def test_same_seed_gives_the_same_record(tmp_path):
    tree = write_tree(tmp_path / "tree")
    one, other = (
        train_run(study, load_slices(study), "ubc_resnet34", 2, seed=0)
        for study in (tiny_study(tree, name="tiny"), tiny_study(tree, name="again"))
    )
    one["run"]["study"] = one["settings"]["name"] = "again"
    assert without_time(one)["history"].pop("seconds", None) is None
    assert without_time(one) == without_time(other)


def test_a_finished_run_is_not_trained_again(record, study, monkeypatch):
    monkeypatch.setattr(run, "fit", None)
    assert train_run(study, load_slices(study), "ubc_resnet34", 2, seed=0) == record


def test_a_checkpoint_is_gone_when_the_record_is_there(record, study):
    assert not list((study.run_folder / "checkpoints").glob("*.pt"))


def test_each_size_gives_one_printed_line(study, capsys):
    tables = train_across_sizes(study, "resnet34", 0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"resnet34 seed 0, {size} images per class" for size in study.images_per_class
    ]
    assert tables.runs["images_per_class"].tolist() == [1, 2, 4]


def test_weights_of_the_largest_run_are_kept_and_answer_as_in_the_record(tree):
    study = tiny_study(tree, images_per_class=(2, 4), epochs=1)
    train_across_sizes(study, "resnet34", 0)
    slices = load_slices(study)
    predictions = load_runs(study).predictions.query("images_per_class == 4")
    rows = draw_split(slices.table, study, 0).test
    images = torch.as_tensor(slices.images[rows]).unsqueeze(1)
    with torch.inference_mode():
        logits = load_weights(study, "resnet34")(images).logits
    found = logits.softmax(dim=1)[:, 1].numpy()
    assert found == pytest.approx(predictions["probability"].to_numpy(), abs=1e-3)
    assert load_weights(study, "ubc_resnet34") is None


def test_other_settings_under_the_same_name_are_refused_and_named(record, tree):
    changed = tiny_study(tree, epochs=4)
    with pytest.raises(InputError, match=r"made differently \(epochs: 3 -> 4\).*new name"):
        train_run(changed, load_slices(changed), "ubc_resnet34", 2, seed=0)


def test_other_data_under_the_same_name_are_refused_and_both_named(record, study, tree):
    (study.run_folder / "slices.npz").unlink()
    write_patient(tree / "HGG" / "BraTS19_SITE0_H0_1", flair=brain(99))
    slices = load_slices(study)
    with pytest.raises(InputError, match=f"{record['fingerprint']} -> {slices.fingerprint}"):
        train_run(study, slices, "ubc_resnet34", 2, seed=0)


def test_more_sizes_and_seeds_may_join_a_study(record, tree):
    wider = tiny_study(tree, images_per_class=(1, 2, 3), seeds=(0, 1))
    assert train_run(wider, load_slices(wider), "ubc_resnet34", 2, seed=0) == record


def test_a_full_disk_ends_the_run_with_a_message_and_keeps_earlier_records(
    record, study, monkeypatch
):
    def no_space(dir, prefix, suffix):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", no_space)
    path = record_path(study, "ubc_resnet34", 1, 0)
    with pytest.raises(InputError, match=rf"{path.name} could not be written \(No space left"):
        train_run(study, load_slices(study), "ubc_resnet34", 1, seed=0)
    assert not path.exists()
    assert read_record(record_path(study, "ubc_resnet34", 2, 0)) == record


def test_a_record_is_strict_json(record, study):
    text = record_path(study, "ubc_resnet34", 2, 0).read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_weights_are_written_for_the_first_seed_alone(tree):
    study = tiny_study(tree, images_per_class=(1,), epochs=1, seeds=(0, 1))
    train_across_sizes(study, "resnet34", 1)
    assert not weights_path(study, "resnet34").exists()


def test_weights_of_every_seed_are_kept_where_asked_with_what_they_were_trained_on(tree):
    study = tiny_study(tree, images_per_class=(1, 2), epochs=1, seeds=(0, 1), keep_weights="all")
    for seed in study.seeds:
        train_across_sizes(study, "resnet34", seed)
        with safe_open(weights_path(study, "resnet34", seed), "pt") as kept:
            assert json.loads(kept.metadata()["settings"])["epochs"] == 1
    assert len(list(weights_path(study, "resnet34").parent.iterdir())) == 2


def test_weights_are_of_the_last_epoch_that_is_reported(tree, monkeypatch):
    reported = {"images_per_class": (2,), "plateau_tolerance": 0.9}  # a plateau at once
    long, short = (tiny_study(tree, name=f"of_{n}", epochs=n, **reported) for n in (9, 6))
    for study in (long, short):
        train_across_sizes(study, "resnet34", 0)
    ours, known = (load_weights(study, "resnet34").state_dict() for study in (long, short))
    record = read_record(record_path(long, "resnet34", 2, 0))
    assert record["result"]["plateau_epoch"] == 2  # so 2 to 6 are reported
    assert all(torch.equal(ours[name], known[name]) for name in known)


def test_a_run_that_diverges_has_a_record_that_says_so_and_the_others_go_on(
    study, monkeypatch, capsys
):
    def fit_or_diverge(network, train, test, study, seed, **options):
        if len(train) == 2 * 2:
            train.images[:] = torch.nan
        return fit(network, train, test, study, seed, **options)

    fit = run.fit
    monkeypatch.setattr(run, "fit", fit_or_diverge)
    tables = train_across_sizes(study, "resnet34", 0)
    assert tables.runs["diverged_epoch"].fillna(0).tolist() == [0, 1, 0]
    assert tables.runs["accuracy"].notna().tolist() == [True, False, True]
    assert set(tables.predictions["images_per_class"]) == {1, 4}
    assert tables.history.query("images_per_class == 2")["loss"].isna().tolist() == [True]
    assert "ceased to be a number in epoch 1" in capsys.readouterr().out
    overview = run_overview(study, load_runs(study).runs).set_index(["model", "images_per_class"])
    assert overview.loc["resnet34", "diverged"].tolist() == [0, 1, 0]
    assert accuracy_by_images(tables.runs)["seeds"].tolist() == [1, 0, 1]


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_an_epoch_resumes_to_the_same_record(tmp_path, data):
    tree = write_tree(tmp_path / "tree")
    study = tiny_study(tree, epochs=40, evaluate_every=10)
    whole = train_run(
        tiny_study(tree, epochs=40, evaluate_every=10, name="whole"),
        load_slices(study),
        "resnet34",
        2,
        seed=0,
    )
    script = (
        "from pathlib import Path; from ubc_lib.training import checkpoint, run; "
        "from tests.conftest import tiny_study; from ubc_lib.data.slices import load_slices; "
        "checkpoint.SECONDS = 0.0; "
        f"study = tiny_study(Path({str(tree)!r}), epochs=40, evaluate_every=10); "
        "run.train_run(study, load_slices(study), 'resnet34', 2, 0)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    checkpoint = study.run_folder / "checkpoints" / "resnet34-n002-seed0.pt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    resumed = train_run(study, load_slices(study), "resnet34", 2, seed=0)
    for record in (whole, resumed):
        record["run"]["study"] = record["settings"]["name"] = "same"
        record["history"].pop("seconds")
    assert without_time(resumed) == without_time(whole)


@pytest.mark.parametrize(
    ("network", "own"),
    [
        ("resnet34", {"image": "masked", "margin": 1}),
        ("resnet34", {"mask_input": True}),
        ("resnet34", {"augmentation": "affine"}),
        ("ubc_resnet34", {"mask_gradient": False}),
        ("ubc_resnet34", {"masks_of": "another"}),
        ("ubc_resnet34", {"masks_from": "half"}),
        ("ubc_resnet34", {"mask": "labels"}),
        ("ubc_resnet34", {"mask": "box", "deep_supervision": True}),
        ("ubc_resnet34", {"mask_first": 1, "dice": "image"}),
        ("ubc_resnet34", {"start": "library", "decay_by": "steps"}),
    ],
)
def test_every_setting_of_a_model_trains_it_otherwise_and_stands_in_its_record(tree, network, own):
    models = {"plain": {"network": network}, "mine": {"network": network} | own}
    fields = {"images_per_class": (2,), "epochs": 2, "learning_rate": 1e-3, "decay": 0.1}
    study = tiny_study(tree, models=models, decay_every=1, **fields)
    slices = load_slices(study)
    plain, mine = (train_run(study, slices, name, 2, seed=0) for name in models)
    assert {key: mine["settings"][key] for key in own} == own
    assert plain["settings"] == mine["settings"] | {key: plain["settings"][key] for key in own}
    assert plain["history"]["loss"] != mine["history"]["loss"]
    assert [len(answers) for answers in mine["answers"]["probability"]] == [8, 8]


def test_segmenting_first_says_in_the_record_what_was_drawn(tmp_path):
    entry = {"network": "resnet34", "two_step": True, "margin": 1, "epochs": 1}
    study = tiny_study(
        write_tree(tmp_path, 6),
        models={"resnet34": {}, "first": entry},
        patients_per_class=6,
        images_per_class=(3,),
        slices_per_patient=1,
    )
    record = train_run(study, load_slices(study), "first", 3, seed=0)
    assert set(record["two_step"]) == {"empty_train", "empty_test", "dice_train", "dice_test"}
    assert weights_path(study, "first", part=DRAWING).is_file()
    assert record["result"]["train_mask_pixels"] > 0
    assert record["result"]["dice"] is None


def test_the_encoder_begins_with_the_weights_of_a_file(tree, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(build_model("resnet34", 77), path)
    study = tiny_study(tree, encoder_weights=path, epochs=1, learning_rate=1e-9)
    train_run(study, load_slices(study), "resnet34", 4, seed=0)
    trained, given = load_weights(study, "resnet34"), build_model("resnet34", 77)
    for name, weights in given.encoder.named_parameters():
        assert torch.allclose(trained.encoder.get_parameter(name), weights, atol=1e-6)
    other = build_model("resnet34", torch_seed(0, "initialisation"))
    assert torch.allclose(
        trained.classification_head[3].weight, other.classification_head[3].weight, atol=1e-6
    )


def test_weights_that_a_run_begins_with_are_told_by_what_they_are_not_where(tree, tmp_path):
    first, moved = tmp_path / "weights.safetensors", tmp_path / "elsewhere.safetensors"
    save_weights(build_model("resnet34", 77), first)
    study = tiny_study(tree, encoder_weights=first, epochs=1, images_per_class=(2,))
    record = train_run(study, load_slices(study), "resnet34", 2, seed=0)
    assert record["settings"]["encoder_weights"].startswith("sha256:")
    assert str(tmp_path) not in study.to_yaml()
    first.rename(moved)
    check_record(record, study, None, tmp_path)  # not here, so not held against it
    check_record(record, study.model_copy(update={"encoder_weights": moved}), None, tmp_path)
    save_weights(build_model("resnet34", 78), first)
    with pytest.raises(InputError, match=r"was made differently.*encoder_weights"):
        check_record(record, study, None, tmp_path)


def test_a_warm_start_is_from_the_network_that_another_study_keeps(tree, monkeypatch):
    other = tiny_study(tree, name="other", epochs=1, images_per_class=(2,))
    warm = tiny_study(tree, warm_start="other", epochs=1, images_per_class=(2,))
    load = Study.load
    monkeypatch.setattr(Study, "load", lambda name: other if name == "other" else load(name))
    with pytest.raises(InputError, match=r"begins with .*not there\. Run make study STUDY=other"):
        check_first_weights(warm)
    train_across_sizes(other, "resnet34", 0)
    save_weights(build_model("ubc_resnet34", 77), weights_path(other, "ubc_resnet34"))
    assert first_weights(warm, "resnet34") == weights_path(other, "resnet34")
    assert first_weights(warm, "ubc_resnet34") == weights_path(other, "ubc_resnet34")
    check_first_weights(warm)
    record = train_run(warm, load_slices(warm), "resnet34", 2, seed=0)
    cold = train_run(other, load_slices(other), "resnet34", 2, seed=0)
    assert record["settings"]["warm_start"] == "other"
    assert record["history"]["loss"] != cold["history"]["loss"]


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
def test_encoder_weights_that_cannot_be_read_are_named(tree, tmp_path, spoil):
    path = tmp_path / "weights.safetensors"
    save_weights(build_model("resnet34", 77), path)
    spoil(path)
    study = tiny_study(tree, encoder_weights=path)
    with pytest.raises(InputError, match=r"encoder_weights=.*cannot be loaded"):
        train_run(study, load_slices(study), "resnet34", 2, seed=0)


EARLY = {"plateau_window": 1, "plateau_tolerance": 0.99}  # a plateau from the second epoch on


def test_only_the_five_evaluations_from_the_plateau_on_are_reported(tree):
    study = tiny_study(tree, epochs=9, learning_rate=1e-3, **EARLY)
    record = train_run(study, load_slices(study), "ubc_resnet34", 4, seed=0)
    assert record["result"]["plateau_epoch"] == 2
    of_epoch = {name: np.array(values) for name, values in record["evaluations"].items()}
    five, others = slice(1, 6), slice(0, 9)
    for name in ("accuracy", "dice", "dice_per_image"):
        assert record["result"][name] == pytest.approx(of_epoch[name][five].mean())
    assert of_epoch["dice"][five].mean() != pytest.approx(of_epoch["dice"][others].mean())
    said = record["predictions"]
    assert np.mean(said["correct"]) == pytest.approx(record["result"]["accuracy"])
    assert np.mean(said["dice"]) == pytest.approx(record["result"]["dice_per_image"])
    assert record["answers"]["epoch"] == [5, 6, 7, 8, 9]
    last = record["answers"]["probability"]
    assert not np.array_equal(said["probability"], np.mean(last, axis=0))
    assert np.isin(of_epoch["epoch"][five], record["answers"]["epoch"]).sum() == 2


def test_what_comes_after_the_reported_evaluations_changes_nothing_reported(tree):
    found = []
    for epochs in (6, 9):
        study = tiny_study(tree, name=f"of_{epochs}", epochs=epochs, learning_rate=1e-3, **EARLY)
        found.append(train_run(study, load_slices(study), "ubc_resnet34", 4, seed=0))
    short, long = found
    assert short["predictions"] == long["predictions"]
    reported = ("accuracy", "dice", "dice_per_image", "plateau_epoch")
    assert [short["result"][key] == long["result"][key] for key in reported] == [True] * 4


@pytest.mark.parametrize("purpose", ["split", "subset", "initialisation"])
def test_a_fixed_seed_holds_what_it_draws_and_the_run_still_draws_the_rest(tree, purpose):
    def drawn(seed: int, **fixed) -> dict:
        study = tiny_study(tree, name="-".join(fixed), epochs=1, **fixed)
        record = train_run(study, load_slices(study), "resnet34", 1, seed=seed)
        return {
            "split": record["predictions"]["patient"],
            "subset": record["training_rows"],
            "initialisation": record["history"]["loss"],
        }

    everything = {"split_seed": 7, "subset_seed": 7, "initialisation_seed": 7}
    assert drawn(0, **everything) == drawn(1, **everything)
    everything.pop(f"{purpose}_seed")
    draws = [drawn(seed, **everything)[purpose] for seed in range(4)]
    assert len({str(draw) for draw in draws}) > 1
