"""The models and optimizers: small enough for a training step of about a millisecond."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import layers
from numpy.typing import NDArray

from quality.data import load
from quality.drawn import Network
from quality.networks import attention, batch_normalization, composed, embedded, recurrent
from quality.splits import Data
from quality.tasks import Combination

Body = Callable[[Any, int], Any]
"""From an input tensor and the number of outputs to the output tensor."""


def build(combination: Combination, data: Data, seed: int) -> Any:
    """Returns a combination's compiled model, its weights and dropout seeded.

    Of a model trained before, only a last layer for other classes has new weights.
    """
    optimizer = OPTIMIZERS[combination.optimizer]
    if combination.pretrained_on is None:
        return _compiled(combination.model, optimizer, data, seed)
    trained = _trained(combination.model, combination.pretrained_on)
    model = _compiled(combination.model, optimizer, data, seed)
    for variable, value in zip(model.weights, trained, strict=True):
        if variable.shape == value.shape:  # not so in a last layer for other classes
            variable.assign(value)
    return model


@functools.cache
def _trained(model: str | Network, data_set: str) -> list[NDArray[Any]]:
    """Returns the weights of a model after 20 epochs with Adam; with every seed the same."""
    data = load(data_set)
    trained = _compiled(model, lambda: keras.optimizers.Adam(3e-3), data, seed=0)
    trained.fit(*data.train, epochs=20, verbose=0)
    return trained.get_weights()  # type: ignore[no-any-return]


def _compiled(model: str | Network, optimizer: Callable[[], Any], data: Data, seed: int) -> Any:
    keras.utils.set_random_seed(seed)
    x = data.train[0]
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    compiled = keras.Model(inputs, _outputs(model, inputs, data.num_outputs))
    loss: Any = keras.losses.MeanSquaredError()
    if data.is_classification:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compiled.compile(optimizer(), loss, jit_compile=False)
    return compiled


def _outputs(model: str | Network, inputs: Any, num_outputs: int) -> Any:
    if isinstance(model, Network):
        return composed(model, inputs, num_outputs)
    return MODELS[model](inputs, num_outputs)


def _linear(x: Any, num_outputs: int) -> Any:
    return layers.Dense(num_outputs)(layers.Flatten()(x))


def _mlp(x: Any, num_outputs: int) -> Any:
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    return layers.Dense(num_outputs)(layers.Dense(16, activation="relu")(x))


def _normalized_mlp(normalization: Callable[[], Any]) -> Body:
    def body(x: Any, num_outputs: int) -> Any:
        x = layers.Flatten()(x)
        for _ in range(2):
            x = layers.ReLU()(normalization()(layers.Dense(32)(x)))
        return layers.Dense(num_outputs)(x)

    return body


def _mlp_dropout(x: Any, num_outputs: int) -> Any:
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return layers.Dense(num_outputs)(layers.Dropout(0.5)(x))


def _tanh(*widths: int) -> Body:
    def body(x: Any, num_outputs: int) -> Any:
        x = layers.Flatten()(x)
        for units in widths:
            x = layers.Dense(units, activation="tanh")(x)
        return layers.Dense(num_outputs)(x)

    return body


def _residual_mlp(x: Any, num_outputs: int) -> Any:
    x = layers.Dense(32)(layers.Flatten()(x))
    for _ in range(2):
        branch = layers.Dense(32, activation="relu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(32)(branch)
    return layers.Dense(num_outputs)(x)


def _cnn(x: Any, num_outputs: int) -> Any:
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dense(num_outputs)(layers.Flatten()(x))


def _cnn_batch_norm(x: Any, num_outputs: int) -> Any:
    for filters in (6, 12):
        x = layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = layers.ReLU()(batch_normalization()(x))
    return layers.Dense(num_outputs)(layers.Flatten()(x))


def _autoencoder(x: Any, num_outputs: int) -> Any:
    return layers.Dense(num_outputs)(layers.Dense(12, activation="relu")(x))


def _bag_of_embeddings(x: Any, num_outputs: int) -> Any:
    return layers.Dense(num_outputs)(layers.GlobalAveragePooling1D()(embedded(x)))


def _sequence_cnn(x: Any, num_outputs: int) -> Any:
    x = layers.Conv1D(16, 4, activation="relu")(embedded(x))
    return layers.Dense(num_outputs)(layers.GlobalMaxPooling1D()(x))


def _recurrent(name: str) -> Body:
    return lambda x, num_outputs: layers.Dense(num_outputs)(recurrent(name, 16, x))


MODELS: dict[str, Body] = {
    "logistic": _linear,
    "linear_regression": _linear,
    "mlp": _mlp,
    "mlp_batch_norm": _normalized_mlp(batch_normalization),
    "mlp_dropout": _mlp_dropout,
    "mlp_layer_norm": _normalized_mlp(layers.LayerNormalization),
    "deep_tanh": _tanh(24, 24, 24, 24),
    "residual_mlp": _residual_mlp,
    "cnn": _cnn,
    "cnn_batch_norm": _cnn_batch_norm,
    "autoencoder": _autoencoder,
    "deep_autoencoder": _tanh(32, 8, 32),
    "bag_of_embeddings": _bag_of_embeddings,
    "sequence_cnn": _sequence_cnn,
    "simple_rnn": _recurrent("simple_rnn"),
    "gru": _recurrent("gru"),
    "lstm": _recurrent("lstm"),
    "attention": attention,
}
"""Every model by its name."""

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": keras.optimizers.SGD,
    "momentum": lambda: keras.optimizers.SGD(momentum=0.9),
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "nesterov": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
    "sgd_decay": lambda: keras.optimizers.SGD(weight_decay=1e-3),
    "adam_decay": lambda: keras.optimizers.Adam(weight_decay=0.1),
    "nadam": keras.optimizers.Nadam,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "adafactor": lambda: keras.optimizers.Adafactor(relative_step=False),
    "adagrad": keras.optimizers.Adagrad,
}
"""Every optimizer by its name, at Keras's default rate."""
