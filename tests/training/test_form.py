"""A later sweep has a graph of its own where its model differs in more than its values."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from range_tests import range_tests

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.training.model.form import form_of


def batches():
    """Returns two batches of four features and a label."""
    generator = np.random.RandomState(0)
    x = generator.normal(size=(16, 4)).astype(np.float32)
    y = generator.normal(size=(16, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(8)


def made(
    keras_module,
    activation="relu",
    rate=0.1,
    penalty=0.1,
    optimizer=None,
    loss="mse",
    base=None,
    extra=(),
    **options,
):
    """Returns a compiled model."""
    layers = keras_module.layers
    penalty = keras_module.regularizers.L2(penalty)
    model = (base or keras_module.Sequential)(
        [
            keras_module.Input((4,)),
            layers.Dense(3, activation, kernel_regularizer=penalty),
            layers.Dropout(rate, seed=1),
            *extra,
            layers.Dense(1),
        ]
    )
    model.compile(optimizer or keras_module.optimizers.Adam(0.1), loss, **options)
    return model


def by_closure(keras_module, beta):
    """Returns a model whose loss is weighted by a number of the function around it."""
    return made(keras_module, loss=lambda y, p: beta * tf.reduce_mean((y - p) ** 2))


def by_class(keras_module, beta):
    """Returns a model whose class is made anew, around a number."""

    class Weighted(keras_module.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = beta * tf.reduce_mean((self(x, training=True) - y) ** 2)
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"loss": loss}

    return made(keras_module, base=Weighted)


def by_attribute(keras_module, beta):
    """Returns a model that was given a number after it was made."""
    model = by_class(keras_module, 1.0)
    model.beta = beta
    return model


def by_layer(keras_module, beta):
    """Returns a model of which a layer adds a loss."""

    class Penalty(keras_module.layers.Layer):
        def __init__(self):
            super().__init__()
            self.beta = beta

        def call(self, x):
            self.add_loss(self.beta * tf.reduce_mean(x**2))
            return x

    return made(keras_module, extra=[Penalty()])


def by_lambda(keras_module, beta):
    """Returns a model with a Lambda layer."""
    times = [lambda x: x * 2.0, lambda x: x * 3.0][beta > 0.3]
    return made(keras_module, extra=[keras_module.layers.Lambda(times)])


def by_order(keras_module, beta):
    """Returns a model that subtracts one branch from the other."""
    layers = keras_module.layers
    inputs = keras_module.Input((4,))
    branches = [layers.Dense(1)(inputs), layers.Dense(1, "tanh")(inputs)]
    output = layers.Subtract()(branches if beta > 0.3 else branches[::-1])
    model = keras_module.Model(inputs, output)
    model.compile(keras_module.optimizers.Adam(0.1), "mse")
    return model


def frozen(keras_module, beta):
    """Returns a model of which a layer may be frozen."""
    model = made(keras_module)
    model.layers[0].trainable = beta > 0.3
    model.compile(keras_module.optimizers.Adam(0.1), "mse")
    return model


VARIANTS = {
    "activation": lambda k, b: made(k, activation="relu" if b > 0.3 else "tanh"),
    "dropout": lambda k, b: made(k, rate=b),
    "penalty": lambda k, b: made(k, penalty=b),
    "beta_1": lambda k, b: made(k, optimizer=k.optimizers.Adam(0.1, beta_1=b)),
    "momentum": lambda k, b: made(k, optimizer=k.optimizers.SGD(0.1, momentum=b)),
    "clip": lambda k, b: made(k, optimizer=k.optimizers.Adam(0.1, clipnorm=b)),
    "decay": lambda k, b: made(k, optimizer=k.optimizers.AdamW(0.1, weight_decay=b)),
    "loss": lambda k, b: made(k, loss="mse" if b > 0.3 else "mae"),
    "huber": lambda k, b: made(k, loss=k.losses.Huber(b)),
    "loss weights": lambda k, b: made(k, loss_weights=[b]),
    "xla": lambda k, b: made(k, jit_compile=b > 0.3),
    **{f.__name__: f for f in (by_closure, by_class, by_attribute, by_layer, by_lambda, by_order)},
    "frozen": frozen,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_form_tells_models_apart_and_nothing_else(keras_module, variant):
    """Another number is another form; names, seeds, weights and the rate are not."""
    make = VARIANTS[variant]
    models = []
    for seed, beta in ((1, 0.5), (2, 0.5), (1, 0.2)):
        keras_module.utils.set_random_seed(seed)
        models.append(make(keras_module, beta))
    first, same, other = map(form_of, models)

    assert first == same
    assert first != other


def test_later_sweep_of_another_model_is_its_own():
    """A number of a layer, the loss, one of the optimizer: each curve is the one that it is alone.

    Each model differs from the last one in that alone.
    """

    def make(seed):
        keras.utils.set_random_seed(seed)
        rate = 0.1 if seed < 2 else 0.5
        loss = "mse" if seed < 3 else "mae"
        optimizer = keras.optimizers.Adam(0.1, beta_1=0.9 if seed < 4 else 0.2)
        return LrFinderFnResult(made(keras, rate=rate, loss=loss, optimizer=optimizer), batches())

    def losses(*seeds):
        return [curve.losses.tolist() for curve in range_tests(make, seeds, num_steps=3)]

    assert losses(1, 2, 3, 4)[1:] == losses(2) + losses(3) + losses(4)


def test_optimizers_of_several_rates_are_told_apart():
    """Their proportion is in the graph."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip(f"Keras {keras.__version__} has no MultiOptimizer: it came with 3.15")

    def model(rate):
        optimizers = map(keras.optimizers.SGD, (0.1, rate))
        by_layer = keras.optimizers.OptimizerMap(next(optimizers), {".*/bias": next(optimizers)})
        return made(keras, optimizer=keras.optimizers.MultiOptimizer(by_layer))

    assert form_of(model(0.2)) == form_of(model(0.2))
    assert form_of(model(0.2)) != form_of(model(0.3))
