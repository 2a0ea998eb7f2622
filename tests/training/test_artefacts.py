"""Networks that are kept, on test images with noise and artefacts."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from tests.conftest import tiny_study, write_tree
from ubc_lib.data.slices import read_slices
from ubc_lib.data.split import draw_split
from ubc_lib.results.runs import load_runs, write_table
from ubc_lib.system.errors import InputError
from ubc_lib.training import artefacts
from ubc_lib.training.artefacts import ARTEFACTS, most_lost, under_artefacts, with_artefact
from ubc_lib.training.run import train_across_sizes

EVERY = [(name, strength) for name, (strengths, _) in ARTEFACTS.items() for strength in strengths]
FEW = [("none", 0.0), ("noise", 0.25), ("noise", 1.0)]


@pytest.fixture
def images():
    """Two slices of a brain with black around it."""
    random = np.random.default_rng(0)
    found = np.zeros((2, 64, 64), np.float32)
    smooth = gaussian_filter(random.normal(0, 1, (2, 40, 32)), (0, 4, 4))
    found[:, 12:52, 16:48] = smooth / smooth.std()
    return found


@pytest.fixture
def trained(tmp_path):
    """A study of four models after two epochs, with kept weights; one of them is a control."""
    study = tiny_study(
        write_tree(tmp_path / "tree", 6),
        models={
            "resnet34": {},
            "ubc_resnet34": {},
            "first": {"network": "resnet34", "two_step": True},
            "masked": {"network": "resnet34", "image": "masked"},
        },
        patients_per_class=6,
        images_per_class=(3,),
        epochs=2,
        evaluate_every=2,
        artefacts=True,
    )
    for model in study.models:
        train_across_sizes(study, model, 0)
    return study


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_an_artefact_changes_the_brain_and_leaves_the_rest_black(images, name, strength):
    changed = with_artefact(images, name, strength, seed=0)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert (changed[images == 0] == 0).all()
    assert np.abs(changed - images).max() > 0.01


@pytest.mark.parametrize("name", ARTEFACTS)
def test_the_stronger_the_further_from_the_image(images, name):
    images = np.repeat(images, 8, axis=0)
    apart = [
        np.abs(with_artefact(images, name, strength, seed=0) - images).mean()
        for strength in ARTEFACTS[name][0]
    ]
    assert apart == sorted(apart)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_seed_draws_the_same_artefacts_again_and_another_seed_others(images, name):
    strength = ARTEFACTS[name][0][-1]
    once, again, other = (with_artefact(images, name, strength, seed) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    if name not in ("blur", "ghosting"):  # of which only the axis is left to chance, or nothing
        assert not np.array_equal(once, other)


def test_noise_has_the_standard_deviation_it_says():
    noisy = with_artefact(np.ones((4, 64, 64), np.float32), "noise", 0.5, seed=0)
    assert noisy.std() == pytest.approx(0.5, rel=0.05)


def test_without_an_artefact_the_answers_are_those_of_the_record(trained, monkeypatch):
    monkeypatch.setattr(artefacts, "TESTED", FEW)
    table = under_artefacts(trained, read_slices(trained))
    clean = table[table["artefact"] == "none"].set_index("model")
    runs = load_runs(trained).runs.set_index("model")
    assert [*clean.index] == ["resnet34", "ubc_resnet34", "first"]
    assert clean["accuracy"].tolist() == pytest.approx(runs.loc[clean.index, "accuracy"].tolist())
    assert clean.loc["ubc_resnet34", "dice"] == pytest.approx(
        runs.loc["ubc_resnet34", "dice"], rel=1e-3
    )
    assert np.isnan(clean.loc["resnet34", "dice"])
    assert clean.loc["first", "dice"] >= 0


def test_all_models_of_a_seed_see_the_same_images(trained, monkeypatch):
    seen = []
    monkeypatch.setattr(artefacts, "TESTED", FEW)
    monkeypatch.setattr(
        artefacts,
        "ask",
        lambda study, network, drawing, images: (
            seen.append(images) or (np.zeros(len(images)), None)
        ),
    )
    slices = read_slices(trained)
    under_artefacts(trained, slices)
    test = draw_split(slices.table, trained, 0).test
    assert np.array_equal(seen[0], slices.images[test])
    for place in range(0, 9, 3):
        assert all(np.array_equal(seen[place], one) for one in seen[place : place + 3])
    assert not np.array_equal(seen[0], seen[3])


def test_where_weights_are_gone_the_published_rows_of_the_same_data_are_shown(trained, monkeypatch):
    monkeypatch.setattr(artefacts, "TESTED", FEW)
    slices = read_slices(trained)
    table = under_artefacts(trained, slices)
    for path in (trained.run_folder / "weights").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="keeps no weights"):
        under_artefacts(trained, slices)
    published = trained.results_folder / "tables" / "artefacts.csv"
    write_table(published, table)
    pd.testing.assert_frame_equal(under_artefacts(trained, slices), table, check_dtype=False)
    write_table(published, table.assign(fingerprint="0" * 64))
    with pytest.raises(InputError, match="artefacts=false"):
        under_artefacts(trained, slices)


def test_what_is_lost_is_the_clean_value_less_that_of_the_strongest_paired_by_seed():
    table = pd.DataFrame(
        [
            ("unet", 0, "none", 0, 0.9, 0.8),
            ("unet", 1, "none", 0, 0.7, 0.6),
            ("unet", 0, "noise", 1, 0.8, 0.7),
            ("unet", 0, "noise", 2, 0.6, 0.5),
            ("unet", 1, "noise", 2, 0.5, 0.5),
        ],
        columns=["model", "seed", "artefact", "strength", "accuracy", "dice"],
    )
    (lost,) = most_lost(table).itertuples()
    assert (lost.artefact, lost.strength, lost.seeds) == ("noise", 2, 2)
    assert lost.accuracy_lost == pytest.approx((0.3 + 0.2) / 2)
    assert lost.dice_lost == pytest.approx((0.3 + 0.1) / 2)
