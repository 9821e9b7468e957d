"""How much main memory a batch takes."""

import math

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Batch

TEXT_BYTES = 24
"""What TensorFlow stores of a text beside its bytes."""


def num_bytes(batch: Batch) -> int:
    """Returns the size of a batch in main memory; a part that is None has none."""
    return sum(map(_part_bytes, tf.nest.flatten(batch, expand_composites=True)))


def _part_bytes(part: tf.Tensor | None) -> int:
    if part is None:
        return 0
    size: int = math.prod(part.shape) * part.dtype.size
    if part.dtype == tf.string:
        size = int(tf.reduce_sum(tf.strings.length(part) + TEXT_BYTES))
    return size
