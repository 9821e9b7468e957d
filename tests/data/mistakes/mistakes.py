"""User's code with one mistake each, `right` and `slow` with none: `x` and `y`, raw examples."""

import keras
import numpy as np
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult

BATCH_SIZE = 8
FEATURES = {name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "y")}


def right(fn_args):
    """Returns a linear model and the examples in their order."""
    return LrFinderFnResult(model(), batches(fn_args))


def slow(fn_args):
    """Returns a model each step of which takes a good part of a tenth of a second."""
    layers = [keras.layers.Dense(2500) for _ in range(3)]
    large = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(1)])
    large.compile(keras.optimizers.SGD(0.1), "mse")
    return LrFinderFnResult(large, batches(fn_args))


def pair(fn_args):
    """Returns a plain pair."""
    return model(), batches(fn_args)


def nothing(fn_args):
    """Forgets to return."""


def raises(fn_args):
    """Fails by itself."""
    raise LookupError("the user's own message")


def not_compiled(fn_args):
    """Forgets to compile the model."""
    return LrFinderFnResult(keras.Sequential([keras.layers.Dense(1)]), batches(fn_args))


def not_a_model(fn_args):
    """Returns a function as the model."""
    return LrFinderFnResult(model, batches(fn_args))


def frozen(fn_args):
    """Has no trainable weight."""
    frozen_model = model()
    frozen_model.trainable = False
    frozen_model.compile("sgd", "mse")
    return LrFinderFnResult(frozen_model, batches(fn_args))


def loss_is_nan(fn_args):
    """Has a loss that is never a number."""
    return LrFinderFnResult(model(lambda y, p: p * float("nan")), batches(fn_args))


def loss_is_constant(fn_args):
    """Has a loss that no weight changes."""
    return LrFinderFnResult(model(lambda y, p: 0 * p + 1), batches(fn_args))


def loss_is_infinite(fn_args):
    """Has a loss beyond all numbers from the first batch on."""
    return LrFinderFnResult(model(lambda y, p: tf.exp(1e9 * p**2)), batches(fn_args))


def loss_is_no_scalar(fn_args):
    """Has a training step that returns a loss for each example."""

    class PerExample(keras.Sequential):
        def train_step(self, data):
            return {"loss": data[1]}

    per_example = PerExample([keras.Input((1,)), keras.layers.Dense(1)])
    per_example.compile("sgd", "mse")
    return LrFinderFnResult(per_example, batches(fn_args))


def step_without_loss(fn_args):
    """Has a training step that returns nothing of the loss."""

    class Silent(keras.Sequential):
        def train_step(self, data):
            return {"accuracy": tf.constant(0.0)}

    silent = Silent([keras.Input((1,)), keras.layers.Dense(1)])
    silent.compile("sgd", "mse")
    return LrFinderFnResult(silent, batches(fn_args))


def empty_data(fn_args):
    """Drops every batch."""
    return LrFinderFnResult(model(), batches(fn_args).take(0))


def generator_ends(fn_args):
    """Yields a generator's batches, which can be read once."""
    only_pass = iter([np.ones((2, 1), "float32")] * 3)
    spec = tf.TensorSpec((2, 1), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: only_pass, output_signature=spec)
    return LrFinderFnResult(model(), dataset.map(lambda x: (x, x)))


def generator_raises(fn_args):
    """Yields a generator's batches, which fails in its second."""

    def generate():
        yield np.ones((2, 1), "float32")
        raise LookupError("the generator's own message")

    spec = tf.TensorSpec((2, 1), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    return LrFinderFnResult(model(), dataset.map(lambda x: (x, x)))


def list_of_batches(fn_args):
    """Returns batches that are not a tf.data.Dataset."""
    return LrFinderFnResult(model(), list(batches(fn_args)))


def without_labels(fn_args):
    """Drops the labels."""
    return LrFinderFnResult(model(), batches(fn_args).map(lambda x, y: x))


def other_features(fn_args):
    """Yields features of another name and width than the model's."""
    wide = batches(fn_args).map(lambda x, y: ({"z": tf.concat([x, x, x], axis=1)}, y))
    return LrFinderFnResult(model(), wide)


def text_features(fn_args):
    """Yields text where the model takes numbers."""
    return LrFinderFnResult(model(), batches(fn_args).map(lambda x, y: (tf.as_string(x), y)))


def labels_out_of_range(fn_args):
    """Has labels from 0 to 9 for a model of two classes."""
    classifier = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("sgd", loss)
    dataset = batches(fn_args).map(lambda x, y: (x, tf.fill(tf.shape(y), 9)))
    return LrFinderFnResult(classifier, dataset)


def labels_known(fn_args):
    """Has labels that are all equal, and that the untrained model gives already."""
    known = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    known.compile("sgd", "mse")
    dataset = batches(fn_args).map(lambda x, y: (x, tf.zeros_like(y)))
    return LrFinderFnResult(known, dataset)


def validation_is_nan(fn_args):
    """Returns validation data with labels that are not numbers."""
    validation = batches(fn_args).map(lambda x, y: (x, y * float("nan")))
    return LrFinderFnResult(model(), batches(fn_args), validation)


def run_without_fit(fn_args):
    """Trains nothing."""


def run_with_own_loop(fn_args):
    """Trains in a loop of its own."""
    own = model()
    for x, y in batches(fn_args):
        own.train_on_batch(x, y)


def run_raises(fn_args):
    """Fails before its `fit`."""
    raise LookupError("the user's own message")


def model(loss="mse"):
    """Returns a compiled linear model."""
    linear = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="linear")
    linear.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss)
    return linear


def batches(fn_args):
    """Returns the examples of the training split."""
    files = tf.data.Dataset.list_files(fn_args.train_files, shuffle=False)
    examples = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(BATCH_SIZE)

    def parse(serialized):
        features = tf.io.parse_example(serialized, FEATURES)
        return features["x"], features["y"]

    return examples.map(parse)
