"""What an evidence says beside its rate."""

import numpy as np
import pytest

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.suggestion import suggest
from tfx_lr_finder.core.sweep import StopReason, exponential_learning_rates


def swept(num_steps, num_points=None):
    """Returns the evidence of a sweep over seven decades, whose loss falls and rises again."""
    rates = exponential_learning_rates(1e-6, 10, num_steps)[:num_points]
    losses = 2 + np.tanh(np.log10(rates / 0.1)) ** 2 - (rates < 0.1) * 0.5 / (1 + 0.001 / rates)
    reason = StopReason.DIVERGED if num_points else StopReason.ALL_STEPS
    curve = Curve(rates, losses, 0.98, reason, num_steps, 0, batch_size=8)
    return Evidence.of(suggest(curve), [curve])


@pytest.mark.parametrize("num_points", [None, 45], ids=["whole", "diverged"])
def test_few_steps_a_decade_come_with_a_warning(num_points):
    """It names the number of steps that would do, whether the sweep went to its end or not."""
    assert swept(50, num_points).advice == (
        "With 7 steps a decade the rate is unsure: of the rates with 7, half were off by "
        "more than a factor of 2. Raise `num_steps` to 99."
    )


@pytest.mark.parametrize("num_steps", [99, 200])
def test_enough_steps_come_without_a_warning(num_steps):
    """Also with the very number that the warning names."""
    assert swept(num_steps).advice == ""
