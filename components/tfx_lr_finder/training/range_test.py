"""The learning-rate range test of a compiled Keras model, in one TensorFlow graph."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.sweep import check_ends, exponential_learning_rates
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult, Make
from tfx_lr_finder.training.trainings import Trainings


def range_test(
    model: Any,
    dataset: tf.data.Dataset,
    *,
    validation_dataset: tf.data.Dataset | None = None,
    train_steps: int | None = None,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 200,
    smoothing: float = 0.98,
    divergence_factor: float = 4.0,
    seed: int = 0,
) -> Curve:
    """Trains a model while the learning rate grows exponentially, and records each step's loss.

    Every step is the model's own `train_step`, with its loss scaling, clipping, regularisation
    and dropout, run in one graph even if the model was compiled with `run_eagerly=True`. The loss
    of a step is that of its batch alone, before the update. Where the optimizer accumulates
    gradients, a step is one update: it takes so many batches, and its loss is their mean.

    The optimizer is tried out first: the weights must follow the rate that is set. Where it has
    several rates, as a `MultiOptimizer`, the recorded one is the greatest of them, and the others
    keep their proportion to it: `rate / max(own.learning_rate for own in optimizer.optimizers)` is
    what each of them is to be multiplied by.

    With validation data, the loss of their first batches (256 examples, but at most 8 batches)
    is recorded after each update, in training mode but without a trace in the model: no noise of
    the batches is in it, and it sees over-fitting. A model with a `train_step` of its own goes
    without.

    The sweep ends after `num_steps`; at the first loss that is not finite, which is not part of
    the curve; where a weight is not finite, which a ReLU can hide from the loss; or when the
    smoothed loss, from a tenth of the steps on, exceeds `best + (divergence_factor - 1) * scale`.
    The scale is `best`, the least smoothed loss since then, hence `divergence_factor * best`; where
    `best <= 0` it is the greater of `|best|` and the fall since then.

    The model's weights, its optimizer, its metrics, and the random state of Python, NumPy and
    TensorFlow are afterwards as they were, also when an error is raised.

    The same model, data and seed give the same curve, bit for bit on a CPU, unless the model is
    compiled by XLA and draws random numbers without a seed of their own. A shuffled data set
    must be made anew with the same seed for that: each pass over it draws a new order.

    Args:
        model: A compiled Keras model.
        dataset: Batches as `model.fit` takes them. It may be endless. If it has fewer batches
            than the sweep takes it starts over, and what it shuffles is shuffled anew.
        validation_dataset: Batches as `model.evaluate` takes them, or None (default).
        train_steps: Number of steps that the model will be trained for, or None (default) if not
            known: it is recorded with the curve.
        min_learning_rate: The first rate, greater than 0; default 1e-6.
        max_learning_rate: The last rate, greater than the first; default 10.
        num_steps: Number of training steps, from 2 to 10,000; default 200.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98.
        divergence_factor: Greater than 1; default 4. `float("inf")` never stops.
        seed: Seed of the random operations that have none of their own; default 0.

    Returns:
        The curve of the sweep.

    Raises:
        ValueError: If an argument is out of its range, the model is not compiled or trains by
            another optimizer than its own, the optimizer does not apply the rate that it is given,
            the data set runs out of batches, a training step cannot be built or returns another
            loss than that of its batch, or the first loss is not finite.

    Reference:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186.
    """
    (curve,) = range_tests(
        lambda _: LrFinderFnResult(model, dataset, validation_dataset, train_steps),
        [seed],
        min_learning_rate=min_learning_rate,
        max_learning_rate=max_learning_rate,
        num_steps=num_steps,
        smoothing=smoothing,
        divergence_factor=divergence_factor,
        graph_seed=operator.index(seed),
    )
    return curve


def range_tests(
    make: Make,
    seeds: Sequence[int],
    *,
    min_learning_rate: float,
    max_learning_rate: float,
    num_steps: int,
    smoothing: float,
    divergence_factor: float,
    graph_seed: int,
) -> Iterator[Curve]:
    """Yields the curve of one range test a seed, each on a model and data set made for it.

    Args:
        make: As for `Trainings`.
        seeds: The seeds, each from 0 to 2**31 - 1.
        min_learning_rate: The first rate; as for `range_test`, likewise the next four.
        max_learning_rate: The last rate.
        num_steps: Number of training steps.
        smoothing: Weight of the past in the smoothed loss.
        divergence_factor: When a sweep stops.
        graph_seed: As for `Trainings`.

    Raises:
        ValueError: As `range_test` does.
    """
    num_steps = operator.index(num_steps)  # NumPy's integers too
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    check_ends(smoothing, divergence_factor)
    with Trainings(make, num_steps, graph_seed) as trainings:
        for seed in seeds:
            yield trainings.sweep(operator.index(seed), rates, smoothing, divergence_factor)
