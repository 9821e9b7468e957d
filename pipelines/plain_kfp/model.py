"""The user's code for the finder: a small regression, as `train` in pipeline.py trains it."""

import keras
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from tfx_lr_finder import LrFinderFnResult


def lr_finder_fn(fn_args: FnArgs) -> LrFinderFnResult:
    """Returns the model and its training data."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    records = tf.data.TFRecordDataset(tf.io.gfile.glob(fn_args.train_files))
    return LrFinderFnResult(model, records.map(_parse).batch(32))


def _parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    row = tf.ensure_shape(tf.io.parse_tensor(record, tf.float32), [5])
    return row[:4], row[4:]
