"""What an error means that comes up while the user's data are read."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfx_lr_finder.training.ending import EndedError

NOT_OF_THE_DATA = (
    EndedError,
    MemoryError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,  # of another worker, or of the storage
    tf.errors.AbortedError,
)
"""Errors that the data did not cause: they keep their own messages."""


@contextlib.contextmanager
def explained_reading(dataset: tf.data.Dataset) -> Iterator[None]:
    """Turns an error of TensorFlow while a data set is read into an error with a remedy.

    Raises:
        ValueError: If the data set cannot be read.
    """
    try:
        yield
    except NOT_OF_THE_DATA:
        raise
    except tf.errors.OpError as error:
        raise ValueError(
            "The data set must yield its batches without an error. "
            f"Received: batches of {dataset.element_spec}, and while they were read "
            f"{type(error).__name__}: {error}. "
            "Check the files, how they are compressed, and the functions that parse them."
        ) from error
