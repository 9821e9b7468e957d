"""Part 6: the time of a search beside the long training that it is planned for, as nodes."""

import tempfile
from pathlib import Path

from speed.report import Result, at_most
from speed.taxi_pipeline import TaxiPipeline, finder, trainer
from speed.timing import spread

TRAIN_STEPS = 10_000
NUM_ROUNDS = 3


def measure() -> list[Result]:
    """Returns the times of finder and Trainer, with all that they do around their steps."""
    finder_seconds, trainer_seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        pipeline = TaxiPipeline(Path(folder) / "pipeline", TRAIN_STEPS)
        for i in range(NUM_ROUNDS):
            search = finder(f"Finder{i}")
            training = trainer(f"Trainer{i}", search, seed=i)
            seconds = pipeline.run(search, training)
            finder_seconds.append(seconds[search.name])
            trainer_seconds.append(seconds[training.name])
    shares = [f / t for f, t in zip(finder_seconds, trainer_seconds, strict=True)]
    return [
        Result.of(f"finder, planned for {TRAIN_STEPS} steps", spread(finder_seconds), "s"),
        Result.of(f"Trainer, {TRAIN_STEPS} steps", spread(trainer_seconds), "s"),
        Result.of("time: finder / Trainer", spread(shares), "x", at_most(0.12)),
    ]
