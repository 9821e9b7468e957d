"""Kinds of schedules, told by their rates alone."""

import numpy as np
import pytest

from tfx_lr_finder.core.schedule import Schedule, schedule_of

STEPS = np.linspace(0, 1, 101)
COSINE = (1 + np.cos(np.pi * STEPS)) / 2


@pytest.mark.parametrize(
    ("rates", "kind"),
    [
        (np.full(101, 1e-3), Schedule.CONSTANT),
        (np.array([5.0]), Schedule.CONSTANT),
        (1e-3 * np.minimum(1, 10 * STEPS), Schedule.WARM_UP),
        (1e-3 * COSINE, Schedule.DECAYING),
        (np.minimum(1, 5 * STEPS) * COSINE, Schedule.DECAYING),
        (0.1 ** np.floor(STEPS * 3), Schedule.DECAYING),
        (1 - STEPS / 2, Schedule.UNKNOWN),
        (1 + 0.5 * np.sin(20 * STEPS), Schedule.UNKNOWN),
        (np.zeros(3), Schedule.UNKNOWN),
        (np.array([1.0, np.nan]), Schedule.UNKNOWN),
    ],
)
def test_kind_is_told_by_the_rates(rates, kind):
    """Constant, after a warm-up, down to a tenth or less, or something else."""
    assert schedule_of(rates) is kind


def test_every_kind_has_words():
    """The report says which it is."""
    assert len({kind.meaning for kind in Schedule}) == len(Schedule)
