"""Networks composed of parts, and the parts that the networks made by hand share with them."""

from typing import Any

import keras
from keras import layers

from quality.drawn import Network
from quality.text import NUM_CHARACTERS


def composed(network: Network, x: Any, num_outputs: int) -> Any:
    """Returns the output tensor of a network for an input tensor."""
    if network.body == "attention":
        return attention(x, num_outputs)
    x = _hidden(network, x)
    if network.dropout:
        x = layers.Dropout(network.dropout)(x)
    return layers.Dense(num_outputs)(x)


def _hidden(network: Network, x: Any) -> Any:
    units = network.widths[0]
    if network.body == "convolutions":
        return _convolutions(network, x)
    if network.body == "mean":
        return layers.GlobalAveragePooling1D()(embedded(x))
    if network.body in RECURRENT:
        # Unrolled: a loop within the loop over steps is several times slower.
        return RECURRENT[network.body](min(units, 32), unroll=True)(embedded(x))
    x = layers.Flatten()(x)
    for units in network.widths if network.body == "dense" else ():
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
    return layers.Embedding(NUM_CHARACTERS, 12)(x) if x.dtype == "int32" else x


def attention(x: Any, num_outputs: int) -> Any:
    """Returns the output of one block of attention over tokens, or pieces of an image."""
    x = _patches(x) if len(x.shape) == 4 else embedded(x)
    if x.shape[-1] != 12:  # the values of a series
        x = layers.Dense(12)(x)
    length = x.shape[1]
    x = x + layers.Embedding(length, 12)(keras.ops.arange(length))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 6)(x, x))
    x = layers.Dense(24, activation="gelu")(layers.Flatten()(x))
    return layers.Dense(num_outputs)(x)


def _patches(x: Any) -> Any:
    """Returns a vector for each piece of two by two pixels of an image."""
    return layers.Reshape((-1, 12))(layers.Conv2D(12, 2, strides=2)(x))


RECURRENT = {"simple_rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}
"""Recurrent layers by their name."""
