"""How good the rates of whole searches are on long trainings, beside those of the sweep alone.

    PYTHONPATH=tests/benchmarks python -m quality.long [--output output/quality/long]

Each task is trained at ten rates, half a decade apart, both constant and as the peak of a cosine
that decays to 0. One seed, one thread; resumable, and about an hour.
"""

import argparse
import contextlib
import json
import os
import pathlib
import types
from collections.abc import Iterator
from typing import Any

if __name__ == "__main__":  # before TensorFlow is loaded
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")

import keras
import numpy as np
import tensorflow as tf

from quality.long_tasks import LONG_TASKS, NUM_VALIDATED, LongTask
from quality.score import MAX_REGRET
from tfx_lr_finder import LrFinderFnResult, NoLearningRateError
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.search.find import find, trainings
from tfx_lr_finder.search.options import SweepOptions
from tfx_lr_finder.training.trainings import Trainings

LOG_RATES = np.arange(-4.0, 0.51, 0.5)
SCHEDULES = ("constant", "cosine")
DIVERGED = 1e6
SHUFFLED = 20_000


def main() -> None:
    """Measures what is not measured yet, and prints the regrets."""
    parser = argparse.ArgumentParser(prog="python -m quality.long")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("output/quality/long"))
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print("| task | steps | schedule | sweep alone | search | steps of the search | verdict |")
    print("|---" * 7 + "|")
    regrets = []
    for task in LONG_TASKS:
        for schedule in SCHEDULES:
            losses = _kept(output / f"{task.name}-{schedule}.json", task, schedule)
            evidence = Search(task, schedule).evidence()
            rates = evidence.read.learning_rate, evidence.published.learning_rate
            both = [regret(losses, rate) for rate in rates]
            regrets.append(both)
            share = evidence.num_steps / task.num_steps
            cells = f"{both[0]:.2f} | {both[1]:.2f} | {share:.1%}"
            row = f"| {task.name} | {task.num_steps} | {schedule} | {cells}"
            print(f"{row} | {evidence.published.verdict.value} |", flush=True)
            keras.backend.clear_session()
    means = " | ".join(f"{mean:.3f}" for mean in np.mean(regrets, axis=0))
    print(f"| mean | | | {means} | | |")


class Search:
    """A search for the rate of a task, without TFX."""

    def __init__(self, task: LongTask, schedule: str) -> None:
        self.task, self.schedule = task, schedule
        self.options = SweepOptions()

    def make(self, seed: int) -> LrFinderFnResult:
        """Returns model and data."""
        task, rate = self.task, 1e-3
        if self.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, task.num_steps)
        keras.utils.set_random_seed(seed)
        model = task.build()
        model.compile(task.optimizer(rate), task.loss())
        training, validation = _data(task)
        return LrFinderFnResult(model, _batches(task, *training), _set(validation), task.num_steps)

    @contextlib.contextmanager
    def trainings(self) -> Iterator[Trainings]:
        """Yields what trains it."""
        with trainings(self.make, self.options) as yielded:
            yield yielded

    def evidence(self) -> Evidence:
        """Returns what was found."""
        nobody: Any = types.SimpleNamespace(are_needed=False)
        try:
            return find(self, nobody)
        except NoLearningRateError as error:
            raise SystemExit(f"{self.task.name}, {self.schedule}: {error}") from error


def _kept(file: pathlib.Path, task: LongTask, schedule: str) -> list[float]:
    """Returns the final losses at all rates; from a file if they were measured before."""
    if not file.exists():
        file.write_text(json.dumps([_final_loss(task, schedule, rate) for rate in 10**LOG_RATES]))
    losses: list[float] = json.loads(file.read_text())
    return losses


def _final_loss(task: LongTask, schedule: str, rate: float) -> float:
    keras.utils.set_random_seed(0)
    model, loss, optimizer = task.build(), task.loss(), task.optimizer(rate)
    model.compile(optimizer, loss)
    optimizer.build(model.trainable_variables)
    training, (features, labels) = _data(task)

    @tf.function
    def train(batches: Any) -> None:
        for step in tf.range(task.num_steps):
            part = tf.cast(step, tf.float32) / task.num_steps
            factor = 0.5 * (1 + tf.cos(np.pi * part)) if schedule == "cosine" else 1.0
            optimizer.learning_rate.assign(rate * factor)
            model.train_step(next(batches))

    train(iter(_batches(task, *training)))
    final = float(loss(labels, model(tf.constant(features), training=False)))
    keras.backend.clear_session()
    return min(final, DIVERGED) if np.isfinite(final) else DIVERGED


def _data(task: LongTask) -> Any:
    features, labels = task.data()
    return (
        (features[NUM_VALIDATED:], labels[NUM_VALIDATED:]),
        (features[:NUM_VALIDATED], labels[:NUM_VALIDATED]),
    )


def _batches(task: LongTask, *arrays: Any) -> tf.data.Dataset:
    shuffled = tf.data.Dataset.from_tensor_slices(arrays).shuffle(SHUFFLED, seed=0)
    return shuffled.batch(task.batch_size, drop_remainder=True).repeat()


def _set(arrays: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(arrays).batch(64)


def regret(losses: list[float], rate: float) -> float:
    """Returns `log(loss / least loss)` of a rate, from the losses at `LOG_RATES`."""
    logs = np.log(losses)
    interpolated = np.interp(np.log10(rate), LOG_RATES, logs)
    return float(np.clip(interpolated - logs.min(), 0, MAX_REGRET))


if __name__ == "__main__":
    main()
