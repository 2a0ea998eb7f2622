"""The cost model: what fits the measured runs, what clusters are asked for, and the tables."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cost import HOURS, errors_left_out, fit_rates, hours, measured_runs
from tests.conftest import tiny_study
from ubc_lib.__main__ import main
from ubc_lib.study import Study
from ubc_lib.training.cost import (
    ERRORS,
    STARTUP_MINUTES,
    WORK,
    card_minutes,
    distance,
    in_words,
    job_minutes,
    job_seconds,
    predict_seconds,
    read_rates,
    shares,
    study_hours,
    work,
)
from ubc_lib.training.loop import learning_rates


def some_runs(rates=(0.1, 2.0, 0.5)) -> pd.DataFrame:
    runs = work([1, 5, 50, 190], [10, 20, 30, 40], 50, 64, 380, 5).assign(model="resnet34")
    return runs.assign(seconds=runs[WORK] @ list(rates))


def test_work_is_steps_and_megapixels():
    (steps, trained, tested) = work([30], [10], 50, 1000, [380], 5).iloc[0]
    assert (steps, trained, tested) == (20, 600, 760)


def test_rates_that_made_the_runs_are_found():
    runs = some_runs()
    rates = fit_rates(runs)
    assert rates[WORK].iloc[0].tolist() == pytest.approx([0.1, 2.0, 0.5])
    assert predict_seconds(rates, runs).to_numpy() == pytest.approx(runs["seconds"].to_numpy())


def test_more_work_asks_for_more_time():
    study = tiny_study(patients_per_class=76, images_per_class=(10,), epochs=200)
    minutes = job_minutes(study, "ubc_resnet34", (10,))
    assert job_minutes(study, "ubc_resnet34", (10, 38)) > minutes
    larger = study.model_copy(update={"image_size": 224})
    assert job_minutes(larger, "ubc_resnet34", (10,)) > minutes


def test_jobs_that_fill_the_machines_take_their_share_of_the_hours():
    study = tiny_study(patients_per_class=76, seeds=range(8), models=["resnet34"], epochs=200)
    job = job_seconds(study, "resnet34", study.images_per_class, read_rates()) / 3600
    found = study_hours(study, read_rates(), machines=(1, 4, 16))
    assert found["jobs"] == 8
    assert found["longest job"] == pytest.approx(job)
    expected = {"1 at once": 8 * job, "4 at once": 2 * job, "16 at once": job}
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_the_hours_of_any_study_are_told_with_the_error(capsys):
    settings = "seeds=[1,2,3] image_size=64 images_per_class=[10,38]"
    main(["cost", "paper", settings, "--machines", "1", "6"])
    said = capsys.readouterr().out
    study = Study.load("paper", settings)
    for key, value in study_hours(study, read_rates(), (1, 6)).items():
        shown = value if key == "jobs" else in_words(value)
        assert re.search(rf"^{key} +{shown}$", said, re.MULTILINE)
    errors = pd.read_csv(ERRORS)["sum"]
    assert f"{errors.min():.2f} to {errors.max():.2f} times" in said


@given(cards=st.integers(1, 12))
def test_cards_share_all_runs_once_and_take_about_as_long(cards):
    study, rates = Study.load("paper"), read_rates()
    shared = shares(study, cards)
    assert sorted(run for runs in shared for run in runs) == sorted(study.planned_runs)
    seconds = {run: job_seconds(study, run[0], (run[1],), rates) for run in study.planned_runs}
    busy = [sum(map(seconds.get, runs)) for runs in shared]
    assert max(busy) - min(busy) <= max(seconds.values())
    assert all(runs == sorted(runs, key=lambda run: run[2]) for runs in shared)


def test_cards_are_asked_for_less_time_than_cores_and_less_the_more_there_are():
    study = Study.load("paper")
    one, four = (card_minutes(study, cards) for cards in (1, 4))
    longest = max(job_minutes(study, model, study.images_per_class) for model in study.models)
    assert four - STARTUP_MINUTES == pytest.approx((one - STARTUP_MINUTES) / 4, rel=0.1)
    assert STARTUP_MINUTES < four < longest


def test_a_study_that_is_not_there_is_named():
    with pytest.raises(SystemExit, match="no study 'papper'"):
        main(["cost", "papper"])


def test_less_than_one_machine_is_refused():
    with pytest.raises(SystemExit, match="--machines must be 1 or more"):
        main(["cost", "paper", "--machines", "0"])


def test_steps_and_rates_of_a_run_are_those_of_its_training():
    study = tiny_study(epochs=7, batch_size=4, decay=0.5, decay_every=2, images_per_class=(4,))
    for by in ("epochs", "steps"):
        asked = study.model_copy(update={"decay_by": by})
        rates = [rate for epoch in range(1, 8) for rate in learning_rates(asked, epoch, 2)]
        steps, moved = distance(asked, "resnet34", 4)
        assert (steps, moved) == (14, pytest.approx(sum(rates)))


def test_a_training_too_short_to_learn_is_warned_of(capsys):
    for settings, warned in (("", True), ("learning_rate=3e-4 batch_size=16", False)):
        main(["cost", "bus_bra", settings])
        said = capsys.readouterr().out
        assert ("WARNING: its learning rates add up to" in said) is warned
        assert "0.0 hours" not in said


def test_a_network_that_was_never_measured_counts_as_the_slowest():
    models = {"resnet34": {}, "ubc_resnet34": {}, "mine": {"network": "unheard_of"}}
    study = tiny_study(patients_per_class=76, models=models, epochs=200)
    seconds = {name: job_seconds(study, name, (4,), read_rates()) for name in models}
    assert seconds["mine"] >= max(seconds["resnet34"], seconds["ubc_resnet34"])


def test_a_model_trained_for_half_as_many_epochs_takes_half_the_time():
    models = {"resnet34": {}, "short": {"network": "resnet34", "epochs": 100}}
    study = tiny_study(patients_per_class=76, models=models, epochs=200)
    whole, half = (job_seconds(study, name, (4,), read_rates()) for name in models)
    assert half == pytest.approx(whole / 2)


def test_committed_tables_are_those_of_the_committed_runs():
    runs = measured_runs()
    expected = {"rates": fit_rates(runs), "errors": errors_left_out(runs)}
    pd.testing.assert_frame_equal(
        expected["rates"].round(6), read_rates().drop(columns="safety_factor"), atol=1e-5
    )
    pd.testing.assert_frame_equal(expected["errors"].round(2), pd.read_csv(ERRORS), atol=0.011)
    pd.testing.assert_frame_equal(hours(read_rates()).round(1), pd.read_csv(HOURS), atol=0.11)
    assert read_rates()["safety_factor"].iloc[0] >= expected["errors"]["sum"].max().round(6)
