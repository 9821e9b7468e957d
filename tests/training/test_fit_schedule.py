"""How the rate moves in the training that a `fit` is called for: optimizer and callbacks."""

import math

import keras as keras3
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult, range_test
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.schedules import OneCycle
from tfx_lr_finder.training.fit.captured_fit import first_fit
from tfx_lr_finder.training.trainings import Trainings

FEATURES, LABELS = np.ones((32, 2), np.float32), np.ones((32, 1), np.float32)


def model(keras_module, learning_rate=0.01, optimizer=None):
    """Returns a compiled linear model."""
    made = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1)])
    made.compile(optimizer or keras_module.optimizers.SGD(learning_rate), "mse")
    return made


def found(made, **options):
    """Returns the schedule of a `fit` of 10 epochs, 80 steps in all."""
    arguments = {"batch_size": 4, "epochs": 10, "verbose": 0, **options}
    result = first_fit(lambda: made.fit(FEATURES, LABELS, **arguments))
    with Trainings(lambda seed: result, 20, 0) as trainings:
        return trainings.sweep(0, np.geomspace(1e-4, 1e-2, 20), 0.9, math.inf).schedule


def callback(keras_module, name):
    """Returns a callback by the name of what it does."""
    callbacks = keras_module.callbacks

    class Own(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate.assign(0.1 / (1 + batch))

    class Other(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.last = epoch

    return {
        "decays": lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        "decays by epoch": lambda: callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch),
        "stays": lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        "warms up": lambda: callbacks.LearningRateScheduler(lambda e, rate: min(e + 1, 3) * 0.01),
        "fails": lambda: callbacks.LearningRateScheduler(lambda epoch, rate: 1 / (epoch - 3)),
        "on a plateau": callbacks.ReduceLROnPlateau,
        "of its own": Own,
        "something else": Other,
    }[name]()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("decays", Schedule.DECAYING),
        ("decays by epoch", Schedule.DECAYING),
        ("stays", Schedule.CONSTANT),
        ("warms up", Schedule.WARM_UP),
        ("fails", Schedule.UNKNOWN),
        ("on a plateau", Schedule.UNKNOWN),
        ("of its own", Schedule.UNKNOWN),
        ("something else", Schedule.CONSTANT),
    ],
)
def test_callback_is_recognised(keras_module, name, kind):
    """By its function where it has one, otherwise by what its code touches."""
    assert found(model(keras_module), callbacks=[callback(keras_module, name)]) is kind


def test_several_callbacks_of_the_rate_are_not_known():
    """Nor is one alone in a list of callbacks; without any the rate stays."""
    own, decays = (callback(keras3, name) for name in ("of its own", "decays"))

    assert found(model(keras3), callbacks=[decays, own]) is Schedule.UNKNOWN
    assert found(model(keras3), callbacks=decays) is Schedule.DECAYING
    assert found(model(keras3), callbacks=keras3.callbacks.CallbackList([decays])) is (
        Schedule.DECAYING
    )
    assert found(model(keras3)) is Schedule.CONSTANT


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("CosineDecay", (0.1, 80), Schedule.DECAYING),
        ("CosineDecay", (0.1, 10_000), Schedule.CONSTANT),
        ("ExponentialDecay", (0.1, 80, 0.5), Schedule.UNKNOWN),
        ("PiecewiseConstantDecay", ([40, 60], [0.1, 0.01, 0.001]), Schedule.DECAYING),
        ("PiecewiseConstantDecay", ([10], [0.01, 0.1]), Schedule.WARM_UP),
    ],
)
def test_schedule_of_the_optimizer_is_read_over_the_training(keras_module, name, arguments, kind):
    """The same schedule is another one in a shorter training."""
    schedule = getattr(keras_module.optimizers.schedules, name)(*arguments)

    assert found(model(keras_module, schedule)) is kind


@pytest.mark.parametrize("scaled", [False, True])
def test_one_cycle_decays(scaled):
    """Also inside of a LossScaleOptimizer."""
    optimizer = keras3.optimizers.Adam(OneCycle(0.1, 80))
    if scaled:
        optimizer = keras3.mixed_precision.LossScaleOptimizer(optimizer)

    assert found(model(keras3, optimizer=optimizer)) is Schedule.DECAYING


def test_schedule_of_a_training_of_unknown_length_is_not_known():
    """Only the steps tell how far it gets."""
    made = model(keras3, keras3.optimizers.schedules.CosineDecay(0.1, 80))
    dataset = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(4)

    assert range_test(made, dataset, num_steps=20).schedule is Schedule.UNKNOWN
    assert range_test(made, dataset, num_steps=20, train_steps=80).schedule is Schedule.DECAYING


def test_user_may_say_what_the_schedule_is():
    """As for a callback that `lr_finder_fn` does not show; a wrong word is refused."""
    dataset = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(4)

    def schedule(said):
        result = LrFinderFnResult(model(keras3), dataset, schedule=said)
        with Trainings(lambda seed: result, 20, 0) as trainings:
            return trainings.sweep(0, np.geomspace(1e-4, 1e-2, 20), 0.9, math.inf).schedule

    assert schedule("decaying") is Schedule.DECAYING
    assert schedule(None) is Schedule.CONSTANT
    with pytest.raises(
        ValueError,
        match=r"`schedule` must be one of constant, warm_up, decaying, unknown, or None\. "
        r"Received: schedule='cosine'\.",
    ):
        schedule("cosine")
