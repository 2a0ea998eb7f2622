"""Result figures draw every run that there is, and only what there is."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.conftest import tiny_study
from tests.result_samples import EPOCHS, some_runs, some_slices
from ubc_lib.figures.curves import (
    accuracy_against_dice,
    accuracy_against_images,
    areas_by_class,
    training_curves,
)
from ubc_lib.figures.style import PAPER_COLOURS, model_colours
from ubc_lib.results.wilson import wilson_interval

STUDY = tiny_study()


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def lines_of(axes, colour) -> list:
    return [line for line in axes.lines if line.get_color() == colour]


def texts_of(figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(plt.Text)}


def test_figure_6_draws_the_mean_of_each_size_in_the_models_colour():
    (axes,) = accuracy_against_images(STUDY, some_runs().runs, dummy=0.5).axes
    for model, accuracy in (("resnet34", 0.5), ("ubc_resnet34", 0.75)):
        (line,) = lines_of(axes, PAPER_COLOURS[model])
        assert line.get_xdata().tolist() == [1, 2, 4]
        assert line.get_ydata().tolist() == [accuracy] * 3


def test_figure_6_marks_the_dummy_and_the_papers_values():
    figure = accuracy_against_images(STUDY, some_runs().runs, dummy=0.4)
    (axes,) = figure.axes
    assert any(set(line.get_ydata()) == {0.4} for line in axes.lines)
    points = [tuple(point) for dots in axes.collections for point in dots.get_offsets()]
    assert {(190, 0.71), (190, 0.81)} <= set(points)
    assert {"ResNet34", "UBC-ResNet34", "paper"} <= texts_of(figure)


def test_figure_7_names_the_size_of_each_mean_and_leaves_out_models_without_masks():
    figure = accuracy_against_dice(STUDY, some_runs().runs)
    assert {"1", "2", "4", "UBC-ResNet34"} <= texts_of(figure)
    assert "ResNet34" not in texts_of(figure)


def test_figure_7_keeps_the_sizes_of_neighbouring_means_apart():
    runs = some_runs(sizes=(1, 2, 3, 5, 8, 10)).runs
    runs["dice"] += runs["images_per_class"] / 1000
    figure = accuracy_against_dice(STUDY, runs)
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text().isdigit()]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_figure_7_says_so_when_no_model_draws_masks():
    runs = some_runs().runs
    figure = accuracy_against_dice(STUDY, runs[runs["model"] == "resnet34"])
    assert "No model of this study draws masks." in texts_of(figure)


@pytest.mark.parametrize(("model", "panels"), [("resnet34", 2), ("ubc_resnet34", 3)])
def test_training_curves_have_a_panel_for_dice_only_where_there_is_one(model, panels):
    results = some_runs(seeds=(0,))
    of_model = (
        table[table["model"] == model]
        for table in (results.history, results.evaluations, results.runs)
    )
    figure = training_curves(STUDY, *of_model)
    assert len(figure.axes) == panels
    epochs = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) > 1]
    assert len(epochs) == 3
    assert all(curve.tolist() == list(range(1, EPOCHS + 1)) for curve in epochs)


def test_training_curves_by_model_have_the_models_colours():
    results = some_runs(sizes=(4,), seeds=(0,))
    figure = training_curves(STUDY, results.history, results.evaluations, results.runs, by="model")
    for colour in PAPER_COLOURS.values():
        assert all(lines_of(axes, colour) for axes in figure.axes)
    assert {"ResNet34", "UBC-ResNet34"} <= texts_of(figure)


def test_training_curves_mark_the_plateau_of_runs_that_reached_it():
    results = some_runs(sizes=(1, 2), seeds=(0,))
    runs = results.runs[results.runs["model"] == "resnet34"]
    runs = runs.assign(plateau_reached=[True, False])
    loss = training_curves(STUDY, results.history, results.evaluations, runs).axes[0]
    marks = [line.get_xydata() for line in loss.lines if line.get_marker() == "o"]
    assert np.allclose(marks, [[[6, 1 / 6]]])


def test_lesion_areas_name_the_classes_and_use_square_centimetres():
    figure = areas_by_class(some_slices().table)
    assert {"HGG", "LGG", "lesion area of a slice, cm²"} <= texts_of(figure)
    assert 64 < figure.axes[0].get_xlim()[1] < 200


TEN = ["resnet34", "ubc_resnet34", *(f"ubc_number_{place}" for place in range(8))]


def contrast_on_white(colour: str) -> float:
    """The contrast of WCAG 2: 21 for black."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


def test_ten_models_have_ten_colours_that_are_seen_on_white():
    colours = model_colours(tiny_study(models=TEN))
    assert len({colours[model] for model in TEN}) == 10
    assert min(contrast_on_white(colours[model]) for model in TEN) >= 3


def test_the_papers_models_have_the_same_colours_in_every_study():
    assert model_colours(tiny_study(models=["fast", "resnet34"]))["resnet34"] == "#D55E00"


def test_a_model_that_the_paper_does_not_have_has_a_line_and_no_diamond():
    study = tiny_study(models={"resnet34": {}, "fast": {"network": "resnet34", "label": "Fast"}})
    runs = some_runs(accuracy={"resnet34": 0.5, "fast": 0.75}).runs
    figure = accuracy_against_images(study, runs, dummy=0.5)
    assert {"ResNet34", "Fast"} <= texts_of(figure)
    points = {tuple(p) for dots in figure.axes[0].collections for p in dots.get_offsets()}
    assert [point for point in points if point[0] == 190] == [(190, 0.71)]


def test_the_legend_of_ten_models_lies_above_the_axes():
    runs = some_runs(accuracy=dict.fromkeys(TEN, 0.6)).runs
    figure = accuracy_against_images(tiny_study(models=TEN), runs, dummy=0.5)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


def test_figure_7_has_dice_across_and_accuracy_upwards():
    (axes,) = accuracy_against_dice(STUDY, some_runs().runs).axes
    points = {tuple(np.round(p, 9)) for dots in axes.collections for p in dots.get_offsets()}
    assert {(0.6, 0.75), (0.77, 0.81)} <= points
    assert not {(0.75, 0.6), (0.81, 0.77)} & points
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Dice on the test set", "test accuracy")


def test_the_band_of_figure_6_is_wilsons_interval_of_each_mean():
    (axes,) = accuracy_against_images(STUDY, some_runs().runs, dummy=0.5).axes
    bands = [one for one in axes.collections if len(one.get_offsets()) == 1 and one.get_paths()]
    heights = [band.get_paths()[0].vertices[:, 1] for band in bands if len(band.get_paths()) == 1]
    ends = [(heights.min(), heights.max()) for heights in heights if len(heights) > 6]
    expected = [wilson_interval(accuracy * 8, 8) for accuracy in (0.5, 0.75)]
    assert np.allclose(sorted(ends), sorted(expected), atol=1e-6)
