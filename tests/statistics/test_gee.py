"""The logistic model of a whole study."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.api import families

from tests.conftest import tiny_study
from tests.prediction_samples import predictions_of, random_predictions
from ubc_lib.statistics.gee import odds_ratios
from ubc_lib.system.errors import InputError

STUDY = tiny_study()


def simulated(boosted: float, doubling: float, patients: int = 150) -> pd.DataFrame:
    """Answers with log odds by model, images and patient."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 0.5, size=(patients, 1))
    tables = []
    for model, gain in (("resnet34", 0), ("ubc_resnet34", boosted)):
        for size in (2, 4, 8, 16):
            odds = np.exp(0.3 + gain + doubling * np.log2(size) + difficulty)
            right = rng.random((patients, 5)) < odds / (1 + odds)
            tables.append(predictions_of(right, np.arange(patients) % 2, model, size))
    return pd.concat(tables, ignore_index=True)


def test_recovers_a_simulated_effect():
    table = odds_ratios(STUDY, simulated(boosted=0.5, doubling=0.3)).set_index("term")
    assert table["odds_ratio"]["twice the images"] == pytest.approx(np.exp(0.3), abs=0.12)
    row = table.loc["UBC-ResNet34, at 6 images per class"]
    assert row["low"] < np.exp(0.5) < row["high"]
    assert row["p"] < 0.001
    assert table["p"]["UBC-ResNet34 × twice the images"] > 0.05


def test_finds_no_effect_where_there_is_none():
    table = odds_ratios(STUDY, simulated(boosted=0, doubling=0)).set_index("term")
    row = table.loc["UBC-ResNet34, at 6 images per class"]
    assert row["low"] < 1 < row["high"]


def test_counting_by_patient_is_the_same_as_slice_by_slice():
    table = random_predictions(patients=30)
    table["boosted"] = (table["model"] == "ubc_resnet34").astype(float)
    table["doublings"] = np.log2(table["images_per_class"]) - 2
    by_slice = smf.gee(
        "correct ~ boosted * doublings", "patient", table, family=families.Binomial()
    ).fit()
    ours = odds_ratios(STUDY, table)
    assert np.log(ours["odds_ratio"]).to_numpy() == pytest.approx(by_slice.params.to_numpy())
    assert ours["p"].to_numpy() == pytest.approx(by_slice.pvalues.to_numpy(), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({"models": ("resnet34",)}, ["intercept (odds)", "twice the images"]),
        ({"sizes": (4,)}, ["intercept (odds)", "UBC-ResNet34, at 4 images per class"]),
        ({"models": ("ubc_resnet34",), "sizes": (4,)}, ["intercept (odds)"]),
    ],
)
def test_only_what_varies_is_a_term(changes, terms):
    assert odds_ratios(STUDY, random_predictions(**changes))["term"].tolist() == terms


@pytest.mark.parametrize("second", [np.ones((6, 5)), np.zeros((6, 5))])
def test_a_model_that_is_always_right_or_wrong_has_no_finite_odds(second, recwarn):
    target = np.arange(6) % 2
    first = np.random.default_rng(0).random((6, 5)) < 0.5
    runs = [("resnet34", first), ("ubc_resnet34", second)]
    table = pd.concat([predictions_of(right, target, model) for model, right in runs])
    assert odds_ratios(STUDY, table)[["odds_ratio", "low", "high", "p"]].isna().all(axis=None)
    assert not recwarn.list


def test_models_that_answer_alike_have_odds_of_1_and_no_interval(recwarn):
    target = np.arange(6) % 2
    right = np.random.default_rng(0).random((6, 5)) < 0.5
    runs = [(model, size) for model in ("resnet34", "ubc_resnet34") for size in (2, 4)]
    table = pd.concat([predictions_of(right, target, model, size) for model, size in runs])
    terms = odds_ratios(STUDY, table).set_index("term")
    assert terms["odds_ratio"].iloc[1:].tolist() == pytest.approx([1, 1, 1])
    assert terms[["low", "high", "p"]].iloc[1:].isna().all(axis=None)
    assert not recwarn.list


def test_one_patient_is_no_cluster():
    with pytest.raises(InputError, match="at least two patients"):
        odds_ratios(STUDY, predictions_of([[1, 0]], [1]))
