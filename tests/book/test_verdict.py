"""The words that pages use about a study follow from its numbers."""

import pytest

from tests.book_samples import summary_of
from tests.conftest import tiny_study
from ubc_lib.book.verdict import status_box, study_page, substitutions
from ubc_lib.book.words import say
from ubc_lib.statistics.judge import Evidence, judge_headline

BASELINE, BOOSTED = "resnet34", "ubc_resnet34"


def answer(summary: dict, language: str = "") -> str:
    """What the landing page says of a study, or with "_ru" the Russian page."""
    return substitutions([summary], has_pdf=False)[f"answer{language}"]


def verdict(summary: dict) -> str:
    return judge_headline(summary).verdict


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.02, 0.15), "reproduced"),
        ((0.02, 0.08), "not reproduced"),
        ((-0.05, 0.08), "not reproduced"),
        ((-0.15, -0.02), "not reproduced"),
        ((-0.02, 0.12), "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(interval, word):
    assert verdict(summary_of(interval=list(interval))) == word


def test_two_seeds_cannot_tell_whatever_the_interval():
    assert verdict(summary_of(interval=[0.02, 0.15], paired_seeds=2)) == "cannot tell"
    told = answer(summary_of(paired_seeds=2))
    assert "there are fewer than 3 seeds, and the interval is over patients only" in told


@pytest.mark.parametrize(
    ("interval", "advantage"), [((0.02, 0.08), True), ((0.0, 0.08), False), ((0.02, 0.1), False)]
)
def test_an_advantage_smaller_than_the_paper_s_is_called_one(interval, advantage):
    summary = summary_of(interval=list(interval))
    assert ("there is an advantage, but smaller than the paper's" in answer(summary)) is advantage
    assert ("преимущество есть, но меньше, чем в статье" in answer(summary, "_ru")) is advantage


def test_a_study_of_one_model_quotes_the_other_as_not_run():
    summary = summary_of(difference=None, interval=None)
    del summary["models"][BOOSTED]
    assert verdict(summary) == "not complete"
    assert "| UBC-ResNet34 | not run | 0.81 ± 0.04 | – | 0.77 |" in answer(summary)
    assert "The difference is not run: one of the models has no finished run" in answer(summary)
    assert "| UBC-ResNet34 | нет запусков |" in answer(summary, "_ru")


def test_numbers_are_quoted_with_two_decimals_and_a_sign():
    told = answer(summary_of(difference=-0.0333, interval=[-0.1, 0.02]))
    assert "| ResNet34 | 0.70 [0.61,\u00a00.79] | 0.71 ± 0.05 | – | – |" in told
    assert "| UBC-ResNet34 | 0.73 [0.61,\u00a00.79] | 0.81 ± 0.04 | 0.65 | 0.77 |" in told
    assert "| dummy | 0.50 [0.40,\u00a00.60] | 0.50 ± 0.05 | 0.12 | – |" in told
    assert "The difference is −0.03 [−0.10,\u00a0+0.02]" in told


def test_russian_numbers_have_a_decimal_comma():
    told = answer(summary_of(difference=-0.0333, interval=[-0.1, 0.02]), "_ru")
    assert "−0,03 [−0,10;\u00a0+0,02]" in told
    assert "| 0,65 | 0,77 |" in told


def test_a_phantom_result_is_said_to_say_nothing_about_patients():
    assert "nothing about patients" in answer(summary_of())
    assert "nothing about patients" not in answer(summary_of(cohort_kind="brats"))
    assert "ничего не говорит о настоящих пациентах" in answer(summary_of(), "_ru")


def test_a_cohort_of_a_new_kind_has_its_pages():
    summary = summary_of(cohort_kind="hospital", cohort="8 patients of the hospital")
    assert "on 8 patients of the hospital" in answer(summary)
    assert "8 patients of the hospital" in study_page(Evidence(summary, {}), [])


def test_names_of_cohorts_and_records_are_text_on_every_page():
    hostile = "<b>[x](y)</b> {{ 7 * 7 }}"
    summary = summary_of(cohort=hostile, title=hostile, device=hostile)
    summary["labels"]["resnet34"] = hostile
    texts = [
        *substitutions([summary], has_pdf=False).values(),
        study_page(Evidence(summary, {}), []),
    ]
    texts.append(say("readme.md.j2", summaries=[summary]))
    for text in texts:
        assert "<b>" not in text
        assert "[x]" not in text
        assert "{{" not in text


def test_ten_models_are_ten_lines_of_the_answer_and_nine_pairs_of_the_overview():
    study = tiny_study(models=["resnet34", "ubc_resnet34", *(f"m{place}" for place in range(8))])
    one = summary_of()["models"][BASELINE]
    pairs = [pair._asdict() | {"difference": 0.1, "interval": [0, 0.2]} for pair in study.pairs]
    pairs = [pair | {"paired_seeds": 3} for pair in pairs]
    summary = summary_of(labels=study.labels, models=dict.fromkeys(study.models, one))
    summary |= {"comparisons": pairs, "headline": pairs[0]}
    told = substitutions([summary], has_pdf=False)
    assert told["answer"].count("| 0.70 [0.61,") == 10
    rows = told["studies"].splitlines()[2:]
    assert len(rows) == 9
    assert [row.endswith("| – |") for row in rows] == [False] + [True] * 8


def test_the_status_box_names_study_cohort_trainings_device_commit_and_date():
    box = status_box(summary_of("mine", missing_runs=3))
    for fact in ("mine", "8 synthetic phantoms", "a processor", "0123456789ab", "2024-05-06"):
        assert fact in box
    assert "12 trainings, 1 seed at the largest size" in box
    assert "Runs missing: 3" in box


def overview(*summaries: dict) -> list[str]:
    return substitutions(list(summaries), has_pdf=False)["studies"].splitlines()


def test_the_overview_has_a_row_per_study():
    table = overview(summary_of("first"), summary_of("second"))
    assert [line.count("|") for line in table] == [7] * 4
    assert "studies/second/index.md" in table[3]
    assert "| cannot tell (3 seeds) |" in table[3]


def test_the_overview_names_an_advantage_that_is_smaller_than_the_paper_s():
    row = overview(summary_of(interval=[0.02, 0.08]))[2]
    assert "| not reproduced, with an advantage smaller than the paper's (3 seeds) |" in row


def test_a_study_of_one_model_is_in_the_overview():
    summary = summary_of(labels={"resnet34": "ResNet34"}, comparisons=[], headline=None)
    assert "| ResNet34 | 0.70 [0.61,\u00a00.79] | – | not run | – |" in overview(summary)[2]


@pytest.mark.parametrize(
    ("high", "found"), [(0.65, "stays below"), (0.67, "may agree with"), (0.79, "may agree with")]
)
def test_it_is_said_whether_the_baseline_comes_out_as_in_the_paper(high, found):
    summary = summary_of(images_per_class_max=190)
    summary["models"][BASELINE]["high"] = high
    assert f"ResNet34 alone {found} the paper's 0.71." in answer(summary)


def test_the_last_lines_of_a_run_say_what_came_out():
    summary = summary_of(cohort="8 BraTS patients (4 a seed)")
    summary["models"].pop(BOOSTED)
    assert say("terminal.txt.j2", summary=summary).splitlines() == [
        "ResNet34: accuracy 0.70 [0.61,\u00a00.79] with 4 images per class, 97 test slices, 1 seed",
        "UBC-ResNet34: no finished run",
        "cohort: 8 BraTS patients (4 a seed) (study tiny)",
        "device: a processor, fp32, 1.2 minutes of training",
    ]
    told = say("terminal.txt.j2", summary=summary_of())
    assert "UBC-ResNet34: accuracy 0.73 [0.61,\u00a00.79], Dice 0.65 with 4 images" in told


def test_landing_and_prose_pages_quote_the_first_study_and_no_other():
    first = summary_of("first", difference=0.0311, interval=[-0.0212, 0.0813])
    other = summary_of("other", difference=0.0777, interval=[0.0222, 0.1333])
    said = substitutions([first, other], has_pdf=False)
    for name in ("answer", "answer_ru", "status"):
        assert "other" not in said[name]
    assert "0.03" in said["answer"]
    assert "0.08 [" not in said["answer"]
    assert "studies/first/" in said["figure"] + said["results"]
    turned = substitutions([other, first], has_pdf=False)
    assert turned["answer"] != said["answer"]
