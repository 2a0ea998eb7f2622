"""Whether the mask helps on a cohort of anyone's own: one rule for every such study."""

import math

from ubc_lib.results.summary import ENOUGH_SEEDS
from ubc_lib.statistics.judge import CANNOT_TELL, Judgement

SMALL = 0.05  # a difference in accuracy that hardly anyone would draw masks for
Z_CONFIDENCE, Z_POWER = 1.96, 0.84  # of a 95 % interval, and of finding in 80 % of studies


def mask_helps(summary: dict, one: dict) -> Judgement:
    """Whether a model's masks help, by its difference in accuracy from another model.

    one: an entry of `comparisons` in the summary. "yes" if the interval of the difference lies
    above zero, "no" if it ends below `SMALL` ("harms" as a reason if it ends below zero), else
    "cannot tell" ("wide"); so, too, with fewer than `ENOUGH_SEEDS` seeds ("few seeds"), and instead
    of "no" where the other model is not surely better than one answer for all, since where little
    is learnt little can be gained ("nothing learnt"). Numbers: difference, low, high, seeds and
    detectable, the smallest difference that such a study finds four times in five.
    """
    if one["difference"] is None:
        return Judgement(CANNOT_TELL, {}, ("not run",))
    low, high = one["interval"]
    error = (high - low) / (2 * Z_CONFIDENCE)
    numbers = {"difference": one["difference"], "low": low, "high": high}
    numbers |= {"seeds": one["paired_seeds"], "detectable": (Z_CONFIDENCE + Z_POWER) * error}
    if one["paired_seeds"] < ENOUGH_SEEDS or math.isnan(error):
        return Judgement(CANNOT_TELL, numbers, ("few seeds",))
    if low > 0:
        return Judgement("yes", numbers)
    if summary["models"][one["against"]]["low"] <= summary["dummy"]["accuracy"]:
        return Judgement(CANNOT_TELL, numbers, ("nothing learnt",))
    if high < SMALL:
        return Judgement("no", numbers, ("harms",) if high < 0 else ())
    return Judgement(CANNOT_TELL, numbers, ("wide",))
