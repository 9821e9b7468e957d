"""The loss of the best constant output: what a model reaches that ignores its inputs."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from tfx_lr_finder.core.curve import Array
from tfx_lr_finder.training.model.kind import has_own_train_step
from tfx_lr_finder.training.model.replicas import first_dimension, on_one_replica
from tfx_lr_finder.training.validation import model_loss, penalties, unpacked

MOST_BATCHES = 64
"""The constant is fitted on at most so many batches."""
MOST_ROWS = 2000
"""And on about so many examples: one of a thousand classes needs them."""
MOST_NUMBERS = 2**22
"""And on outputs of at most so many numbers: a sequence of words has thousands for each."""


class NoConstantError(ValueError):
    """The loss of a constant output cannot be had."""


class BestConstant:
    """The one output that has the least loss whatever the input is, and its loss on other batches.

    One vector for each of the model's outputs: it is the same for every example and, where an
    output has more axes than its first and its last, at every place. The compiled loss is minimised
    over it: the mean of the labels for a squared error, the shares of the classes for a
    cross-entropy. Sample weights and masks count, penalties of the weights do not.

    Attributes:
        values: The vector of each output, of shape `(output.shape[-1],)`, in the order of
            `tf.nest.flatten`.
        fitted_loss: Its loss on the batches that it was fitted on, with the penalties of the
            weights as they are, as in the loss of a training step.
    """

    def __init__(self, model: Any, batches: Iterable[Any]) -> None:
        """Fits the constant.

        Args:
            model: A compiled and built Keras model. Its metrics and what a forward pass changes
                are the caller's to put back.
            batches: Batches as `model.fit` takes them; no more are read than are needed.

        Raises:
            NoConstantError: If the loss of a constant cannot be had.
        """
        if has_own_train_step(model):
            raise NoConstantError(
                "the model has a `train_step` of its own, which may have any loss"
            )
        try:
            labels = _joined(model, batches)
            self.values = _fitted(labels)
            self.fitted_loss = float(
                labels.on_replica(lambda: labels.loss(self.values, with_penalties=True))
            )
        except Exception as error:
            raise NoConstantError(f"{type(error).__name__}: {error}") from error

    @property
    def numbers(self) -> list[float]:
        """All numbers of the vectors, in a row."""
        return [float(number) for vector in self.values for number in vector]

    def loss(self, model: Any, batches: Sequence[Any]) -> float:
        """Returns the mean of the constant's loss over batches, for a model of the same form."""
        parts = [_Labels.of(model, batch) for batch in batches]
        losses = [part.on_replica(functools.partial(part.loss, self.values)) for part in parts]
        return float(np.mean(losses))


@dataclasses.dataclass(frozen=True)
class _Labels:
    """What is known of examples beside their features, and the form of the model's outputs.

    Attributes:
        model: The model.
        y: Labels, of any structure.
        weights: Sample weights, or None.
        outputs: What the model puts out for some of the examples.
        masks: Keras's mask of each output for all of them, or None.
    """

    model: Any
    y: Any
    weights: Any
    outputs: Any
    masks: list[Any]

    @classmethod
    def of(cls, model: Any, batch: Any) -> "_Labels":
        """Returns those of a batch."""
        x, y, weights = unpacked(batch)
        outputs = model(x, training=False)
        masks = [getattr(output, "_keras_mask", None) for output in tf.nest.flatten(outputs)]
        return cls(model, y, weights, outputs, masks)

    @property
    def num_rows(self) -> int:
        """Number of examples."""
        return int(first_dimension(self.y))

    @property
    def mean_outputs(self) -> list[Array]:
        """The mean of each output over all its places, a vector."""
        outputs = map(np.asarray, tf.nest.flatten(self.outputs))
        return [output.reshape(-1, output.shape[-1]).mean(0, np.float64) for output in outputs]

    def on_replica(self, function: Callable[[], Any]) -> Any:
        """Returns what a function returns where the model computes its losses."""
        return on_one_replica(self.model.distribute_strategy, function)

    def loss(self, vectors: Sequence[Any], with_penalties: bool = False) -> tf.Tensor:
        """Returns the model's loss where each output is a constant; to be called on a replica."""
        num_rows, constants = self.num_rows, []
        outputs = tf.nest.flatten(self.outputs)
        for output, mask, vector in zip(outputs, self.masks, vectors, strict=True):
            vector = _shares(vector) if _are_shares(output) else vector
            shape = (num_rows, *output.shape[1:])
            constant = tf.broadcast_to(tf.cast(vector, output.dtype), shape)
            if mask is not None:
                constant._keras_mask = mask  # where both Kerases look for it
            constants.append(constant)
        packed = tf.nest.pack_sequence_as(self.outputs, constants)
        loss = model_loss(self.model, None, self.y, packed, self.weights, training=False)
        if not with_penalties:
            loss -= tf.cast(penalties(self.model), loss.dtype)
        # Keras divides it by the number of replicas.
        return tf.cast(loss, tf.float32) * self.model.distribute_strategy.num_replicas_in_sync


def _joined(model: Any, batches: Iterable[Any]) -> _Labels:
    """Returns the labels of the first batches, of only one where they cannot be joined."""
    parts: list[_Labels] = []
    num_rows = num_numbers = 0
    for batch in itertools.islice(batches, MOST_BATCHES):
        if not parts or any(mask is not None for mask in parts[0].masks):
            parts.append(_Labels.of(model, batch))
        else:  # the model itself is needed for the form of its outputs alone
            _, y, weights = unpacked(batch)
            parts.append(dataclasses.replace(parts[0], y=y, weights=weights))
        rows = parts[-1].num_rows
        num_rows += rows
        num_numbers += rows * sum(
            math.prod(output.shape[1:]) for output in tf.nest.flatten(parts[0].outputs)
        )
        if num_rows >= MOST_ROWS or num_numbers >= MOST_NUMBERS:
            break
    if not parts:
        raise ValueError("There are no batches to fit a constant on.")

    def join(*pieces: Any) -> Any:
        return None if pieces[0] is None else tf.concat(pieces, axis=0)

    try:
        y, weights, masks = tf.nest.map_structure(join, *((p.y, p.weights, p.masks) for p in parts))
    except (tf.errors.OpError, ValueError):  # sequences of several lengths, for example
        return parts[0]
    return dataclasses.replace(parts[0], y=y, weights=weights, masks=masks)


def _fitted(labels: _Labels) -> list[Array]:
    """Returns the vectors of the least loss."""
    sizes = [mean.size for mean in labels.mean_outputs]

    def split(numbers: Array) -> list[Array]:
        return np.split(numbers, np.cumsum(sizes)[:-1])

    def value_and_slope(numbers: Array) -> tuple[float, Array]:
        vectors = [tf.constant(vector, tf.float32) for vector in split(numbers)]

        def loss_and_slopes() -> tuple[Any, list[Any]]:
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                loss = labels.loss(vectors)
            return loss, tape.gradient(loss, vectors, unconnected_gradients="zero")

        loss, slopes = labels.on_replica(loss_and_slopes)
        value, slope = float(loss), np.concatenate([slope.numpy() for slope in slopes])
        # The minimiser compares losses, and NaN is neither more nor less than any.
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
        np.asarray(_shares(vector) if _are_shares(output) else vector, np.float64)
        for vector, output in zip(vectors, outputs, strict=True)
    ]


_WORST = 1e30


def _are_shares(output: Any) -> bool:
    """Returns whether an output is that of a softmax, as far as its values tell."""
    values = np.asarray(output, np.float64)
    return values.shape[-1] > 1 and bool(
        np.all(values >= 0) and np.allclose(values.sum(-1), 1, atol=1e-2)
    )


def _shares(vector: Any) -> Any:
    """Returns a vector made what a softmax can put out: some losses would have less without it."""
    positive = tf.maximum(tf.cast(vector, tf.float32), _EPSILON)
    return positive / tf.reduce_sum(positive)


_EPSILON = 1e-7


def _starts(labels: _Labels, sizes: Sequence[int]) -> Iterator[list[Array]]:
    """Yields constants to begin with, near the best one for the usual losses.

    The mean output of the model, which is in the range of its last activation; mean and median of
    labels of the outputs' form; the shares of classes, or their logarithms for outputs that are
    logits.
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
            share if _are_shares(output) else np.log(share)
            for share, output in zip(shares, tf.nest.flatten(labels.outputs), strict=True)
        ]


_RARE = 1e-3
"""Stands for the number of examples of a class that has none, for the logarithm's sake."""
