"""The first batches of a data set, read once and kept for several trainings."""

import tensorflow as tf
from absl import logging

from tfx_lr_finder.training.data.autotuning import without_autotuning
from tfx_lr_finder.training.data.reading import NOT_OF_THE_DATA
from tfx_lr_finder.training.data.size import num_bytes
from tfx_lr_finder.training.ending import check_not_asked_to_end
from tfx_lr_finder.training.keras_types import Batch
from tfx_lr_finder.training.model.random_state import kept_random_state, random_state

MOST_KEPT_BYTES = 2**26
"""At most 64 MiB of batches are kept in main memory."""


class FirstBatches:
    """The first batches of a data set, which starts over where it has too few.

    They come from one pass over the data set, or from its first passes. So they are those that a
    training on a new data set for the same seed would read. Each training gets the same batches,
    also from a data set that is not deterministic.
    """

    def __init__(self, dataset: tf.data.Dataset, seed: int) -> None:
        """Stores the arguments; nothing is read yet.

        Args:
            dataset: A data set that nothing else reads.
            seed: Seed of the random numbers that reading draws.
        """
        self._iterator = iter(without_autotuning(dataset.repeat()))
        self._kept = without_autotuning(dataset.take(0))
        self._number = self._size = 0
        with kept_random_state(seed):
            self._go_on = random_state()

    def dataset(self, number: int) -> tf.data.Dataset | None:
        """Returns a data set that starts with a number of batches, read from main memory.

        None if the batches are too large to be kept, or if they cannot be read. Then this object
        cannot be used any more.
        """
        while self._number < number:
            # The first batch is read by itself: it mostly shows whether all are small enough.
            missing = number - self._number if self._number else 1
            more = tf.data.Dataset.range(missing).map(self._next).cache()
            try:
                is_read = self._is_read(more, number)
            except NOT_OF_THE_DATA:
                raise
            except tf.errors.OpError as error:  # each training will read them, and explain it
                logging.info("The first batches cannot be kept: %s", error)
                return None
            if not is_read:
                return None
            self._kept = self._kept.concatenate(more)
        return self._kept

    def _next(self, _: tf.Tensor) -> Batch:
        return self._iterator.get_next()

    def _is_read(self, more: tf.data.Dataset, number: int) -> bool:
        """Reads further batches, as long as all of them promise to be small enough."""
        restore = random_state()
        self._go_on()
        try:
            for batch in without_autotuning(more):  # TensorFlow drops what is not read to its end
                check_not_asked_to_end()
                self._number += 1
                self._size += num_bytes(batch)
                if self._size * number > MOST_KEPT_BYTES * self._number:
                    return False
            self._go_on = random_state()
        finally:
            restore()
        return True
