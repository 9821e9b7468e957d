"""`ok` is said of no rate that does harm: whole searches of models that learn, and that cannot."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_diabetes, load_digits

from tfx_lr_finder import LrFinderFnResult, NoLearningRateError, Verdict
from tfx_lr_finder.core.proof import JudgedOn
from tfx_lr_finder.search.find import find, trainings
from tfx_lr_finder.search.options import SweepOptions

TRAIN_STEPS = 400
BATCH_SIZE = 32


class Model:
    """A search for the rate of a model on arrays, a third of them to validate if asked for."""

    def __init__(self, features, labels, optimizer, is_validated=True, classes=0, shuffled=True):
        self.features, self.labels = features, labels
        self.optimizer, self.is_validated, self.classes = optimizer, is_validated, classes
        self.shuffled = shuffled
        self.options = SweepOptions()

    def make(self, seed):
        """Returns model, batches, validation data and the number of training steps."""
        keras.utils.set_random_seed(seed)
        model = keras.Sequential(
            [
                keras.Input(self.features.shape[1:]),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(self.classes or 1),
            ]
        )
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(self.optimizer, entropy if self.classes else "mse")
        rows = 2 * len(self.features) // 3
        training = tf.data.Dataset.from_tensor_slices((self.features[:rows], self.labels[:rows]))
        validation = tf.data.Dataset.from_tensor_slices((self.features[rows:], self.labels[rows:]))
        if self.shuffled:
            training = training.shuffle(rows, seed=0)
        return LrFinderFnResult(
            model,
            training.batch(BATCH_SIZE),
            validation.batch(BATCH_SIZE) if self.is_validated else None,
            TRAIN_STEPS,
        )

    def trainings(self):
        """Returns what trains it."""
        return trainings(self.make, self.options)

    def verdict(self):
        """Returns the verdict of a search, whether or not there is a rate."""
        try:
            return find(self, None).published.verdict
        except NoLearningRateError as error:
            return error.verdict


def regression(offset=0.0, rows=1500):
    """Returns features and labels that depend on them, around an offset."""
    generator = np.random.RandomState(0)
    features = generator.normal(size=(rows, 6)).astype(np.float32)
    labels = offset + 0.7 * np.sin(features @ generator.normal(size=6))
    return features, labels[:, np.newaxis].astype(np.float32)


def digits():
    """Returns scikit-learn's digits."""
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), labels


@pytest.mark.parametrize("is_validated", [True, False], ids=["validated", "not"])
def test_model_that_learns_is_ok_after_one_training(is_validated):
    """What was published is what was proved, on validation data or on examples held out."""
    evidence = find(Model(*digits(), "adam", is_validated, classes=10), None)

    (proof,) = evidence.proofs
    assert evidence.published.verdict is Verdict.OK
    assert evidence.published.learning_rate == proof.learning_rate
    assert proof.learns
    assert proof.constant_loss == pytest.approx(np.log(10), rel=0.01)
    assert proof.judged_on is (
        JudgedOn.VALIDATION_DATA if is_validated else JudgedOn.HELD_OUT_EXAMPLES
    )
    assert evidence.num_steps == len(evidence.curves[0]) + 120
    assert not evidence.advice


SLOW = pytest.mark.slow


@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=SLOW), "adam"])
def test_labels_in_kelvin_are_not_ok_and_the_constant_is_named(optimizer):
    """Only the output bias moves: the advice says where it should start."""
    with pytest.raises(NoLearningRateError, match=r"best constant output, 300(\.\d)?: start the b"):
        find(Model(*regression(300), optimizer), None)


def test_labels_away_from_zero_that_are_learned_are_ok_with_a_hint():
    """Adam gets there, but wastes its first steps."""
    evidence = find(Model(*regression(3), "adam"), None)

    assert evidence.published.verdict is Verdict.OK
    assert "start the bias of the output layer there, or standardise" in evidence.advice


@pytest.mark.parametrize(
    "is_validated", [True, pytest.param(False, marks=SLOW)], ids=["validated", "not"]
)
@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=SLOW), "adam"])
def test_random_labels_are_never_ok(optimizer, is_validated):
    """Few examples, which a model learns by heart: what it has not seen tells."""
    generator = np.random.RandomState(1)
    features = generator.normal(size=(450, 10)).astype(np.float32)
    labels = generator.randint(0, 4, 450)

    model = Model(features, labels, optimizer, is_validated, classes=4)

    assert model.verdict() is not Verdict.OK


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_constant_label_is_never_ok(optimizer):
    """There is nothing to learn beyond the constant."""
    features, labels = regression()

    assert Model(features, np.full_like(labels, 3), optimizer).verdict() is not Verdict.OK


def test_model_that_cannot_learn_is_never_ok():
    """Features that say nothing."""
    features, labels = regression()

    assert Model(np.zeros_like(features), labels, "adam").verdict() is not Verdict.OK


@pytest.mark.parametrize("bad", ["label", "feature", "outlier"])
@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=SLOW), "adam"])
def test_one_bad_row_in_the_descent_is_not_ok(optimizer, bad):
    """A NaN label, a NaN feature that a ReLU hides from the loss, or a label of 10,000."""
    features, labels = regression()
    row = 17 * BATCH_SIZE + 5
    if bad == "feature":
        features[row, 0] = np.nan
    else:
        labels[row] = np.nan if bad == "label" else 1e4

    model = Model(features, labels, optimizer, shuffled=False)

    assert model.verdict() is not Verdict.OK


def test_raw_labels_of_diabetes_with_plain_descent_are_ok_only_if_learned():
    """Labels from 25 to 346: whatever is published as `ok` was seen below their variance."""
    features, labels = load_diabetes(return_X_y=True)
    labels = labels[:, np.newaxis].astype(np.float32)
    model = Model(features.astype(np.float32), labels, "sgd")

    evidence = find(model, None)

    is_ok = evidence.published.verdict is Verdict.OK
    assert is_ok is any(proof.learns for proof in evidence.proofs)
