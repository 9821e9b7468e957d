"""Examples of the training data that are kept out of the training, to judge it by."""

from typing import NamedTuple

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Batch, Nest

PARTS = 5
"""One example in five is held out."""
NUM_ROWS = 256
"""At most 256 examples are held out."""
LOOKED_AT = 8192
"""Held-out examples are sought among the first 8192 examples of a data set."""


class HeldOut(NamedTuple):
    """Examples that are held out of the training.

    A hash of an example's values decides whether it is held out. So each pass decides the same,
    however the examples are shuffled.

    Attributes:
        batches: The held-out examples in batches, kept in main memory.
        batch_size: Number of examples in a training batch.
    """

    batches: tf.data.Dataset
    batch_size: int

    @classmethod
    def of(cls, dataset: tf.data.Dataset) -> "HeldOut | None":
        """Returns about a fifth of the examples of a data set, but at most 256.

        Returns None if the examples of a batch cannot be separated (sparse or ragged features), or
        if the hash selects no example.

        Args:
            dataset: Batches as `model.fit` takes them. They are read here, which may change how
                the next pass shuffles them.
        """
        specs = tf.nest.flatten(dataset.element_spec)
        if not all(isinstance(spec, tf.TensorSpec) and spec.shape.rank for spec in specs):
            return None
        # Sizes and examples come from one pass: a second pass may have another order.
        rows = dataset.map(_with_size).unbatch().take(LOOKED_AT)
        held = rows.filter(lambda row, _: tf.equal(_part(row), 0)).take(NUM_ROWS).cache()
        sizes = [int(size) for _, size in held]
        if not sizes:
            return None
        batches = held.map(lambda row, _: row)
        batches = batches.batch(max(sizes), drop_remainder=_is_fixed(dataset))
        return cls(batches, max(sizes)) if batches.element_spec == dataset.element_spec else None

    def taken_from(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Returns a data set without the held-out examples, in batches of the same form."""
        kept = dataset.unbatch().filter(lambda *row: _part(row) != 0)
        return kept.batch(self.batch_size, drop_remainder=_is_fixed(dataset))


def _is_fixed(dataset: tf.data.Dataset) -> bool:
    return tf.nest.flatten(dataset.element_spec)[0].shape[0] is not None


def _with_size(*batch: Nest) -> tuple[Batch, tf.Tensor]:
    """Returns a batch, and for each of its examples the size of the batch."""
    element = batch if len(batch) > 1 else batch[0]
    size = tf.shape(tf.nest.flatten(element)[0])[0]
    return element, tf.fill([size], size)


def _part(row: Nest) -> tf.Tensor:
    """Returns a hash of an example's values, from 0 to PARTS - 1."""
    texts = [tf.io.serialize_tensor(value) for value in tf.nest.flatten(row)]
    return tf.strings.to_hash_bucket_fast(tf.strings.join(texts), PARTS)
