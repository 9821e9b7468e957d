"""Every optimizer trains in a sweep as it does without one, whatever the clock."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training import loop
from tfx_lr_finder.training.range_test import range_test

NUM_STEPS = 25
LEAST, GREATEST = 1e-4, 0.1
WRAPPERS = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
"""What Keras exports beside the optimizers that need no other."""


def exported(keras_module):
    """Returns the names of the optimizers that a Keras exports."""
    module = keras_module.optimizers
    classes = {name: part for name, part in vars(module).items() if isinstance(part, type)}
    return sorted(
        name
        for name, part in classes.items()
        if issubclass(part, module.Optimizer) and name not in WRAPPERS
    )


def lookahead(keras_module):
    """Returns an optimizer that is drawn back, every third step, halfway to where it was."""

    class Lookahead(keras_module.optimizers.SGD):
        def build(self, variables):
            if getattr(self, "slow", None) is not None:
                return
            super().build(variables)
            self.slow = [tf.Variable(variable) for variable in variables]

        def update_step(self, gradient, variable, *learning_rate):
            super().update_step(gradient, variable, *learning_rate)
            is_keras3 = hasattr(self, "_get_variable_index")
            indices = self._trainable_variables_indices if is_keras3 else self._index_dict
            slow = self.slow[indices[self._var_key(variable)]]
            is_time = tf.cast((self.iterations + 1) % 3 == 0, variable.dtype)
            back = is_time * 0.5 * (slow - tf.convert_to_tensor(variable))
            variable.assign_add(back)
            slow.assign(is_time * tf.convert_to_tensor(variable) + (1 - is_time) * slow)

    return Lookahead(0.1)


def optimizers(keras_module):
    """Returns a function for each optimizer of a Keras, by its name."""
    made = {
        name: lambda name=name: getattr(keras_module.optimizers, name)(
            0.1, **({"relative_step": False} if name == "Adafactor" else {})
        )
        for name in exported(keras_module)
    }
    made["momentum"] = lambda: keras_module.optimizers.SGD(0.1, momentum=0.9)
    made["average"] = lambda: keras_module.optimizers.Adam(
        0.1, use_ema=True, ema_overwrite_frequency=7
    )
    made["lookahead"] = lambda: lookahead(keras_module)
    made["loss_scale"] = lambda: keras_module.mixed_precision.LossScaleOptimizer(
        keras_module.optimizers.Adam(0.1)
    )
    return made


IS_OLD = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)
OLD_MUON = pytest.mark.skipif(IS_OLD, reason=f"Muon of Keras {keras.__version__} trains nothing")

CASES = [
    pytest.param(
        name,
        module,
        id=f"{name}-{module}",
        marks=[OLD_MUON] * (name == "Muon") + [pytest.mark.slow] * (module == "tf_keras"),
    )
    for module in ("keras", "tf_keras")
    for name in optimizers(pytest.importorskip(module))
]


def model_of(keras_module, optimizer, built=True):
    """Returns a compiled model of two layers, its weights always the same."""
    keras_module.utils.set_random_seed(3)
    inputs = [keras_module.Input((2,))] if built else []
    layers = keras_module.layers
    model = keras_module.Sequential([*inputs, layers.Dense(3, "tanh"), layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def batches():
    """Returns eight batches of two features and two labels, always the same."""
    generator = np.random.RandomState(0)
    x = generator.normal(size=(32, 2)).astype(np.float32)
    y = generator.normal(size=(32, 2)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def curve_of(model, **options):
    """Returns the curve of a sweep that is never stopped."""
    return range_test(
        model,
        batches(),
        min_learning_rate=LEAST,
        max_learning_rate=GREATEST,
        num_steps=NUM_STEPS,
        divergence_factor=float("inf"),
        **options,
    )


@pytest.mark.parametrize(
    ("name", "module", "built"),
    [pytest.param(*case.values, True, id=case.id, marks=case.marks) for case in CASES]
    + [
        pytest.param(*case.values, False, id=f"{case.id}-unbuilt", marks=case.marks)
        for case in CASES
        if case.values[0] in ("ScheduleFreeAdamW", "lookahead", "average")
    ],
)
def test_curve_does_not_depend_on_the_clock(name, module, built, monkeypatch):
    """With a chunk for each step and with chunks as long as can be: the same, bit for bit."""
    keras_module = pytest.importorskip(module)
    make = optimizers(keras_module)[name]
    curves = []
    for seconds in (0.0, 1e6):
        monkeypatch.setattr(loop, "SECONDS_A_CHUNK", seconds)
        curves.append(curve_of(model_of(keras_module, make(), built)))

    np.testing.assert_array_equal(curves[0].losses, curves[1].losses)


@pytest.mark.parametrize(
    ("name", "module"),
    # It counts its traces in Python, and computes otherwise after each: `fit` has two, a sweep one.
    [case for case in CASES if case.id != "Nadam-tf_keras"],
)
def test_losses_are_those_of_keras_own_training(name, module):
    """`train_on_batch` at the same rates: bit for bit.

    With an optimizer that was built: else Keras 3 builds it in its graph, where the assignments of
    a `build` are lost.
    """
    keras_module = pytest.importorskip(module)
    make = optimizers(keras_module)[name]
    model = model_of(keras_module, make())
    model.optimizer.build(model.trainable_variables)
    losses = []
    rates = np.geomspace(LEAST, GREATEST, NUM_STEPS)
    for rate, (x, y) in zip(rates, batches().repeat(), strict=False):
        model.optimizer.learning_rate = rate
        model.reset_metrics()
        losses.append(model.train_on_batch(x, y))

    curve = curve_of(model_of(keras_module, make()))

    np.testing.assert_array_equal(curve.losses, np.asarray(losses, np.float64))
