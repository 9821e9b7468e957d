"""The best constant output and its loss, beside closed forms."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.judge.constant import BestConstant, NoConstantError

ROWS = 600
GENERATOR = np.random.RandomState(0)
FEATURES = GENERATOR.normal(size=(ROWS, 3)).astype(np.float32)
KELVIN = (300 + 5 * GENERATOR.normal(size=(ROWS, 1))).astype(np.float32)
CLASSES = GENERATOR.choice(3, ROWS, p=[0.6, 0.3, 0.1])
SHARES = np.bincount(CLASSES) / ROWS
ENTROPY = -(SHARES * np.log(SHARES)).sum()
RARE = (GENERATOR.uniform(size=(ROWS, 1)) < 0.1).astype(np.float32)
RARE_ENTROPY = -(RARE.mean() * np.log(RARE.mean()) + (1 - RARE.mean()) * np.log(1 - RARE.mean()))
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]


def network(keras_module, size, activation=None, **options):
    """Returns a model of the features with one hidden layer."""
    layers = keras_module.layers
    return keras_module.Sequential(
        [
            keras_module.Input((3,)),
            layers.Dense(4, activation="relu"),
            layers.Dense(size, activation=activation, **options),
        ]
    )


def fitted(model, loss, *arrays, rows=32):
    """Returns the constant that was fitted on arrays, and its loss on all of them."""
    model.compile("sgd", loss)
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(rows)
    constant = BestConstant(model, batches)
    return constant, constant.loss(model, list(batches))


@pytest.mark.parametrize(
    ("size", "activation", "loss", "labels", "expected"),
    [
        (1, None, "mse", KELVIN, KELVIN.var()),
        (1, None, "mae", KELVIN, np.abs(KELVIN - np.median(KELVIN)).mean()),
        (3, "softmax", "sparse_categorical_crossentropy", CLASSES, ENTROPY),
        (3, "softmax", "categorical_crossentropy", ONE_HOT, ENTROPY),
        (3, "softmax", "kl_divergence", ONE_HOT, ENTROPY),
        (1, "sigmoid", "binary_crossentropy", RARE, RARE_ENTROPY),
        (3, None, "mse", FEATURES, FEATURES.var(0).mean()),
    ],
    ids=["mean", "median", "shares", "one_hot", "divergence", "probability", "autoencoder"],
)
def test_loss_is_the_closed_form(keras_module, size, activation, loss, labels, expected):
    """Mean for a squared error, median for an absolute one, shares of classes for entropies."""
    _, found = fitted(network(keras_module, size, activation), loss, FEATURES, labels)

    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["SparseCategoricalCrossentropy", "BinaryCrossentropy"])
def test_logits_have_the_loss_of_probabilities(keras_module, name):
    """Where the last layer is linear, the constant is a logarithm of shares."""
    loss = getattr(keras_module.losses, name)(from_logits=True)
    size, labels, expected = (
        (3, CLASSES, ENTROPY) if name.startswith("Sparse") else (1, RARE, RARE_ENTROPY)
    )

    assert fitted(network(keras_module, size), loss, FEATURES, labels)[1] == pytest.approx(
        expected, rel=0.02
    )


def test_constant_is_known(keras_module):
    """What the output layer's bias should start at."""
    constant, _ = fitted(network(keras_module, 1), "mse", FEATURES, KELVIN)

    assert constant.numbers == [pytest.approx(KELVIN.mean(), abs=0.1)]


def test_several_outputs_have_a_constant_each(keras_module):
    """The loss is the sum of theirs."""
    layers = keras_module.layers
    inputs = keras_module.Input((3,))
    outputs = {
        "kelvin": layers.Dense(1, name="kelvin")(inputs),
        "kind": layers.Dense(3, activation="softmax", name="kind")(inputs),
    }
    model = keras_module.Model(inputs, outputs)
    losses = {"kelvin": "mse", "kind": "sparse_categorical_crossentropy"}

    constant, loss = fitted(model, losses, FEATURES, {"kelvin": KELVIN, "kind": CLASSES})

    assert loss == pytest.approx(KELVIN.var() + ENTROPY, rel=0.02)
    assert len(constant.numbers) == 4


def test_sample_weights_count(keras_module):
    """With all weight on one half of the examples, the constant is the mean of that half."""
    weights = (np.arange(ROWS) % 2).astype(np.float32)

    constant, _ = fitted(network(keras_module, 1), "mse", FEATURES, KELVIN, weights)

    assert constant.numbers == [pytest.approx(KELVIN[1::2].mean(), abs=0.2)]


def test_masked_places_do_not_count():
    """Of six places two are padding; the others are one of eight words, equally likely."""
    words = np.tile(np.arange(1, 9), 100)[:600].reshape(100, 6)
    words[:, 4:] = 0
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(9, 4, mask_zero=True),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )

    constant, loss = fitted(model, "sparse_categorical_crossentropy", words, words)

    assert loss == pytest.approx(np.log(8), rel=0.02)
    assert constant.numbers[0] == pytest.approx(0, abs=1e-3)


def test_penalties_of_the_weights_do_not_count(keras_module):
    """A penalty far greater than the loss itself changes nothing."""
    model = network(keras_module, 1, kernel_regularizer=keras_module.regularizers.L2(1000.0))

    assert fitted(model, "mse", FEATURES, KELVIN)[1] == pytest.approx(KELVIN.var(), rel=0.02)


@pytest.mark.parametrize("classes", [3, 200])
def test_constant_of_many_classes_is_not_fitted_to_those_it_is_judged_by(classes):
    """Fitted on other examples, guessing among equally likely classes has the loss of guessing."""
    generator = np.random.RandomState(1)
    features = generator.normal(size=(4000, 3)).astype(np.float32)
    labels = generator.randint(0, classes, 4000)
    model = network(keras, classes, "softmax")
    model.compile("sgd", "sparse_categorical_crossentropy")
    training = tf.data.Dataset.from_tensor_slices((features[:3000], labels[:3000])).batch(50)
    others = tf.data.Dataset.from_tensor_slices((features[3000:], labels[3000:])).batch(50)

    loss = BestConstant(model, training).loss(model, list(others.take(4)))

    assert loss >= 0.99 * np.log(classes)


def test_no_more_batches_are_read_than_are_needed():
    """Of data without end, two thousand examples."""
    read = []

    def batches():
        while True:
            read.append(1)
            yield FEATURES[:100], KELVIN[:100]

    signature = (tf.TensorSpec((100, 3)), tf.TensorSpec((100, 1)))
    model = network(keras, 1)
    model.compile("sgd", "mse")

    BestConstant(model, tf.data.Dataset.from_generator(batches, output_signature=signature))

    assert len(read) < 30  # TensorFlow reads a few ahead


def test_model_with_a_train_step_of_its_own_has_no_constant(keras_module):
    """Its loss may be anything."""

    class Own(keras_module.Sequential):
        def train_step(self, batch):
            return super().train_step(batch)

    model = Own([keras_module.Input((3,)), keras_module.layers.Dense(1)])

    with pytest.raises(NoConstantError, match="a `train_step` of its own"):
        fitted(model, "mse", FEATURES, KELVIN)


def test_loss_that_needs_the_features_has_no_constant(keras_module):
    """The reason is the loss's own."""

    class Own(keras_module.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **options):
            return importlib.import_module("tensorflow").reduce_mean((y_pred - x) ** 2)

    model = Own([keras_module.Input((3,)), keras_module.layers.Dense(3)])

    with pytest.raises(NoConstantError, match=r"^(TypeError|ValueError): "):
        fitted(model, "mse", FEATURES, FEATURES)


def test_no_batches_have_no_constant(keras_module):
    """A data set that can be read once has none left."""
    model = network(keras_module, 1)
    model.compile("sgd", "mse")

    with pytest.raises(NoConstantError, match="There are no batches to fit a constant on"):
        BestConstant(model, [])
