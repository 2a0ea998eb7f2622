"""Sentences and shown tables hold the numbers of the runs, and escape what users named."""

import dataclasses

import pandas as pd
import pytest

from tests.conftest import tiny_study
from tests.result_samples import some_runs, some_slices
from ubc_lib.book.wording import (
    completeness,
    headline,
    membership,
    parameter_match,
    show,
    show_table_3,
)
from ubc_lib.results.tables import missing_runs, parameters_beside_paper, table_3


@pytest.fixture
def study():
    return tiny_study(seeds=(0, 1))


def compared(study, runs=None):
    results = some_runs()
    runs = results.runs if runs is None else runs
    return table_3(study, runs, results.predictions, some_slices().table)


def test_the_headline_quotes_both_models_the_dummy_and_the_paper(study):
    text = headline(compared(study), study).data
    assert "Trained on 4 images per class" in text
    assert "ResNet34 answers with accuracy **0.50 [0.22, 0.78]** (mean of 2 seeds)" in text
    assert "UBC-ResNet34 answers with accuracy **0.75 [0.41, 0.93]**, Dice 0.60" in text
    assert "Always answering HGG gives 0.50 on these 8 test slices" in text
    assert "0.71 for ResNet34 and 0.81 for UBC-ResNet34" in text


def test_a_model_without_runs_is_called_so(study):
    runs = some_runs().runs
    table = compared(study, runs[runs["model"] == "ubc_resnet34"])
    assert "ResNet34 has no finished run" in headline(table, study).data
    assert show_table_3(table, study).data.count("no finished run") == 1


def test_missing_runs_are_counted(study):
    runs = some_runs().runs
    assert "All 12 runs" in completeness(study, missing_runs(study, runs)).data
    text = completeness(study, missing_runs(study, runs.iloc[1:])).data
    assert "1 of 12 runs have not finished" in text


def test_table_3_shows_ours_and_the_papers_values(study):
    shown = show_table_3(compared(study), study).data
    for text in (
        "UBC-ResNet34",
        "always HGG, all marked",
        "24.4 M",
        "0.75 [0.41, 0.93]",
        "0.81 ± 0.04",
        "0.77",
    ):
        assert text in shown


def test_a_shown_table_scrolls_in_its_own_box_and_escapes_its_texts():
    shown = show(pd.DataFrame({"site": ["<b>x</b>"], "n_patients": [12345]}), 'sites "here"').data
    assert 'style="overflow-x: auto"' in shown
    assert 'aria-label="sites &quot;here&quot;"' in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "n patients" in shown
    assert "12\u202f345" in shown


def test_whole_numbers_that_may_be_missing_are_shown_without_decimals():
    shown = show(pd.DataFrame({"epoch": [1349.0, None], "share": [1.0, 0.0]}), "epochs").data
    assert ">1\u202f349<" in shown
    assert ">1.00<" in shown


def test_a_part_that_differs_from_the_paper_is_named():
    table = parameters_beside_paper("resnet34", image_size=32)
    assert "All 6 parts have the paper's number" in parameter_match("resnet34", table).data
    table.loc[2, "parameters"] += 1
    assert "Not as in the paper: encoder level 2" in parameter_match("resnet34", table).data


def test_patients_who_were_left_out_are_named(study):
    slices = dataclasses.replace(some_slices(), left_out=("BraTS19_<1>",))
    text = membership(study, slices).data
    assert "2 HGG and 2 LGG patients" in text
    assert "BraTS19_&lt;1&gt;" in text
