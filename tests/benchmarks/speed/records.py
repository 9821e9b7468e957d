"""One sweep over sharded TFRecords in a process of its own: `python -m speed.records PATTERN`.

Prints a line of JSON: the seconds of the sweep, data set-up included, and the peak memory of the
process in bytes.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

import numpy as np
import tensorflow as tf

from speed.timing import seconds
from speed.workloads import TABULAR
from tfx_lr_finder import range_test

NUM_SHARDS = 4
EXAMPLES_A_SHARD = 5000
NUM_STEPS = 200
FEATURES = {
    "x": tf.io.FixedLenFeature(TABULAR.shape, tf.float32),
    "y": tf.io.FixedLenFeature((), tf.int64),
}


def write(folder: Path, factor: int) -> str:
    """Writes a data set of so many times four shards; returns the pattern of its files.

    Every shard has the same examples: nobody looks at what was learned.
    """
    folder.mkdir()
    generator = np.random.default_rng(0)
    first = folder / "data-00000.tfrecord"
    with tf.io.TFRecordWriter(str(first)) as writer:
        for _ in range(EXAMPLES_A_SHARD):
            x = tf.train.FloatList(value=generator.normal(size=TABULAR.shape))
            y = tf.train.Int64List(value=[generator.integers(TABULAR.num_classes)])
            feature = {"x": tf.train.Feature(float_list=x), "y": tf.train.Feature(int64_list=y)}
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    for number in range(1, NUM_SHARDS * factor):
        shutil.copyfile(first, folder / f"data-{number:05d}.tfrecord")
    return str(folder / "*.tfrecord")


def sweep(pattern: str) -> None:
    """Sweeps over the files as TFX's own data sets read them: interleaved, shuffled, parsed."""
    dataset = tf.data.experimental.make_batched_features_dataset(
        pattern, TABULAR.batch_size, FEATURES, label_key="y", num_epochs=1, shuffle_seed=0
    ).map(lambda features, y: (features["x"], y))
    curve = range_test(TABULAR.model(), dataset, num_steps=NUM_STEPS, max_learning_rate=1e-3)
    if len(curve) != NUM_STEPS:
        raise RuntimeError(f"The sweep must do {NUM_STEPS} steps. It did {len(curve)}.")


if __name__ == "__main__":
    taken = seconds(lambda: sweep(sys.argv[1]))
    # Not getrusage's peak: a process inherits that of the one that started it.
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": taken, "peak": 1024 * int(kibibytes)}))
