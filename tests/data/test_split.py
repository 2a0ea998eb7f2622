import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import tiny_study
from ubc_lib.data.people import check_sites
from ubc_lib.data.split import draw_split, draw_subset
from ubc_lib.system.errors import InputError
from ubc_lib.system.seeds import generator

SEEDS = st.integers(0, 2**32 - 1)


def slice_table(patients=(90, 80), slices=5) -> pd.DataFrame:
    rows = [
        (f"{label}{number:03d}", label, target, index)
        for (label, target), count in zip((("HGG", 1), ("LGG", 0)), patients, strict=True)
        for number in range(count)
        for index in range(slices)
    ]
    return pd.DataFrame(rows, columns=["patient", "label", "target", "slice_index"])


TABLE = slice_table()
STUDY = tiny_study(patients_per_class=76, slices_per_patient=5, images_per_class=(38, 190))


@given(SEEDS)
def test_nothing_of_a_test_patient_is_in_training(seed):
    split = draw_split(TABLE, STUDY, seed)
    assert not set(TABLE["patient"].iloc[split.train]) & set(TABLE["patient"].iloc[split.test])


@given(SEEDS)
def test_halves_hold_190_slices_of_38_patients_of_each_class(seed):
    for rows in draw_split(TABLE, STUDY, seed).train, draw_split(TABLE, STUDY, seed).test:
        half = TABLE.iloc[rows]
        assert half["label"].value_counts().to_dict() == {"HGG": 190, "LGG": 190}
        assert half.groupby("label")["patient"].nunique().to_dict() == {"HGG": 38, "LGG": 38}


@given(SEEDS, SEEDS)
def test_a_split_seed_fixes_the_split_for_all_seeds(one, other):
    study = STUDY.model_copy(update={"split_seed": 7})
    assert np.array_equal(draw_split(TABLE, study, one).test, draw_split(TABLE, study, other).test)


def test_without_a_split_seed_the_run_draws_its_own_patients():
    tests = {tuple(draw_split(TABLE, STUDY, seed).test) for seed in range(5)}
    assert len(tests) == 5


def test_an_odd_number_of_patients_leaves_the_larger_half_for_testing():
    study = tiny_study(patients_per_class=5)
    split = draw_split(slice_table((5, 5), slices=2), study, 0)
    assert (len(split.train), len(split.test)) == (2 * 2 * 2, 2 * 3 * 2)


@given(SEEDS, st.integers(1, 190), st.integers(1, 190))
def test_smaller_subsets_lie_within_larger_ones(seed, one, other):
    train = draw_split(TABLE, STUDY, seed).train
    small, large = (draw_subset(TABLE, train, n, seed) for n in sorted((one, other)))
    assert set(small) <= set(large) <= set(train)


@given(SEEDS, st.integers(1, 190))
def test_a_subset_is_balanced_and_spreads_over_as_many_patients_as_it_can(seed, size):
    subset = TABLE.iloc[draw_subset(TABLE, draw_split(TABLE, STUDY, seed).train, size, seed)]
    for _, rows in subset.groupby("label"):
        per_patient = rows["patient"].value_counts()
        assert len(rows) == size
        assert len(per_patient) == min(size, 38)
        assert per_patient.max() - per_patient.min() <= 1


@pytest.mark.parametrize(("size", "slices_each"), [(38, 1), (76, 2), (190, 5)])
def test_38_76_and_190_images_are_1_2_and_5_slices_of_each_patient(size, slices_each):
    subset = TABLE.iloc[draw_subset(TABLE, draw_split(TABLE, STUDY, 0).train, size, 0)]
    assert set(subset["patient"].value_counts()) == {slices_each}


def test_other_seeds_draw_other_subsets():
    train = draw_split(TABLE, STUDY, 0).train
    assert len({tuple(draw_subset(TABLE, train, 5, seed)) for seed in range(5)}) == 5


def test_more_images_than_there_are_is_refused():
    train = draw_split(TABLE, STUDY, 0).train
    with pytest.raises(InputError, match=r"images_per_class=191.*190 slices of LGG"):
        draw_subset(TABLE, train, 191, 0)


def test_a_patients_slice_is_drawn_from_all_of_them():
    train = draw_split(TABLE, STUDY, 0).train
    chosen = [TABLE.iloc[draw_subset(TABLE, train, 38, seed)] for seed in range(8)]
    assert all(rows["slice_index"].nunique() > 2 for rows in chosen)
    shares = pd.concat(chosen)["slice_index"].value_counts(normalize=True)
    assert shares.to_numpy() == pytest.approx(0.2, abs=0.07)


def test_halves_and_subset_are_drawn_from_streams_of_their_own():
    """Else who is drawn into a subset would hang on who is drawn into a half."""
    draws = {purpose: generator(3, purpose).random(4) for purpose in ("split", "subset", "masks")}
    assert len({tuple(draw) for draw in draws.values()}) == 3
    assert np.array_equal(draws["split"], generator(3, "split").random(4))
    assert not np.array_equal(draws["split"], generator(4, "split").random(4))


def of_sites(sites: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Two slices of each patient; how many are positive and negative, by site."""
    rows = [
        (f"{site}{target}{number}", "HGG" if target else "LGG", target, index, site)
        for site, counts in sites.items()
        for target, count in zip((1, 0), counts, strict=True)
        for number in range(count)
        for index in range(2)
    ]
    return pd.DataFrame(rows, columns=["patient", "label", "target", "slice_index", "site"])


BY_SITE = tiny_study(split="site", slices_per_patient=2, images_per_class=(2,), seeds=(0, 1, 2))


def test_sites_that_sent_both_classes_are_tested_in_turn_and_nobody_of_them_trains():
    table = of_sites({"a": (2, 2), "b": (3, 0), "c": (2, 3), "": (2, 2)})
    tested = []
    for seed in range(4):
        split = draw_split(table, BY_SITE, seed)
        assert sorted([*split.train, *split.test]) == list(range(len(table)))
        tested.append(set(table["site"].iloc[split.test]))
        assert not tested[-1] & set(table["site"].iloc[split.train])
    assert tested == [{"a"}, {"c"}, {"a"}, {"c"}]


@pytest.mark.parametrize("sites", [{"a": (2, 2)}, {"a": (2, 0), "b": (0, 2)}])
def test_a_cohort_without_a_site_to_leave_out_is_refused(sites):
    with pytest.raises(InputError, match="split=site leaves"):
        draw_split(of_sites(sites), BY_SITE, 0)


@pytest.mark.parametrize(
    ("sites", "message"),
    [(["a", "b"], "p1 was imaged at several sites"), (["Clinic A", "clinic a"], "may be one")],
)
def test_sites_that_cannot_be_told_apart_are_not_left_out(sites, message):
    patients = ["p1", "p1"] if sites == ["a", "b"] else ["p1", "p2"]
    with pytest.raises(InputError, match=message):
        check_sites(pd.DataFrame({"patient": patients, "site": sites}))


def test_a_given_split_is_kept_whatever_the_seed():
    table = of_sites({"a": (2, 2), "b": (1, 1)})
    table["split"] = table["site"].map({"a": "train", "b": "test"})
    study = BY_SITE.model_copy(update={"split": "given"})
    for seed in (0, 1):
        split = draw_split(table, study, seed)
        assert set(table["site"].iloc[split.train]) == {"a"}
        assert set(table["site"].iloc[split.test]) == {"b"}
    assert "split" not in study.varied
    with pytest.raises(InputError, match="leaves 4 slices of HGG and 4 others to train on"):
        draw_split(table, study.model_copy(update={"images_per_class": (5,)}), 0)
