"""Tables for readers hold the numbers of the runs, and escape what users named."""

import pandas as pd

from tests.conftest import tiny_study
from tests.prediction_samples import random_predictions
from tests.result_samples import some_runs, some_slices
from ubc_lib.book.tables import show, show_comparison, show_statistics, show_table_3
from ubc_lib.results.tables import table_3
from ubc_lib.statistics.comparison import compare_models

STUDY = tiny_study(seeds=(0, 1))
MODELS = {"resnet34": {}, "ubc_resnet34": {}, "fast": {"network": "resnet34", "label": "Fast"}}


def compared(study, runs=None):
    results = some_runs()
    runs = results.runs if runs is None else runs
    return table_3(study, runs, results.predictions, some_slices().table)


def test_table_3_shows_ours_and_the_papers_values():
    shown = show_table_3(STUDY, compared(STUDY)).data
    for text in (
        "UBC-ResNet34",
        "one answer for all, all marked",
        "24.4 M",
        "0.75 [0.41,\u00a00.93]",
        "0.81 ± 0.04",
        "0.77",
    ):
        assert text in shown


def test_table_3_has_a_line_for_a_model_without_runs_and_one_that_the_paper_does_not_have():
    study = tiny_study(models=MODELS)
    shown = show_table_3(study, compared(study)).data
    assert shown.count("no finished run") == 1
    assert ">Fast<" in shown


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


def test_models_have_the_labels_of_the_study():
    shown = show(pd.DataFrame({"model": ["fast"]}), "runs", tiny_study(models=MODELS)).data
    assert ">Fast<" in shown


def test_a_table_puts_intervals_into_one_column():
    table = pd.DataFrame({"auc": [0.7], "auc_low": [0.6], "auc_high": [0.8], "holm_p": [0.0001]})
    html = show_statistics(STUDY, table, "a label", {"auc": "auc"}).data
    assert "0.70 [0.60,\u00a00.80]" in html
    assert "&lt; 0.001" in html
    assert "auc low" not in html


def test_an_empty_table_is_a_sentence():
    told = show_statistics(STUDY, pd.DataFrame(), "a label", nothing="Nothing here.")
    assert told.data == "Nothing here."


def test_one_model_has_nothing_to_compare():
    study = tiny_study(models=["resnet34"])
    table = compare_models(study, random_predictions(models=("resnet34",)))
    told = show_comparison(study, table)
    assert told.data == "Nothing to compare: no size has runs of both models."


def test_the_comparison_of_one_pair_names_its_models_and_shows_no_column_twice():
    html = show_comparison(STUDY, compare_models(STUDY, random_predictions())).data
    columns = ("ResNet34", "UBC-ResNet34", "difference", "over seeds", "seeds ≥ 0.10")
    for heading in (*columns, "permutation p"):
        assert html.count(f">{heading}</th>") == 1
    assert ">against</th>" not in html


def test_the_comparison_of_several_pairs_names_both_models_of_each():
    study = tiny_study(models=MODELS)
    html = show_comparison(study, compare_models(study, random_predictions(models=MODELS))).data
    for heading in ("model", "against", "accuracy", "accuracy against"):
        assert html.count(f">{heading}</th>") == 1
