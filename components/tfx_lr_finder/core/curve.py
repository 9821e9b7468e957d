"""The loss curve of a learning-rate sweep: the data that every rule reads."""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.smoothing import Array, check_smoothing, exponential_moving_average
from tfx_lr_finder.core.stored_json import parse, plain, restored
from tfx_lr_finder.core.sweep import MAX_STEPS, StopReason, are_apart


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about the training of a sweep besides its losses.

    Attributes:
        batch_size: Number of examples in the largest batch.
        model: Class and size of the model; empty if not known.
        optimizer: Class name of the optimizer; empty if not known.
        is_plain_sgd: Whether the optimizer is gradient descent without momentum. Optimizers with
            running averages show the effect of a rate some steps later.
        num_replicas: Number of replicas that share a batch.
        gradient_accumulation_steps: Number of batches in one step. A step is one update.
        train_steps: Number of steps that the model will be trained for; None if not known.
        schedule: How the rate will move in that training.

    Raises:
        ValueError: If `train_steps` is less than 1.
    """

    batch_size: int
    model: str = ""
    optimizer: str = ""
    is_plain_sgd: bool = False
    num_replicas: int = 1
    gradient_accumulation_steps: int = 1
    train_steps: int | None = None
    schedule: Schedule = Schedule.UNKNOWN

    def __post_init__(self) -> None:
        """Checks the number of steps."""
        if self.train_steps is not None and self.train_steps < 1:
            raise ValueError(
                "A curve's train_steps must be at least 1, or None if not known. "
                f"Received: train_steps={self.train_steps}."
            )

    @property
    def known(self) -> dict[str, int | str]:
        """The known facts that describe the training to a reader, by name."""
        # Whether the optimizer is plain SGD matters to the rules alone.
        names = [field.name for field in dataclasses.fields(Facts) if field.name != "is_plain_sgd"]
        facts = {name: plain(getattr(self, name)) for name in names}
        return {name: fact for name, fact in facts.items() if fact not in ("", None)}


@dataclasses.dataclass(frozen=True, eq=False)
class Curve(Facts):
    """The losses of one sweep, the learning rates at which they were recorded, and the facts.

    Attributes, besides those of `Facts`:
        learning_rates: Shape `(n,)`, strictly increasing, greater than 0.
        losses: Shape `(n,)`, finite: the loss of each batch, computed before its update.
        smoothing: Weight of the past in `smoothed_losses`, in [0, 1).
        stop_reason: Why the sweep ended.
        num_steps: Number of steps that were planned, at least `n`.
        seed: The random seed of the sweep.
        validation_losses: Shape `(n,)`, finite: the loss of fixed validation batches after each
            update; None if there were no validation data.
        constant_loss: Loss of the best constant output on the examples of `steady_losses`, which
            a model reaches without using its inputs; None if it is not known.

    Raises:
        ValueError: If an attribute has a wrong shape or is out of its range.
    """

    learning_rates: Array
    losses: Array
    smoothing: float
    stop_reason: StopReason
    num_steps: int
    seed: int
    validation_losses: Array | None = None
    constant_loss: float | None = None

    def __post_init__(self) -> None:
        """Checks the attributes and makes the arrays read-only."""
        super().__post_init__()
        for name in self._arrays:
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "stop_reason", StopReason(self.stop_reason))
        rates, losses = self.learning_rates, self.losses
        if rates.ndim != 1 or rates.shape != losses.shape or not rates.size:
            raise ValueError(
                "A curve needs as many learning rates as losses, and at least one. "
                f"Received: shapes {rates.shape} and {losses.shape}."
            )
        if not (np.all(rates > 0) and np.isfinite(rates[-1]) and are_apart(rates)):
            raise ValueError(
                "A curve's learning rates must be greater than 0, finite and strictly increasing. "
                f"Received: {rates}."
            )
        if not np.all(np.isfinite(losses)):
            raise ValueError(
                "A curve's losses must be finite; end the curve before the first one that is not. "
                f"Received: {losses}."
            )
        validation = self.validation_losses
        if validation is not None and not (
            validation.shape == rates.shape and np.all(np.isfinite(validation))
        ):
            raise ValueError(
                "A curve needs as many validation losses as losses, all of them finite, or none. "
                f"Received: {validation} of shape {validation.shape}."
            )
        if rates.size > MAX_STEPS:
            raise ValueError(
                f"A curve must have at most {MAX_STEPS:,} points. Received: {rates.size}."
            )
        if self.num_steps < rates.size:
            raise ValueError(
                "A curve cannot have more points than steps. "
                f"Received: {rates.size} points, num_steps={self.num_steps}."
            )
        check_smoothing(self.smoothing)

    @property
    def _arrays(self) -> tuple[str, ...]:
        names = ("learning_rates", "losses")
        return names if self.validation_losses is None else (*names, "validation_losses")

    @property
    def smoothed_losses(self) -> Array:
        """Bias-corrected exponential moving average of `losses`, shape `(n,)`."""
        return exponential_moving_average(self.losses, self.smoothing)

    @property
    def steady_losses(self) -> Array:
        """The validation losses if there are any, otherwise the training losses; shape `(n,)`.

        Validation losses are computed on the same examples after every step, so they have no
        noise from the choice of the batch, and they show over-fitting.
        """
        return self.losses if self.validation_losses is None else self.validation_losses

    @property
    def log_learning_rates(self) -> Array:
        """Base-10 logarithm of `learning_rates`, shape `(n,)`. All slopes are taken over it."""
        return np.log10(self.learning_rates)

    @property
    def steps_per_decade(self) -> float:
        """Number of steps in which the rate grows tenfold; 0 for a single point."""
        first, last = self.log_learning_rates[[0, -1]]
        return float((len(self) - 1) / (last - first)) if len(self) > 1 else 0.0

    @property
    def planned_end(self) -> float:
        """The last planned rate, extrapolated if the sweep stopped early.

        A single point does not show the spacing of the rates: its own rate is returned.
        """
        if len(self) in (1, self.num_steps):
            return float(self.learning_rates[-1])
        return float(10**self.log_planned_end)

    @property
    def log_planned_end(self) -> float:
        """The base-10 logarithm of `planned_end`, which is finite where the rate itself is not."""
        first, last = self.log_learning_rates[[0, -1]]
        return float(first + (last - first) * (self.num_steps - 1) / max(len(self) - 1, 1))

    def __len__(self) -> int:
        """Returns the number of points."""
        return int(self.losses.size)

    def __eq__(self, other: object) -> bool:
        """Returns whether both curves hold the same values, bit for bit."""
        return isinstance(other, Curve) and plain(self) == plain(other)

    __hash__ = None  # type: ignore[assignment]  # as for any value that holds arrays

    def to_json(self) -> str:
        """Returns the curve as JSON, from which `from_json` restores it bit for bit."""
        return json.dumps(plain(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Curve":
        """Returns the curve from the JSON that `to_json` returned.

        Raises:
            ValueError: If `text` is not the JSON of a curve.
        """
        try:
            return restored(cls, parse(text))
        except ValueError as error:
            raise ValueError(
                f"Not the JSON of a curve: {error} Received: {text[:200]!r}. "
                "Hand over what `Curve.to_json` gave."
            ) from error


def distinct(curves: Sequence[Curve]) -> list[Curve]:
    """Returns the first of all curves that have the same rates and losses, whatever their seed.

    Sweeps are equal if the seed changes nothing, because the data are not shuffled or the user's
    code sets seeds itself. Their agreement tells nothing.
    """
    first: dict[tuple[bytes, bytes], Curve] = {}
    for curve in curves:
        first.setdefault((curve.learning_rates.tobytes(), curve.losses.tobytes()), curve)
    return list(first.values())
