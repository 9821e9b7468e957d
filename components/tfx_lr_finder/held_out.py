"""Examples of the training data that are kept from the training, to judge it by."""

from typing import Any

import tensorflow as tf

PARTS = 5
"""One example of so many is held out."""
NUM_ROWS = 256
"""Number of examples that are held out of data without end."""
LOOKED_AT = 8192
"""Held-out examples are sought among so many."""


def split(dataset: tf.data.Dataset) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """Returns a data set without about a fifth of its examples, and batches of these.

    What an example holds decides on which side it is, so that it is on the same one in each pass,
    whatever is shuffled. Where the examples of a batch cannot be told apart (sparse or ragged
    features), or none is held out, it returns the data set as it is, and None.

    Args:
        dataset: Batches as `model.fit` takes them.
    """
    specs = tf.nest.flatten(dataset.element_spec)
    if not all(isinstance(spec, tf.TensorSpec) and spec.shape.rank for spec in specs):
        return dataset, None
    size = _batch_size(dataset)
    if size is None:
        return dataset, None
    is_fixed = specs[0].shape[0] is not None
    rows = dataset.unbatch()
    kept = rows.filter(lambda *row: _part(row) != 0).batch(size, drop_remainder=is_fixed)
    held = rows.take(LOOKED_AT).filter(lambda *row: tf.equal(_part(row), 0)).take(NUM_ROWS)
    held = held.batch(size, drop_remainder=is_fixed).cache()
    if kept.element_spec != dataset.element_spec or next(iter(held), None) is None:
        return dataset, None
    return kept, held


def _batch_size(dataset: tf.data.Dataset) -> int | None:
    for batch in dataset.take(1):
        return int(tf.shape(tf.nest.flatten(batch)[0])[0])
    return None


def _part(row: Any) -> Any:
    """Returns a number from 0 to PARTS - 1 that the values of an example decide."""
    texts = [tf.io.serialize_tensor(value) for value in tf.nest.flatten(row)]
    return tf.strings.to_hash_bucket_fast(tf.strings.join(texts), PARTS)
