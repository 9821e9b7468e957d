"""The mean over the examples of a batch that several replicas share."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def mean_over_replicas(strategy: Any, values: Any, batch: Any) -> Any:
    """Returns the mean of the replicas' means, each weighted by its number of examples.

    A replica may have none: the last batch of a data set can be smaller than their number.

    Args:
        strategy: The strategy that the replicas belong to.
        values: The mean of each replica over its examples.
        batch: The examples of each replica.
    """
    if strategy.num_replicas_in_sync == 1:
        return strategy.reduce("MEAN", values, axis=None)

    def weighted(value: Any, rows: Any) -> Any:
        value = tf.cast(value, tf.float64)
        return tf.where(rows > 0, value * tf.cast(rows, tf.float64), tf.zeros_like(value))

    num_rows = strategy.run(first_dimension, args=(batch,))
    total = strategy.reduce("SUM", strategy.run(weighted, args=(values, num_rows)), axis=None)
    return total / tf.cast(strategy.reduce("SUM", num_rows, axis=None), tf.float64)


def on_one_replica(strategy: Any, function: Callable[[], Any]) -> Any:
    """Returns what a function returns on a replica of this process.

    Keras's losses and metrics are computed there: they divide a loss by the number of replicas.

    Args:
        strategy: The strategy that a model belongs to.
        function: Returns tensors; every replica calls it.
    """
    # The default strategy is always on its replica, and would convert the function.
    if strategy is tf.distribute.get_strategy():
        return function()
    results = strategy.run(function)
    return tf.nest.map_structure(lambda r: strategy.experimental_local_results(r)[0], results)


def first_dimension(batch: Any) -> tf.Tensor:
    """Returns the number of examples in a batch, int32, of whatever structure it is."""
    first = tf.nest.flatten(batch)[0]
    if isinstance(first, tf.RaggedTensor):
        return tf.cast(first.nrows(), tf.int32)
    shape = first.dense_shape if isinstance(first, tf.SparseTensor) else tf.shape(first)
    return tf.cast(shape[0], tf.int32)
