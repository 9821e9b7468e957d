"""No iterator of a search tunes itself: letting go of one that does can take a minute."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.training.trainings import Trainings


def numbers():
    """Returns batches that are mapped and read ahead, in TensorFlow's own words."""
    dataset = tf.data.Dataset.range(64).map(lambda i: tf.cast(i, tf.float32)[None])
    pairs = dataset.map(lambda x: (x, x), num_parallel_calls=tf.data.AUTOTUNE)
    return pairs.batch(8).prefetch(tf.data.AUTOTUNE)


@pytest.mark.parametrize("is_validated", [True, False], ids=["validated", "not"])
def test_no_iterator_tunes_itself(monkeypatch, is_validated):
    """Not of the batches, the validation data, the held-out examples, or the constant's labels."""
    were_tuned = []
    iterator_of = tf.data.Dataset.__iter__

    def iterated(dataset):
        were_tuned.append(dataset.options().autotune.enabled)
        return iterator_of(dataset)

    def make(seed):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return LrFinderFnResult(model, numbers(), numbers() if is_validated else None)

    # Of a data set's class, as a distributed data set has the same iterators.
    monkeypatch.setattr(tf.data.Dataset, "__iter__", iterated)
    with Trainings(make, most_steps=20, graph_seed=0) as trainings:
        trainings.sweep(0, np.geomspace(1e-3, 1e-1, 20), 0.0, 4.0)
        trainings.proof(0, 1e-2, 10)

    # Batches and labels of the sweep; batches of the proof, and what it is judged by.
    assert len(were_tuned) >= 5
    assert set(were_tuned) == {False}
