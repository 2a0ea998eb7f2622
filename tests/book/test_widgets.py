"""The explorers hold every picture and caption, and move by links that need no kernel."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from ipywidgets import HTML, Dropdown, SelectionSlider, Stack, ToggleButtons, Widget
from ipywidgets.embed import dependency_state, embed_data
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.conftest import tiny_study
from tests.result_samples import some_runs, some_slices
from ubc_lib.book.widgets import answer_explorer, slice_explorer, training_explorer
from ubc_lib.models import build_model
from ubc_lib.system.errors import InputError

ALL = np.arange(8)


def within(widget: Widget) -> list[Widget]:
    """A widget and all that it holds."""
    children = getattr(widget, "children", ())
    return [widget, *(inner for child in children for inner in within(child))]


def kinds(widget: Widget, kind: type) -> list:
    return [inner for inner in within(widget) if isinstance(inner, kind)]


def pictures(widget: Widget) -> list[str]:
    return [inner.value for inner in kinds(widget, HTML) if "<img" in inner.value]


def captions(widget: Widget) -> list[str]:
    return [inner.value for inner in kinds(widget, HTML) if "<b>" in inner.value]


STUDY = tiny_study()


def responses_of(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"ubc_resnet34": values}


def test_every_slice_has_a_picture_with_a_text_for_those_who_do_not_see_it():
    drawn = pictures(slice_explorer(STUDY, some_slices(), ALL))
    assert all('alt="' in picture for picture in drawn)
    assert sum("Slice 70 of patient" in picture for picture in drawn) == 4
    assert sum("Outline of the lesion" in picture for picture in drawn) == 8


def test_patients_are_listed_with_their_class_in_the_order_given():
    (choice,) = kinds(slice_explorer(STUDY, some_slices(), np.array([2, 3, 0, 1])), Dropdown)
    assert choice.options == ("b1 (LGG)", "a1 (HGG)")


def test_patients_may_have_different_numbers_of_slices():
    sliders = kinds(slice_explorer(STUDY, some_slices(), np.array([0, 1, 2])), SelectionSlider)
    assert [slider.options for slider in sliders] == [("slice 70", "slice 71"), ("slice 70",)]


def test_every_stack_follows_a_control_by_a_link_in_the_page():
    explorer = slice_explorer(
        STUDY, some_slices(), ALL, responses=responses_of(np.zeros((8, 32, 32)))
    )
    state = dependency_state(explorer).values()
    links = [one["state"] for one in state if one["model_name"] == "LinkModel"]
    followed = {link["target"][0] for link in links if link["target"][1] == "selected_index"}
    assert {f"IPY_MODEL_{stack.model_id}" for stack in kinds(explorer, Stack)} <= followed


def test_lesion_and_response_can_be_switched_and_start_on_and_off():
    responses = np.full((8, 32, 32), 0.5)
    switches = kinds(
        slice_explorer(STUDY, some_slices(), ALL, responses=responses_of(responses)), ToggleButtons
    )
    assert [switch.value for switch in switches] == ["lesion on", "response off"]
    without = kinds(slice_explorer(STUDY, some_slices(), ALL), ToggleButtons)
    assert [switch.value for switch in without] == ["lesion on"]


def test_captions_say_patient_class_slice_and_what_each_model_said():
    table = some_slices().table
    predictions = pd.concat(
        [
            table.assign(model="resnet34", probability=0.25, dice=np.nan),
            table.assign(model="ubc_resnet34", probability=0.875, dice=0.5),
        ]
    )
    first = captions(slice_explorer(STUDY, some_slices(), ALL, predictions))[0]
    assert "<b>a1</b>, HGG, slice 70" in first
    assert "ResNet34: probability of HGG 0.25<br>" in first
    assert "UBC-ResNet34: probability of HGG 0.88, Dice 0.50" in first


def test_names_of_patients_and_classes_are_escaped():
    slices = some_slices()
    table = slices.table.replace({"a1": '<script>"', "HGG": "<i>HGG"})
    explorer = slice_explorer(STUDY, dataclasses.replace(slices, table=table), ALL)
    shown = "".join(inner.value for inner in kinds(explorer, HTML))
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "&lt;script&gt;&quot;" in shown


def test_the_outline_is_transparent_but_for_the_rim_of_the_lesion():
    outline = next(
        text for text in pictures(slice_explorer(STUDY, some_slices(), ALL)) if "Outline" in text
    )
    encoded = re.search(r"base64,([^\"]+)", outline)[1]
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA"))[..., 3]
    drawn = np.argwhere(alpha > 127)
    # The lesion of the first slice spans pixels 8 to 16 of 32.
    assert drawn.min() == pytest.approx(8 / 32 * len(alpha), abs=2)
    assert drawn.max() == pytest.approx(16 / 32 * len(alpha), abs=2)
    assert alpha[len(alpha) * 12 // 32, len(alpha) * 12 // 32] == 0


def test_an_explorer_of_thirty_slices_with_responses_is_light():
    slices = some_slices(slices_per_patient=15, side=64)
    smooth = dataclasses.replace(slices, images=gaussian_filter(slices.images, (0, 1, 1)))
    rows = np.arange(30)
    explorer = slice_explorer(STUDY, smooth, rows, responses=responses_of(slices.masks[rows] * 0.8))
    state = dependency_state(explorer, drop_defaults=True)
    assert len(json.dumps(embed_data(views=[explorer], state=state))) < 600_000


def explored_training(runs: pd.DataFrame | None = None) -> Widget:
    results = some_runs(sizes=(1, 4), seeds=(0, 1))
    return training_explorer(
        STUDY, results.history, results.evaluations, results.runs if runs is None else runs
    )


def test_training_has_a_picture_for_every_size_and_seed_and_starts_with_the_largest():
    explorer = explored_training()
    size, *seeds = kinds(explorer, Dropdown)
    assert (size.options, size.value) == (("1", "4"), "4")
    assert [(seed.options, seed.value) for seed in seeds] == [(("0", "1"), "0")] * 2
    alts = [re.search('alt="([^"]*)"', drawn)[1] for drawn in pictures(explorer)]
    assert [alt.partition("epochs, ")[2] for alt in alts] == [
        f"{n} images per class, seed {seed}" for n in (1, 4) for seed in (0, 1)
    ]


def test_of_each_size_only_the_seeds_that_it_has_are_offered():
    runs = some_runs(sizes=(1, 4), seeds=(0, 1)).runs.query("seed == 1 or images_per_class == 1")
    explorer = explored_training(runs)
    _, *seeds = kinds(explorer, Dropdown)
    assert [seed.options for seed in seeds] == [("0", "1"), ("1",)]
    assert len(pictures(explorer)) == 3


def test_no_slices_or_another_number_of_responses_are_refused():
    with pytest.raises(InputError, match="no slices"):
        slice_explorer(STUDY, some_slices(), np.array([], int))
    with pytest.raises(InputError, match="3 responses for 8 slices"):
        slice_explorer(STUDY, some_slices(), ALL, responses=responses_of(np.zeros((3, 32, 32))))


MANY = tiny_study(models=["resnet34", "ubc_resnet34", *(f"ubc_{place}" for place in range(8))])


def test_of_several_models_that_draw_one_response_is_chosen_and_none_at_first():
    responses = {model: np.zeros((8, 32, 32)) for model in [*MANY.models][1:]}
    explorer = slice_explorer(MANY, some_slices(), ALL, responses=responses)
    (choice,) = (one for one in kinds(explorer, Dropdown) if "response off" in one.options)
    assert choice.index == 0
    assert choice.options[:3] == ("response off", "response of UBC-ResNet34", "response of ubc 0")
    stacks = [one for one in kinds(explorer, Stack) if len(one.children) == len(choice.options)]
    assert stacks
    assert all(stack.selected_index == 0 for stack in stacks)


def test_the_answers_of_every_model_can_be_chosen_with_its_response_where_it_draws():
    slices = some_slices()
    tables = [slices.table.assign(model=model, probability=0.8) for model in STUDY.models]
    networks = {"ubc_resnet34": build_model("ubc_resnet34", 0)}
    explorer = answer_explorer(STUDY, slices, pd.concat(tables), networks, n=1)
    (choice,) = kinds(explorer, Dropdown)
    assert choice.options == ("ResNet34", "UBC-ResNet34")
    (stack,) = kinds(explorer, Stack)
    plain, drawn = (one.value for one in stack.children)
    assert "Response of the model" in drawn
    assert "Response of the model" not in plain
