"""The examples of a batch that is divided among replicas, and the replicas' results."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Batch

Result = TypeVar("Result")


def mean_over_replicas(
    strategy: tf.distribute.Strategy, values: tf.Tensor, batch: Batch
) -> tf.Tensor:
    """Returns the mean of the replicas' means, each weighted by its number of examples.

    A replica may have no example: the last batch can have fewer examples than there are replicas.

    Args:
        strategy: The strategy of the replicas.
        values: The mean of each replica over its examples.
        batch: The examples of each replica.
    """
    if strategy.num_replicas_in_sync == 1:
        return strategy.reduce("MEAN", values, axis=None)

    def weighted(value: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        value = tf.cast(value, tf.float64)
        return tf.where(rows > 0, value * tf.cast(rows, tf.float64), tf.zeros_like(value))

    num_rows = strategy.run(first_dimension, args=(batch,))
    total = strategy.reduce("SUM", strategy.run(weighted, args=(values, num_rows)), axis=None)
    return total / tf.cast(strategy.reduce("SUM", num_rows, axis=None), tf.float64)


def on_one_replica(strategy: tf.distribute.Strategy, function: Callable[[], Result]) -> Result:
    """Calls a function on each replica, and returns the result of a replica in this process.

    Keras computes losses and metrics on replicas, and divides a loss by the number of replicas.

    Args:
        strategy: The strategy of a model.
        function: Returns tensors.
    """
    # The default strategy has one replica, where this runs; AutoGraph would convert the function.
    if strategy is tf.distribute.get_strategy():
        return function()
    results = strategy.run(function)
    local: Result = tf.nest.map_structure(
        lambda r: strategy.experimental_local_results(r)[0], results
    )
    return local


def first_dimension(batch: Batch) -> tf.Tensor:
    """Returns the number of examples in a batch of any structure, as int32."""
    first = tf.nest.flatten(batch)[0]
    if isinstance(first, tf.RaggedTensor):
        return tf.cast(first.nrows(), tf.int32)
    shape = first.dense_shape if isinstance(first, tf.SparseTensor) else tf.shape(first)
    return tf.cast(shape[0], tf.int32)
