"""Each claim of the paper is decided by numbers alone."""

import json
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from tests.book_samples import summary_of
from ubc_lib.book.verdict import verdict_page
from ubc_lib.statistics.judge import CLAIMS, Evidence, judge_headline, localisation

PAIR = {"model": "ubc_resnet34", "against": "resnet34"}


class Told(NamedTuple):
    """A row of a claim's table on the page, with the rule that stands above it."""

    measured: str
    verdict: str
    why: str
    rule: str


def judged(title: str, summary: dict | None = None, **tables: pd.DataFrame) -> Told:
    """What the page says of a claim whose title holds these words, for one study."""
    tables = {name: table.assign(**KEYS.get(name, {})) for name, table in tables.items()}
    page = verdict_page([Evidence(summary or summary_of(), tables)])
    (section,) = (part for part in page.split("\n### ") if title in part.partition("\n")[0])
    (row,) = (line for line in section.splitlines() if line.startswith("| tiny |"))
    cells = [cell.strip() for cell in row.strip("|").split(" |")]
    return Told(*cells[1:4], section)


KEYS = {"comparison": PAIR, "dice_correlation": {"model": "ubc_resnet34"}}


@pytest.mark.parametrize(("high", "found"), [(0.08, "overlaps"), (0.03, "ends below")])
def test_the_paper_s_own_uncertainty_is_set_beside_the_difference(high, found):
    """Its half widths 0.05 and 0.04, unpaired, give 0.10 ± 0.06."""
    judgement = judged("at 190 images", summary_of(interval=[-0.04, high]))
    assert judgement.verdict == "not reproduced"
    assert f"The interval {found} the paper's own, [+0.04,\u00a0+0.16]." in judgement.why
    assert "0.05² + 0.04²" in judgement.rule


def test_an_advantage_that_is_smaller_than_the_paper_s_is_called_one():
    judgement = judged("at 190 images", summary_of(interval=[0.02, 0.08]))
    assert judgement.verdict == "not reproduced"
    assert judgement.why.startswith("There is an advantage, but smaller than the paper's.")


def test_with_few_seeds_the_printed_interval_is_said_to_be_over_patients_only():
    why = judged("at 190 images", summary_of(paired_seeds=2)).why
    assert why.startswith("Fewer than 3 seeds: the interval is over patients only.")


ON_IMAGES = ("at 190 images", "fewer images", "rises with Dice", "beats a dummy")


@pytest.mark.parametrize("title", ON_IMAGES)
def test_accuracies_of_boxes_are_said_not_to_be_of_the_paper_s_whole_slices(title):
    tables = {
        "comparison": comparison(low=(-0.1, -0.1), high=(0.2, 0.2)),
        "dice_correlation": correlation(),
        "design_effect": design_effect(0.6, 0.8),
    }
    caveat = "Boxes: the paper's whole slices were not tested by this study."
    assert judged(title, summary_of(), **tables).why.endswith(caveat)
    assert caveat not in judged(title, summary_of(whole_slices=True), **tables).why


def comparison(low, high, holm_p=0.01, seeds=3, seeds_low=np.nan, seeds_high=np.nan):
    """Two smaller sizes and the largest, which does not count among the smaller."""
    return pd.DataFrame(
        {
            "images_per_class": [1, 2, 4],
            "seeds": seeds,
            "difference": [*np.mean([low, high], axis=0), -1.0],
            "holm_p": holm_p,
            "low": [*low, -1.0],
            "high": [*high, -1.0],
            "seeds_low": seeds_low,
            "seeds_high": seeds_high,
        }
    )


ABOVE_ZERO = {"low": (0.01, 0.01), "high": (0.2, 0.2)}
BELOW_HALF = {"low": (-0.04, -0.04), "high": (0.04, 0.04)}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (ABOVE_ZERO, "reproduced"),
        (ABOVE_ZERO | {"low": (-0.01, 0.01)}, "cannot tell"),
        (ABOVE_ZERO | {"holm_p": 0.2}, "cannot tell"),
        (BELOW_HALF, "not reproduced"),
        (BELOW_HALF | {"high": (0.04, 0.06)}, "cannot tell"),
    ],
)
def test_smaller_sizes_count_by_corrected_p_and_by_intervals(changes, verdict):
    assert judged("fewer images", comparison=comparison(**changes)).verdict == verdict


@pytest.mark.parametrize(
    "wider", [ABOVE_ZERO | {"seeds_low": -0.01}, BELOW_HALF | {"seeds_high": 0.06}]
)
def test_smaller_sizes_are_judged_by_the_wider_interval_as_the_largest_is(wider):
    judgement = judged("fewer images", comparison=comparison(**wider))
    assert judgement.verdict == "cannot tell"
    assert "beyond chance at 0 of 2 sizes" in judgement.measured
    assert "an advantage of 0.05 excluded at 0" in judgement.measured


@pytest.mark.parametrize("intervals", [ABOVE_ZERO, BELOW_HALF])
def test_two_seeds_cannot_tell_at_smaller_sizes_either(intervals):
    judgement = judged("fewer images", comparison=comparison(**intervals, seeds=2))
    assert judgement.verdict == "cannot tell"
    assert "beyond chance at 0 of 2 sizes" in judgement.measured
    assert "an advantage of 0.05 excluded at 0" in judgement.measured


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
    assert judged("rises with Dice", dice_correlation=correlation(interval)).verdict == verdict


def correlation(over_sizes=(0.2, 0.9), *over_seeds) -> pd.DataFrame:
    """Correlations with the given intervals, over sizes and over the seeds of single sizes."""
    rows = [("sizes", *over_sizes), *(("seeds", *interval) for interval in over_seeds)]
    table = pd.DataFrame(rows, columns=["over", "low", "high"])
    return table.assign(rho=table[["low", "high"]].mean(axis=1))


def test_a_rise_over_sizes_is_called_a_trend_and_the_runs_of_one_size_are_told_apart():
    nothing = (np.nan, np.nan)
    table = correlation((0.2, 0.9), (0.1, 0.5), (-0.5, 0.5), (-0.4, 0.5), (-0.9, -0.1), nothing)
    why = judged("rises with Dice", dice_correlation=table).why
    assert "A trend over sizes" in why
    assert "positive at 1, negative at 1 of 4 sizes; at the others nothing can be told" in why


def test_without_several_runs_of_a_size_nothing_is_told_of_them():
    why = judged("rises with Dice", dice_correlation=correlation()).why
    assert "too few to tell anything" in why


def design_effect(low: float, high: float) -> pd.DataFrame:
    """Intervals of slices that count as alike, at the largest size; smaller sizes do not count."""
    row = {"model": "resnet34", "effective_low": low, "effective_high": high}
    smaller = row | {"images_per_class": 2, "effective_low": 0.1, "effective_high": 0.2}
    return pd.DataFrame([smaller, row | {"images_per_class": 4}])


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.55, 0.8), "reproduced"), ((0.45, 0.8), "cannot tell"), ((0.3, 0.5), "not reproduced")],
)
def test_a_baseline_beats_a_dummy_by_the_slices_that_its_patients_are_worth(interval, verdict):
    judgement = judged("beats a dummy", design_effect=design_effect(*interval))
    assert judgement.verdict == verdict
    assert judgement.measured == f"0.70 [{interval[0]:.2f},\u00a0{interval[1]:.2f}] against 0.50"


def test_without_the_interval_of_alike_slices_a_baseline_cannot_be_held_against_a_dummy():
    judgement = judged("beats a dummy")
    assert judgement.verdict == "cannot tell"
    assert judgement.measured.startswith("0.70 ")


@pytest.mark.parametrize(("high", "remarked"), [(0.70, True), (0.72, False)])
def test_a_baseline_that_stays_below_the_paper_s_is_remarked(high, remarked):
    why = judged("beats a dummy", design_effect=design_effect(0.55, high)).why
    assert ("The paper's 0.71 lies above the interval." in why) is remarked


@pytest.mark.parametrize(("brier", "remarked"), [(0.26, True), (0.24, False)])
def test_probabilities_worse_than_always_one_half_are_remarked(brier, remarked):
    scores = pd.DataFrame([{"model": "resnet34", "images_per_class": 4, "brier": brier}])
    tables = {"design_effect": design_effect(0.55, 0.8), "diagnosis": scores}
    why = judged("beats a dummy", **tables).why
    assert (f"Brier score is {brier:.2f}, worse than 0.25" in why) is remarked


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
    assert ("three quarters of each model's by epoch" in judgement.measured) is all(upper_quartiles)


def test_only_the_last_of_the_paper_s_three_plateaus_is_said_to_be_tested():
    assert "Only “before 100 epochs” is tested" in judged("reaches its plateau").rule


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_was_not_run_cannot_tell(claim):
    nothing = summary_of(models={}, difference=None, interval=None)
    judgement = CLAIMS[claim](Evidence(nothing, {}))
    assert (judgement.verdict, judgement.numbers) == ("cannot tell", {})
    assert judgement.reasons


def test_a_study_without_the_papers_two_models_says_nothing_of_the_paper():
    other = {"model": "fast", "against": "resnet34", "difference": 0.2, "interval": [0.1, 0.3]}
    summary = summary_of() | {"headline": other | {"paired_seeds": 5}}
    assert judge_headline(summary).verdict == "not complete"
    assert CLAIMS["difference"](Evidence(summary, {})).verdict == "cannot tell"


def test_other_pairs_and_models_of_a_study_do_not_count_for_the_paper():
    ahead = comparison(**ABOVE_ZERO).assign(model="ubc_resnet34", against="resnet34")
    behind = comparison(**BELOW_HALF).assign(model="fast", against="resnet34")
    found = Evidence(summary_of(), {"comparison": pd.concat([behind, ahead])})
    assert CLAIMS["small_sizes"](found).verdict == "reproduced"
    drawn = pd.concat(
        [correlation().assign(model="ubc_resnet34"), correlation((-0.9, -0.1)).assign(model="fast")]
    )
    assert CLAIMS["rises_with_dice"](Evidence(summary_of(), {"dice_correlation": drawn})).numbers[
        "low"
    ] == pytest.approx(0.2)


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
        evidence(study="boxes", interval=boxes),
        evidence(study="whole", interval=whole, whole_slices=True),
    ]
    assert localisation(studies).verdict == verdict
    assert localisation(studies[:1]).numbers == {}


def test_two_seeds_cannot_tell_where_the_mask_helps():
    studies = [
        evidence(study="boxes", interval=[-0.02, 0.04], paired_seeds=2),
        evidence(study="whole", interval=[0.05, 0.1], whole_slices=True),
    ]
    assert localisation(studies).verdict == "cannot tell"
    assert "Fewer than 3 seeds" in verdict_page(studies).partition("has to be found?")[2]


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
    phantom = evidence(study="quick", interval=[0.02, 0.2])
    real = evidence(
        study="boxes",
        cohort_kind="brats",
        cohort="8 patients",
        interval=[-0.05, 0.05],
        images_per_class_max=190,
    )
    page = verdict_page([phantom, real])
    answer = page.partition("\n")[0]
    boxes = "boxes cut around the lesion (the paper: whole slices)"
    assert answer.startswith(f"**On 8 patients, shown as {boxes}, the claim is: not reproduced.**")
    assert "the paper has +0.10 ± 0.06. ResNet34 alone may agree with the paper's 0.71." in answer
    assert "do not give the same answer" in page
    assert "make study STUDY=brats2019" in page
    assert re.search(r"that is \d+ hours of one CPU core", page)
    assert page.count("\n### ") == len(CLAIMS) + 2


@pytest.mark.parametrize(
    ("patients", "said"),
    [(7, "3 seeds, whose test halves together hold 7 patients)."), (np.nan, "3 seeds).")],
)
def test_the_answer_counts_the_patients_whom_all_seeds_together_tested(patients, said):
    table = pd.DataFrame({**PAIR, "images_per_class": [2, 4], "patients": [5, patients]})
    page = verdict_page([Evidence(summary_of(), {"comparison": table})])
    assert said in page.partition("\n")[0]


def test_a_smaller_advantage_is_called_one_in_the_answer_and_beside_its_verdict():
    page = verdict_page([evidence(interval=[0.02, 0.08])])
    assert "there is an advantage, but smaller than the paper's" in page.partition("\n")[0]
    assert "There is an advantage, but smaller than the paper's." in page


def test_phantoms_that_cannot_tell_do_not_disagree():
    phantom = evidence(study="quick", interval=[-0.05, 0.2])
    real = evidence(cohort_kind="brats", interval=[-0.05, 0.05])
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
    assert read.rows("plateau")["median"].tolist() == [30]
    assert read.rows("comparison").empty


@pytest.mark.parametrize(("low", "verdict"), [(0.0, "cannot tell"), (1e-6, "reproduced")])
def test_an_interval_that_begins_at_zero_is_not_above_it(low, verdict):
    summary = summary_of(difference=0.12, interval=[low, 0.2], paired_seeds=5)
    assert judge_headline(summary).verdict == verdict
