"""Figures of the statistics draw what their tables hold, and say so where there is nothing."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.conftest import tiny_study
from tests.prediction_samples import random_predictions, runs_of
from ubc_lib.figures.statistics import fitted_curves, model_differences, reliability_diagram, roc
from ubc_lib.figures.style import PAPER_COLOURS
from ubc_lib.statistics.comparison import compare_models
from ubc_lib.statistics.diagnosis import reliability
from ubc_lib.statistics.efficiency import fit_learning_curves

STUDY = tiny_study()
ACCURACIES = {
    "resnet34": {1: [0.5, 0.52], 2: [0.55, 0.6], 4: [0.6, 0.7], 8: [0.62, 0.66]},
    "ubc_resnet34": {1: [0.5, 0.55], 2: [0.6, 0.6], 4: [0.7, 0.7], 8: [0.72, 0.76]},
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def texts_of(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(plt.Text)}


def dots_of(axes) -> set[tuple]:
    return {tuple(dot) for dots in axes.collections for dot in np.round(dots.get_offsets(), 9)}


def test_differences_show_both_intervals_the_seeds_and_the_paper():
    table = compare_models(STUDY, random_predictions(sizes=(1, 2, 4, 8)))
    figure = model_differences(STUDY, table, runs_of(ACCURACIES))
    (axes,) = figure.axes
    assert {"95 %, patients", "95 %, seeds", "single seeds", "paper"} <= texts_of(figure)
    assert {(190, 0.1), (2.2, 0.05), (2.2, 0)} <= dots_of(axes)
    (means,) = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert means.get_ydata() == pytest.approx(table["difference"].to_numpy())


def test_differences_of_one_seed_have_no_interval_over_seeds():
    table = compare_models(STUDY, random_predictions(sizes=(1, 2), seeds=(0,)))
    (axes,) = model_differences(STUDY, table, runs_of(ACCURACIES)).axes
    over_seeds, over_patients = (bars.lines[2][0].get_segments() for bars in axes.containers)
    assert np.isfinite(over_patients).all()
    assert not np.isfinite(over_seeds).any()


def test_several_pairs_stand_beside_each_other_under_their_names():
    models = {"resnet34": {}, "ubc_resnet34": {}, "fast": {"network": "resnet34"}}
    study = tiny_study(models=models)
    table = compare_models(study, random_predictions(sizes=(1, 2), models=models))
    figure = model_differences(study, table, runs_of(ACCURACIES))
    (axes,) = figure.axes
    assert {"UBC-ResNet34 − ResNet34", "fast − ResNet34"} <= texts_of(figure)
    means = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert len(means) == 2
    assert not set(means[0].get_xdata()) & set(means[1].get_xdata())


def test_one_model_has_nothing_to_compare():
    table = compare_models(STUDY, random_predictions(models=("resnet34",)))
    runs = runs_of(ACCURACIES, models=("resnet34",))
    assert "Nothing to compare: no size has both models of a pair." in texts_of(
        model_differences(STUDY, table, runs)
    )


def test_learning_curves_run_through_the_sizes_in_the_models_colours():
    runs = runs_of(ACCURACIES)
    (axes,) = fitted_curves(STUDY, fit_learning_curves(runs, replicates=10), runs).axes
    assert [line.get_color() for line in axes.lines] == list(PAPER_COLOURS.values())
    assert all(line.get_xdata()[[0, -1]] == pytest.approx([1, 8]) for line in axes.lines)
    assert (1, 0.51) in dots_of(axes)


def test_too_few_sizes_show_their_means_without_a_curve():
    runs = runs_of({"resnet34": {1: [0.5], 2: [0.6]}})
    figure = fitted_curves(STUDY, fit_learning_curves(runs), runs)
    assert "Too few sizes for a curve." in texts_of(figure)
    assert (2, 0.6) in dots_of(figure.axes[0])


def test_reliability_has_a_line_for_each_model_beside_the_diagonal():
    table = reliability(random_predictions(sizes=(4,)))
    (axes,) = reliability_diagram(STUDY, table).axes
    colours = [line.get_color() for line in axes.lines if len(line.get_xdata())]
    assert colours[1:] == list(PAPER_COLOURS.values())


def test_a_roc_curve_rises_above_the_diagonal_and_passes_the_threshold_in_use():
    predictions = random_predictions(sizes=(4,), accuracy={"resnet34": 0.9, "ubc_resnet34": 0.5})
    figure = roc(STUDY, predictions)
    axes = figure.axes[0]
    curve = next(line for line in axes.lines if line.get_label() == "ResNet34")
    said = predictions.query("model == 'resnet34'")
    area = roc_auc_score(said["target"], said["probability"])
    assert area > 0.7
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(area)
    found = said.query("target == 1")["correct"].mean()
    alarms = 1 - said.query("target == 0")["correct"].mean()
    places = [dots.get_offsets()[0].tolist() for dots in axes.collections]
    assert any(place == pytest.approx([alarms, found]) for place in places)
    assert axes.get_xlabel() == "1 − specificity"


def test_patients_of_another_kind_have_no_diamonds_of_the_paper():
    for cohort, shown in (("brats", True), ("manifest", False)):
        study = STUDY.model_copy(update={"cohort": cohort})
        comparison = compare_models(study, random_predictions())
        figure = model_differences(study, comparison, runs_of(ACCURACIES))
        assert ("paper" in texts_of(figure)) is shown


def test_reliability_of_no_run_says_so():
    table = reliability(random_predictions(sizes=(4,)))[:0]
    assert "No finished run of this size." in texts_of(reliability_diagram(STUDY, table))


def test_thick_bars_are_the_interval_over_patients_and_thin_ones_that_over_seeds():
    table = compare_models(STUDY, random_predictions(sizes=(1, 2, 4, 8)))
    (axes,) = model_differences(STUDY, table, runs_of(ACCURACIES)).axes
    drawn = {}
    for bars in axes.containers:
        (lines,) = bars.lines[2]
        drawn[lines.get_linewidths()[0]] = [segment[:, 1] for segment in lines.get_segments()]
    assert np.allclose(drawn[4.0], table[["low", "high"]].to_numpy(float))
    assert np.allclose(drawn[1.0], table[["seeds_low", "seeds_high"]].to_numpy(float))
