"""How sure a proportion is."""

import math

from statsmodels.stats.proportion import proportion_confint

from ubc_lib.system.errors import InputError


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion, as (low, high) within [0, 1].

    `successes` may be fractional: a mean accuracy over several evaluations of the same `n` slices
    times `n`. The interval treats the slices as independent, as the paper's does.

    Raises InputError when n is not positive, successes lie outside 0..n, confidence lies outside
    (0, 1), or any of them is not a finite number.

    Source: Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22 (1927) 209–212.
    """
    if not all(map(math.isfinite, (successes, n, confidence))):
        raise InputError(
            f"wilson_interval got successes={successes}, n={n}, confidence={confidence}; "
            "all three must be finite numbers."
        )
    if n <= 0:
        raise InputError(f"wilson_interval got n={n}; at least one test slice is needed.")
    if not 0 <= successes <= n:
        raise InputError(f"wilson_interval got successes={successes}; allowed is 0 to n={n}.")
    if not 0 < confidence < 1:
        raise InputError(f"wilson_interval got confidence={confidence}; allowed is 0 to 1, open.")
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))
