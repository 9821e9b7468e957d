"""The user's code of the Beam workers: a quarter of a second of work a step on one core."""

import keras
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult

WIDTH = 2048
BATCH_SIZE = 1024


def lr_finder_fn(fn_args):
    """Returns a wide MLP; it reads no files."""
    model = keras.Sequential(
        [
            keras.Input((WIDTH // 2,)),
            *(keras.layers.Dense(WIDTH, activation="relu") for _ in range(2)),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.SGD(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    x = tf.random.stateless_normal((BATCH_SIZE, WIDTH // 2), (0, 0))
    y = tf.random.stateless_uniform((BATCH_SIZE,), (0, 0), maxval=10, dtype=tf.int32)
    return LrFinderFnResult(model=model, dataset=tf.data.Dataset.from_tensors((x, y)))
