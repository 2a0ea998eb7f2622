"""When training reached its plateau, and which evaluations are reported."""

from collections.abc import Sequence

import numpy as np

EVALUATIONS_AVERAGED = 5  # the paper reports the mean of five values after the plateau


def plateau_epoch(losses: Sequence[float], window: int, tolerance: float) -> int | None:
    """The first epoch (from 1) at which the training loss has stopped falling; None if it has not.

    That is the first e at which the mean loss of the last `window` epochs lies less than
    `tolerance` times the first epoch's loss below the mean of the `window` epochs before them. It
    looks at training losses up to e only, never at the test set.
    """
    if not len(losses):
        return None
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    means = (sums[window:] - sums[:-window]) / window  # means[k]: epochs k+1 to k+window
    flat = means[:-window] - means[window:] < tolerance * abs(losses[0])
    return int(flat.argmax()) + 2 * window if flat.any() else None


def reported_epochs(evaluated: Sequence[int], plateau: int | None) -> list[int]:
    """The epochs whose evaluations are averaged into the reported metric.

    The first five evaluated from the plateau on; the last five where there are not as many.
    """
    after = [epoch for epoch in evaluated if plateau is not None and epoch >= plateau]
    if len(after) < EVALUATIONS_AVERAGED:
        return list(evaluated[-EVALUATIONS_AVERAGED:])
    return after[:EVALUATIONS_AVERAGED]
