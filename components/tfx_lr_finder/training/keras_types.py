"""Types for models, data and graphs: Keras publishes none, and TensorFlow few.

A class here is a protocol for the classes of Keras 3 and tf_keras. It names the members that this
package uses. Private members are left out: a function that uses one takes `Any`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt
import tensorflow as tf

Nest: TypeAlias = (
    tf.Tensor
    | tf.RaggedTensor
    | tf.SparseTensor
    | Sequence["Nest | None"]
    | Mapping[str, "Nest | None"]
)
"""Tensors in tuples, lists and dicts of any depth, as `tf.nest` takes them."""

Batch: TypeAlias = Nest
"""The features, or a tuple of features, labels and perhaps sample weights."""


class Variable(Protocol):
    """A variable of TensorFlow, or one of Keras 3, whose `value` is a variable of TensorFlow."""

    name: str
    shape: tf.TensorShape | tuple[int, ...]
    dtype: tf.DType | str
    value: tf.Variable

    def numpy(self) -> npt.NDArray[Any]:
        """Returns the value."""

    def assign(self, value: npt.ArrayLike | tf.Tensor) -> object:
        """Sets the value."""


class RandomGenerator(Protocol):
    """A source of random numbers: a Generator of TensorFlow, or a SeedGenerator of Keras 3."""

    state: Variable


class Metric(Protocol):
    """A metric, whose variables hold what it has seen of the batches so far."""

    name: str
    variables: Sequence[Variable]

    def reset_state(self) -> None:
        """Sets the variables to their initial values."""


class Optimizer(Protocol):
    """An optimizer of Keras, or one that passes the gradients on to others."""

    built: bool
    iterations: Variable

    def build(self, variables: Sequence[Variable]) -> None:
        """Creates the slots of the variables."""


class Model(Protocol):
    """A compiled model."""

    name: str
    built: bool
    optimizer: Optimizer
    distribute_strategy: tf.distribute.Strategy
    variables: Sequence[Variable]
    weights: Sequence[Variable]
    trainable_variables: Sequence[Variable]
    non_trainable_variables: Sequence[Variable]
    metrics: Sequence[Metric]
    losses: Sequence[tf.Tensor]

    def __call__(self, x: Nest, *, training: bool = ...) -> Nest:
        """Returns the outputs for some features."""

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Makes an update, and returns the loss and the metrics by name."""

    def compute_loss(
        self, x: Nest | None, y: Nest | None, y_pred: Nest, sample_weight: Nest | None
    ) -> tf.Tensor:
        """Returns the compiled loss of outputs, plus the penalties."""

    def compute_metrics(
        self, x: Nest, y: Nest | None, y_pred: Nest, sample_weight: Nest | None
    ) -> dict[str, tf.Tensor]:
        """Updates the compiled metrics, and returns them by name."""

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        """Returns the compiled metrics by name."""

    def reset_metrics(self) -> None:
        """Resets all metrics."""

    def fit(self, x: tf.data.Dataset, *, steps_per_epoch: int, epochs: int, verbose: int) -> object:
        """Trains the model."""

    def evaluate(
        self, x: tf.data.Dataset, *, steps: int | None, return_dict: bool, verbose: int
    ) -> dict[str, float]:
        """Returns the loss and the metrics by name."""


class BatchIterator(Protocol):
    """An iterator over batches, which a strategy may have distributed."""

    element_spec: object

    def get_next(self) -> Batch:
        """Returns the next batch."""


class TracedFunction(Protocol):
    """A graph that `tf.function` traced, for arguments of one form."""

    graph: tf.Graph

    def __call__(self, *args: object) -> tf.Tensor:
        """Runs the graph."""
