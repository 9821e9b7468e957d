"""Proofs: short trainings at one rate that show whether the model learns there."""

import dataclasses
import enum
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.stored_json import MAY_BE_INFINITE

CLEARLY = 0.02
"""A loss is clearly below a bound if it is lower by this fraction of the bound."""
NEARLY = 0.1
"""A loss is near a bound if it exceeds the bound by at most this fraction of it."""
LAST_PART = 0.2
"""A training is judged by its mean loss over this last fraction of its steps."""
SPACING = 0.5
"""Decades between two neighbouring rates in the search around the first rate."""
MOST_RATES = 8
"""At most this many rates are tried."""
LONGER = 4
"""If the model does not learn, the training is repeated with this many times the steps."""
FAR_ABOVE = 3.0
"""A start above this multiple of the best constant output's loss leads to advice."""
_MOST_NUMBERS = 16
"""A best constant output with more numbers than this is not stored."""


class JudgedOn(str, enum.Enum):
    """The examples whose loss decides whether the model learned in a proof."""

    VALIDATION_DATA = "validation data"
    HELD_OUT_EXAMPLES = "held-out examples"
    """A part of the training data that is excluded from the training."""
    TRAINING_DATA = "training data"
    """The batches of the training itself. A model that memorises them also seems to learn."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """A short training at a constant rate, from the initial state.

    Attributes:
        learning_rate: The rate, greater than 0.
        loss: The greater of two losses: the mean over the last fifth of the steps, and the loss
            of the trained model in inference mode. `inf` if a loss or weight was not finite.
        start_loss: Loss before the first step.
        constant_loss: Loss of the best constant output; None if it is not known.
        constant: The best constant output, flattened; empty if it is not known or has more than
            16 numbers.
        num_steps: Number of steps.
        seed: The random seed of the training.
        judged_on: The examples on which all losses of the proof are computed.
    """

    learning_rate: float
    loss: float = dataclasses.field(metadata=MAY_BE_INFINITE)
    start_loss: float = dataclasses.field(metadata=MAY_BE_INFINITE)
    constant_loss: float | None
    constant: tuple[float, ...]
    num_steps: int
    seed: int
    judged_on: JudgedOn

    @classmethod
    def of(
        cls,
        learning_rate: float,
        losses: Array,
        final_loss: float | None,
        *,
        num_steps: int,
        seed: int,
        constant_loss: float | None,
        constant: Sequence[float],
        judged_on: JudgedOn,
    ) -> "Proof":
        """Returns the proof from the losses of a training.

        Args:
            learning_rate: The rate of the training.
            losses: The loss at the start, then the loss of each step: shape `(num_steps + 1,)`,
                shorter if the training ended early at a loss or weight that was not finite. The
                losses between the start and the last fifth of the steps are not read.
            final_loss: Loss of the trained model in inference mode; None if not known.
            num_steps: Number of steps that were planned.
            seed: The random seed of the training.
            constant_loss: Loss of the best constant output; None if not known.
            constant: The best constant output, flattened; empty if not known.
            judged_on: The examples on which the losses were computed.
        """
        is_whole = losses.size > num_steps
        loss = mean_of_last(losses, num_steps) if is_whole else math.inf
        if final_loss is not None:
            loss = max(loss, final_loss if math.isfinite(final_loss) else math.inf)
        start = float(losses[0]) if losses.size else math.inf
        known = tuple(constant) if len(constant) <= _MOST_NUMBERS else ()
        return cls(learning_rate, loss, start, constant_loss, known, num_steps, seed, judged_on)

    @property
    def bound(self) -> float:
        """The lower of the loss at the start and the loss of the best constant output."""
        return loss_to_beat(self.start_loss, self.constant_loss)

    @property
    def learns(self) -> bool:
        """Whether the loss ended 2% below `bound`."""
        return is_clearly_below(self.loss, self.bound)

    @property
    def is_harmless(self) -> bool:
        """Whether the loss fell, to at most 10% above the loss of the best constant output."""
        base = math.inf if self.constant_loss is None else self.constant_loss
        return self.loss < self.start_loss and self.loss <= base + NEARLY * abs(base)


def last_steps(num_steps: int) -> int:
    """Returns the number of steps in the last fifth of a training, at least 1."""
    return max(1, round(LAST_PART * num_steps))


def mean_of_last(losses: Array, num_steps: int) -> float:
    """Returns the mean loss over the last fifth of a training's steps."""
    return float(np.mean(losses[-last_steps(num_steps) :]))


def loss_to_beat(start_loss: float, constant_loss: float | None) -> float:
    """Returns the lower of the loss at the start and the best constant output's, if it is known."""
    return min(start_loss, math.inf if constant_loss is None else constant_loss)


def is_clearly_below(loss: float, bound: float) -> bool:
    """Returns whether a loss is finite and below a bound by more than 2% of the bound."""
    return math.isfinite(loss) and loss < bound - CLEARLY * abs(bound)


def advice_on(proof: Proof) -> str:
    """Returns advice if the model starts far above the best constant output's loss, else ''."""
    base = proof.constant_loss
    if base is None or proof.start_loss <= base + (FAR_ABOVE - 1) * abs(base):
        return ""
    output = ", ".join(f"{number:.4g}" for number in proof.constant)
    return (
        f"The model starts at a loss of {proof.start_loss:.4g}, far above the {base:.4g} of the "
        f"best constant output{output and f', {output}'}: start the bias of the output layer "
        f"there{'' if output else ', for a squared error the mean of the labels'}, or standardise "
        "the labels, and find the rate again."
    )


class Proven(NamedTuple):
    """The result of `put_to_proof`.

    Attributes:
        best: The last proof of the best rate.
        learns: Whether the model learned at the best rate.
        proofs: All proofs, in the order in which they ran.
    """

    best: Proof
    learns: bool
    proofs: tuple[Proof, ...]


def put_to_proof(
    first: float,
    prove: Callable[[float, int, int], Proof],
    num_steps: int,
    most_steps: int,
    rates: tuple[float, float],
) -> Proven:
    """Tests whether the model learns at a rate and, if it does not, tries other rates.

    One short training is enough if the model learns in it. Otherwise the training is repeated
    with `most_steps`. If that fails too, rates half a decade lower and higher are tried, and the
    search goes on in the better direction until the loss rises again, for at most 8 rates. A
    success after the first training may be chance, so it must be repeated with another seed.

    Args:
        first: The rate that a rule read off the curve.
        prove: Called with a rate, a number of steps, and a number to add to the search's seed.
            Trains the model and returns the proof.
        num_steps: Number of steps of a short training.
        most_steps: Number of steps of a longer training, at least `num_steps`.
        rates: The least and the greatest rate to try.
    """
    proofs: list[Proof] = []

    def run(rate: float, steps: int, seed: int = 0) -> Proof:
        proofs.append(prove(rate, steps, seed))
        return proofs[-1]

    def holds(proof: Proof) -> bool:
        """Returns whether the model learned, and learns again with another seed."""
        return proof.learns and run(proof.learning_rate, proof.num_steps, 1).learns

    def holds_longer(proof: Proof) -> bool:
        is_worth = math.isfinite(proof.loss) and most_steps > num_steps
        return is_worth and holds(run(proof.learning_rate, most_steps))

    best = run(first, num_steps)
    if best.learns or holds_longer(best):
        return Proven(proofs[-1], True, tuple(proofs))
    best = _best_around(best, lambda rate: run(rate, num_steps), rates)
    learns = holds(best) or (best.learning_rate != first and holds_longer(best))
    return Proven(proofs[-1] if learns else best, learns, tuple(proofs))


def _best_around(first: Proof, run: Callable[[float], Proof], rates: tuple[float, float]) -> Proof:
    """Returns the proof with the least loss, found step by step from the first rate.

    Of equal losses, the rate nearest to the first one wins. If all losses are infinite, the
    lowest rate wins.
    """
    tried = [first]

    def order(proof: Proof) -> tuple[float, float]:
        distance = abs(math.log(proof.learning_rate / first.learning_rate))
        return proof.loss, distance if math.isfinite(proof.loss) else proof.learning_rate

    while len(tried) < MOST_RATES:
        best = min(tried, key=order)
        rate = rate_beyond(best.learning_rate, [p.learning_rate for p in tried], rates)
        if rate is None or (rate > best.learning_rate and not math.isfinite(best.loss)):
            break
        tried.append(run(rate))
    return min(tried, key=order)


def rate_beyond(best: float, tried: Sequence[float], rates: tuple[float, float]) -> float | None:
    """Returns the rate half a decade beyond the best one, if that lies at an end of those tried.

    Args:
        best: The best of the rates that were tried.
        tried: All of them.
        rates: The least and the greatest rate to try. None is returned where they are exceeded.
    """
    lower, higher = best / 10**SPACING, best * 10**SPACING
    if best == min(tried) and lower >= rates[0]:
        return lower
    return higher if best == max(tried) and higher <= rates[1] else None
