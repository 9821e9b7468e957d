"""Data sets that are read without TensorFlow's automatic tuning."""

import tensorflow as tf


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the data set, read with constant parallelism: `AUTOTUNE` means one call a core.

    To release an iterator that tunes itself, TensorFlow ends the tuning thread. If it misses the
    signal, which happens on busy processors, it sleeps on: as long as the iterator has lived, up to
    a minute. A search releases two iterators for each training, and is too short for any tuning.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
