"""The learning rate of a compiled model, without a pipeline: found, proved and set."""

import logging
import re

import keras as keras3
import numpy as np
import pytest

from tfx_lr_finder import NoLearningRateError, Verdict, find_learning_rate
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.training.model.learning_rate import set_learning_rate
from tfx_lr_finder.views.summary import one_line

GENERATOR = np.random.RandomState(0)
X = GENERATOR.normal(size=(600, 6)).astype(np.float32)
Y = (X @ GENERATOR.normal(size=6)).astype(np.float32)[:, np.newaxis]


def network(keras, optimizer=None):
    """Returns a compiled model that learns the labels."""
    layers = [keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.Adam(0.0123), "mse")
    return model


@pytest.fixture(scope="module")
def found(keras_module):
    """A finding, with the model, its weights before the search, and those of its optimizer."""
    model = network(keras_module)
    model.train_on_batch(X[:32], Y[:32])  # so that the optimizer has a memory
    before = [weight.numpy() for weight in model.weights + list(model.optimizer.variables)]
    finding = find_learning_rate(model, X, Y, epochs=20, validation_split=0.2)
    return finding, model, before


def rate_of(model):
    """Returns the rate of a model's optimizer."""
    return float(model.optimizer.learning_rate.numpy())


def test_rate_is_proved_and_set(found):
    """The model learns at it, and its optimizer has it."""
    finding, model, _ = found

    assert finding.verdict is Verdict.OK
    assert finding.learning_rate == finding.evidence.proofs[-1].learning_rate
    assert rate_of(model) == pytest.approx(finding.learning_rate)
    assert finding.interval[0] < finding.learning_rate < finding.interval[1]
    assert finding.evidence.curves[0].train_steps == 300


def test_model_is_as_before_but_for_the_rate(found):
    """Weights, and the optimizer's slots and steps."""
    _, model, before = found
    after = [weight.numpy() for weight in model.weights + list(model.optimizer.variables)]

    assert len(after) > 6
    for old, new in zip(before, after, strict=True):
        if old.shape or old != np.float32(0.0123):
            np.testing.assert_array_equal(old, new)


def test_finding_is_one_line_as_text(found):
    """With rate, interval and verdict."""
    finding, _, _ = found

    assert str(finding) == repr(finding) == one_line(finding.evidence)
    assert re.fullmatch(
        r"Learning rate [\d.]+ \([\d.]+ to [\d.]+ in 9 of 10 repetitions\), verdict ok",
        str(finding),
    )


def test_finding_shows_itself_in_a_notebook(found):
    """The line, what the verdict means, and the picture, in a page of its own."""
    finding, _, _ = found
    html = finding._repr_html_()

    assert re.sub("</?strong>", "", html).startswith(f"<p>{finding}<br>")
    assert finding.verdict.meaning in html
    assert 'src="data:image/png;base64,iVBOR' in html
    assert finding.plot().startswith(b"\x89PNG")
    assert finding.plot()._repr_png_() == finding.plot()


def test_trials_and_several_sweeps_run_in_this_process():
    """With options of the search among the arguments of `fit`; the schedule is a callback's."""
    decay = keras3.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8)
    options = {"num_sweeps": 2, "trial_steps": 40, "proof_steps": 60, "seed": 7}

    finding = find_learning_rate(
        network(keras3), X, Y, epochs=20, batch_size=16, callbacks=decay, **options
    )

    curves = finding.evidence.curves
    assert [curve.seed for curve in curves] == [7, 8]
    assert {curve.batch_size for curve in curves} == {16}
    assert {curve.schedule for curve in curves} == {Schedule.DECAYING}
    assert finding.evidence.trials
    assert finding.evidence.proofs[0].num_steps == 60


def test_equal_sweeps_count_as_one(caplog):
    """Without shuffling the seed changes nothing; the interval is that of one sweep."""
    with caplog.at_level(logging.WARNING, "absl"):
        finding = find_learning_rate(network(keras3), X, Y, shuffle=False, num_sweeps=3)

    low, high = finding.interval
    assert high / low == pytest.approx(10**0.6)
    assert len(finding.evidence.curves) == 3
    assert finding.evidence.read.num_rates == 1
    assert "Sweeps with losses of their own: 1 of 3. Only these count." in caplog.text


def flat(keras):
    """Returns a model of which nothing that it can change reduces the loss."""
    model = network(keras)
    model.compile(keras.optimizers.Adam(0.0123), lambda labels, outputs: 0.0 * outputs + 1.0)
    return model


class Drawing(keras3.utils.PyDataset):
    """Batches with NumPy's noise, drawn while they are read."""

    def __len__(self):
        return 30

    def __getitem__(self, i):
        rows = slice(16 * i, 16 * i + 16)
        return X[rows] + 0.1 * np.random.normal(size=(16, 6)).astype(np.float32), Y[rows]


def test_search_neither_reads_nor_changes_the_callers_random_state():
    """Also without validation data, where examples are read before the sweep."""
    found = []
    for callers in (1, 2):
        keras3.utils.set_random_seed(0)
        model = network(keras3)
        np.random.seed(callers)
        before = np.random.get_state()[1:3]

        evidence = find_learning_rate(model, Drawing(), num_steps=60).evidence

        np.testing.assert_equal(np.random.get_state()[1:3], before)
        found.append((evidence.curves, evidence.proofs))
    assert found[0] == found[1]


def test_model_without_a_rate_keeps_its_own():
    """The error is that of the component."""
    model = flat(keras3)

    with pytest.raises(NoLearningRateError, match=r"No learning rate can be suggested \(flat\)"):
        find_learning_rate(model, X, Y)

    assert rate_of(model) == pytest.approx(0.0123)


def test_default_is_set_with_the_verdict():
    """And it is said that it is the default."""
    model = flat(keras3)

    finding = find_learning_rate(model, X, Y, default_learning_rate=1e-3)

    assert str(finding) == "Learning rate 0.001 (the default), verdict flat"
    assert rate_of(model) == pytest.approx(1e-3)
    assert finding.interval is None


def test_rates_keep_their_proportion(keras_module):
    """The greatest of several is the rate that was found."""
    optimizers = [keras_module.optimizers.SGD(rate) for rate in (0.1, 0.4)]

    set_learning_rate(optimizers, 0.02)

    rates = [float(optimizer.learning_rate.numpy()) for optimizer in optimizers]
    assert rates == pytest.approx([0.005, 0.02])


def test_schedule_is_refused_before_the_search(keras_module):
    """It has no rate to be set; the message has two ways."""
    decay = keras_module.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = network(keras_module, keras_module.optimizers.SGD(decay))

    with pytest.raises(
        ValueError,
        match=r"rate must be a number.*Received: SGD with a LearningRateSchedule\. .*`callbacks`",
    ):
        find_learning_rate(model, X, Y)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rule": "vally"}, ValueError, "vally"),
        ({"num_steps": 20.5}, TypeError, r"`num_steps` must be of type int"),
        ({"batchsize": 20}, TypeError, "unexpected keyword argument 'batchsize'"),
        ({"on_failure": "default"}, TypeError, "unexpected keyword argument 'on_failure'"),
    ],
    ids=["rule", "type", "fit", "component"],
)
def test_argument_that_is_wrong_is_refused(arguments, error, message):
    """Those of the search by the finder, those of `fit` by its signature."""
    with pytest.raises(error, match=message):
        find_learning_rate(network(keras3), X, Y, **arguments)
