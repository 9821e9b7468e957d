"""The learning-rate range test of a compiled Keras model, in one TensorFlow graph."""

import operator
from typing import Any

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.sweep import check_sweep, exponential_learning_rates
from tfx_lr_finder.training.fit_arguments import made_by_fit
from tfx_lr_finder.training.trainings import Trainings


def range_test(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 200,
    smoothing: float = 0.98,
    divergence_factor: float = 4.0,
    seed: int = 0,
    **fit_arguments: Any,
) -> Curve:
    """Trains a model while the learning rate grows exponentially, and records each step's loss.

    Every step is the model's own `train_step`, with its loss scaling, clipping, regularisation
    and dropout, run in one graph even if the model was compiled with `run_eagerly=True`. The loss
    of a step is the loss of its batch alone, before the update. If the optimizer accumulates
    gradients, a step is one update: it takes several batches, and its loss is their mean loss.

    Before the sweep, updates of the optimizer are tried and undone: the weights must follow the
    rate that is set. If the optimizer has several rates, as a `MultiOptimizer` has, the curve
    records the greatest, and the others keep their proportion to it. To use a rate of the curve,
    multiply each rate by `rate / max(own.learning_rate for own in optimizer.optimizers)`.

    With validation data, the loss of their first batches (256 examples, but at most 8 batches)
    is recorded after each update. It is computed in training mode, and leaves the model as it is.
    This loss has no noise of changing batches, and shows over-fitting. It is not recorded for a
    model with a `train_step` of its own.

    The sweep ends at the first of these events:

    - `num_steps` steps are done;
    - a loss is not finite (it is not part of the curve), or a weight is not finite, which a ReLU
      can hide from the loss;
    - the smoothed loss exceeds `best + (divergence_factor - 1) * scale`, from a tenth of the steps
      on.

    There, `best` is the least smoothed loss from a tenth of the steps on. `scale` is `best`, so
    that the bound is `divergence_factor * best`. If `best <= 0`, `scale` is the greater of `|best|`
    and the fall of the smoothed loss from a tenth of the steps on.

    Afterwards the model's weights, its optimizer, its metrics, and the random state of Python,
    NumPy and TensorFlow are restored, also if an error is raised.

    The same model, data and seed give the same curve, bit for bit on a CPU, unless the model is
    compiled by XLA and draws random numbers without a seed of their own. For the same curve, a
    shuffled data set must be created again with the same seed: each pass draws a new order.

    The data are what `model.fit` takes: arrays, tensors, a DataFrame, dicts of them, a Keras
    `PyDataset` or `Sequence`, a generator, or a `tf.data.Dataset`. They may be endless. If they
    have fewer batches than the sweep takes, they start over, and shuffle anew if they shuffle. A
    generator can be read only once: the batches of the sweep, but at most 1 GiB, are read into
    memory, and you have to pass a new generator to `fit`.

    Args:
        model: A compiled Keras model.
        x: The data, or their features; the first argument of `fit`.
        y: The labels, or None (default) if `x` holds them; the second argument of `fit`.
        min_learning_rate: The first rate, greater than 0; default 1e-6.
        max_learning_rate: The last rate, greater than the first; default 10.
        num_steps: Number of training steps, from 2 to 10,000; default 200.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98.
        divergence_factor: Greater than 1; default 4. `float("inf")` never stops.
        seed: Seed of the random operations that have no seed of their own; default 0.
        **fit_arguments: Further arguments of `fit`, by name. `batch_size`, `steps_per_epoch`,
            `validation_data`, `validation_split`, `sample_weight`, `class_weight`, `shuffle` and
            others say what the data are. `epochs` says how long the training to come is, which is
            recorded with the curve; without it, the length is not known. Of `callbacks`, only a
            schedule of the rate matters.

    Returns:
        The curve of the sweep.

    Raises:
        TypeError: If `fit` has no argument of a given name.
        ValueError: If an argument is out of its range, the model is not compiled or does not train
            by its own optimizer, the optimizer does not apply the rate that is set, `fit` does
            not take the data, the data run out of batches, a training step cannot be built or
            returns a loss that is not the loss of its batch, or the first loss is not finite.

    Reference:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186.
    """
    num_steps, seed = operator.index(num_steps), operator.index(seed)  # NumPy's integers, too
    check_sweep(
        {
            "min_learning_rate": min_learning_rate,
            "max_learning_rate": max_learning_rate,
            "num_steps": num_steps,
            "smoothing": smoothing,
            "divergence_factor": divergence_factor,
        }
    )
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    with (
        made_by_fit(model, x, y, fit_arguments, num_steps) as make,
        Trainings(make, num_steps, seed) as trainings,
    ):
        return trainings.sweep(seed, rates, smoothing, divergence_factor)
