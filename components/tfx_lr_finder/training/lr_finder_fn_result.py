"""The model and the data that the user's code passes to the finder."""

from collections.abc import Callable
from typing import Any, NamedTuple


class LrFinderFnResult(NamedTuple):
    """What `lr_finder_fn` returns, or what a `run_fn` passes to its first `fit`.

    Attributes:
        model: A compiled Keras model.
        dataset: A `tf.data.Dataset` of training batches as `model.fit` takes them.
        validation_dataset: A `tf.data.Dataset` of batches as `model.evaluate` takes them, or None
            (default). The sweep records their loss, for a better rate; trials are judged by it.
        train_steps: Number of updates in the whole training to come, at least 1. The best rate of a
            short training is higher. None (default) means `num_steps` of `train_args`.
        schedule: How the rate moves in the training to come: `constant`, `warm_up` (it rises, and
            then stays), `decaying` (it ends at no more than a tenth of its peak) or `unknown`.
            None (default) means what the optimizer's own rate or `LearningRateSchedule` shows.
    """

    model: Any
    dataset: Any
    validation_dataset: Any = None
    train_steps: int | None = None
    schedule: str | None = None


Make = Callable[[int], LrFinderFnResult]
"""Returns a new model and new data for a seed."""
