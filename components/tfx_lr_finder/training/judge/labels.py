"""The labels of batches, and the loss of a constant output on them."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.judge.validation import model_loss, penalties, unpacked
from tfx_lr_finder.training.keras_types import Batch, Model, Nest
from tfx_lr_finder.training.model.replicas import first_dimension, on_one_replica

Result = TypeVar("Result")

MOST_BATCHES = 64
"""The constant is fitted on at most 64 batches."""
MOST_ROWS = 2000
"""No batch is read after 2000 examples: a constant of 1000 classes needs that many."""
MOST_NUMBERS = 2**22
"""No batch is read after outputs of this many numbers: each word of a text has thousands."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels of examples, their sample weights and masks, and the form of the model's outputs.

    Attributes:
        model: The model.
        y: Labels, of any structure.
        weights: Sample weights, or None.
        outputs: The model's outputs for some of the examples.
        masks: For each output, Keras's mask for all examples, or None.
    """

    model: Model
    y: Nest | None
    weights: Nest | None
    outputs: Nest
    masks: list[tf.Tensor | None]

    @classmethod
    def of(cls, model: Model, batch: Batch) -> "Labels":
        """Returns the labels of a batch."""
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
        """The mean of each output over all axes but its last, a vector."""
        outputs = map(np.asarray, tf.nest.flatten(self.outputs))
        return [output.reshape(-1, output.shape[-1]).mean(0, np.float64) for output in outputs]

    def on_replica(self, function: Callable[[], Result]) -> Result:
        """Calls a function on a replica, where the model computes losses; returns the result."""
        return on_one_replica(self.model.distribute_strategy, function)

    def loss(self, vectors: Sequence[Array | tf.Tensor], with_penalties: bool = False) -> tf.Tensor:
        """Returns the model's loss if each output is a constant vector; call it on a replica."""
        num_rows, constants = self.num_rows, []
        outputs = tf.nest.flatten(self.outputs)
        for output, mask, vector in zip(outputs, self.masks, vectors, strict=True):
            vector = shares_of(vector) if are_shares(output) else vector
            shape = (num_rows, *output.shape[1:])
            constant = tf.broadcast_to(tf.cast(vector, output.dtype), shape)
            if mask is not None:
                constant._keras_mask = mask  # where both Kerases look for a mask
            constants.append(constant)
        packed = tf.nest.pack_sequence_as(self.outputs, constants)
        loss = model_loss(self.model, None, self.y, packed, self.weights, training=False)
        if not with_penalties:
            loss -= tf.cast(penalties(self.model), loss.dtype)
        # Keras divides the loss by the number of replicas.
        return tf.cast(loss, tf.float32) * self.model.distribute_strategy.num_replicas_in_sync


def joined(model: Model, batches: Iterable[Batch]) -> Labels:
    """Returns the labels of the first batches, or of the first one if they cannot be joined."""
    parts: list[Labels] = []
    num_rows = num_numbers = 0
    for batch in itertools.islice(batches, MOST_BATCHES):
        if not parts or any(mask is not None for mask in parts[0].masks):
            parts.append(Labels.of(model, batch))
        else:  # without masks, one call of the model is enough: it shows the outputs' form
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

    def join(*pieces: tf.Tensor | None) -> tf.Tensor | None:
        return None if pieces[0] is None else tf.concat(pieces, axis=0)

    try:
        y, weights, masks = tf.nest.map_structure(join, *((p.y, p.weights, p.masks) for p in parts))
    except (tf.errors.OpError, ValueError):  # for example, sequences of different lengths
        return parts[0]
    return dataclasses.replace(parts[0], y=y, weights=weights, masks=masks)


def are_shares(output: tf.Tensor) -> bool:
    """Returns whether the values of an output look like a softmax: not negative, with sum 1."""
    values = np.asarray(output, np.float64)
    return values.shape[-1] > 1 and bool(
        np.all(values >= 0) and np.allclose(values.sum(-1), 1, atol=1e-2)
    )


def shares_of(vector: Array | tf.Tensor) -> tf.Tensor:
    """Returns a vector scaled like the output of a softmax: positive, with sum 1.

    Some losses would be lower for vectors that no softmax can give.
    """
    positive = tf.maximum(tf.cast(vector, tf.float32), _EPSILON)
    return positive / tf.reduce_sum(positive)


_EPSILON = 1e-7
