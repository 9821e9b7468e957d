"""Training at constant rates, in one graph, to know the oracle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from quality.models import build
from quality.oracle import BUDGET_PARTS, LOG_RATES, Oracle
from quality.splits import Data
from quality.tasks import Combination

Array = NDArray[np.float64]

NUM_SEEDS = 4


def measure_oracle(combination: Combination, data: Data, num_seeds: int = NUM_SEEDS) -> Oracle:
    """Trains at every rate from several initialisations; everything is traced once."""
    model = build(combination, data, seed=0)
    model.optimizer.build(model.trainable_variables)
    # XLA makes a step about five times faster, except for convolutions on a CPU.
    compiles = not any("conv" in layer.name for layer in model.layers)
    train = _train_function(model, data, compiles)
    validate = _validate_function(model, data, compiles)
    budgets = tuple(round(part * combination.budget) for part in BUDGET_PARTS)
    losses = np.full((num_seeds, LOG_RATES.size, len(budgets)), np.inf)
    slots = [(variable, variable.numpy()) for variable in model.optimizer.variables]
    for seed in range(num_seeds):
        weights = [variable.numpy() for variable in build(combination, data, seed).variables]
        start = [*zip(model.variables, weights, strict=False), *slots]
        order = tf.constant(_order(combination, len(data.train[0]), seed))
        for i, log_rate in enumerate(LOG_RATES):
            for variable, value in start:
                variable.assign(value)
            model.optimizer.learning_rate.assign(10.0**log_rate)
            losses[seed, i] = _read(train, validate, order, budgets)
    return Oracle(losses, budgets, data.constant_loss)


def _read(train: Callable[..., Any], validate: Any, order: Any, budgets: tuple[int, ...]) -> Array:
    """Returns the validation loss at each budget, infinite from where the training blew up."""
    losses = np.full(len(budgets), np.inf)
    first = 0
    for i, last in enumerate(budgets):
        done = int(train(order, tf.constant(first), tf.constant(last)))
        loss = float(validate())
        if done < last or not np.isfinite(loss):
            break
        losses[i], first = loss, last
    return losses


def _order(combination: Combination, num_examples: int, seed: int) -> NDArray[np.int32]:
    """Returns the examples of each step, shape `(budget, batch_size)`, shuffled each epoch."""
    random = np.random.default_rng(1000 + seed)
    steps_per_epoch = num_examples // combination.batch_size
    num_epochs = -(-combination.budget // steps_per_epoch)
    kept = steps_per_epoch * combination.batch_size
    epochs = [random.permutation(num_examples)[:kept] for _ in range(num_epochs)]
    order = np.concatenate(epochs).reshape(-1, combination.batch_size)
    return order[: combination.budget].astype(np.int32)


def _train_function(model: Any, data: Data, jit_compile: bool) -> Callable[..., Any]:
    """Returns a graph that trains from one step to another and returns the steps done."""
    x, y = (tf.constant(values) for values in data.train)

    def step(order: Any, i: Any) -> Any:
        features, targets = tf.gather(x, order[i]), tf.gather(y, order[i])
        with tf.GradientTape() as tape:
            outputs = model(features, training=True)
            loss = model.compute_loss(features, targets, outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return tf.where(tf.math.is_finite(loss), i + 1, -1)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def train(order: Any, first: Any, last: Any) -> Any:
        def goes_on(i: Any) -> Any:
            return tf.logical_and(i >= 0, i < last)

        return tf.while_loop(goes_on, lambda i: (step(order, i),), (first,))[0]

    return train


def _validate_function(model: Any, data: Data, jit_compile: bool) -> Callable[[], Any]:
    x, y = (tf.constant(values) for values in data.validation)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def validate() -> Any:
        return model.compute_loss(x, y, model(x, training=False), training=False)

    return validate
