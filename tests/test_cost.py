"""The cost model: what fits the measured runs, what clusters are asked for, and the tables."""

import pandas as pd
import pytest

from benchmarks.cost import ERRORS, HOURS, errors_left_out, hours, measured_runs
from tests.conftest import tiny_study
from ubc_lib.cost import WORK, fit_rates, job_minutes, predict_seconds, read_rates, work


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


def test_committed_tables_are_those_of_the_committed_runs():
    runs = measured_runs()
    expected = {"rates": fit_rates(runs), "errors": errors_left_out(runs)}
    pd.testing.assert_frame_equal(
        expected["rates"].round(6), read_rates().drop(columns="safety_factor"), atol=1e-5
    )
    pd.testing.assert_frame_equal(expected["errors"].round(2), pd.read_csv(ERRORS), atol=0.011)
    pd.testing.assert_frame_equal(hours(read_rates()).round(1), pd.read_csv(HOURS), atol=0.11)
    assert read_rates()["safety_factor"].iloc[0] >= expected["errors"]["sum"].max().round(6)
