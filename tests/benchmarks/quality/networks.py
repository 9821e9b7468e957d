"""Networks composed of parts, and the parts that the networks made by hand share with them."""

from typing import Any

import keras
from keras import layers

from quality.drawn import Network
from quality.text import NUM_CHARACTERS

_WIDTH = 12
"""Of the vectors for tokens, positions and pieces of an image."""
_RECURRENT = {"simple_rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}


def composed(network: Network, x: Any, num_outputs: int) -> Any:
    """Returns the output tensor of a network for an input tensor."""
    if network.body == "attention":
        return attention(x, num_outputs)
    x = _hidden(network, x)
    if network.dropout:
        x = layers.Dropout(network.dropout)(x)
    return layers.Dense(num_outputs)(x)


def _hidden(network: Network, x: Any) -> Any:
    if network.body == "linear":
        return layers.Flatten()(x)
    if network.body == "dense":
        return _dense(network, layers.Flatten()(x))
    if network.body == "convolutions":
        return _convolutions(network, x)
    if network.body == "mean":
        return layers.GlobalAveragePooling1D()(embedded(x))
    return recurrent(network.body, min(network.widths[0], 32), x)


def _dense(network: Network, x: Any) -> Any:
    for units in network.widths:
        x = _activated(network, layers.Dense(units, kernel_initializer=network.initializer)(x))
    return x


def _convolutions(network: Network, x: Any) -> Any:
    if len(x.shape) < 4:
        x = layers.Conv1D(min(network.widths[0], 32), 4)(embedded(x))
        return layers.GlobalMaxPooling1D()(_activated(network, x))
    for units in network.widths[:2]:
        x = layers.Conv2D(
            max(4, units // 4), 3, strides=2, padding="same", kernel_initializer=network.initializer
        )(x)
        x = _activated(network, x)
    return layers.Flatten()(x)


def _activated(network: Network, x: Any) -> Any:
    if network.normalization == "batch":
        x = batch_normalization()(x)
    elif network.normalization == "layer":
        x = layers.LayerNormalization()(x)
    return layers.Activation(network.activation)(x)


def batch_normalization() -> Any:
    """Returns a layer whose statistics follow within a short budget: 0.9 instead of 0.99."""
    return layers.BatchNormalization(momentum=0.9)


def embedded(x: Any) -> Any:
    """Returns vectors for tokens; the values of a series as they are."""
    return layers.Embedding(NUM_CHARACTERS, _WIDTH)(x) if x.dtype == "int32" else x


def recurrent(name: str, units: int, x: Any) -> Any:
    """Returns the last output of a recurrent layer: "simple_rnn", "gru" or "lstm"."""
    # Unrolled: a loop within the loop over steps is several times slower.
    return _RECURRENT[name](units, unroll=True)(embedded(x))


def attention(x: Any, num_outputs: int) -> Any:
    """Returns the output of one block of attention over tokens, or pieces of an image."""
    x = _patches(x) if len(x.shape) == 4 else embedded(x)
    if x.shape[-1] != _WIDTH:  # the values of a series
        x = layers.Dense(_WIDTH)(x)
    length = x.shape[1]
    x = x + layers.Embedding(length, _WIDTH)(keras.ops.arange(length))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 6)(x, x))
    x = layers.Dense(24, activation="gelu")(layers.Flatten()(x))
    return layers.Dense(num_outputs)(x)


def _patches(x: Any) -> Any:
    """Returns a vector for each piece of two by two pixels of an image."""
    return layers.Reshape((-1, _WIDTH))(layers.Conv2D(_WIDTH, 2, strides=2)(x))
