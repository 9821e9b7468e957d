"""How the learning rate moves in a training."""

import enum

import numpy as np

from tfx_lr_finder.core.smoothing import Array

ENDS = 0.1
"""A rate that ends at no more than this fraction of its peak decays."""
STAYS = 0.99
"""A rate of at least this fraction of the peak counts as the peak."""


class Schedule(str, enum.Enum):
    """How the learning rate moves in a training."""

    CONSTANT = "constant"
    WARM_UP = "warm_up"
    """It rises, and then stays."""
    DECAYING = "decaying"
    """It ends at no more than a tenth of its peak, with or without a warm-up."""
    UNKNOWN = "unknown"
    """It moves in another way, or in a way that depends on the training."""

    @property
    def meaning(self) -> str:
        """The schedule in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Schedule.CONSTANT: "constant",
    Schedule.WARM_UP: "constant after a warm-up",
    Schedule.DECAYING: "decays; the rate found is its peak",
    Schedule.UNKNOWN: "not known beforehand",
}


def schedule_of(rates: Array) -> Schedule:
    """Returns the kind of a schedule.

    Args:
        rates: The rate at several steps from the first to the last one, shape `(n,)`.
    """
    peak = rates.max()
    if not 0 < peak < np.inf:
        return Schedule.UNKNOWN
    if rates[-1] <= ENDS * peak:
        return Schedule.DECAYING
    is_peak = rates >= STAYS * peak
    if is_peak.all():
        return Schedule.CONSTANT
    return Schedule.WARM_UP if is_peak[is_peak.argmax() :].all() else Schedule.UNKNOWN
