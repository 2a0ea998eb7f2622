"""The rule by which a mask helps on patients of one's own."""

import pytest
from scipy.stats import norm

from tests.book_samples import summary_of
from ubc_lib.statistics.benefit import SMALL, mask_helps


def judged(**changes):
    summary = summary_of(cohort_kind="hospital", **changes)
    return mask_helps(summary, summary["comparisons"][0])


@pytest.mark.parametrize(
    ("interval", "verdict", "reason"),
    [
        ([0.01, 0.15], "yes", ""),
        ([0.001, 0.02], "yes", ""),
        ([-0.03, 0.04], "no", ""),
        ([-0.08, -0.01], "no", "harms"),
        ([-0.03, SMALL], "cannot tell", "wide"),
        ([0.0, 0.2], "cannot tell", "wide"),
    ],
)
def test_the_interval_decides(interval, verdict, reason):
    found = judged(interval=interval)
    assert (found.verdict, found.reason) == (verdict, reason)


def test_with_two_seeds_nothing_is_told_whatever_the_interval():
    found = judged(interval=[0.05, 0.15], paired_seeds=2)
    assert (found.verdict, found.reason) == ("cannot tell", "few seeds")


def test_without_a_finished_run_nothing_is_told():
    found = judged(difference=None, interval=None)
    assert (found.verdict, found.numbers) == ("cannot tell", {})


def test_no_benefit_is_not_told_where_nothing_was_learnt():
    guessing = {"accuracy": 0.7, "low": 0.6, "high": 0.8, "dice": 0.1}
    for interval, verdict in (([-0.01, 0.01], "cannot tell"), ([0.01, 0.2], "yes")):
        assert judged(interval=interval).verdict != "cannot tell"
        assert judged(interval=interval, dummy=guessing | {"accuracy": 0.65}).verdict == verdict


def test_the_detectable_difference_is_found_four_times_in_five():
    error = (0.11 + 0.04) / (2 * norm.ppf(0.975))
    found = judged().numbers["detectable"]
    assert norm.sf(norm.ppf(0.975), loc=found / error) == pytest.approx(0.8, abs=0.005)
