"""What is trained, as the user's code hands it over."""

from collections.abc import Callable
from typing import Any, NamedTuple


class LrFinderFnResult(NamedTuple):
    """What `lr_finder_fn` returns, or what a `run_fn` gives to its first `fit`.

    Attributes:
        model: A compiled Keras model.
        dataset: A `tf.data.Dataset` of training batches as `model.fit` takes them.
        validation_dataset: One of batches as `model.evaluate` takes them: the sweep records
            their loss, for a better rate, and a confirmation needs them. None: neither.
        train_steps: Number of updates of the whole training to come, at least 1: the best rate of
            a short one is higher. None: `num_steps` of `train_args`.
    """

    model: Any
    dataset: Any
    validation_dataset: Any = None
    train_steps: int | None = None


Make = Callable[[int], LrFinderFnResult]
"""Makes model and data for a seed, each time anew."""
