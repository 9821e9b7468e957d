"""The loss of the best constant output, which a model can reach without using its inputs."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.judge.labels import Labels, are_shares, joined, shares_of
from tfx_lr_finder.training.keras_types import Batch, Model
from tfx_lr_finder.training.model.kind import has_own_train_step


class NoConstantError(ValueError):
    """The loss of a constant output cannot be computed."""


class BestConstant:
    """The constant output with the least loss, fitted on some batches, and its loss on others.

    There is one vector for each of the model's outputs, the same for every example. If an output
    has further axes between its first and its last, the vector is the same along them, too. The
    vectors minimise the compiled loss. For a squared error they are the mean of the labels, for a
    cross-entropy the frequencies of the classes. Sample weights and masks count; weight penalties
    do not.

    Attributes:
        values: The vector of each output, of shape `(output.shape[-1],)`, in the order of
            `tf.nest.flatten`.
        fitted_loss: The constant's loss on the batches that it was fitted on, plus the penalties
            of the current weights, as in the loss of a training step.
    """

    def __init__(self, model: Model, batches: Iterable[Batch]) -> None:
        """Fits the constant.

        Args:
            model: A compiled and built Keras model. The caller has to restore its metrics, and
                all that a forward pass changes.
            batches: Batches as `model.fit` takes them; only as many as needed are read.

        Raises:
            NoConstantError: If the loss of a constant cannot be computed.
        """
        if has_own_train_step(model):
            raise NoConstantError(
                "the model has a `train_step` of its own, which may have any loss"
            )
        try:
            labels = joined(model, batches)
            self.values = _fitted(labels)
            self.fitted_loss = float(
                labels.on_replica(lambda: labels.loss(self.values, with_penalties=True))
            )
        except Exception as error:
            raise NoConstantError(f"{type(error).__name__}: {error}") from error

    @property
    def numbers(self) -> list[float]:
        """The numbers of all vectors, in one list."""
        return [float(number) for vector in self.values for number in vector]

    def loss(self, model: Model, batches: Sequence[Batch]) -> float:
        """Returns the mean of the constant's loss over batches, for a model of the same form."""
        parts = [Labels.of(model, batch) for batch in batches]
        losses = [part.on_replica(functools.partial(part.loss, self.values)) for part in parts]
        return float(np.mean(losses))


def _fitted(labels: Labels) -> list[Array]:
    """Returns the vectors with the least loss."""
    sizes = [mean.size for mean in labels.mean_outputs]

    def split(numbers: Array) -> list[Array]:
        return np.split(numbers, np.cumsum(sizes)[:-1])

    def value_and_slope(numbers: Array) -> tuple[float, Array]:
        vectors = [tf.constant(vector, tf.float32) for vector in split(numbers)]

        def loss_and_slopes() -> tuple[tf.Tensor, list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                loss = labels.loss(vectors)
            return loss, tape.gradient(loss, vectors, unconnected_gradients="zero")

        loss, slopes = labels.on_replica(loss_and_slopes)
        value, slope = float(loss), np.concatenate([slope.numpy() for slope in slopes])
        # The minimiser compares losses, and every comparison with NaN is false.
        return value if np.isfinite(value) else _WORST, np.nan_to_num(slope.astype(np.float64))

    starts = [np.concatenate(vectors).astype(np.float64) for vectors in _starts(labels, sizes)]
    values = [value_and_slope(start)[0] for start in starts]
    start, value = starts[int(np.argmin(values))], min(values)
    result = minimize(value_and_slope, start, jac=True, method="L-BFGS-B")
    if min(value, result.fun) >= _WORST:
        raise ValueError("The loss of a constant output is not finite.")
    vectors = split(result.x if result.fun < value else start)
    outputs = tf.nest.flatten(labels.outputs)
    return [
        np.asarray(shares_of(vector) if are_shares(output) else vector, np.float64)
        for vector, output in zip(vectors, outputs, strict=True)
    ]


_WORST = 1e30
"""Stands for a loss that is not finite."""


def _starts(labels: Labels, sizes: Sequence[int]) -> Iterator[list[Array]]:
    """Yields constants to start the fit from, near the best one for the usual losses.

    The first is the model's mean output, which is in the range of its last activation. If the
    labels have the form of the outputs, their mean and median follow. If they are classes, the
    frequencies of the classes follow, or their logarithms if the outputs are logits.
    """
    yield labels.mean_outputs
    columns = [np.asarray(y) for y in tf.nest.flatten(labels.y) if y is not None]
    if len(columns) != len(sizes):
        return
    of_size = list(zip(columns, sizes, strict=True))
    if all(column.size % size == 0 for column, size in of_size):
        rows = [column.reshape(-1, size).astype(np.float64) for column, size in of_size]
        yield [each.mean(0) for each in rows]
        yield [np.median(each, axis=0) for each in rows]
    if all(np.issubdtype(column.dtype, np.integer) for column in columns):
        counts = [
            np.bincount(np.clip(column.ravel(), 0, size - 1), minlength=size) + _RARE
            for column, size in of_size
        ]
        shares = [count / count.sum() for count in counts]
        yield [
            share if are_shares(output) else np.log(share)
            for share, output in zip(shares, tf.nest.flatten(labels.outputs), strict=True)
        ]


_RARE = 1e-3
"""Added to each class's number of examples, so that an empty class has a logarithm."""
