import json
import pickle
import shutil
import zipfile
from dataclasses import fields

import pandas as pd
import pytest
import torch
from safetensors.torch import save

from tests.conftest import tiny_study
from tests.records import complete, made_record, record_all
from ubc_lib.book.publish import publish
from ubc_lib.models import build_model
from ubc_lib.results.archive import LARGEST_RECORD
from ubc_lib.results.record import read_record, record_path, weights_path, write_record
from ubc_lib.results.runs import Runs, load_runs, tidy, write_tables
from ubc_lib.system.errors import InputError
from ubc_lib.training.weights import load_weights, save_weights


@pytest.fixture
def finished():
    study = tiny_study()
    record_all(study)
    return study


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = made_record(tiny_study())
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-20],
        lambda text: text.replace("0.75", "0.95"),
        lambda text: "[]",
        lambda text: "",
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "checksum"}),
    ],
    ids=["truncated", "altered", "a list", "empty", "no checksum"],
)
def test_a_damaged_or_altered_record_is_named_and_never_used(finished, spoil):
    path = record_path(finished, "resnet34", 2, 0)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError, match=rf"{path.name}.*Delete it to run it again"):
        load_runs(finished)


@pytest.mark.parametrize("name", ["commit", "date", "precision"])
def test_a_record_whose_origin_is_markup_is_refused_although_its_checksum_fits(finished, name):
    record = made_record(finished)
    record["provenance"][name] = "`<b>`"
    write_record(record_path(finished, "resnet34", 2, 0), record)
    with pytest.raises(InputError, match=rf"provenance\.{name}.*Delete it to run it again"):
        load_runs(finished)


def test_a_record_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "record.json"
    write_record(path, made_record(tiny_study()))
    before = path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(path, made_record(tiny_study(), accuracy=float("nan")))
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tables_are_tidy(finished):
    loaded = load_runs(finished)
    assert len(loaded.runs) == 2 * 3
    assert len(loaded.evaluations) == len(loaded.history) == 6 * 2
    assert len(loaded.predictions) == 6 * 4
    for table in (loaded.runs, loaded.evaluations, loaded.history, loaded.predictions):
        assert {"model", "images_per_class", "seed"} <= set(table)


def test_dice_of_the_baseline_is_missing_not_zero(finished):
    runs = load_runs(finished).runs.set_index("model")
    assert runs.loc["resnet34", "dice"].isna().all()
    assert (runs.loc["ubc_resnet34", "dice"] == 0.5).all()


def test_runs_come_in_order_whatever_the_files_are_called():
    study = tiny_study(patients_per_class=24, slices_per_patient=5, images_per_class=(2, 10, 60))
    records = [made_record(study, images_per_class=size) for size in (60, 2, 10)]
    assert tidy(records).runs["images_per_class"].tolist() == [2, 10, 60]


def test_sizes_that_the_study_no_longer_has_are_not_shown(finished):
    fewer = tiny_study(images_per_class=(1, 2))
    assert set(load_runs(fewer).runs["images_per_class"]) == {1, 2}


def test_more_seeds_join_at_the_sizes_that_ask_for_them(finished):
    more = tiny_study(more_seeds=(7,), more_seeds_at=(2,))
    for size in (1, 2):
        record = made_record(more, images_per_class=size, seed=7)
        write_record(record_path(more, "resnet34", size, 7), record)
    runs = load_runs(more).runs
    assert len(runs) == 2 * 3 + 1
    assert runs.loc[runs["seed"] == 7, "images_per_class"].tolist() == [2]


def test_a_study_without_results_says_how_to_get_them():
    with pytest.raises(InputError, match=r"no results yet.*make study STUDY=tiny"):
        load_runs(tiny_study())


def test_records_of_other_settings_are_refused_with_the_difference(finished):
    with pytest.raises(InputError, match=r"alpha: 0\.5 -> 0\.4"):
        load_runs(tiny_study(alpha=0.4))


def test_a_setting_younger_than_the_records_has_its_default(finished):
    record = made_record(finished)
    del record["settings"]["site_confounding"]
    write_record(record_path(finished, "resnet34", 2, 0), record)
    load_runs(finished)
    with pytest.raises(InputError, match=r"site_confounding: 0\.0 -> 0\.5"):
        load_runs(tiny_study(site_confounding=0.5))


def test_records_of_two_cohorts_are_refused(finished):
    record = made_record(finished) | {"fingerprint": "0" * 64}
    write_record(record_path(finished, "ubc_resnet34", 4, 0), record)
    with pytest.raises(InputError, match="fingerprint of the data"):
        load_runs(finished)


def test_tables_are_written_as_csv(finished):
    write_tables(finished, {"areas": pd.DataFrame({"x": [1 / 3]})})
    assert (finished.run_folder / "tables" / "areas.csv").read_text() == "x\n0.33333333\n"


def test_published_results_read_like_the_runs_they_come_from(finished):
    complete(finished)
    before = load_runs(finished)
    publish(finished)
    shutil.rmtree(finished.run_folder)
    after = load_runs(finished)
    for part in fields(Runs):
        pd.testing.assert_frame_equal(getattr(after, part.name), getattr(before, part.name))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-40]),
            "records cannot be read",
        ),
        (lambda path: add_zeros(path, LARGEST_RECORD + 1), "zeros.json has a place or a size"),
    ],
    ids=["truncated", "a bomb"],
)
def test_a_spoilt_archive_of_records_is_refused_unread(finished, spoil, message):
    complete(finished)
    folder = publish(finished)
    shutil.rmtree(finished.run_folder)
    spoil(folder / "records.zip")
    with pytest.raises(InputError, match=message):
        load_runs(finished)


def add_zeros(path, count: int) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.json", bytes(count))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:-40],
        lambda whole: b"\xff" * 8 + whole[8:],
        lambda whole: save({"of another network": torch.zeros(1)}),
        lambda whole: pickle.dumps({"weights": 1}),
    ],
    ids=["truncated", "a header of 2^64 bytes", "another network's", "a pickle"],
)
def test_spoilt_weights_are_named_and_not_used(spoil):
    study = tiny_study()
    path = weights_path(study, "resnet34")
    save_weights(build_model("resnet34", 0), path)
    assert load_weights(study, "resnet34")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=r"safetensors are damaged.*Delete them"):
        load_weights(study, "resnet34")


def test_an_altered_record_among_the_published_ones_is_named(finished):
    complete(finished)
    folder = publish(finished)
    shutil.rmtree(finished.run_folder)
    with zipfile.ZipFile(folder / "records.zip", "a") as archive:
        archive.writestr("resnet34-n009-seed0.json", "{}")
    with pytest.raises(InputError, match=r"records\.zip/resnet34-n009-seed0\.json"):
        load_runs(finished)
