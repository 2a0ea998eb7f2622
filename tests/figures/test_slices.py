"""Slices are chosen fairly and drawn in grey, with their masks and responses on request."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.result_samples import some_slices
from ubc_lib.figures.slices import (
    confident_answers,
    example_rows,
    grey,
    patient_rows,
    response_grid,
    slice_grid,
)
from ubc_lib.system.errors import InputError

ALL = np.arange(8)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_examples_are_the_largest_lesion_of_each_patient_positive_class_first():
    assert example_rows(some_slices(), ALL, per_class=2).tolist() == [1, 5, 3, 7]


def test_examples_come_only_from_the_given_rows_and_no_more_than_there_are():
    assert example_rows(some_slices(), np.array([2, 3, 4]), per_class=5).tolist() == [4, 3]


@pytest.mark.parametrize(("patients", "rows"), [(1, [0, 1]), (2, [0, 1, 2, 3]), (9, range(8))])
def test_all_slices_of_a_patient_come_together(patients, rows):
    assert sorted(patient_rows(some_slices(), ALL, patients)) == list(rows)


def test_less_than_one_patient_is_refused():
    with pytest.raises(InputError, match="patients must be 1 or more, got 0"):
        patient_rows(some_slices(), ALL, 0)


@given(arrays(np.float32, (6, 6), elements=st.floats(-5, 5, width=32)))
def test_grey_lies_between_black_and_white_and_is_black_outside_the_brain(image):
    shades = grey(image)
    assert ((shades >= 0) & (shades <= 1)).all()
    assert (shades[image == 0] == 0).all()


def test_a_grid_has_one_line_per_class_and_masks_on_request():
    slices = some_slices()
    plain = slice_grid(slices, np.array([1, 5, 3, 7]))
    assert [axes.get_ylabel() for axes in plain.axes] == ["HGG", "", "LGG", ""]
    assert all(len(axes.images) == 1 and not axes.collections for axes in plain.axes)
    masked = slice_grid(slices, np.array([1, 5, 3, 7]), masks=True)
    assert all(axes.collections for axes in masked.axes)


def test_responses_are_drawn_unthresholded_beside_true_class_and_confidence():
    slices, rows = some_slices(), np.array([1, 3])
    responses = {"ubc_resnet34": np.random.default_rng(0).uniform(size=(2, 32, 32))}
    predictions = slices.table.assign(model="ubc_resnet34", probability=0.2)
    figure = response_grid(slices, rows, responses, predictions, {})
    shown = [axes.images[0].get_array() for axes in figure.axes[2:6:3]]
    assert np.array_equal(shown, responses["ubc_resnet34"])
    titles = [axes.get_title(loc="left") for axes in figure.axes[:6]]
    assert titles == ["true: HGG", "", "model: LGG 0.80", "true: LGG", "", "model: LGG 0.80"]


def test_responses_of_several_models_stand_beside_each_other_up_to_four():
    slices, rows = some_slices(), np.array([1])
    labels = {f"m{place}": f"Model {place}" for place in range(5)}
    responses = {model: np.full((1, 32, 32), 0.5) for model in labels}
    tables = [slices.table.assign(model=model, probability=0.9) for model in labels]
    figure = response_grid(slices, rows, responses, pd.concat(tables), labels)
    titles = [axes.get_title(loc="left") for axes in figure.axes[2:6]]
    assert titles == [f"Model {place}: HGG 0.90" for place in range(4)]


class TestConfidentAnswers:
    SAID = some_slices().table.assign(
        # a1 and c1 are HGG, two slices each; b1 and d1 are LGG.
        probability=[0.9, 0.99, 0.4, 0.05, 0.2, 0.6, 0.7, 0.8]
    )

    def answers(self, n):
        return confident_answers(some_slices(), self.SAID, n)

    def test_the_surest_slice_of_each_patient_counts_right_answers_first(self):
        found = self.answers(2)
        assert found["row"].tolist() == [1, 3, 4, 7]
        assert found["right"].tolist() == [True, True, False, False]

    def test_answer_and_confidence_are_of_the_likelier_class(self):
        first, _, third, _ = self.answers(2).itertuples()
        assert (first.label, first.answer, first.confidence) == ("HGG", "HGG", 0.99)
        assert (third.label, third.answer, third.confidence) == ("HGG", "LGG", 0.8)

    def test_fewer_come_where_there_are_fewer(self):
        assert self.answers(9)["row"].tolist() == [1, 3, 5, 4, 7]
