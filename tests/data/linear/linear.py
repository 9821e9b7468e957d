"""A user's code for LearningRateFinder: one weight `w` of `y = w * x` on raw examples.

`lr_finder_fn` is right; every other function is it with one mistake or one peculiarity.
"""

import json
from pathlib import Path

import keras
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult

BATCH_SIZE = 8
FEATURES = {name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "y")}


def lr_finder_fn(fn_args):
    """Returns a model whose weight is 0 at first, and the examples in their order."""
    return LrFinderFnResult(model=_model(), dataset=_batches(fn_args))


def random_start(fn_args):
    """Starts from a random weight and shuffles."""
    dataset = _batches(fn_args).unbatch().shuffle(64).batch(BATCH_SIZE, drop_remainder=True)
    return LrFinderFnResult(model=_model("glorot_uniform"), dataset=dataset)


def notes_arguments(fn_args):
    """Notes what it was given, and uses the folders that it was given."""
    for folder in (fn_args.model_run_dir, fn_args.serving_model_dir):
        Path(folder).mkdir(parents=True)
        Path(folder, "note.txt").write_text("not to be kept")
    names = ("train_steps", "eval_steps", "hyperparameters", "custom_config", "working_dir")
    note = {name: getattr(fn_args, name) for name in names}
    Path(fn_args.custom_config["note"]).write_text(json.dumps(note))
    return lr_finder_fn(fn_args)


def without_learning(fn_args):
    """Has labels that the untrained model gives already: the loss is 0 at every rate."""
    return LrFinderFnResult(_model(), _batches(fn_args).map(lambda x, y: (x, tf.zeros_like(y))))


def not_compiled(fn_args):
    """Forgets to compile the model."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="raw")
    return LrFinderFnResult(model, _batches(fn_args))


def not_a_model(fn_args):
    """Returns a function as the model."""
    return LrFinderFnResult(_model, _batches(fn_args))


def a_pair(fn_args):
    """Returns a plain pair."""
    return _model(), _batches(fn_args)


def nothing(fn_args):
    """Forgets to return."""


def empty_data(fn_args):
    """Drops every batch."""
    return LrFinderFnResult(_model(), _batches(fn_args).take(0))


def a_list(fn_args):
    """Returns batches that are not a tf.data.Dataset."""
    return LrFinderFnResult(_model(), list(_batches(fn_args)))


def without_labels(fn_args):
    """Drops the labels."""
    return LrFinderFnResult(_model(), _batches(fn_args).map(lambda x, y: x))


def features_by_name(fn_args):
    """Yields features under a name that the model does not know, and of another width."""
    return LrFinderFnResult(
        _model(), _batches(fn_args).map(lambda x, y: ({"z": tf.concat([x, x, x], axis=1)}, y))
    )


def four_parts(fn_args):
    """Yields more parts than features, labels and weights."""
    return LrFinderFnResult(_model(), _batches(fn_args).map(lambda x, y: (x, y, y, y)))


def not_a_number(fn_args):
    """Has a NaN among its labels."""
    return LrFinderFnResult(_model(), _batches(fn_args).map(lambda x, y: (x, y * float("nan"))))


def raises(fn_args):
    """Fails by itself."""
    raise LookupError("the user's own message")


def raises_attribute_error(fn_args):
    """Fails with the kind of error that a missing function makes."""
    return fn_args.no_such_argument


def _model(kernel_initializer="zeros"):
    weight = keras.layers.Dense(1, use_bias=False, kernel_initializer=kernel_initializer)
    model = keras.Sequential([keras.Input((1,)), weight])
    model.compile(optimizer=keras.optimizers.SGD(0.123), loss="mse")
    return model


def _batches(fn_args):
    files = tf.data.Dataset.list_files(fn_args.train_files, shuffle=False)
    examples = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(BATCH_SIZE)

    def parse(serialized):
        features = tf.io.parse_example(serialized, FEATURES)
        return features["x"], features["y"]

    return examples.map(parse)
