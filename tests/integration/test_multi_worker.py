"""A module made to train on several workers, run on one: its strategy comes first of all.

Each execution is a process of its own, as each of the Trainer's is: TensorFlow makes a
MultiWorkerMirroredStrategy only before its first operation.
"""

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


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with 64 examples of y = 2 x, x is 1 or -1, in each split."""
    folder = tmp_path_factory.mktemp("examples")
    for split in ("train", "eval"):
        (folder / f"Split-{split}").mkdir()
        file = folder / f"Split-{split}" / "data-0.gz"
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for i in range(64):
                values = {"x": (-1.0) ** i, "y": SLOPE * (-1.0) ** i}
                feature = {
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in values.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return folder


def check_losses(curve):
    """Checks the closed form: each step multiplies the loss by (1 - 2 rate)**2."""
    rates, losses = np.array(curve["learning_rates"]), np.array(curve["losses"])
    expected = SLOPE**2 * np.r_[1.0, np.cumprod((1 - 2 * rates[:-1]) ** 2)]
    exact = int(np.argmax(expected < 1e-4))  # below, the weight's float32 rounds the error
    assert exact > NUM_STEPS // 2
    assert losses[:exact] == pytest.approx(expected[:exact], rel=1e-3)


def cluster_of_one():
    """Returns the TF_CONFIG of a cluster that is one worker on this machine."""
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        address = f"localhost:{unused.getsockname()[1]}"
    return json.dumps({"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}})


@pytest.mark.parametrize("has_cluster", [False, True], ids=["alone", "cluster"])
@pytest.mark.parametrize("keras", ["keras", "tf_keras"])
def test_strategy_for_several_workers_may_be_made_in_run_fn(examples, tmp_path, keras, has_cluster):
    """One worker, without a cluster and with one of its own; two sweeps and three trials."""
    module, outputs = tmp_path / "model.py", tmp_path / "outputs"
    module.write_text(USER_CODE.format(keras=keras))
    parameters = {"num_steps": NUM_STEPS, "num_sweeps": 2, "confirmation_steps": 3}
    given = json.dumps({"module_file": str(module), **parameters})

    worker = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, examples, outputs, given],
        env={
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "-1",
            **({"TF_CONFIG": cluster_of_one()} if has_cluster else {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )

    assert worker.returncode == 0, worker.stdout
    evidence = json.loads((outputs / "sweep" / "sweep.json").read_text())
    assert (len(evidence["curves"]), len(evidence["trials"])) == (2, 3)
    for curve in evidence["curves"]:
        check_losses(curve)
