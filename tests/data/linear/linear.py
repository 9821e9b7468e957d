"""A user's code for LearningRateFinder: one weight `w` of `y = w * x` on raw examples.

`lr_finder_fn` is right; every other function is it with one mistake or one peculiarity.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import dataset_options

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


def run_fn(fn_args):
    """Trains for 30 epochs of the Trainer's steps."""
    dataset = _batches(fn_args).repeat()
    _model().fit(dataset, steps_per_epoch=fn_args.train_steps, epochs=30)


def of_known_length(fn_args):
    """Says how long the training will be."""
    return lr_finder_fn(fn_args)._replace(train_steps=300)


def with_validation(fn_args):
    """Has the evaluation examples to be judged by."""
    return lr_finder_fn(fn_args)._replace(validation_dataset=_batches(fn_args, fn_args.eval_files))


def reads_parquet(fn_args):
    """Reads Parquet files with Arrow."""
    table = pyarrow.parquet.read_table(tf.io.gfile.glob(fn_args.train_files)[0])
    columns = tuple(table[name].to_numpy().reshape(-1, 1) for name in ("x", "y"))
    return LrFinderFnResult(_model(), tf.data.Dataset.from_tensor_slices(columns).batch(BATCH_SIZE))


def reads_with_tfx(fn_args):
    """Reads the training examples as TFX's own examples do."""
    options = dataset_options.TensorFlowDatasetOptions(
        batch_size=BATCH_SIZE, num_epochs=1, shuffle=False, label_key="y"
    )
    feature = 'name: "{}" type: FLOAT presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }}'
    schema = text_format.Parse(
        " ".join(f"feature {{ {feature.format(name)} }}" for name in FEATURES), schema_pb2.Schema()
    )
    dataset = fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options, schema)
    return LrFinderFnResult(_model(), dataset.map(lambda features, y: (features["x"], y)))


def of_random_scale(fn_args):
    """Has features of a scale of 1 or 30, by the seed: the best rates are a factor 900 apart."""
    scale = 30.0 if np.random.uniform() > 0.5 else 1.0
    return LrFinderFnResult(_model(), _batches(fn_args).map(lambda x, y: (scale * x, y)))


def at_the_minimum(fn_args):
    """Starts from the best weight, with labels off by 1: at no rate does the loss fall.

    The errors' gradient has one sign in every other batch: from some rate on the loss rises.
    """
    signs = tf.constant([[1.0]] * 5 + [[-1.0]] * 3)

    def disturbed(i, batch):
        x, y = batch
        return x, y + tf.where(i % 2 == 0, x * signs, -x * signs)

    return LrFinderFnResult(
        _model(keras.initializers.Constant(2.0)), _batches(fn_args).enumerate().map(disturbed)
    )


def for_one_seed(fn_args):
    """Fails unless the seed is 0."""
    if np.random.uniform() != np.random.RandomState(0).uniform():
        raise LookupError("the user's own message")
    return lr_finder_fn(fn_args)


def notes_arguments(fn_args):
    """Notes what it was given, and uses the folders that it was given."""
    for folder in (fn_args.model_run_dir, fn_args.serving_model_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, "note.txt").write_text("not to be kept")
    names = ("train_steps", "eval_steps", "hyperparameters", "custom_config", "working_dir")
    note = {name: getattr(fn_args, name) for name in names}
    Path(fn_args.custom_config["note"]).write_text(json.dumps(note))
    return lr_finder_fn(fn_args)


def without_learning(fn_args):
    """Has labels that the untrained model gives already: the loss is 0 at every rate."""
    dataset = _batches(fn_args).map(lambda x, y: (x, tf.zeros_like(y)))
    return LrFinderFnResult(_model(), dataset, validation_dataset=dataset)


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


def _batches(fn_args, files=None):
    files = tf.data.Dataset.list_files(files or fn_args.train_files, shuffle=False)
    examples = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(BATCH_SIZE)

    def parse(serialized):
        features = tf.io.parse_example(serialized, FEATURES)
        return features["x"], features["y"]

    return examples.map(parse)
