"""A learning-rate schedule whose peak is the rate that was found."""

import math
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfx_lr_finder")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """One cycle: a warm-up to the peak, then a long decay to almost 0, both half a cosine wave.

    With `w = warmup_fraction * (num_steps - 1)`, `first = peak / initial_divisor`,
    `last = peak / final_divisor`, and `cos(a, b, t) = b + (a - b) * (1 + cos(pi * t)) / 2`:

        rate(step) = cos(first, peak, step / w)                          for step < w
        rate(step) = cos(peak, last, (step - w) / (num_steps - 1 - w))   for w <= step < num_steps
        rate(step) = last                                                afterwards

    Args:
        peak_learning_rate: Float greater than 0: the rate that was found.
        num_steps: Integer, at least 2. Number of training steps in the cycle.
        warmup_fraction: Float in [0, 1). Fraction of the cycle before the peak. Default 0.3.
        initial_divisor: Float, at least 1. Ratio of the peak to the first rate. Default 25.
        final_divisor: Float, at least 1. Ratio of the peak to the last rate. Default 1e4.

    Raises:
        TypeError: If `num_steps` is not an integer.
        ValueError: If an argument is out of its range.

    Example:
        ```
        schedule = OneCycle(peak_learning_rate=0.01, num_steps=fn_args.train_steps)
        model.compile(optimizer=keras.optimizers.Adam(schedule), loss="mse")
        ```

    Reference:
        L. N. Smith and N. Topin, Super-Convergence, arXiv 1708.07120.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        num_steps: int,
        warmup_fraction: float = 0.3,
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
    ) -> None:
        super().__init__()
        if not isinstance(num_steps, int):
            raise TypeError(
                "Argument `num_steps` must be an integer, the steps of the training. "
                f"Received: num_steps={num_steps!r}. "
                "Where it comes from `fn_args.train_steps`, give the Trainer its num_steps."
            )
        for name, value, holds, rule in (
            ("peak_learning_rate", peak_learning_rate, peak_learning_rate > 0, "greater than 0"),
            ("num_steps", num_steps, num_steps >= 2, "at least 2"),
            ("warmup_fraction", warmup_fraction, 0 <= warmup_fraction < 1, "in [0, 1)"),
            ("initial_divisor", initial_divisor, initial_divisor >= 1, "at least 1"),
            ("final_divisor", final_divisor, final_divisor >= 1, "at least 1"),
        ):
            if not holds:
                raise ValueError(f"Argument `{name}` must be {rule}. Received: {name}={value}.")
        self.peak_learning_rate = peak_learning_rate
        self.num_steps = num_steps
        self.warmup_fraction = warmup_fraction
        self.initial_divisor = initial_divisor
        self.final_divisor = final_divisor

    def __call__(self, step: Any) -> "tf.Tensor":
        """Returns the learning rate for a step as a scalar tensor. Steps count from 0."""
        last_step = self.num_steps - 1
        warmup_steps = self.warmup_fraction * last_step
        step = keras.ops.minimum(keras.ops.cast(step, "float32"), last_step)
        peak = self.peak_learning_rate
        return keras.ops.where(
            step < warmup_steps,
            _cosine(peak / self.initial_divisor, peak, step / max(warmup_steps, 1)),
            _cosine(
                peak, peak / self.final_divisor, (step - warmup_steps) / (last_step - warmup_steps)
            ),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, for Keras to restore the schedule."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "num_steps": self.num_steps,
            "warmup_fraction": self.warmup_fraction,
            "initial_divisor": self.initial_divisor,
            "final_divisor": self.final_divisor,
        }


def _cosine(first: float, last: float, part: "tf.Tensor") -> "tf.Tensor":
    return last + (first - last) * (1 + keras.ops.cos(math.pi * part)) / 2
