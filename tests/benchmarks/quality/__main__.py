"""Measures what is not measured yet, and writes how good each rule is.

    PYTHONPATH=tests/benchmarks python -m quality [--subset] [--output output/quality]

One thread; resumable: each combination's oracle and sweeps are kept as JSON. Delete the output
directory to measure anew.
"""

import argparse
import os
import pathlib
import time
from collections.abc import Iterable

os.environ.update(CUDA_VISIBLE_DEVICES="-1", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")

import tensorflow as tf

from quality.further import FURTHER
from quality.measurement import Measurement, measure
from quality.report import write_report
from quality.sweeps import FURTHER_RANGES, RANGES
from quality.tasks import COMBINATIONS, SUBSET, Combination


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m quality")
    parser.add_argument("--subset", action="store_true", help="six combinations in five minutes")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("output/quality"))
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    combinations, groups = (SUBSET, ()) if arguments.subset else (COMBINATIONS, FURTHER)
    measurements = [_measured(c, arguments.output, RANGES) for c in combinations]
    further = [
        (group, [_measured(c, arguments.output, FURTHER_RANGES) for c in group.combinations])
        for group in groups
    ]
    print(write_report(arguments.output, measurements, further))


def _measured(combination: Combination, output: pathlib.Path, ranges: Iterable[str]) -> Measurement:
    started = time.monotonic()
    measurement = measure(combination, output, ranges)
    print(f"{combination.name}: {time.monotonic() - started:.0f} s", flush=True)
    return measurement


if __name__ == "__main__":
    main()
