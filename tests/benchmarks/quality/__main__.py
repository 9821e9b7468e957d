"""Measures what is not measured yet, and writes how good each rule is.

    PYTHONPATH=tests/benchmarks python -m quality [--subset] [--output output/quality]

One thread; resumable: each combination's oracle and sweeps are kept as JSON. Delete the output
directory to measure anew.
"""

import argparse
import os
import pathlib
import time

os.environ.update(CUDA_VISIBLE_DEVICES="-1", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")

import tensorflow as tf

from quality.measurement import Measurement, measure
from quality.report import write_report
from quality.tasks import COMBINATIONS, SUBSET


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m quality")
    parser.add_argument("--subset", action="store_true", help="six combinations in five minutes")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("output/quality"))
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    measurements: list[Measurement] = []
    for combination in SUBSET if arguments.subset else COMBINATIONS:
        started = time.monotonic()
        measurements.append(measure(combination, arguments.output))
        print(f"{combination.name}: {time.monotonic() - started:.0f} s", flush=True)
    print(write_report(arguments.output, measurements))


if __name__ == "__main__":
    main()
