"""A Trainer module's `run_fn`, run up to its first `fit`: the model, the data, and nothing else."""

import os
import subprocess
import sys
import textwrap
import traceback

import forked
import keras as keras3
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import range_test
from tfx_lr_finder.training.fit.captured_fit import first_fit
from tfx_lr_finder.training.model.random_state import seed_everything

ROWS = 10
X = np.arange(ROWS, dtype=np.float32)[:, None]
Y = (np.arange(ROWS) % 2).astype(np.float32)[:, None]
WEIGHTS = np.linspace(0.5, 1.5, ROWS, dtype=np.float32)


def dense(keras, **options):
    """Returns a compiled model of one weight and one bias, whose weights exist."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    return model


def batches_of(keras, **options):
    """Returns five batches of two rows as Keras's own kind of Python data set."""

    class Batches(keras.utils.Sequence):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]

    return Batches(**options)


def generated(passes=1):
    """Returns a generator of the same batches."""
    return ((X[i : i + 2], Y[i : i + 2]) for _ in range(passes) for i in range(0, ROWS, 2))


def as_lists(dataset):
    """Returns the batches of a data set as lists of numbers."""
    return [tf.nest.map_structure(lambda t: np.asarray(t).tolist(), b) for b in dataset]


def recorder(keras):
    """Returns a compiled model that writes down what `fit` hands to its training step."""

    class Recorder(keras.Model):
        def __init__(self):
            super().__init__()
            self.seen = []

        def call(self, inputs):
            return inputs

        def train_step(self, data):
            self.seen.append(tf.nest.map_structure(lambda t: t.numpy().tolist(), data))
            return {"loss": tf.constant(0.0)}

    model = Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    return model


DATA = {
    "arrays": lambda keras: {"x": X, "y": Y},
    "x alone": lambda keras: {"x": X},
    "batch size": lambda keras: {"x": X, "y": Y, "batch_size": 4},
    "steps per epoch": lambda keras: {"x": X, "y": Y, "steps_per_epoch": 3},
    "sample weight": lambda keras: {"x": X, "y": Y, "sample_weight": WEIGHTS, "batch_size": 4},
    "class weight": lambda keras: {"x": X, "y": Y, "class_weight": {0: 1.0, 1: 3.0}},
    "dict of arrays": lambda keras: {"x": {"a": X, "b": -X}, "y": Y, "batch_size": 5},
    "several outputs": lambda keras: {"x": X, "y": {"p": Y, "q": -Y}},
    "tensors": lambda keras: {"x": tf.constant(X), "y": tf.constant(Y), "batch_size": 3},
    "validation split": lambda keras: {"x": X, "y": Y, "validation_split": 0.3, "batch_size": 2},
    "data set": lambda keras: {"x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)},
    "data set with class weight": lambda keras: {
        "x": tf.data.Dataset.from_tensor_slices((X, Y)).batch(3),
        "class_weight": {0: 1.0, 1: 3.0},
    },
    "python data set": lambda keras: {"x": batches_of(keras)},
    "python data set with class weight": lambda keras: {
        "x": batches_of(keras),
        "class_weight": {0: 1.0, 1: 3.0},
    },
    "generator": lambda keras: {"x": generated()},
}


@pytest.mark.parametrize(
    ("arguments", "train_steps"),
    [
        ({"steps_per_epoch": 20, "epochs": 30}, 600),
        ({"steps_per_epoch": 20, "epochs": 30, "initial_epoch": 25}, 100),
        ({"epochs": 30}, 150),
        ({}, 5),
        ({"epochs": 0}, None),
        ({"epochs": 3, "initial_epoch": 5}, None),
    ],
    ids=["steps", "later_epochs", "whole_epochs", "one_epoch", "no_epoch", "none_left"],
)
def test_length_of_the_training_is_that_of_fit(keras_module, arguments, train_steps):
    """Epochs times their steps, which a data set of known length says if `fit` is not told."""
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    if "steps_per_epoch" in arguments:
        dataset = dataset.repeat()

    captured = first_fit(lambda: dense(keras_module).fit(dataset, **arguments))

    assert captured.train_steps == train_steps


@pytest.mark.parametrize(
    ("options", "train_steps"),
    [
        ({"epochs": 3}, 3),
        ({"epochs": 3, "batch_size": 4}, 9),
        ({"batch_size": 4, "validation_split": 0.3}, 2),
        ({"batch_size": 4, "validation_split": 0.3, "validation_data": (X, Y)}, 3),
    ],
)
def test_length_of_a_training_on_arrays_is_counted_in_batches(keras_module, options, train_steps):
    """Ten rows, the last batch of an epoch with what is left; Keras's data set does not say it."""
    captured = first_fit(lambda: dense(keras_module).fit(X, Y, **options))

    assert captured.train_steps == train_steps


def test_length_of_a_training_on_a_python_data_set_is_that_of_its_batches(keras_module):
    """Five batches; a generator has no length."""
    of = batches_of(keras_module)

    assert first_fit(lambda: dense(keras_module).fit(of, epochs=3)).train_steps == 15
    assert first_fit(lambda: dense(keras_module).fit(generated(3))).train_steps is None


def test_length_of_a_data_set_that_does_not_say_it_is_not_known(keras_module):
    """As of every data set that is read from files of records."""
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).filter(lambda x, y: True)

    captured = first_fit(lambda: dense(keras_module).fit(dataset, epochs=30))

    assert captured.train_steps is None


def test_length_of_the_training_is_counted_in_updates():
    """An optimizer that gathers the gradients of four batches makes a quarter of the updates."""
    model = dense(keras3)
    model.compile(keras3.optimizers.SGD(0.1, gradient_accumulation_steps=4), "mse")

    captured = first_fit(lambda: model.fit(X, Y, steps_per_epoch=20, epochs=30))

    assert captured.train_steps == 150


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_batches_are_those_that_fit_makes(keras_module, data):
    """What a training step of a real `fit` receives is what the captured data set yields."""
    model, validation_split = recorder(keras_module), "validation_split"
    arguments = data(keras_module)
    kept = {k: v for k, v in arguments.items() if k != validation_split}
    if validation_split in arguments:  # the recorder has no step for an evaluation
        kept = {k: v[:7] if k in "xy" else v for k, v in kept.items()}
    model.fit(**kept, shuffle=False, verbose=0)
    arguments = data(keras_module)

    captured = first_fit(lambda: recorder(keras_module).fit(**arguments, shuffle=False))

    assert as_lists(captured.dataset) == model.seen
    assert model.seen


def test_arguments_by_position_are_understood(keras_module):
    """`fit(x, y, batch_size, epochs, verbose, callbacks, validation_split, ...)`."""
    model = dense(keras_module)
    validation = (X[:4], Y[:4])

    captured = first_fit(lambda: model.fit(X, Y, 5, 3, 0, None, 0.0, validation, False))

    first, second = as_lists(captured.dataset)
    assert first == (X[:5].tolist(), Y[:5].tolist())
    assert second == (X[5:].tolist(), Y[5:].tolist())
    assert as_lists(captured.validation_dataset) == [(X[:4].tolist(), Y[:4].tolist())]


def test_fit_called_on_the_class_is_the_same(keras_module):
    """`Model.fit(model, ...)` instead of `model.fit(...)`."""
    model = dense(keras_module)

    assert first_fit(lambda: keras_module.Model.fit(model, X, Y)).model is model


def test_class_weights_count_in_the_sweep(keras_module):
    """Of one weight on labels 0 and 1 the loss is (w² + 3 (w - 1)²) / 2, its slope 4 w - 3."""

    def fit():
        layer = keras_module.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras_module.Sequential([keras_module.Input((1,)), layer])
        model.compile("sgd", "mse")
        x, y = np.ones((2, 1), np.float32), np.array([[0], [1]])
        model.fit(x, y, class_weight={0: 1.0, 1: 3.0})

    captured = first_fit(fit)

    curve = range_test(captured.model, captured.dataset, max_learning_rate=0.1, num_steps=50)

    weight, losses = 0.0, []
    for rate in curve.learning_rates:
        losses.append((weight**2 + 3 * (weight - 1) ** 2) / 2)
        weight -= rate * (4 * weight - 3)
    np.testing.assert_allclose(curve.losses, losses, rtol=1e-5)


def rows(dataset):
    """Returns the first feature of each row, in order."""
    return [value for batch in as_lists(dataset) for (value,) in batch[0]]


def test_shuffled_arrays_have_the_order_of_the_seed(keras_module):
    """`fit` shuffles arrays unless told otherwise; the same seed draws the same order."""

    def order(seed):
        seed_everything(seed)
        return rows(first_fit(lambda: dense(keras_module).fit(X, Y, batch_size=3)).dataset)

    assert order(1) == order(1) != order(2)
    assert order(1) != X.ravel().tolist()
    assert sorted(order(1)) == X.ravel().tolist()


def test_shuffled_python_data_sets_have_the_order_of_the_seed(keras_module):
    """Their batches are shuffled by Python's own random numbers."""

    def order(seed):
        data = batches_of(keras_module)
        dataset = first_fit(lambda: dense(keras_module).fit(data, shuffle=True)).dataset
        seed_everything(seed)
        return rows(dataset)

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == X.ravel().tolist()


def sequential(keras):
    """A model whose weights come into being with the first batch."""
    return keras.Sequential([keras.layers.Dense(1)])


def functional(keras):
    """A model of named inputs."""
    inputs = keras.Input((1,), name="x")
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def subclass(keras):
    """A model whose `call` is the user's."""

    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    return Subclass()


def own_step(keras):
    """A model whose `train_step` is the user's."""

    class OwnStep(keras.Model):
        def train_step(self, data):
            return {**super().train_step(data), "loss_is_doubled": tf.constant(True)}

    inputs = keras.Input((1,))
    return OwnStep(inputs, keras.layers.Dense(1)(inputs))


def own_fit(keras):
    """A model whose `fit` is the user's, around Keras's, with an argument of its own."""

    class OwnFit(keras.Sequential):
        def fit(self, *args, note="", **kwargs):
            return super().fit(*args, **kwargs)

    return OwnFit([keras.layers.Dense(1)])


@pytest.mark.parametrize("build", [sequential, functional, subclass, own_step, own_fit])
def test_model_of_any_kind_is_captured_and_can_be_swept(keras_module, build):
    """The very object that `fit` was called on; a sweep of it on the captured data falls."""
    keras_module.utils.set_random_seed(0)
    model = build(keras_module)
    model.compile(keras_module.optimizers.SGD(0.1), "mse")

    captured = first_fit(lambda: model.fit(x=X / ROWS, y=X / ROWS, batch_size=5))

    curve = range_test(captured.model, captured.dataset, num_steps=30, max_learning_rate=1.0)
    assert captured.model is model
    assert captured.validation_dataset is None
    assert curve.losses[-1] < 0.5 * curve.losses[0]


VALIDATION = {
    "arrays": ({"validation_data": (X, Y)}, [ROWS]),
    "list": ({"validation_data": [X, Y]}, [ROWS]),
    "with weights": ({"validation_data": (X, Y, WEIGHTS)}, [ROWS]),
    "batch size of the training": ({"validation_data": (X, Y), "batch_size": 4}, [4, 4, 2]),
    "batch size": (
        {"validation_data": (X, Y), "batch_size": 4, "validation_batch_size": 6},
        [6, 4],
    ),
    "steps": ({"validation_data": (X, Y), "batch_size": 4, "validation_steps": 2}, [4, 4]),
    "data set": (
        {"validation_data": tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)},
        [7, 3],
    ),
    "endless data set": (
        {
            "validation_data": tf.data.Dataset.from_tensor_slices((X, Y)).batch(5).repeat(),
            "validation_steps": 3,
        },
        [5, 5, 5],
    ),
    "split": ({"validation_split": 0.3}, [3]),
    "split in batches": ({"validation_split": 0.3, "validation_batch_size": 2}, [2, 1]),
    "data before split": ({"validation_data": (X, Y), "validation_split": 0.3}, [ROWS]),
}


@pytest.mark.parametrize(("arguments", "sizes"), VALIDATION.values(), ids=VALIDATION)
def test_validation_data_are_kept_as_evaluate_takes_them(keras_module, arguments, sizes):
    """Batches in order, as many as `fit` would evaluate."""
    captured = first_fit(lambda: dense(keras_module).fit(X, Y, **arguments))

    batches = as_lists(captured.validation_dataset)
    assert [len(batch[0]) for batch in batches] == sizes
    first = X[7:] if arguments.get("validation_split") and "validation_data" not in arguments else X
    assert batches[0][0] == first[: sizes[0]].tolist()


def test_validation_data_have_their_weights(keras_module):
    """The third of `validation_data`."""
    captured = first_fit(
        lambda: dense(keras_module).fit(X, Y, validation_data=(X, Y, WEIGHTS), batch_size=ROWS)
    )

    ((_, _, weights),) = as_lists(captured.validation_dataset)
    assert weights == WEIGHTS.tolist()


def test_validation_data_may_be_a_python_data_set(keras_module):
    """Of the same kinds as the training's."""
    captured = first_fit(
        lambda: dense(keras_module).fit(X, Y, validation_data=batches_of(keras_module))
    )

    assert rows(captured.validation_dataset) == X.ravel().tolist()


def test_evaluation_on_the_captured_data_is_that_of_the_model(keras_module):
    """The loss on it is what `evaluate` returns on the validation data themselves."""
    model = dense(keras_module)

    captured = first_fit(lambda: model.fit(X, Y, validation_split=0.4, validation_batch_size=3))

    expected = model.evaluate(X[6:], Y[6:], verbose=0)
    assert model.evaluate(captured.validation_dataset, verbose=0) == pytest.approx(expected)


def test_sparse_features_may_be_split(keras_module):
    """Keras 3 splits sparse tensors; tf_keras says that it does not."""
    sparse = tf.sparse.from_dense(np.eye(ROWS, dtype=np.float32))
    inputs = keras_module.Input((ROWS,), sparse=True)
    model = keras_module.Model(inputs, keras_module.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")

    def run_fn():
        model.fit(sparse, Y, validation_split=0.3)

    if keras_module.__name__ == "tf_keras":
        with pytest.raises(ValueError, match="`validation_split` is only supported for Tensors"):
            first_fit(run_fn)
    else:
        ((features, _),) = first_fit(run_fn).validation_dataset
        expected = np.eye(ROWS, dtype=np.float32)[7:]
        np.testing.assert_array_equal(tf.sparse.to_dense(features), expected)


def counting(keras):
    """Returns batches of the number of epochs that ended before them."""

    class Counting(keras.utils.Sequence):
        ends = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            number = np.full((2, 1), self.ends, np.float32)
            return number, number

        def on_epoch_end(self):
            self.ends += 1

    return Counting()


def test_each_pass_over_a_python_data_set_ends_as_an_epoch(keras_module):
    """Data that shuffle themselves between epochs do so between the passes of a sweep."""
    captured = first_fit(lambda: dense(keras_module).fit(counting(keras_module)))

    first_rows = [batch[0][0] for batch in as_lists(captured.dataset.repeat(3))]
    assert first_rows == [[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]


@pytest.mark.parametrize("arguments", [{"workers": 3}, {"workers": 2, "use_multiprocessing": True}])
def test_python_data_are_read_without_workers(keras_module, arguments):
    """In order, for the seed to decide; and no thread or process outlives the sweep."""
    here = keras_module.__name__ == "tf_keras"  # there, they are arguments of fit
    data = batches_of(keras_module, **({} if here else arguments))

    captured = first_fit(
        lambda: dense(keras_module).fit(data, shuffle=False, **(arguments if here else {}))
    )

    assert rows(captured.dataset.repeat(2)) == 2 * X.ravel().tolist()


def test_generator_is_read_once(keras_module):
    """It cannot start over: a sweep that needs more batches than it has is refused as such."""
    model = dense(keras_module)

    captured = first_fit(lambda: model.fit(generated(), steps_per_epoch=5))

    with pytest.raises(ValueError, match=r"must yield .* used up after one pass"):
        range_test(captured.model, captured.dataset, num_steps=20, divergence_factor=np.inf)


def test_generator_that_is_long_enough_is_swept(keras_module):
    """One batch a step."""
    captured = first_fit(lambda: dense(keras_module).fit(generated(passes=4), steps_per_epoch=5))

    curve = range_test(captured.model, captured.dataset, num_steps=20, divergence_factor=np.inf)
    assert curve.losses.size == 20


def test_nothing_is_trained_or_written(keras_module, tmp_path):
    """The weights and the optimizer are untouched, no callback starts, no later line is run."""
    model, later = dense(keras_module), []
    before = model.get_weights()

    class Callback(keras_module.callbacks.Callback):
        def set_model(self, model):
            later.append("callback")

    def run_fn():
        logs = keras_module.callbacks.TensorBoard(str(tmp_path), update_freq=1)
        model.fit(X, Y, validation_data=(X, Y), epochs=3, callbacks=[logs, Callback()])
        later.append("line")

    first_fit(run_fn)

    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert int(model.optimizer.iterations) == 0
    assert later == []
    assert list(tmp_path.iterdir()) == []


def test_first_of_several_trainings_counts(keras_module):
    """For example a head that is trained before the whole is fine-tuned."""
    first, second = dense(keras_module), dense(keras_module)

    def run_fn():
        first.fit(X, Y)
        second.fit(X, Y)

    assert first_fit(run_fn).model is first


def patched(keras):
    """Returns everything that is replaced while a `run_fn` runs."""
    strategy = tf.distribute.get_strategy()
    legacy = getattr(keras.optimizers, "legacy", None)
    return [
        keras.Model.fit,
        keras.Model.__dict__.get("fit"),
        getattr(keras.optimizers.Optimizer, "apply", None),
        keras.optimizers.Optimizer.apply_gradients,
        getattr(getattr(legacy, "Optimizer", None), "apply_gradients", None),
        vars(strategy).get("experimental_distribute_dataset"),
    ]


def raising():
    """A run_fn with a mistake before its fit."""
    raise LookupError("the user's own message")


@pytest.mark.parametrize("ending", ["fit", "return", "error", "bad data"])
def test_keras_is_put_back(keras_module, ending):
    """Whatever happens: a `fit` after it trains."""
    model = dense(keras_module)
    run_fn = {
        "fit": lambda: model.fit(X, Y),
        "return": lambda: None,
        "error": raising,
        "bad data": lambda: model.fit(X, Y[:3]),
    }[ending]
    before = patched(keras_module)

    try:
        first_fit(run_fn)
    except (ValueError, LookupError):
        assert ending != "fit"

    assert patched(keras_module) == before
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) == 1


def test_users_except_clause_does_not_hold_it(keras_module):
    """A module that logs every exception and goes on would otherwise export its model."""
    model, later = dense(keras_module), []

    def run_fn():
        try:
            model.fit(X, Y)
        except Exception as error:
            later.append(error)

    assert first_fit(run_fn).model is model
    assert later == []


def test_bare_except_clause_costs_nothing_but_time(keras_module):
    """What was captured is captured, whatever the module does then."""
    model = dense(keras_module)

    def run_fn():
        try:
            model.fit(X, Y)
        except:  # noqa: E722
            raise RuntimeError("no history") from None

    assert first_fit(run_fn).model is model


def test_error_in_a_finally_clause_costs_nothing(keras_module):
    """The usual one: a history that was never assigned."""
    model = dense(keras_module)

    def run_fn():
        try:
            history = model.fit(X, Y)
        finally:
            history.history.clear()

    assert first_fit(run_fn).model is model


def test_users_own_error_passes_through():
    """The same object, with the traceback of the user's code, and of no handler of ours."""
    with pytest.raises(LookupError, match="the user's own message") as raised:
        first_fit(raising)

    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "raising"
    assert raised.value.__cause__ is raised.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "y": Y[:3]}, "[Cc]ardinality|same number of samples|sizes"),
        ({"x": X, "y": Y, "no_such": 1}, "no_such"),
        ({"x": X, "y": Y, "validation_data": (X, Y, X, Y)}, "Data is expected to be in format"),
    ],
    ids=["rows differ", "unknown argument", "validation data"],
)
def test_what_fit_refuses_is_refused_by_fit(keras_module, arguments, message):
    """With Keras's own message."""
    with pytest.raises((ValueError, TypeError), match=message):
        first_fit(lambda: dense(keras_module).fit(**arguments))


def test_model_that_is_not_compiled_is_refused_by_keras(keras_module):
    """As it would be in the Trainer."""
    model = keras_module.Sequential([keras_module.layers.Dense(1)])

    with pytest.raises((ValueError, RuntimeError), match="compile"):
        first_fit(lambda: model.fit(X, Y))


REMEDY = r"Add a function `lr_finder_fn\(fn_args\) -> LrFinderFnResult` to the module"


def test_run_fn_without_a_fit_is_refused():
    """The message says what is missing, and names the other way."""
    message = rf"by the `fit` of a Keras model\. Received: .* ended without a call of it\. {REMEDY}"

    with pytest.raises(ValueError, match=message):
        first_fit(lambda: None)


def train_on_batch(keras, model):
    """Keras's own step, in the user's loop."""
    for _ in range(3):
        model.train_on_batch(X, Y)


def gradient_tape(keras, model):
    """TensorFlow's gradients, and an update by the optimizer."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(X) - Y) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


def graph(keras, model):
    """The same in a graph."""
    tf.function(gradient_tape)(keras, model)


def mixed_precision(keras, model):
    """The same with a scaled loss."""
    model.compile(keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.1)), "mse")
    gradient_tape(keras, model)


def fit_of_its_own(keras, model):
    """A model whose `fit` never calls Keras's."""

    class OwnLoop(keras.Sequential):
        def fit(self, *args, **kwargs):
            gradient_tape(keras, self)

    own = OwnLoop(model.layers)
    own.compile("sgd", "mse")
    own.fit(X, Y)


LOOPS = [train_on_batch, gradient_tape, graph, mixed_precision, fit_of_its_own]


@pytest.mark.parametrize("loop", LOOPS)
def test_training_in_a_loop_of_its_own_is_refused_at_its_first_step(keras_module, loop):
    """Nothing is trained then, either."""
    model, later = dense(keras_module), []
    before = model.get_weights()

    def run_fn():
        try:
            loop(keras_module, model)
        except Exception as error:
            later.append(error)
        later.append("line")

    message = rf"by the `fit` of a Keras model\. Received: .* loop of its own.*\. {REMEDY}"
    with pytest.raises(ValueError, match=message):
        first_fit(run_fn)
    assert later == []
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_legacy_optimizer_in_a_loop_is_refused():
    """tf_keras's older optimizers have an update of their own."""
    keras = pytest.importorskip("tf_keras")
    model = dense(keras)
    model.compile(keras.optimizers.legacy.SGD(0.1), "mse")

    with pytest.raises(ValueError, match=REMEDY):
        first_fit(lambda: gradient_tape(keras, model))


@pytest.mark.parametrize("part", ["x", "validation_data"])
def test_distributed_data_set_is_refused(keras_module, part):
    """A strategy has it already; nothing is trained on it."""
    strategy = tf.distribute.OneDeviceStrategy("cpu:0")
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)
    distributed = strategy.experimental_distribute_dataset(dataset)
    with strategy.scope():
        model = dense(keras_module)

    message = rf"`{part}` .*not distributed.*of type DistributedDataset\. .*`lr_finder_fn\("
    with pytest.raises(ValueError, match=message):
        first_fit(
            lambda: model.fit(
                **{"x": dataset, part: distributed}, steps_per_epoch=2, validation_steps=2
            )
        )
    assert int(model.optimizer.iterations) == 0


def test_models_of_a_strategy_are_captured(keras_module):
    """Two logical CPU devices; `fit` inside of the scope and outside; data of three kinds."""
    script = textwrap.dedent(
        """
        import importlib, sys
        import numpy as np, tensorflow as tf
        (cpu,) = tf.config.list_physical_devices("CPU")
        devices = 2 * [tf.config.LogicalDeviceConfiguration()]
        tf.config.set_logical_device_configuration(cpu, devices)
        from tfx_lr_finder import range_test
        from tfx_lr_finder.training.fit.captured_fit import first_fit

        x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
        K = importlib.import_module(sys.argv[1])

        class Batches(K.utils.Sequence):
            def __len__(self): return 2
            def __getitem__(self, i): return x[4 * i : 4 * i + 4], x[4 * i : 4 * i + 4]

        strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
        dataset = tf.data.Dataset.from_tensor_slices((x, x)).batch(4)
        arrays = {"x": x, "y": x, "batch_size": 4}
        kinds = ((True, {"x": dataset}), (False, arrays), (True, {"x": Batches()}))
        for inside, arguments in kinds:
            def run_fn():
                with strategy.scope():
                    model = K.Sequential([K.Input((1,)), K.layers.Dense(1)])
                    model.compile(K.optimizers.SGD(0.1), "mse")
                    if inside:
                        model.fit(**arguments)
                model.fit(**arguments)

            captured = first_fit(run_fn)
            curve = range_test(
                captured.model, captured.dataset, num_steps=4, divergence_factor=float("inf")
            )
            is_of_strategy = captured.model.distribute_strategy is strategy
            print(is_of_strategy, curve.batch_size, curve.losses.size)

        def own_loop():
            with strategy.scope():
                model = K.Sequential([K.Input((1,)), K.layers.Dense(1)])
                model.compile(K.optimizers.SGD(0.1), "mse")
            model.train_on_batch(x, x)

        try:
            first_fit(own_loop)
        except ValueError as error:
            print("loop of its own" in str(error))
        """
    )

    process = forked.run(["-c", script, keras_module.__name__])

    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == 3 * ["True", "4", "4"] + ["True"]


def test_legacy_keras_is_captured():
    """`TF_USE_LEGACY_KERAS=1`: `tf.keras`, loaded by the module when it runs, is tf_keras."""
    script = textwrap.dedent(
        """
        import numpy as np, tensorflow as tf
        from tfx_lr_finder.training.fit.captured_fit import first_fit

        x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]

        def run_fn():
            model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            model.fit(x, x, batch_size=2)

        from tfx_lr_finder import range_test
        captured = first_fit(run_fn)
        print(type(captured.model).__module__.split(".")[0], len(list(captured.dataset)))
        print(range_test(captured.model, captured.dataset, num_steps=10).batch_size)
        """
    )

    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == ["tf_keras", "4", "2"]
