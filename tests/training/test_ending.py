"""A training in another thread ends soon after the process was asked to end."""

import threading

import keras
import pytest
import tensorflow as tf

from tfx_lr_finder import range_test
from tfx_lr_finder.training.ending import EndedError, allow_trainings, end_trainings


@pytest.fixture
def started():
    """Set when a training reads its first batch."""
    yield threading.Event()
    allow_trainings()


def test_training_in_another_thread_ends(started):
    """Of its 10,000 steps, of a hundredth of a second each, it leaves out nearly all."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    errors = []

    def read(x):
        started.set()
        threading.Event().wait(0.01)
        return x

    features = tf.data.Dataset.from_tensors(tf.ones((2, 1))).repeat()
    slow = features.map(lambda x: tf.ensure_shape(tf.py_function(read, [x], tf.float32), (2, 1)))

    def train():
        try:
            range_test(model, slow.map(lambda x: (x, x)), num_steps=10_000)
        except EndedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=train)
    thread.start()
    assert started.wait(60)
    end_trainings()
    thread.join(30)

    assert not thread.is_alive()
    assert errors == ["The process was asked to end."]
    allow_trainings()
    assert len(range_test(model, features.map(lambda x: (x, x)), num_steps=50)) > 1
