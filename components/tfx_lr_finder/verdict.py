"""How far the rate that a curve suggests can be trusted."""

import enum

import numpy as np

from tfx_lr_finder.curve import Curve, StopReason
from tfx_lr_finder.kernel import local_linear

MIN_POINTS = 10
"""Fewer points than this show no course."""
FLAT_FALL = 0.01
"""A fall of less than this part of the initial loss is no fall."""
EARLY_STOP = 0.25
"""A sweep that stops within this part of its steps stopped at the start."""
NOISE_RATIO = 4.0
"""A fall of fewer standard errors than this may be chance."""
EDGE = 0.02
"""The outer part of the range, on the logarithmic axis, that counts as its edge."""
BANDWIDTH = 0.25
"""Standard deviation, in decades, of the kernel that smooths the curve for the verdict."""


class Verdict(str, enum.Enum):
    """What a curve says about the rate suggested on it; see `judge` for each criterion."""

    OK = "ok"
    NOISY = "noisy"
    EDGE = "edge_of_range"
    FLAT = "flat"
    DIVERGED_AT_START = "diverged_at_start"
    TOO_FEW_POINTS = "too_few_points"

    @property
    def has_rate(self) -> bool:
        """Whether every rule can read a rate off the curve."""
        return self in (Verdict.OK, Verdict.NOISY, Verdict.EDGE)

    @property
    def meaning(self) -> str:
        """The verdict in words, with what to do next."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.OK: "The loss falls clearly and the rate lies well inside the range. Train with it.",
    Verdict.NOISY: "The fall of the loss is hardly larger than its noise, or the sweeps disagree. "
    "Raise `num_steps` or the batch size before you rely on the rate.",
    Verdict.EDGE: "The rate lies at the edge of the range, or the loss was still falling there. "
    "Widen the range: raise `max_learning_rate`, or lower `min_learning_rate` if the rate lies at "
    "the low end.",
    Verdict.FLAT: "The loss never fell. Check labels, loss function and trainable weights, "
    "or raise `max_learning_rate` or `num_steps`; a rate given nevertheless lies below the one "
    "from which the loss rises.",
    Verdict.DIVERGED_AT_START: "The loss blew up before it fell. "
    "Lower `min_learning_rate`, and check the scale of features and labels.",
    Verdict.TOO_FEW_POINTS: f"A curve of fewer than {MIN_POINTS} points shows no course. "
    "Raise `num_steps`, or lower `min_learning_rate` if the sweep stopped early.",
}


def judge_course(curve: Curve) -> Verdict:
    """Returns what can be said of a curve before any rule is asked.

    With `start` the median of the first tenth of the losses (at least 3), `s` the losses (capped
    at `start + |start|`) smoothed by local linear regression (0.25 decades), and
    `fall = start - min s`, the minimum over the rest of the curve:

    - `diverged_at_start`: the sweep stopped within the first quarter of its steps, and
      `fall < 0.01 |start|`;
    - `too_few_points`: fewer than 10 points;
    - `flat`: `fall < 0.01 |start|`;
    - `noisy`: `fall < 4` standard errors of `s`, from the median absolute deviation of the
      losses about `s` up to the minimum of `s`;
    - `ok` otherwise.
    """
    head = max(3, len(curve) // 10)
    start = float(np.median(curve.steady_losses[:head]))
    losses = np.minimum(curve.steady_losses, start + abs(start))
    smoothed, num_points = local_linear(curve.log_learning_rates, losses, BANDWIDTH)
    rest = min(head, len(curve) - 1)
    lowest = rest + int(np.argmin(smoothed[rest:]))
    fall = start - smoothed[lowest]
    fell = fall > 0 and fall >= FLAT_FALL * abs(start)
    stopped_early = (
        curve.stop_reason is not StopReason.ALL_STEPS and len(curve) <= EARLY_STOP * curve.num_steps
    )
    if stopped_early and not fell:
        return Verdict.DIVERGED_AT_START
    if len(curve) < MIN_POINTS:
        return Verdict.TOO_FEW_POINTS
    if not fell:
        return Verdict.FLAT
    residuals = np.abs(losses - smoothed)[: lowest + 1]
    standard_error = 1.4826 * np.median(residuals) / np.sqrt(num_points[lowest])
    return Verdict.NOISY if fall < NOISE_RATIO * standard_error else Verdict.OK


def judge(curve: Curve, learning_rate: float) -> Verdict:
    """Returns the verdict on a rate that a rule read off a curve.

    Criteria, the first that holds: those of `judge_course`; then `edge_of_range`, when the
    sweep reached its last rate and the loss, smoothed as there, is lowest within the last 2% of
    the range or the rate lies there, or the rate lies within the first 2%, on the logarithmic axis.

    Args:
        curve: The curve of a sweep.
        learning_rate: The rate that a rule suggested on it.
    """
    course = judge_course(curve)
    if course is not Verdict.OK:
        return course
    first, last = curve.log_learning_rates[[0, -1]]
    margin = EDGE * (last - first)
    smoothed, _ = local_linear(curve.log_learning_rates, curve.steady_losses, BANDWIDTH)
    lowest = curve.log_learning_rates[int(np.argmin(smoothed))]
    low = np.log10(learning_rate) <= first + margin
    high = max(np.log10(learning_rate), lowest) >= last - margin
    if low or (high and curve.stop_reason is StopReason.ALL_STEPS):
        return Verdict.EDGE
    return Verdict.OK
