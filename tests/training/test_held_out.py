"""Examples that are kept from a training: always the same, whatever is shuffled."""

import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.judge.held_out import HeldOut


def examples(rows=1000, batch=10, shuffled=False, **options):
    """Returns batches of a number and its double."""
    numbers = np.arange(rows, dtype=np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(({"x": numbers}, 2 * numbers))
    dataset = dataset.shuffle(rows) if shuffled else dataset
    return dataset.batch(batch, **options)


def split(dataset):
    """Returns a data set without the examples that are held out, and these."""
    held = HeldOut.of(dataset)
    return held.taken_from(dataset), held.batches


def numbers_of(dataset):
    """Returns the numbers in batches."""
    return [float(x) for features, _ in dataset for x in features["x"]]


@pytest.mark.parametrize("shuffled", [False, True])
def test_every_example_is_on_one_side(shuffled):
    """About a fifth is held out, in every pass the same; the rest is trained on."""
    kept, held = split(examples(shuffled=shuffled))

    first, second = set(numbers_of(kept)), set(numbers_of(kept))
    out = set(numbers_of(held))

    assert first == second
    assert not first & out
    assert first | out == set(map(float, range(1000)))
    assert 130 < len(out) < 270


def test_batches_keep_their_form():
    """Structure, types and size: the same graph takes them."""
    dataset = examples(drop_remainder=True)

    kept, held = split(dataset)

    assert kept.element_spec == dataset.element_spec == held.element_spec


def test_data_without_end_have_a_bounded_part_held_out():
    """256 examples are enough, and the search for them ends."""
    _, held = split(examples(rows=100_000, batch=32).repeat())

    assert len(numbers_of(held)) == 256


def test_equal_examples_are_on_the_same_side():
    """Where all are equal nothing can be held out."""
    same = tf.data.Dataset.from_tensors((tf.ones(3), tf.ones(1))).repeat(50).batch(5)

    held = HeldOut.of(same)

    assert held is None or not list(held.taken_from(same))


def test_ragged_examples_are_not_told_apart():
    """None is held out."""
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1], [2, 3]] * 10)).batch(4)

    assert HeldOut.of(ragged) is None


def test_held_out_examples_stay_the_same():
    """They are read once: later passes over shuffled data change nothing."""
    dataset = examples(rows=10_000, shuffled=True)
    held = HeldOut.of(dataset).batches
    first = numbers_of(held)
    list(dataset)

    assert numbers_of(held) == first
