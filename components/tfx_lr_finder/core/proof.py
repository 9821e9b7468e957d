"""Whether a model was seen to learn at a rate: a short training at it, and what it came to."""

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfx_lr_finder.core.smoothing import Array

CLEARLY = 0.02
"""A loss is clearly below another one by this part of it."""
NEARLY = 0.1
"""A loss is nearly another one within this part of it."""
LAST_PART = 0.2
"""A training is judged by the mean over this part of its steps, the last."""
SPACING = 0.5
"""Decades between two rates that are proved."""
MOST_RATES = 8
"""No more rates than this are proved."""
LONGER = 4
"""A training that has not learnt yet may go on for this many times the steps."""
FAR_ABOVE = 3.0
"""A model that starts at this multiple of the best constant's loss has to settle first."""
_MOST_NUMBERS = 16


class JudgedOn(str, enum.Enum):
    """The examples whose loss tells whether a training learnt."""

    VALIDATION_DATA = "validation data"
    HELD_OUT_EXAMPLES = "held-out examples"
    """A part of the training data, kept from the training."""
    TRAINING_DATA = "training data"
    """The training's own batches: where a model learns them by heart, it seems to learn."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """A short training at a constant rate, from the initial state.

    Attributes:
        learning_rate: The rate, greater than 0.
        loss: Mean loss over the last fifth of the steps, or that of the trained model outside of
            training mode if it is greater; `inf` if a loss or weight was not finite.
        start_loss: Loss before the first step.
        constant_loss: Loss of the best constant output; None if it is not known.
        constant: That output itself, its numbers in a row; empty if it is not known, or of more
            than 16 numbers.
        num_steps: Number of steps.
        seed: The seed that it was run with.
        judged_on: Whose losses these are.
    """

    learning_rate: float
    loss: float
    start_loss: float
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
        """Returns the proof of a training.

        Args:
            learning_rate: Its rate.
            losses: The loss at the start and that of each step; fewer if one was not finite.
            final_loss: That of the trained model outside of training mode, or None if not known.
            num_steps: Number of steps that there were to be.
            seed: The seed that it was run with.
            constant_loss: Loss of the best constant output, or None.
            constant: Its numbers, or none.
            judged_on: Whose losses they are.
        """
        is_whole = losses.size > num_steps
        last = losses[-max(1, round(LAST_PART * num_steps)) :]
        loss = float(np.mean(last)) if is_whole else math.inf
        if final_loss is not None:
            loss = max(loss, final_loss if math.isfinite(final_loss) else math.inf)
        start = float(losses[0]) if losses.size else math.inf
        known = tuple(constant) if len(constant) <= _MOST_NUMBERS else ()
        return cls(learning_rate, loss, start, constant_loss, known, num_steps, seed, judged_on)

    @property
    def bound(self) -> float:
        """The lower of the loss at the start and that of the best constant output."""
        return min(self.start_loss, math.inf if self.constant_loss is None else self.constant_loss)

    @property
    def learns(self) -> bool:
        """Whether the loss ended clearly, by 2%, below its start and the best constant's."""
        return is_clearly_below(self.loss, self.bound)

    @property
    def is_harmless(self) -> bool:
        """Whether the loss fell, to at most a tenth above that of the best constant output."""
        base = math.inf if self.constant_loss is None else self.constant_loss
        return self.loss < self.start_loss and self.loss <= base + NEARLY * abs(base)

    def to_dict(self) -> dict[str, Any]:
        """Returns the proof as what JSON can hold, which has no infinity."""
        fields = dataclasses.asdict(self)
        losses = {
            name: fields[name] if math.isfinite(fields[name]) else None
            for name in ("loss", "start_loss")
        }
        rest = {"constant": list(self.constant), "judged_on": self.judged_on.value}
        return {**fields, **losses, **rest}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Proof":
        """Returns the proof that `to_dict` gave."""
        losses = {
            name: math.inf if content[name] is None else float(content[name])
            for name in ("loss", "start_loss")
        }
        constant = tuple(map(float, content["constant"]))
        judged_on = JudgedOn(content["judged_on"])
        return cls(**{**content, **losses, "constant": constant, "judged_on": judged_on})


def is_clearly_below(loss: float, bound: float) -> bool:
    """Returns whether a loss is below another one by 2% of it."""
    return math.isfinite(loss) and loss < bound - CLEARLY * abs(bound)


def advice_on(proof: Proof) -> str:
    """Returns what would help a model that starts far above the best constant; else nothing."""
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
    """What came of putting a rate to the proof.

    Attributes:
        best: The last proof of the best rate.
        learns: Whether the model was seen to learn at it.
        proofs: Every proof, in their order.
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
    """Proves a rate and, where the model does not learn at it, others.

    One short training at the rate is enough if the model learns in it. If not, the training is
    repeated with more steps; then rates half a decade below and above are tried, and on in the
    better direction until the loss rises again. What was found only so may be luck: it has to
    hold for another seed, too.

    Args:
        first: The rate that a rule read off the curve.
        prove: Trains at a rate for a number of steps, with the search's seed plus a number.
        num_steps: Number of steps of a short training.
        most_steps: Number of steps of a longer one, at least `num_steps`.
        rates: The least and the greatest rate to try.
    """
    proofs: list[Proof] = []

    def run(rate: float, steps: int, seed: int = 0) -> Proof:
        proofs.append(prove(rate, steps, seed))
        return proofs[-1]

    def holds(proof: Proof) -> bool:
        """Returns whether the model learns in a training, and in one of another seed."""
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
    """Returns the proof of the least loss on the way down or up from a first one.

    Of equal losses the nearest to the first; where all are infinite, that of the least rate.
    """
    tried = [first]

    def order(proof: Proof) -> tuple[float, float]:
        distance = abs(math.log(proof.learning_rate / first.learning_rate))
        return proof.loss, distance if math.isfinite(proof.loss) else proof.learning_rate

    while len(tried) < MOST_RATES:
        best = min(tried, key=order)
        lower, higher = best.learning_rate / 10**SPACING, best.learning_rate * 10**SPACING
        if best is tried[0] and lower >= rates[0]:
            tried.insert(0, run(lower))
        elif best is tried[-1] and higher <= rates[1] and math.isfinite(best.loss):
            tried.append(run(higher))
        else:
            break
    return min(tried, key=order)
