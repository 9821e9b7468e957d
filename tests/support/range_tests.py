"""Several range tests in a row, each of a model and data made for its seed."""

from tfx_lr_finder.core.sweep import exponential_learning_rates
from tfx_lr_finder.training.trainings import Trainings


def range_tests(
    make,
    seeds,
    *,
    min_learning_rate=1e-3,
    max_learning_rate=0.1,
    num_steps,
    smoothing=0.0,
    divergence_factor=float("inf"),
):
    """Yields the curve of each seed; the graphs have the seed 0."""
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    with Trainings(make, num_steps, graph_seed=0) as trainings:
        for seed in seeds:
            yield trainings.sweep(seed, rates, smoothing, divergence_factor)
