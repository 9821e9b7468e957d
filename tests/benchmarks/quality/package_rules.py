"""The package's own rules and verdicts, on curves that stop as its sweeps do."""

import dataclasses

import numpy as np

from tfx_lr_finder.curve import Curve, StopReason
from tfx_lr_finder.errors import NoLearningRateError
from tfx_lr_finder.rules import RULES as RULES
from tfx_lr_finder.suggestion import suggest
from tfx_lr_finder.verdict import Verdict, judge


def suggested_rate(curve: Curve, rule: str, optimizer: str, budget: int) -> float | None:
    """Returns the rate that a rule of the package suggests; None where it refuses."""
    # Set here as well as by the sweep: each budget is asked for on the same curve.
    curve = dataclasses.replace(curve, is_plain_sgd=optimizer == "sgd", train_steps=budget)
    try:
        return suggest(stopped(curve), rule).learning_rate
    except NoLearningRateError:
        return None


def verdict_on(curve: Curve, learning_rate: float) -> Verdict:
    """Returns the package's verdict on a rate."""
    return judge(stopped(curve), learning_rate)


def stopped(curve: Curve, divergence_factor: float = 4.0) -> Curve:
    """Returns the curve as it is when the sweep stops at divergence, as it does by default."""
    smoothed = curve.smoothed_losses
    best = np.minimum.accumulate(smoothed)
    scale = np.where(best > 0, best, np.maximum(-best, smoothed[0] - best))
    diverged = np.flatnonzero(smoothed > best + (divergence_factor - 1) * scale)
    if not diverged.size:
        return curve
    last = diverged[0] + 1
    return dataclasses.replace(
        curve,
        learning_rates=curve.learning_rates[:last],
        losses=curve.losses[:last],
        stop_reason=StopReason.DIVERGED,
    )
