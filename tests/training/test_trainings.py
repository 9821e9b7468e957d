"""Several sweeps in one graph: each is what it would be alone."""

import gc
import importlib
import json
import random
import weakref
from typing import NamedTuple

import forked
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from range_tests import range_tests

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.sweep import exponential_learning_rates
from tfx_lr_finder.training.model.built import build_optimizer
from tfx_lr_finder.training.model.random_state import seed_everything
from tfx_lr_finder.training.range_test import range_test
from tfx_lr_finder.training.trainings import Trainings

ROWS = 24


def sweeps(make, seeds, **options):
    """Yields the curves of short sweeps that are never stopped."""
    return range_tests(with_nothing_else(make), seeds, **{"num_steps": 4, **options})


def with_nothing_else(make):
    """Returns a function that makes nothing beside model and batches."""
    return lambda seed: LrFinderFnResult(*make(seed))


def seeded(make):
    """Returns a function that seeds everything, as the component does, before it calls `make`."""

    def seeded_make(seed):
        seed_everything(seed)
        return make()

    return seeded_make


def batches(rows=4, num_rows=ROWS):
    """Returns batches of two features and a label, always the same."""
    generator = np.random.RandomState(0)
    features = generator.normal(size=(num_rows, 2)).astype(np.float32)
    labels = generator.normal(size=(num_rows, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(rows)


def regression(keras_module, *layers, optimizer=None, built=True, base=None, **options):
    """Returns a compiled linear model behind other layers."""
    inputs = [keras_module.Input((2,))] if built else []
    model = (base or keras_module.Sequential)([*inputs, *layers, keras_module.layers.Dense(1)])
    model.compile(optimizer or keras_module.optimizers.SGD(0.01, momentum=0.9), "mse", **options)
    return model


def after_a_step(model, dataset):
    """Returns a model after a training step, which creates the variables that it lacked.

    Without `fit`, which would be traced.
    """
    build_optimizer(model)
    model.train_step(next(iter(dataset)))
    return model


def draws():
    """Returns the sum of a number of every global source in a graph."""
    sources = [tf.random, tf.random.get_global_generator(), keras.random]
    return tf.add_n([source.uniform(()) for source in sources])


def drawing(keras_module):
    """Returns a class of models whose step draws from every global source."""

    class Drawing(keras_module.Sequential):
        def train_step(self, batch):
            logs = super().train_step(batch)
            return {"loss": logs["loss"] + draws()}

    return Drawing


def at_random(keras_module):
    """Everything at random: weights, order, augmentation, dropout, the user's code.

    Under a frozen layer, with batch statistics, a metric, a schedule and loss scaling.
    """
    layers = keras_module.layers
    decay = keras_module.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
    scaled = keras_module.mixed_precision.LossScaleOptimizer
    frozen = layers.Dense(3, "relu", trainable=False)
    model = regression(
        keras_module,
        frozen,
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        optimizer=scaled(keras_module.optimizers.SGD(decay, momentum=0.9)),
        metrics=["mae"],
    )
    shift = draws() + np.random.normal() + random.random()
    dataset = batches().unbatch().shuffle(ROWS).batch(4)
    return model, dataset.map(lambda x, y: (x + shift + tf.random.normal(()), y))


def with_a_session_of_its_own(keras_module):
    """User code that begins with a new Keras session, and a step that draws from it."""
    keras_module.backend.clear_session()
    keras.utils.clear_session()
    return regression(keras_module, base=drawing(keras_module)), batches()


def with_a_generator_of_its_own(keras_module):
    """User code that puts a generator of its own in the place of TensorFlow's."""
    tf.random.set_global_generator(tf.random.Generator.from_seed(5))
    return regression(keras_module, base=drawing(keras_module)), batches()


def not_built(keras_module):
    """A model whose weights come into being in its first step."""
    return regression(keras_module, keras_module.layers.Dropout(0.5), built=False), batches()


def trained(keras_module):
    """A model in the middle of its training: slots, statistics, counters, metrics, loss scale."""
    layers = keras_module.layers
    frozen = layers.Dense(3, "relu", trainable=False)
    momentum = keras_module.optimizers.SGD(0.01, momentum=0.9)
    model = regression(
        keras_module,
        *(frozen, layers.BatchNormalization(), layers.Dropout(0.5)),
        optimizer=keras_module.mixed_precision.LossScaleOptimizer(momentum),
        metrics=["mae"],
    )
    dataset = batches().unbatch().shuffle(ROWS)
    return after_a_step(model, dataset.batch(8)), batches()


def adapted(keras_module):
    """A layer that was adapted to a random part of the data, and keeps that in no variable."""
    layer = keras_module.layers.Normalization()
    layer.adapt(batches().unbatch().shuffle(ROWS).take(5).batch(5).map(lambda x, y: x))
    return regression(keras_module, layer), batches()


def with_two_optimizers(keras_module):
    """The last layer is trained by an optimizer that the model keeps for itself."""

    class TwoOptimizers(keras_module.Sequential):
        other = None

        def train_step(self, batch):
            features, labels = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(features, training=True) - labels) ** 2)
            *first, kernel, bias = self.trainable_variables
            *gradients, of_kernel, of_bias = tape.gradient(loss, [*first, kernel, bias])
            self.optimizer.apply_gradients(zip(gradients, first, strict=True))
            self.other.apply_gradients([(of_kernel, kernel), (of_bias, bias)])
            return {"loss": loss}

    model = regression(keras_module, keras_module.layers.Dense(3), base=TwoOptimizers)
    model.other = keras_module.optimizers.Adam(0.1)
    model.other.build(model.trainable_variables[-2:])
    return after_a_step(model, batches()), batches()


def with_a_variable_of_its_own(keras_module):
    """A layer that scales by the number of its calls, which Keras 3 does not know to be state."""

    class Counting(keras_module.layers.Layer):
        def __init__(self):
            super().__init__()
            self.calls = tf.Variable(1.0, trainable=False)

        def call(self, inputs, training=False):
            if training:
                self.calls.assign_add(1.0)
            return inputs * self.calls

    return after_a_step(regression(keras_module, Counting()), batches()), batches()


def with_a_memory(keras_module):
    """A recurrent layer that goes on where it was at the end of the last batch."""
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input(batch_shape=(4, 2))])
    model.add(layers.Reshape((2, 1)))
    model.add(layers.SimpleRNN(2, stateful=True, unroll=True))
    model.add(layers.Dense(1))
    model.compile(keras_module.optimizers.SGD(0.01, momentum=0.9), "mse")
    dataset = batches().unbatch().batch(4, drop_remainder=True)
    return after_a_step(model, dataset), dataset


def with_a_constant(keras_module):
    """A layer that draws a projection of the features, and keeps it in no variable."""

    class Projection(keras_module.layers.Layer):
        def build(self, input_shape):
            self.projection = np.random.normal(size=(input_shape[-1], 3)).astype(np.float32)

        def call(self, inputs):
            return inputs @ self.projection

        def compute_output_shape(self, input_shape):
            return *input_shape[:-1], 3

    return regression(keras_module, Projection()), batches()


CASES = [
    at_random,
    with_two_optimizers,
    with_a_variable_of_its_own,
    with_a_memory,
    with_a_constant,
    with_a_session_of_its_own,
    with_a_generator_of_its_own,
    not_built,
    trained,
    adapted,
]


def variables(model):
    """Returns every variable that a model and its optimizers have so far."""
    found = list(model.variables) if model.built else []
    for optimizer in filter(None, (model.optimizer, getattr(model, "other", None))):
        own = optimizer.variables
        found += own() if callable(own) else own
    for layer in model.layers:
        found += [layer.calls] if hasattr(layer, "calls") else []
        found += layer.states if getattr(layer, "stateful", False) else []
    return found


class Found(NamedTuple):
    """What sweeps of a case found and left.

    Attributes:
        curves: The curves of two seeds, one after the other.
        alone: The curve of the second seed's model without other sweeps, in `range_test`.
        values: Of each variable of all models, the value before and after.
    """

    curves: list[Curve]
    alone: Curve
    values: list[tuple[np.ndarray, np.ndarray]]


def found_with(module, cases, marks=()):
    """Returns parameters of `found`: some cases with a Keras."""
    return [
        pytest.param((module, case), id=f"{module}-{case.__name__}", marks=marks) for case in cases
    ]


# In the others, nothing depends on which Keras it is.
OF_BOTH = [at_random, with_a_memory, with_a_session_of_its_own, not_built, trained]


@pytest.fixture(
    scope="module",
    params=found_with("keras", CASES) + found_with("tf_keras", OF_BOTH, pytest.mark.slow),
)
def found(request):
    """Sweeps of a case, which all claims about it look at."""
    module, case = request.param
    keras_module = importlib.import_module(module)
    before = []

    def make():
        model, dataset = case(keras_module)
        before.extend((variable, variable.numpy()) for variable in variables(model))
        return model, dataset

    generator = tf.random.get_global_generator()
    try:
        curves = list(sweeps(seeded(make), [1, 0]))
        draws()
        if case is at_random:  # each pass over its data set has another order
            (alone,) = sweeps(seeded(make), [0])
        else:
            options = {"smoothing": 0.0, "divergence_factor": float("inf"), "num_steps": 4}
            rates = {"min_learning_rate": 1e-3, "max_learning_rate": 0.1}
            alone = range_test(*seeded(make)(0), **rates, **options, seed=0)
        return Found(curves, alone, [(value, variable.numpy()) for variable, value in before])
    finally:
        tf.random.set_global_generator(generator)


def test_curve_depends_on_its_seed_alone(found):
    """After another sweep, maybe in its graph, or alone in `range_test`: the same bit for bit."""
    other, curve = found.curves

    assert curve == found.alone
    assert curve.losses[0] != other.losses[0]  # or else the seed would decide nothing


def test_models_are_left_as_they_were(found):
    """The first one, whose variables are used, and the others, whose values are taken."""
    for before, after in found.values:
        np.testing.assert_array_equal(after, before)


def test_seeds_of_tf_keras_are_reset():
    """A seed that the user's module once set for tf_keras leaves each sweep its own weights."""
    make = seeded(lambda: (regression(tf_keras), batches()))
    tf_keras.utils.set_random_seed(7)
    try:
        together = list(sweeps(make, [1, 2]))
        alone = list(sweeps(make, [2]))
    finally:
        tf_keras.src.backend._SEED_GENERATOR.generator = None

    assert alone[0] == together[1]
    assert together[0].losses[0] != together[1].losses[0]


def test_equal_constants_share_a_graph(keras_module):
    """A table that a layer holds as an array is of no seed: one trace, as without it."""
    traces = []

    class Scaling(keras_module.layers.Layer):
        def __init__(self):
            super().__init__()
            self.scales = np.array([1.0, 2.0], np.float32)

        def call(self, inputs):
            if not tf.is_tensor(inputs) or tf.is_symbolic_tensor(inputs):
                traces.append(inputs)
            return inputs * self.scales

    def make():
        return regression(keras_module, Scaling()), batches()

    counts = [len(traces) for _ in sweeps(seeded(make), range(3))]

    # Each model calls its layers once to be built, of which there are two for a sweep.
    assert np.diff(counts).tolist() == [2, 2]
    assert counts[0] > 2


def test_models_are_let_go_one_after_another(keras_module):
    """Beside the first, whose graph serves all, only that of the sweep is held."""
    models, alive = [], []

    def make(seed):
        alive.append(sum(model() is not None for model in models))
        model = regression(keras_module)
        models.append(weakref.ref(model))
        return model, batches()

    gc.disable()  # it would come at a moment of its own, or not in time
    try:
        list(sweeps(make, range(3)))
    finally:
        gc.enable()

    # Every second one comes with the data set that the best constant output is fitted on.
    assert alive == [0, 1, 1, 2, 1, 2]


def test_model_of_another_form_gets_a_graph_of_its_own():
    """A width that changes with the seed, there and back: the curve that it would be alone."""

    def make(seed):
        seed_everything(seed)
        return regression(keras, keras.layers.Dense(3 + seed % 2)), batches()

    together = list(sweeps(make, [0, 1, 2]))

    assert [together[2]] == list(sweeps(make, [2]))
    widths = [curve.model for curve in together]
    assert widths[0] == widths[2] != widths[1]


def test_batches_of_another_form_get_a_graph_of_their_own():
    """Batches of 4 and of 8 fixed rows are recorded as what they are."""

    def make(seed):
        seed_everything(seed)
        rows = 4 * (1 + seed)
        dataset = batches().unbatch().batch(rows, drop_remainder=True)
        return regression(keras), dataset

    assert [curve.batch_size for curve in sweeps(make, [0, 1])] == [4, 8]


def test_optimizer_of_another_kind_gets_a_graph_of_its_own():
    """A sweep never shows the optimizer of another one, though the weights are alike."""

    def make(seed):
        seed_everything(5)
        momentum = 0.9 if seed else 0.0
        optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
        return regression(keras, optimizer=optimizer), batches()

    plain, with_momentum = sweeps(make, [0, 1])

    assert (plain.is_plain_sgd, with_momentum.is_plain_sgd) == (True, False)
    assert plain.losses[0] == with_momentum.losses[0]
    assert plain.losses[-1] != with_momentum.losses[-1]
    assert list(sweeps(make, [1])) == [with_momentum]


def test_sweep_starts_in_the_middle_of_the_training(keras_module):
    """Momentum gathered before counts: the second loss is that of the next step of training."""

    def momentum(seed):
        seed_everything(seed)
        optimizer = keras_module.optimizers.SGD(0.01, 0.9)
        model = regression(keras_module, optimizer=optimizer)
        return after_a_step(model, batches()), batches()

    options = {"min_learning_rate": 0.01, "max_learning_rate": 0.0100001, "num_steps": 2}

    for curve in sweeps(momentum, [0, 1], **options):
        model, dataset = momentum(curve.seed)
        losses = []
        for features, labels in dataset.take(2):
            losses.append(float(tf.reduce_mean((model(features) - labels) ** 2)))
            model.train_step((features, labels))
        assert curve.losses == pytest.approx(losses, rel=1e-4)


def test_frozen_backbone_is_not_trained(keras_module):
    """y = a b x with a = 1 frozen is the parabola in b: w[i+1] = w[i] (1 - 2 rate[i])."""
    factor = {"use_bias": False, "kernel_initializer": "ones"}

    def make(seed):
        layers = keras_module.layers
        backbone = layers.Dense(1, trainable=False, **factor)
        model = keras_module.Sequential(
            [keras_module.Input((1,)), backbone, layers.Dense(1, **factor)]
        )
        model.compile(keras_module.optimizers.SGD(0.5), "mse")
        return model, tf.data.Dataset.from_tensors((tf.ones((4, 1)), tf.zeros((4, 1))))

    rates = exponential_learning_rates(1e-3, 0.1, 4)
    losses = np.cumprod([1.0, *(1 - 2 * rates[:-1])]) ** 2

    for curve in sweeps(make, [0, 1]):
        np.testing.assert_allclose(curve.losses, losses, rtol=1e-5)


@pytest.mark.parametrize("num_batches", [2, 3])
def test_accumulated_batches_are_one_large_batch(num_batches):
    """k gathered batches of n rows have the curve of one of k n rows, at each step of it."""

    def make(rows, accumulation):
        optimizer = keras.optimizers.SGD(
            0.1, momentum=0.9, gradient_accumulation_steps=accumulation
        )

        def make_for(seed):
            seed_everything(seed)
            return regression(keras, optimizer=optimizer), batches(rows)

        return make_for

    (gathered,) = sweeps(make(4, num_batches), [1])
    (large,) = sweeps(make(4 * num_batches, None), [1])

    assert len(gathered) == len(large) == 4
    assert gathered.losses == pytest.approx(large.losses, rel=1e-4)
    assert gathered.learning_rates.tolist() == large.learning_rates.tolist()
    assert (gathered.gradient_accumulation_steps, large.gradient_accumulation_steps) == (
        num_batches,
        1,
    )
    assert (gathered.batch_size, large.batch_size) == (4, 4 * num_batches)


def test_accumulation_takes_so_many_batches_for_each_step():
    """Four steps of three batches read twelve, not one more, in every sweep.

    The best constant output is fitted on the same twelve, which are read once more.
    """
    read = []

    def generate():
        while True:
            read.append(1)
            yield np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)

    def make(seed):
        signature = (tf.TensorSpec((4, 2)), tf.TensorSpec((4, 1)))
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
        dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
        return regression(keras, optimizer=optimizer), dataset

    counts = [len(read) for _ in sweeps(make, [0, 1, 2])]

    assert counts == [2 * 12, 2 * 2 * 12, 3 * 2 * 12]


def test_several_sweeps_of_a_parabola_follow_the_closed_form():
    """Start w0 = seed, loss 50 w**2: w[i+1] = w[i] (1 - 100 rate[i]) for each of them."""

    def make(seed):
        start = keras.initializers.Constant(float(seed))
        weight = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
        model = keras.Sequential([keras.Input((1,)), weight])
        model.compile(keras.optimizers.SGD(0.5), lambda _, predicted: 50 * tf.square(predicted))
        return model, tf.data.Dataset.from_tensors((tf.ones((4, 1)), tf.zeros((4, 1))))

    rates = exponential_learning_rates(1e-3, 0.015, 4)
    shrinking = np.cumprod([1.0, *(1 - 100 * rates[:-1])])

    for curve in sweeps(make, [1, 3, 2], max_learning_rate=0.015):
        expected = 50 * (curve.seed * shrinking) ** 2
        np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)


def test_error_of_a_later_model_arrives_and_the_first_is_left_as_it_was():
    """User code that fails for the second seed: its own error; the first curve is there."""
    models, curves = [], []

    def make(seed):
        if seed:
            raise LookupError("no such file")
        models.append(regression(keras))
        if len(models) == 1:  # the second one comes with the data set that no training reads
            before.extend((part, part.numpy()) for part in variables(models[0]))
        return models[-1], batches()

    before = []
    with pytest.raises(LookupError, match="no such file"):
        curves.extend(
            range_tests(
                with_nothing_else(make),
                [0, 1],
                num_steps=6,
                divergence_factor=4.0,
            )
        )

    for variable, value_before in before:
        np.testing.assert_array_equal(variable.numpy(), value_before)


def test_not_compiled_model_of_a_later_seed_is_refused():
    """Each model is checked, not the first alone."""

    def make(seed):
        model = regression(keras)
        return (keras.Sequential([keras.layers.Dense(1)]) if seed else model), batches()

    with pytest.raises(ValueError, match=r"must be compiled"):
        list(sweeps(make, [0, 1]))


REPLICAS = """
import json, sys, importlib
import numpy as np, tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
keras = importlib.import_module(sys.argv[1])
from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.sweep import exponential_learning_rates
from tfx_lr_finder.training.model.random_state import seed_everything
from tfx_lr_finder.training.trainings import Trainings

def make(seed):
    seed_everything(seed)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        start = keras.initializers.Constant(1.0 + seed)
        weight = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
        model = keras.Sequential([keras.Input((1,)), weight])
        model.compile(keras.optimizers.SGD(0.5), "mse")
    models.append(model)
    dataset = tf.data.Dataset.from_tensors((tf.ones((6, 1)), tf.zeros((6, 1))))
    return LrFinderFnResult(model, dataset)

models = []
rates = exponential_learning_rates(0.01, 0.1, 5)
with Trainings(make, 5, graph_seed=0) as trainings:
    curves = [trainings.sweep(seed, rates, 0.0, 4.0) for seed in (0, 1)]
found = [[c.losses.tolist(), c.num_replicas, c.batch_size] for c in curves]
print(json.dumps([found, [model.get_weights()[0].item() for model in models]]))
"""


def test_replicas_share_each_batch(keras_module):
    """Two logical CPUs: the losses of one, the batch of both, and the number is recorded."""
    result = forked.run(["-c", REPLICAS, keras_module.__name__])
    assert result.returncode == 0, result.stderr
    found, weights = json.loads(result.stdout.splitlines()[-1])

    rates = exponential_learning_rates(0.01, 0.1, 5)
    losses = np.cumprod([1.0, *(1 - 2 * rates[:-1])]) ** 2
    assert [curve[1:] for curve in found] == [[2, 6], [2, 6]]
    assert found[0][0] == pytest.approx(losses, rel=1e-4)
    assert found[1][0] == pytest.approx(4 * losses, rel=1e-4)
    # Each seed has another one, which comes with the data set that no training reads.
    assert weights == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("judge", ["training data", "held-out examples"])
def test_what_a_training_is_compared_with_does_not_depend_on_reading_ahead(judge):
    """A shuffled data set draws an order for each pass, and begins passes whenever it likes."""

    def make(seed, ahead):
        seed_everything(seed)
        rows = batches(1, 100).unbatch().shuffle(100, seed=1).repeat()
        model = regression(keras, keras.layers.Dense(2))
        return LrFinderFnResult(model, rows.batch(4).prefetch(ahead))

    found = []
    for ahead in (1, 500):
        with Trainings(lambda seed, ahead=ahead: make(seed, ahead), 30, 0) as trainings:
            if judge == "training data":
                found.append(trainings.sweep(0, np.geomspace(1e-4, 0.1, 30), 0.0, 4.0))
            else:
                found.append(trainings.proof(0, 0.01, 29))

    assert found[0] == found[1]
    assert found[0].constant_loss is not None
