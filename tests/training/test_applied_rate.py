"""The rate that is recorded is the one that reaches the weights, or the optimizer is refused."""

import importlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.range_test import range_test

NUM_STEPS = 12


def batches():
    """Returns one batch of two features and a label."""
    generator = np.random.RandomState(0)
    x = generator.normal(size=(8, 2)).astype(np.float32)
    y = generator.normal(size=(8, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensors((x, y))


def model_of(keras_module, optimizer, jit_compile=False):
    """Returns a compiled model of two layers, its weights always the same."""
    keras_module.utils.set_random_seed(3)
    layers = keras_module.layers
    first, last = layers.Dense(3, "tanh", name="first"), layers.Dense(1, name="last")
    model = keras_module.Sequential([keras_module.Input((2,)), first, last], name="two")
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def one_layer(keras_module, optimizer):
    """Returns a compiled model of one layer, where a second one would tell nothing more."""
    layer = keras_module.layers.Dense(1)
    model = keras_module.Sequential([keras_module.Input((2,)), layer], name="one")
    model.compile(optimizer, "mse")
    return model


def losses_of(model, **options):
    """Returns the losses of a sweep that is never stopped."""
    defaults = {"min_learning_rate": 1e-3, "max_learning_rate": 1.0, "num_steps": NUM_STEPS}
    options = {**defaults, "divergence_factor": float("inf"), **options}
    return range_test(model, batches(), **options).losses


def around(keras_module, inner, how="apply", rate=0.001):
    """Returns an optimizer around another: it hands on gradients, or uses its rule alone."""

    class Around(keras_module.optimizers.Optimizer):
        def __init__(self):
            options = {"learning_rate": rate} if keras_module is keras else {}
            super().__init__(name="around", **options)
            if keras_module is not keras:
                self._learning_rate = self._build_learning_rate(rate)
            self.inner = [inner] if how == "list" else inner

        def build(self, variables):
            inner.build(variables)
            super().build(variables)

        def update_step(self, gradient, variable, *own_rate):
            inner.update_step(gradient, variable, *own_rate)

        def get_config(self):
            return {}

    class Applying(Around):
        def apply(self, gradients, variables=None):
            inner.apply(gradients, variables)

        def apply_gradients(self, gradients_and_variables, **options):
            inner.apply_gradients(gradients_and_variables, **options)

    return Around() if how == "rule" else Applying()


def multi(rates, **options):
    """Returns a MultiOptimizer of plain descent with a rate of its own for the first layer."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip(f"Keras {keras.__version__} has no MultiOptimizer: it came with 3.15")
    first, last = map(keras.optimizers.SGD, rates)
    optimizers = keras.optimizers.OptimizerMap(last, {".*first/.*": first, **options})
    return keras.optimizers.MultiOptimizer(optimizers)


def test_rate_of_an_optimizer_within_another_is_swept(keras_module):
    """The wrapper's own rate is not read: the losses are those of the inner one alone."""
    expected = losses_of(model_of(keras_module, keras_module.optimizers.Adam(0.1)))

    for how in ("apply", "list"):
        optimizer = around(keras_module, keras_module.optimizers.Adam(0.1), how)
        losses = losses_of(model_of(keras_module, optimizer))
        np.testing.assert_array_equal(losses, expected, how)


def test_rate_of_the_outer_optimizer_is_swept_where_it_counts():
    """A wrapper that uses another's rule at its own rate."""
    expected = losses_of(model_of(keras, keras.optimizers.SGD(0.1)))

    optimizer = around(keras, keras.optimizers.SGD(0.5), "rule")

    np.testing.assert_array_equal(losses_of(model_of(keras, optimizer)), expected)


@pytest.mark.parametrize("is_scaled", [False, True], ids=["plain", "loss_scale"])
def test_rates_of_several_optimizers_keep_their_proportion(is_scaled):
    """The recorded rate is that of the first layer, the last one learns at a quarter of it."""
    optimizer = multi([0.4, 0.1])
    if is_scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)
    rates = np.geomspace(1e-3, 1.0, NUM_STEPS)
    model = model_of(keras, multi([0.4, 0.1]))
    model.optimizer.build(model.trainable_variables)
    first, last = model.optimizer.optimizers
    expected = []
    for rate in rates:
        first.learning_rate, last.learning_rate = rate, np.float32(rate) * np.float32(0.25)
        model.reset_metrics()
        expected.append(model.train_on_batch(*next(iter(batches()))))

    swept = model_of(keras, optimizer)
    losses = losses_of(swept)

    np.testing.assert_array_equal(losses, np.asarray(expected, np.float64))
    parts = getattr(optimizer, "inner_optimizer", optimizer).optimizers
    assert [float(part.learning_rate) for part in parts] == pytest.approx([0.4, 0.1])


def test_rate_of_an_optimizer_that_trains_nothing_does_not_count():
    """The default one has the greatest rate, but no weights."""
    everything = {".*last/.*": keras.optimizers.SGD(0.1)}
    expected = losses_of(model_of(keras, multi([0.4, 0.1])))

    losses = losses_of(model_of(keras, multi([0.4, 9.0], **everything)))

    np.testing.assert_array_equal(losses, expected)


def test_schedule_among_several_rates_is_refused():
    """Which proportion they have changes with every step."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)

    with pytest.raises(
        ValueError,
        match=r"Several rates within an optimizer must be numbers.* Received: SGD with "
        r"ExponentialDecay\. Give it the rate at the schedule's peak",
    ):
        losses_of(model_of(keras, multi([decay, 0.1])))


def deaf(keras_module):
    """Returns an optimizer that reads its rate once, when it is made."""

    class Deaf(keras_module.optimizers.SGD):
        def update_step(self, gradient, variable, *_):
            variable.assign_sub(0.1 * gradient)

    return Deaf(0.1)


def half_deaf(keras_module):
    """Returns an optimizer that trains biases at a rate of their own."""

    class HalfDeaf(keras_module.optimizers.SGD):
        def update_step(self, gradient, variable, *own):
            if variable.shape.rank == 1:
                variable.assign_sub(0.1 * gradient)
            else:
                super().update_step(gradient, variable, *own)

    return HalfDeaf(0.1)


def capped(keras_module):
    """Returns an optimizer that applies no more than a hundredth."""

    class Capped(keras_module.optimizers.SGD):
        def update_step(self, gradient, variable, *_):
            rate = tf.minimum(tf.convert_to_tensor(self.learning_rate), 0.01)
            variable.assign_sub(rate * gradient)

    return Capped(0.1)


def hidden(keras_module):
    """Returns an optimizer around one that nothing but its methods knows."""
    inner = keras_module.optimizers.SGD(0.1)

    class Hidden(keras_module.optimizers.SGD):
        def build(self, variables):
            inner.build(variables)
            super().build(variables)

        def update_step(self, gradient, variable, *_):
            rate = [inner.learning_rate] if keras_module is keras else []
            inner.update_step(gradient, variable, *rate)

    return Hidden(0.1)


@pytest.mark.parametrize("make", [deaf, half_deaf, capped, hidden])
def test_optimizer_that_does_not_follow_its_rate_is_refused(keras_module, make):
    """An update at another rate leaves weights as they were."""
    with pytest.raises(
        ValueError,
        match=r"Every weight must follow the learning rate that is set\. Received: model 'two' "
        rf"with {make.__name__.title().replace('_', '')}; an update at another rate leaves .* as "
        r"they were\. Let the optimizer read its `learning_rate`",
    ):
        losses_of(model_of(keras_module, make(keras_module)))


def scaled_by(keras_module, factor, base="SGD", own_counter=False):
    """Returns an optimizer that multiplies its rate by a function of the step."""

    class Scaled(getattr(keras_module.optimizers, base)):
        def build(self, variables):
            super().build(variables)
            if own_counter and not hasattr(self, "steps_done"):
                self.steps_done = tf.Variable(0.0, trainable=False)

        def update_step(self, gradient, variable, *own):
            step = tf.cast(self.iterations, tf.float32)
            if own_counter:
                step = self.steps_done.assign_add(1 / 4) - 1 / 4  # of four variables
            if own:
                super().update_step(gradient, variable, own[0] * factor(step))
                return
            rate = tf.identity(self._learning_rate)
            self._learning_rate.assign(rate * factor(step))
            super().update_step(gradient, variable)
            self._learning_rate.assign(rate)

    return Scaled(0.1)


FACTORS = {
    "warm-up": lambda step: tf.minimum((step + 1) / 100, 1),
    "short warm-up": lambda step: tf.minimum((step + 1) / 10, 1),
    "decay": lambda step: 1 / (1 + 0.02 * step),
    "half-life": lambda step: 0.5 ** (step / 50),
    "root": lambda step: tf.math.rsqrt(step + 1),
    "floor": lambda step: tf.maximum(1 - step / 150, 0.1),
}


@pytest.mark.parametrize(
    ("module", "factor", "base"),
    [("keras", factor, base) for base in ("SGD", "Adam") for factor in FACTORS]
    + [
        pytest.param("tf_keras", *case, marks=pytest.mark.slow)
        for case in (("warm-up", "SGD"), ("half-life", "Adam"))
    ],
)
def test_factor_within_an_optimizer_is_refused(module, factor, base):
    """The rate that is set is not the one of the update."""
    keras_module = importlib.import_module(module)
    optimizer = scaled_by(keras_module, FACTORS[factor], base)

    with pytest.raises(
        ValueError,
        match=r"Each update must have the rate that the optimizer is given\. Received: model 'one' "
        r"with Scaled, whose steps at a constant rate and a constant gradient change their length "
        r"[\d.e+]+-fold in 200 steps\. Build it without a warm-up or decay of its own",
    ):
        losses_of(one_layer(keras_module, optimizer))


def test_factor_of_a_counter_that_keras_does_not_know_is_refused(keras_module):
    """The optimizer counts by itself."""
    optimizer = scaled_by(keras_module, FACTORS["warm-up"], own_counter=True)

    with pytest.raises(ValueError, match=r"Each update must have the rate"):
        losses_of(model_of(keras_module, optimizer))


def test_warm_up_of_schedule_free_training_is_refused():
    """It is known by name, however short it is."""
    if not hasattr(keras.optimizers, "ScheduleFreeAdamW"):
        pytest.skip(f"Keras {keras.__version__} has no ScheduleFreeAdamW: it came with 3.15")

    with pytest.raises(
        ValueError,
        match=r"must apply the rate that it is given\. Received: model 'two' with "
        r"ScheduleFreeAdamW\(warmup_steps=3\).* Build it with warmup_steps=0",
    ):
        losses_of(model_of(keras, keras.optimizers.ScheduleFreeAdamW(0.1, warmup_steps=3)))


def belief(keras_module):
    """Returns AdaBelief, which divides by the spread of the gradients: steady, though it counts."""

    class AdaBelief(keras_module.optimizers.Optimizer):
        def __init__(self):
            super().__init__(**({"learning_rate": 0.1} if keras_module is keras else {"name": "b"}))
            if keras_module is not keras:
                self._learning_rate = self._build_learning_rate(0.1)

        def build(self, variables):
            super().build(variables)
            if getattr(self, "slots", None) is None:
                self.slots = [
                    [tf.Variable(tf.zeros(v.shape), trainable=False) for v in variables]
                    for _ in range(2)
                ]

        def update_step(self, gradient, variable, *_):
            is_keras3 = keras_module is keras
            indices = self._trainable_variables_indices if is_keras3 else self._index_dict
            m, s = (slot[indices[self._var_key(variable)]] for slot in self.slots)
            step = tf.cast(self.iterations + 1, tf.float32)
            m.assign(0.9 * m + 0.1 * gradient)
            s.assign(0.999 * s + 0.001 * (gradient - m) ** 2 + 1e-16)
            m_hat, s_hat = m / (1 - 0.9**step), s / (1 - 0.999**step)
            rate = tf.convert_to_tensor(self.learning_rate)
            variable.assign_sub(rate * m_hat / (tf.sqrt(s_hat) + 1e-16))

        def get_config(self):
            return {}

    return AdaBelief()


def layerwise(keras_module):
    """Returns an optimizer that trains biases at a tenth of its rate: they follow it."""

    class Layerwise(keras_module.optimizers.SGD):
        def update_step(self, gradient, variable, *own):
            factor = 0.1 if variable.shape.rank == 1 else 1.0
            super().update_step(factor * gradient, variable, *own)

    return Layerwise(0.1)


@pytest.mark.parametrize("make", [belief, layerwise])
def test_other_optimizers_that_follow_their_rate_are_swept(keras_module, make):
    """What changes the length of steps is not a factor of the rate."""
    assert losses_of(model_of(keras_module, make(keras_module))).size == NUM_STEPS


@pytest.mark.parametrize(
    ("module", "optimizer"),
    [
        *(("keras", name) for name in ("Ftrl", "Adagrad", "Adadelta", "RMSprop")),
        pytest.param("tf_keras", "Ftrl", marks=pytest.mark.slow),
    ],
)
def test_constrained_weights_and_small_rates_are_swept(module, optimizer):
    """A constraint may undo an update, and a small one is lost beside a great weight."""
    keras_module = importlib.import_module(module)
    layers, constraints = keras_module.layers, keras_module.constraints
    model = keras_module.Sequential(
        [
            keras_module.Input((2,)),
            layers.Dense(3, kernel_constraint=constraints.NonNeg()),
            layers.Dense(1, bias_initializer=keras_module.initializers.Constant(300.0)),
        ]
    )
    model.compile(getattr(keras_module.optimizers, optimizer)(0.1), "mse")

    losses = losses_of(model, min_learning_rate=1e-9, max_learning_rate=1e-7)

    assert losses.size == NUM_STEPS


@pytest.mark.parametrize("place", ["floatx", "weights"])
def test_rate_that_half_precision_cannot_hold_is_refused(keras_module, place):
    """The message says from which rate on it can be."""
    backend = keras_module.backend
    policy = keras_module.mixed_precision.global_policy
    own = policy() if hasattr(keras_module.mixed_precision, "global_policy") else None
    set_policy = keras_module.mixed_precision.set_global_policy
    before = backend.floatx()
    try:
        if place == "floatx":
            backend.set_floatx("float16")
        else:
            set_policy("float16")
        model = model_of(keras_module, keras_module.optimizers.SGD(0.1))
        with pytest.raises(
            ValueError,
            match=r"Every rate must be one that the types .* can hold\. Received: 1e-08, which is "
            r"0 in float16\. Sweep from min_learning_rate=3e-06",
        ):
            losses_of(model, min_learning_rate=1e-8)
    finally:
        backend.set_floatx(before)
        set_policy(own or "float32")


def test_probe_leaves_no_trace(keras_module):
    """Weights, slots, counters, also those in Python, and the rate are as they were."""
    model = model_of(keras_module, keras_module.optimizers.Nadam(0.1))
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    for batch in batches().repeat(2):
        model.train_step(batch)
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables

    def state():
        numbers = {k: v for k, v in vars(optimizer).items() if isinstance(v, int | float)}
        return [v.numpy() for v in (*model.variables, *variables)], numbers

    before, numbers = state()
    losses_of(model)
    after, numbers_after = state()

    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first, second)
    traced = {k for k in numbers if re.search("counter", k)}  # tf_keras's Nadam counts its traces
    assert {k: v for k, v in numbers.items() if k not in traced} == {
        k: v for k, v in numbers_after.items() if k not in traced
    }
