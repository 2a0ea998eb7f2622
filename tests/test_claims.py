"""Each claim of the paper is decided by numbers alone."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from tests.book_samples import summary_of
from ubc_lib.claims import CLAIMS, Evidence
from ubc_lib.verdict_page import localisation, verdict_page


def judged(title: str, summary: dict | None = None, **tables: pd.DataFrame):
    claim = next(claim for claim in CLAIMS if title in claim.title)
    return claim.judge(Evidence(summary or summary_of(), tables))


def comparison(differences, p_values, high, seeds=3) -> pd.DataFrame:
    """Two smaller sizes and the largest, which does not count among the smaller."""
    return pd.DataFrame(
        {
            "images_per_class": [1, 2, 4],
            "seeds": seeds,
            "difference": [*differences, -1.0],
            "holm_p": [*p_values, 1.0],
            "high": [*high, -1.0],
        }
    )


@pytest.mark.parametrize(
    ("differences", "p_values", "high", "verdict"),
    [
        ((0.1, 0.1), (0.01, 0.01), (0.2, 0.2), "reproduced"),
        ((0.1, 0.1), (0.01, 0.2), (0.2, 0.2), "cannot tell"),
        ((0.0, -0.1), (0.9, 0.01), (0.04, -0.01), "not reproduced"),
    ],
)
def test_smaller_sizes_count_by_corrected_p_and_by_intervals(differences, p_values, high, verdict):
    table = comparison(differences, p_values, high)
    assert judged("fewer images", comparison=table).verdict == verdict


def test_two_seeds_cannot_tell_at_smaller_sizes_either():
    table = comparison((0.1, 0.1), (0.01, 0.01), (0.2, 0.2), seeds=2)
    assert judged("fewer images", comparison=table).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("whole", "dice", "verdict"),
    [
        (True, 0.78, "reproduced"),
        (True, 0.6, "not reproduced"),
        (False, 0.9, "cannot tell"),
    ],
)
def test_dice_of_boxes_tells_nothing_about_whole_slices(whole, dice, verdict):
    summary = summary_of(whole_slices=whole)
    summary["models"]["ubc_resnet34"]["dice"] = dice
    assert judged("draws the lesion", summary).verdict == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.2, 0.9), "reproduced"), ((-0.3, 0.9), "cannot tell"), ((-0.9, -0.1), "not reproduced")],
)
def test_accuracy_rises_with_dice_where_the_correlation_is_above_zero(interval, verdict):
    low, high = interval
    row = {"over": "sizes", "rho": (low + high) / 2, "low": low, "high": high}
    assert judged("rises with Dice", dice_correlation=pd.DataFrame([row])).verdict == verdict


def test_a_baseline_whose_interval_holds_the_dummy_does_not_beat_it():
    summary = summary_of()
    assert judged("beats a dummy", summary).verdict == "reproduced"
    summary["models"]["resnet34"]["low"] = 0.49
    assert judged("beats a dummy", summary).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("parameters", "verdict"), [(21_279_426, "reproduced"), (21_500_000, "not reproduced")]
)
def test_parameters_agree_to_the_printed_digit(parameters, verdict):
    row = {"model": "resnet34", "parameters": parameters, "paper_parameters": 21.3e6}
    assert judged("stated size", table_3=pd.DataFrame([row])).verdict == verdict


@pytest.mark.parametrize(
    ("image_size", "pixels", "verdict"),
    [
        (224, 0.86e6, "reproduced"),
        (224, 0.60e6, "not reproduced"),
        (96, 0.16e6, "cannot tell"),
    ],
)
def test_mask_pixels_count_at_the_paper_s_image_size(image_size, pixels, verdict):
    row = {"mask_pixels": pixels, "paper_mask_pixels": 0.9e6}
    summary = summary_of(whole_slices=True, image_size=image_size)
    assert judged("positive labels", summary, table_3=pd.DataFrame([row])).verdict == verdict


@pytest.mark.parametrize(
    ("upper_quartiles", "verdict"),
    [([30, 99], "reproduced"), ([30, 100], "not reproduced"), ([30, None], "cannot tell")],
)
def test_three_quarters_of_the_runs_of_every_size_reach_the_plateau_in_time(
    upper_quartiles, verdict
):
    all_sizes = {"runs": 8, "reached": 7, "upper_quartile": 99}
    sizes = [
        {"images_per_class": size, "runs": 4, "reached": 3, "upper_quartile": epoch}
        for size, epoch in zip((2, 4), upper_quartiles, strict=True)
    ]
    judgement = judged("reaches its plateau", plateau=pd.DataFrame([all_sizes, *sizes]))
    assert judgement.verdict == verdict
    assert judgement.measured.startswith("6 of 8 runs")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.title)
def test_what_was_not_run_cannot_tell(claim):
    nothing = summary_of(models={}, difference=None, difference_interval=None)
    assert claim.judge(Evidence(nothing, {})).measured == "not run"


def evidence(**summary) -> Evidence:
    return Evidence(summary_of(**summary), {})


@pytest.mark.parametrize(
    ("whole", "boxes", "verdict"),
    [
        ([0.05, 0.1], [-0.02, 0.04], "supported"),
        ([-0.02, 0.04], [0.05, 0.1], "contradicted"),
        ([0.0, 0.1], [-0.02, 0.04], "cannot tell"),
    ],
)
def test_the_mask_helps_localisation_if_whole_slices_gain_more_than_boxes(whole, boxes, verdict):
    studies = [
        evidence(study="boxes", difference_interval=boxes),
        evidence(study="whole", difference_interval=whole, whole_slices=True),
    ]
    assert localisation(studies).verdict == verdict
    assert localisation(studies[:1]).measured == "not run"


@pytest.mark.parametrize(
    ("over_patients", "over_seeds", "seeds", "said"),
    [
        ((0.1, 0.3), (0.05, 0.35), 5, "+0.20 [+0.05,\u00a0+0.35] | used |"),
        ((0.1, 0.3), (-0.05, 0.45), 5, "| cannot tell |"),
        ((0.1, 0.3), (np.nan, np.nan), 1, "+0.20 [+0.10,\u00a0+0.30] | cannot tell |"),
        ((-0.3, -0.1), (-0.3, -0.1), 5, "| not used |"),
    ],
)
def test_a_shortcut_is_used_where_both_intervals_of_its_gain_lie_above_zero(
    over_patients, over_seeds, seeds, said
):
    row = {"model": "resnet34", "images_per_class": 19, "seeds": seeds}
    row |= {"independent": 0.6, "tied": 0.8, "difference": 0.2}
    ends = ("low", "high", "seeds_low", "seeds_high")
    row |= dict(zip(ends, over_patients + over_seeds, strict=True))
    page = verdict_page([Evidence(summary_of(), {"shortcut": pd.DataFrame([row])})])
    assert "| ResNet34 | 19 | 0.60 | 0.80 |" in page
    assert said in page


def test_a_shortcut_that_no_study_measured_is_said_to_be_not_run():
    section = verdict_page([evidence()]).partition("gives the grade away worth?")[2]
    assert "Measured: not run." in section


def test_the_page_opens_with_the_answer_for_real_patients_and_says_when_phantoms_differ():
    phantom = evidence(study="quick", difference_interval=[0.02, 0.2])
    real = evidence(
        study="boxes", cohort_kind="brats", cohort="8 patients", difference_interval=[-0.05, 0.05]
    )
    page = verdict_page([phantom, real])
    assert page.startswith("**On 8 patients, the claim is: not reproduced.**")
    assert "do not give the same answer" in page
    assert "make study STUDY=brats2019" in page
    assert re.search(r"that is \d+ hours of one CPU core", page)
    assert all(claim.title in page for claim in CLAIMS)


def test_phantoms_that_cannot_tell_do_not_disagree():
    phantom = evidence(study="quick", difference_interval=[-0.05, 0.2])
    real = evidence(cohort_kind="brats", difference_interval=[-0.05, 0.05])
    assert "do not give the same answer" not in verdict_page([phantom, real])


def test_with_whole_slices_of_real_patients_nothing_is_left_to_settle():
    real = evidence(cohort_kind="brats", whole_slices=True)
    page = verdict_page([real])
    assert "would settle" not in page
    assert "do not give the same answer" not in page


def test_evidence_is_read_from_a_folder_of_results(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "plateau.csv").write_text("model,median\nresnet34,30\n")
    (tmp_path / "summary.json").write_text(json.dumps(summary_of()))
    read = Evidence.of(tmp_path)
    assert read.table("plateau")["median"].tolist() == [30]
    assert read.table("comparison").empty
