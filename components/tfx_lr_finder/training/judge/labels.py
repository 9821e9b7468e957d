"""The labels of batches, and the loss of a constant output on them."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.judge.validation import model_loss, penalties, unpacked
from tfx_lr_finder.training.model.replicas import first_dimension, on_one_replica

MOST_BATCHES = 64
"""The constant is fitted on at most so many batches."""
MOST_ROWS = 2000
"""And on about so many examples: one of a thousand classes needs them."""
MOST_NUMBERS = 2**22
"""And on outputs of at most so many numbers: a sequence of words has thousands for each."""


@dataclasses.dataclass(frozen=True)
class Labels:
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
    def of(cls, model: Any, batch: Any) -> "Labels":
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
            vector = shares_of(vector) if are_shares(output) else vector
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


def joined(model: Any, batches: Iterable[Any]) -> Labels:
    """Returns the labels of the first batches, of only one where they cannot be joined."""
    parts: list[Labels] = []
    num_rows = num_numbers = 0
    for batch in itertools.islice(batches, MOST_BATCHES):
        if not parts or any(mask is not None for mask in parts[0].masks):
            parts.append(Labels.of(model, batch))
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


def are_shares(output: Any) -> bool:
    """Returns whether an output is that of a softmax, as far as its values tell."""
    values = np.asarray(output, np.float64)
    return values.shape[-1] > 1 and bool(
        np.all(values >= 0) and np.allclose(values.sum(-1), 1, atol=1e-2)
    )


def shares_of(vector: Any) -> Any:
    """Returns a vector made what a softmax can put out: some losses would have less without it."""
    positive = tf.maximum(tf.cast(vector, tf.float32), _EPSILON)
    return positive / tf.reduce_sum(positive)


_EPSILON = 1e-7
