"""The first batches of a data set: read once, and the same for each training."""

import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.data import first_batches
from tfx_lr_finder.training.data.first_batches import FirstBatches


def counted(number, read, draw=lambda: 0.0):
    """Returns a data set of some numbers, which notes each that is read."""

    def generate():
        for i in range(number):
            read.append(i)
            yield i + draw()

    return tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec((), tf.float64))


def first_of(batches, number):
    """Returns the first elements of a data set of numbers."""
    return [float(batch) for batch in batches.dataset(number).take(number)]


def test_batches_are_read_once():
    """Whoever asks; further ones are read when they are asked for, and no more of them."""
    read = []
    batches = FirstBatches(counted(9, read), 0)

    found = [first_of(batches, number) for number in (3, 2, 5, 5)]

    assert found == [[0, 1, 2], [0, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert read == [0, 1, 2, 3, 4]


def test_data_set_starts_over():
    """As the one of a training that has more steps than the data set has batches."""
    assert first_of(FirstBatches(counted(2, []), 0), 5) == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("parts", [[6], [2, 6], [1, 3, 6]])
def test_random_numbers_go_on(parts):
    """What the reading draws does not depend on how many batches are asked for at once."""
    batches = FirstBatches(counted(9, [], np.random.normal), 7)

    for number in parts:
        found = first_of(batches, number)
        np.random.seed(number)  # what is done between is of no importance

    generator = np.random.RandomState(7)
    assert found == [i + generator.normal() for i in range(6)]


def test_random_state_is_left_as_it_was():
    """Also of NumPy, from which a data set may draw."""
    np.random.seed(5)

    first_of(FirstBatches(counted(9, [], np.random.normal), 7), 4)

    assert np.random.normal() == np.random.RandomState(5).normal()


def test_batches_keep_their_form():
    """Texts, sparse and ragged tensors, and batches of different sizes."""
    rows = tf.data.Dataset.range(7).map(
        lambda i: {
            "text": tf.strings.as_string(i),
            "sparse": tf.sparse.from_dense([i, i + 1]),
            "ragged": tf.RaggedTensor.from_row_lengths(tf.range(i), [i]),
        }
    )
    dataset = rows.batch(3)

    kept = FirstBatches(dataset, 0).dataset(3)

    assert kept.element_spec == dataset.element_spec
    for found, expected in zip(kept, dataset, strict=True):
        flat = (tf.nest.flatten(batch, expand_composites=True) for batch in (found, expected))
        for one, other in zip(*flat, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "value",
    [
        tf.zeros(10, tf.int64),
        tf.constant("x" * 56),
        tf.constant(["x" * 32, ""]),
        tf.sparse.from_dense(tf.ones(6)),
    ],
    ids=["numbers", "text", "texts", "sparse"],
)
def test_large_batches_are_not_kept(monkeypatch, value):
    """The first batch of 80 bytes tells that ten of them are too many; eight are not."""
    dataset = tf.data.Dataset.from_tensors(value)
    monkeypatch.setattr(first_batches, "MOST_KEPT_BYTES", 8 * 80)

    assert FirstBatches(dataset, 0).dataset(8) is not None
    assert FirstBatches(dataset, 0).dataset(10) is None


def test_part_that_is_none_is_kept():
    """A data set may have None for the weights; it takes no memory."""
    dataset = tf.data.Dataset.range(3).map(lambda i: (i, i + 1, None))

    kept = FirstBatches(dataset, 0).dataset(3)

    assert [tuple(batch) for batch in kept] == [(0, 1, None), (1, 2, None), (2, 3, None)]


def test_large_batches_are_noticed_at_once(monkeypatch):
    """No more than one is read in vain."""
    read = []
    monkeypatch.setattr(first_batches, "MOST_KEPT_BYTES", 100)

    assert FirstBatches(counted(1000, read), 0).dataset(1000) is None
    assert read == [0]


def test_data_that_cannot_be_read_are_not_kept():
    """The training itself will read them, and say what is wrong."""
    failing = tf.data.Dataset.range(5).map(
        lambda i: tf.debugging.check_numerics(1.0 / tf.cast(3 - i, tf.float32), "")
    )

    assert FirstBatches(failing, 0).dataset(3) is not None
    assert FirstBatches(failing, 0).dataset(4) is None
    assert FirstBatches(tf.data.Dataset.range(0), 0).dataset(1) is None
