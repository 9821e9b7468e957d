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
from tfx_lr_finder.training.model.learning_rate import optimizer_schedule
from tfx_lr_finder.training.trainings import Trainings

FEATURES, LABELS = np.ones((32, 2), np.float32), np.ones((32, 1), np.float32)


def model(keras_module, learning_rate=0.01, optimizer=None):
    """Returns a compiled linear model."""
    made = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1)])
    made.compile(optimizer or keras_module.optimizers.SGD(learning_rate), "mse")
    return made


def captured(made, **options):
    """Returns model, data and schedule of a `fit` of 10 epochs, 80 steps in all."""
    arguments = {"batch_size": 4, "epochs": 10, "verbose": 0, **options}
    return first_fit(lambda: made.fit(FEATURES, LABELS, **arguments))


def found(made, **options):
    """Returns the schedule of such a `fit`, as a sweep reads it."""
    result = captured(made, **options)
    return result.schedule or optimizer_schedule(result.model.optimizer, result.train_steps)


def swept(result):
    """Returns the schedule that a sweep notes."""
    with Trainings(lambda seed: result, 20, 0) as trainings:
        return trainings.sweep(0, np.geomspace(1e-4, 1e-2, 20), 0.9, math.inf).schedule


def test_sweep_notes_the_schedule(keras_module):
    """That of a callback, else that of the optimizer, which the sweep's rates replace meanwhile."""
    cosine = keras_module.optimizers.schedules.CosineDecay(0.1, 80)
    decays = [callback(keras_module, "decays")]

    assert swept(captured(model(keras_module, cosine))) is Schedule.DECAYING
    assert swept(captured(model(keras_module), callbacks=decays)) is Schedule.DECAYING
    assert swept(captured(model(keras_module))) is Schedule.CONSTANT


def callback(keras_module, name):
    """Returns a callback by the name of what it does."""
    callbacks = keras_module.callbacks

    class Own(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate.assign(0.1 / (1 + batch))

    class Scheduler(callbacks.LearningRateScheduler):
        def __init__(self):
            super().__init__(lambda epoch, rate: rate / 2)

    class Plateau(callbacks.ReduceLROnPlateau):
        pass

    def by_lambda(epoch, logs):
        raise LookupError("lr")

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
        "decays by a subclass": Scheduler,
        "on a plateau by a subclass": Plateau,
        "by a function": lambda: callbacks.LambdaCallback(on_epoch_end=by_lambda),
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
        ("decays by a subclass", Schedule.DECAYING),
        ("on a plateau by a subclass", Schedule.UNKNOWN),
        ("by a function", Schedule.UNKNOWN),
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


def test_later_epochs_alone_count():
    """The rate is halved once more from epoch 9 on."""
    decays = callback(keras3, "decays")

    assert found(model(keras3), callbacks=[decays], initial_epoch=9) is Schedule.CONSTANT
    assert found(model(keras3), callbacks=[decays], epochs=10_001) is Schedule.UNKNOWN


def test_schedule_of_the_optimizer_is_not_that_of_a_callback():
    """Neither Keras lets a callback set the rate of such an optimizer: this one can but look."""
    decay = keras3.optimizers.schedules.CosineDecay(0.1, 80)
    made = model(keras3, decay)

    assert found(made, callbacks=[callback(keras3, "of its own")]) is Schedule.DECAYING


class Odd(keras3.optimizers.schedules.LearningRateSchedule):
    """Multiplies a float by the step as it is, or fails."""

    def __init__(self, fails):
        self.fails = fails

    def __call__(self, step):
        """Returns a rate that falls to 0."""
        if self.fails:
            raise LookupError("user's own")
        return 0.1 * (1.0 - step / 80.0)

    def get_config(self):
        """Returns the argument."""
        return {"fails": self.fails}


@pytest.mark.parametrize(("fails", "kind"), [(False, Schedule.DECAYING), (True, Schedule.UNKNOWN)])
def test_schedule_of_the_users_own_ends_no_search(fails, kind):
    """Its arithmetic may suit Keras's variable alone; where it fails it will fail in `fit`."""
    assert found(model(keras3, Odd(fails))) is kind


def test_schedule_is_read_over_the_batches_of_accumulated_gradients():
    """80 batches are 20 updates, and the cosine goes on with every batch."""
    decay = keras3.optimizers.schedules.CosineDecay(0.1, 80)
    optimizer = keras3.optimizers.SGD(decay, gradient_accumulation_steps=4)

    assert found(model(keras3, optimizer=optimizer)) is Schedule.DECAYING


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
    assert range_test(made, dataset, num_steps=20, epochs=10).schedule is Schedule.DECAYING


def test_user_may_say_what_the_schedule_is():
    """As for a callback that `lr_finder_fn` does not show; a wrong word is refused."""
    dataset = tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(4)

    def schedule(said):
        return swept(LrFinderFnResult(model(keras3), dataset, schedule=said))

    assert schedule("decaying") is Schedule.DECAYING
    assert schedule(None) is Schedule.CONSTANT
    with pytest.raises(
        ValueError,
        match=r"`schedule` must be one of constant, warm_up, decaying, unknown, or None\. "
        r"Received: schedule='cosine'\.",
    ):
        schedule("cosine")
