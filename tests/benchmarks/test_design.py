"""The points of the designed phantoms are chosen by the baseline alone."""

import pandas as pd
import pytest

from benchmarks.design import choose

RULES = {"design": {"baseline": [0.7, 0.8]}}


def measured(**means: float) -> pd.DataFrame:
    """Two seeds of each point, a little around its mean. Points: a1 is amplitude 0.1, count 1."""
    rows = [
        {"phantom_amplitude": int(name[1]) / 10, "phantom_count": 1, "seed": seed, "accuracy": one}
        for name, mean in means.items()
        for seed, one in enumerate((mean - 0.01, mean + 0.01))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        ({"a1": 0.71, "a2": 0.77, "a3": 0.9}, {0.2}),
        ({"a1": 0.5, "a2": 0.69, "a3": 0.81}, set()),
    ],
)
def test_the_point_nearest_to_the_middle_is_chosen_if_it_lies_within(means, chosen):
    table = choose(measured(**means), RULES)
    assert set(table.loc[table["chosen"], "phantom_amplitude"]) == chosen
