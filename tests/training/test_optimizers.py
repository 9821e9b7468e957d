"""Every optimizer trains in a sweep as it does without one, whatever the clock."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.training import loop
from tfx_lr_finder.training.trainings import Trainings

NUM_STEPS = 15
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
    """Returns a compiled model of a kernel and a bias, always the same ones."""
    keras_module.utils.set_random_seed(3)
    inputs = [keras_module.Input((2,))] if built else []
    model = keras_module.Sequential([*inputs, keras_module.layers.Dense(2, "tanh")])
    model.compile(optimizer, "mse")
    return model


def batches():
    """Returns eight batches of two features and two labels, always the same."""
    generator = np.random.RandomState(0)
    x = generator.normal(size=(32, 2)).astype(np.float32)
    y = generator.normal(size=(32, 2)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def curves_of(model, monkeypatch):
    """Returns the losses of two sweeps: a chunk for each step, and chunks as long as can be.

    Both are of one graph, and are never stopped.
    """
    rates = np.geomspace(LEAST, GREATEST, NUM_STEPS)
    curves = []
    with Trainings(lambda _: LrFinderFnResult(model, batches()), NUM_STEPS, 0) as trainings:
        for seconds in (0.0, 1e6):
            monkeypatch.setattr(loop, "SECONDS_A_CHUNK", seconds)
            curves.append(trainings.sweep(0, rates, 0.0, float("inf")).losses)
    return curves


@pytest.mark.parametrize(("name", "module"), CASES)
def test_losses_are_those_of_keras_own_training_whatever_the_clock(name, module, monkeypatch):
    """`train_on_batch` at the same rates, and chunks of any length: bit for bit.

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

    step_by_step, at_once = curves_of(model_of(keras_module, make()), monkeypatch)

    np.testing.assert_array_equal(step_by_step, at_once)
    # Nadam counts its traces in Python, and computes otherwise after each: `fit` has two, a sweep
    # one.
    if (name, module) != ("Nadam", "tf_keras"):
        np.testing.assert_array_equal(at_once, np.asarray(losses, np.float64))


@pytest.mark.parametrize(
    ("name", "module"),
    [case for case in CASES if case.values[0] in ("ScheduleFreeAdamW", "lookahead", "average")],
)
def test_curve_of_a_model_that_is_not_built_does_not_depend_on_the_clock(name, module, monkeypatch):
    """Its weights, and what its optimizer makes of them, come into being in the first trace."""
    keras_module = pytest.importorskip(module)
    optimizer = optimizers(keras_module)[name]()

    step_by_step, at_once = curves_of(model_of(keras_module, optimizer, built=False), monkeypatch)

    np.testing.assert_array_equal(step_by_step, at_once)
