"""Ways in which a `run_fn` trains before its `fit`, or by another one's: each is refused."""

import gc

import keras as keras3
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.fit.captured_fit import first_fit

X = np.ones((4, 1), np.float32)
OWN_LOOP = (
    r"`run_fn` must train by the `fit` of a Keras model\. Received: a `run_fn` that trains in a "
    r"loop of its own, by its optimizer's update\. Add a function `lr_finder_fn\("
)


def model_with(keras, optimizer):
    """Returns a compiled model of one weight and one bias."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def by_hand(variables, gradients):
    """Does the update of gradient descent."""
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(0.1 * gradient)


def apply_of_its_own(keras):
    """An optimizer that overrides what Keras calls."""

    class Own(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            by_hand(trainable_variables, grads)

        def apply_gradients(self, grads_and_vars, *args, **kwargs):
            gradients, variables = zip(*grads_and_vars, strict=True)
            by_hand(variables, gradients)

    return Own


def apply_inherited(keras):
    """One whose parent does."""

    class Child(apply_of_its_own(keras)):
        pass

    return Child


def apply_mixed_in(keras):
    """One that takes it from a class that is no optimizer."""

    class Mixin:
        apply = vars(apply_of_its_own(keras))["apply"]
        apply_gradients = vars(apply_of_its_own(keras))["apply_gradients"]

    class Mixed(Mixin, keras.optimizers.SGD):
        pass

    return Mixed


KINDS = [apply_of_its_own, apply_inherited, apply_mixed_in]


@pytest.mark.parametrize("is_early", [True, False], ids=["module", "function"])
@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_with_an_update_of_its_own_does_not_train(keras_module, kind, is_early):
    """Whether its class is there before `run_fn` or comes into being in it."""
    early = kind(keras_module) if is_early else None
    kept = []

    def run_fn():
        model = model_with(keras_module, (early or kind(keras_module))())
        kept.append((model, model.get_weights()))
        for _ in range(3):
            model.train_on_batch(X, X)
        model.fit(X, X)

    with pytest.raises(ValueError, match=OWN_LOOP):
        first_fit(run_fn)
    ((model, weights),) = kept
    for after, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_is_as_it_was_afterwards(keras_module, kind):
    """Its own update trains again, and classes are made as before."""
    own = kind(keras_module)
    methods = {name: getattr(own, name) for name in ("apply", "apply_gradients")}

    first_fit(lambda: model_with(keras_module, own()).fit(X, X))

    assert {name: getattr(own, name) for name in methods} == methods
    assert "__init_subclass__" not in vars(keras_module.optimizers.Optimizer)
    model = model_with(keras_module, own())
    before = model.get_weights()
    model.train_on_batch(X, X)
    assert any(np.any(a != b) for a, b in zip(model.get_weights(), before, strict=True))


def test_class_that_is_made_meanwhile_is_its_authors_afterwards(keras_module):
    """It keeps no trace of having been watched."""
    made = []

    def run_fn():
        made.append(apply_of_its_own(keras_module))
        model_with(keras_module, made[0]()).fit(X, X)

    first_fit(run_fn)

    assert vars(made[0])["apply"].__name__ == "apply"
    model = model_with(keras_module, made[0]())
    before = model.get_weights()
    model.train_on_batch(X, X)
    assert any(np.any(a != b) for a, b in zip(model.get_weights(), before, strict=True))


def test_optimizer_of_tensorflow_one_does_not_train():
    """It is no optimizer of Keras, and its update trains all the same."""
    weight = tf.Variable(1.0)

    def run_fn():
        optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
        optimizer.minimize(lambda: weight**2, var_list=[weight])

    with pytest.raises(ValueError, match=OWN_LOOP):
        first_fit(run_fn)
    assert float(weight) == 1.0


def build(hyperparameters):
    """Returns a model of as many units as a tuner says."""
    units = hyperparameters.Int("units", 1, 64)
    model = keras3.Sequential([keras3.Input((1,)), keras3.layers.Dense(units)])
    model.compile(keras3.optimizers.SGD(hyperparameters.Float("rate", 1e-4, 1e-1)), "mse")
    return model


class Searching(keras_tuner.HyperModel):
    """A model that says how it is trained."""

    def build(self, hyperparameters):
        """Returns the model."""
        return build(hyperparameters)

    def fit(self, hyperparameters, model, *args, **kwargs):
        """Trains it."""
        return model.fit(*args, **kwargs)


@pytest.fixture
def earlier_objects_uncollected():
    """Keras Tuner collects garbage before a trial: seconds, with the objects of earlier tests."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("earlier_objects_uncollected")
@pytest.mark.parametrize("tuner", ["RandomSearch", "Hyperband", "BayesianOptimization"])
@pytest.mark.parametrize("model", [build, Searching()], ids=["function", "class"])
def test_search_inside_of_run_fn_is_refused(tmp_path, tuner, model):
    """Its first trial is a model at random, not the one that will be trained."""

    def run_fn():
        search = getattr(keras_tuner, tuner)(model, "val_loss", directory=tmp_path, seed=0)
        search.search(X, X, validation_data=(X, X), verbose=0)
        search.get_best_models()[0].fit(X, X)

    with pytest.raises(
        ValueError,
        match=r"^`run_fn` must train one model by `fit`\. Received: a `run_fn` that searches for "
        r"hyperparameters by keras_tuner, whose trials are other models\. Put the search into "
        r"TFX's Tuner before the finder, or add a function `lr_finder_fn\(fn_args\) -> "
        r"LrFinderFnResult` to the module, which returns the model that is to be trained\.$",
    ):
        first_fit(run_fn)


def test_model_that_a_tuner_has_built_is_captured():
    """What counts is who calls `fit`."""
    hyperparameters = keras_tuner.HyperParameters()

    captured = first_fit(lambda: Searching().build(hyperparameters).fit(X, X))

    assert captured.model.output_shape == (None, 1)
