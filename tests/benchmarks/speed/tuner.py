"""Part 4: against the stock Tuner over the learning rate, on the same module and data."""

import tempfile
from pathlib import Path

from speed.report import Result, at_least, at_most
from speed.taxi_pipeline import Node, TaxiPipeline, finder, trainer, tuner
from speed.timing import spread

TRAIN_STEPS = 3000
"""Of the Trainer, and of each trial that is not stopped: ten passes over 10,000 trips.

With many more, the model learns the trips by heart, and the best rate is one that is too low to.
"""
SEARCHES = ("RandomSearch", "Hyperband")
NUM_SEEDS = 3
NUM_FINDERS = 3


def measure() -> list[Result]:
    """Returns the times of finder and Tuners, their rates, and the losses of the Trainer."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(TaxiPipeline(Path(folder) / "pipeline", TRAIN_STEPS))


def _measure(pipeline: TaxiPipeline) -> list[Result]:
    finders = [finder(f"Finder{i}") for i in range(NUM_FINDERS)]
    seconds = pipeline.run(*finders)
    finder_seconds = [seconds[node.name] for node in finders]
    found_losses, lines = _trained(pipeline, "finder", finders[0])
    results = [Result.of("finder", spread(finder_seconds), "s"), *lines]
    for search in SEARCHES:
        tuned = tuner(search, search)
        tuner_seconds = pipeline.run(tuned)[search]
        tuned_losses, lines = _trained(pipeline, search, tuned)
        faster = spread([tuner_seconds / s for s in finder_seconds])
        more = spread([f / t for f, t in zip(found_losses, tuned_losses, strict=True)])
        results += [
            Result(f"Tuner, {search}", tuner_seconds, "s"),
            *lines,
            Result.of(f"time: {search} / finder", faster, "x", at_least(10)),
            Result.of(f"loss: finder / {search}", more, "x", at_most(1.02)),
        ]
    return results


def _trained(pipeline: TaxiPipeline, name: str, source: Node) -> tuple[list[float], list[Result]]:
    """Returns the losses of trainings with a component's rate, one a seed; and the lines of it."""
    nodes = [
        trainer(f"{source.name}Trainer{seed}", source, seed, is_evaluated=True)
        for seed in range(NUM_SEEDS)
    ]
    pipeline.run(source, *nodes)
    losses = [pipeline.evaluation_loss(node) for node in nodes]
    return losses, [
        Result(f"{name}: learning rate", pipeline.learning_rate(source), ""),
        Result.of(f"{name}: evaluation loss of the Trainer", spread(losses), ""),
    ]
