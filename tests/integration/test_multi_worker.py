"""A module made to train on several workers, run on one: its strategy comes first of all.

Each execution is a process of its own, as each of the Trainer's is: TensorFlow makes a
MultiWorkerMirroredStrategy only before its first operation.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

NUM_STEPS = 60
SLOPE = 2.0
USER_CODE = """
import {keras} as keras
import tensorflow as tf

FEATURES = {{name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "y")}}


def run_fn(fn_args):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    files = tf.data.Dataset.list_files(fn_args.train_files, shuffle=False)
    dataset = tf.data.TFRecordDataset(files, "GZIP").batch(8).map(parsed)
    with strategy.scope():
        weight = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((1,)), weight])
        model.compile(keras.optimizers.SGD(), "mse")
    model.fit(dataset.repeat(), steps_per_epoch=10, validation_data=dataset)


def parsed(serialized):
    features = tf.io.parse_example(serialized, FEATURES)
    return features["x"], features["y"]
"""
PROGRAM = """
import json, sys
from tfx_lr_finder.standalone import run_executor

examples, outputs, parameters = sys.argv[1:]
names = {"best_hyperparameters": "", "learning_rate": "/value", "sweep": ""}
written = {name: f"{outputs}/{name}{file}" for name, file in names.items()}
run_executor({"examples": examples}, written, json.loads(parameters))
"""


class Workers:
    """Processes that execute the component on the same examples: 64 of y = 2 x, x is 1 or -1."""

    def __init__(self, folder):
        """Writes the examples: a file for each of two workers, as TensorFlow wants it."""
        self.folder = folder
        for path in [f"Split-{split}/data-{i}.gz" for split in ("train", "eval") for i in range(2)]:
            file = folder / "examples" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
                for i in range(32):
                    values = {"x": (-1.0) ** i, "y": SLOPE * (-1.0) ** i}
                    feature = {
                        name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                        for name, value in values.items()
                    }
                    example = tf.train.Example(features=tf.train.Features(feature=feature))
                    writer.write(example.SerializeToString())

    def start(self, keras, name, tf_config=None, **parameters):
        """Starts a worker that writes to a folder of its own."""
        module = self.folder / "model.py"
        module.write_text(USER_CODE.format(keras=keras))
        given = {"module_file": str(module), "num_steps": NUM_STEPS, **parameters}
        arguments = [self.folder / "examples", self.folder / name, json.dumps(given)]
        cluster = {"TF_CONFIG": json.dumps(tf_config)} if tf_config else {}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **cluster},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def evidence(self, name):
        """Returns what a worker wrote about its search."""
        return json.loads((self.folder / name / "sweep" / "sweep.json").read_text())


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Workers in one folder."""
    return Workers(tmp_path_factory.mktemp("workers"))


def check_losses(curve):
    """Checks the closed form: each step multiplies the loss by (1 - 2 rate)**2."""
    rates, losses = np.array(curve["learning_rates"]), np.array(curve["losses"])
    expected = SLOPE**2 * np.r_[1.0, np.cumprod((1 - 2 * rates[:-1]) ** 2)]
    exact = int(np.argmax(expected < 1e-4))  # below, the weight's float32 rounds the error
    assert exact > NUM_STEPS // 2
    assert losses[:exact] == pytest.approx(expected[:exact], rel=1e-3)


def cluster(num_workers):
    """Returns the TF_CONFIG of each of some workers on this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num_workers)]
        for each in sockets:
            each.bind(("localhost", 0))
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    return [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
        for i in range(num_workers)
    ]


@pytest.mark.parametrize("tf_config", [None, *cluster(1)], ids=["alone", "cluster"])
@pytest.mark.parametrize("keras", ["keras", "tf_keras"])
def test_strategy_for_several_workers_may_be_made_in_run_fn(workers, keras, tf_config):
    """One worker, without a cluster and with one of its own; two sweeps and three trials."""
    name = f"{keras}-{'cluster' if tf_config else 'alone'}"
    process = workers.start(keras, name, tf_config, num_sweeps=2, confirmation_steps=3)

    output, _ = process.communicate(timeout=300)

    assert process.returncode == 0, output
    evidence = workers.evidence(name)
    assert (len(evidence["curves"]), len(evidence["trials"])) == (2, 3)
    for curve in evidence["curves"]:
        check_losses(curve)
