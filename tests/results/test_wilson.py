"""The interval that stands beside every accuracy."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ubc_lib.results.wilson import wilson_interval
from ubc_lib.system.errors import InputError

counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "n", "accuracy", "half_width"),
    [(308, 380, 0.81, 0.04), (0.71 * 380, 380, 0.71, 0.05), (190, 380, 0.50, 0.05)],
    ids=["UBC-ResNet34", "ResNet34", "dummy"],
)
def test_agrees_with_the_intervals_of_table_3(successes, n, accuracy, half_width):
    low, high = wilson_interval(successes, n)
    assert round((high - low) / 2, 2) == half_width
    assert low < accuracy < high


def test_308_of_380_by_hand():
    # (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959964.
    p, n, z = 308 / 380, 380, 1.959964
    middle = p + z**2 / (2 * n)
    reach = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    by_hand = [(middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1)]
    assert wilson_interval(308, 380) == pytest.approx(by_hand, abs=1e-6)
    assert wilson_interval(308, 380) == pytest.approx((0.7681, 0.8467), abs=5e-5)


def test_agrees_with_a_worked_example_in_the_literature():
    # Newcombe, Statistics in Medicine 17 (1998) 857–872, Table I: 15 of 148.
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@given(counts)
def test_holds_the_proportion_and_stays_within_0_and_1(count):
    successes, n = count
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1


@given(counts)
def test_mirrors_when_successes_and_failures_swap(count):
    successes, n = count
    low, high = wilson_interval(successes, n)
    assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(counts, st.floats(0.5, 0.98), st.floats(0.5, 0.98))
def test_widens_with_confidence(count, lower, higher):
    assume(lower + 1e-3 < higher)
    narrow, wide = wilson_interval(*count, lower), wilson_interval(*count, higher)
    assert wide[0] <= narrow[0] + 1e-12
    assert narrow[1] <= wide[1] + 1e-12


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0, 0), "n=0"),
        ((1, -5), "n=-5"),
        ((-1, 10), "successes=-1"),
        ((11, 10), "successes=11"),
        ((float("nan"), 10), "finite"),
        ((5, float("inf")), "finite"),
        ((5, 10, 1.0), "confidence=1.0"),
    ],
)
def test_refuses_what_is_no_count(arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        wilson_interval(*arguments)
