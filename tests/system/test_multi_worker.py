"""A module made to train on several workers, on one and on two: its strategy comes first of all.

Each execution is a process of its own, as each of the Trainer's is: TensorFlow makes a
MultiWorkerMirroredStrategy only before its first operation.
"""

import contextlib
import json
import os
import re
import socket
import time

import forked
import numpy as np
import pytest
from tf_examples import write_examples

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
    validation_dataset = dataset
    if strategy.cluster_resolver and strategy.cluster_resolver.task_id == 1:
        {second_workers_code}
    model.fit(dataset.repeat(), steps_per_epoch=10, validation_data=validation_dataset)


def unreadable(x, y):
    return tf.debugging.check_numerics(x / 0.0, "on one worker"), y


def parsed(serialized):
    features = tf.io.parse_example(serialized, FEATURES)
    return features["x"], features["y"]
"""
PROGRAM = "from tfx_lr_finder.command_line import main; main()"
STEPS = ["--num-steps", str(NUM_STEPS)]
SECONDS = 300
"""So long all processes of a test may take together, about a minute beside another suite."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with 64 examples of y = 2 x, x is 1 or -1, in each split; a file for each worker."""
    folder = tmp_path_factory.mktemp("examples")
    files = [folder / f"Split-{split}" / f"{i}.gz" for split in ("train", "eval") for i in range(2)]
    for file in files:
        write_examples(file, [{"x": (-1.0) ** i, "y": SLOPE * (-1.0) ** i} for i in range(32)])
    return folder


def check_losses(curve):
    """Checks the closed form: each step multiplies the loss by (1 - 2 rate)**2."""
    rates, losses = np.array(curve["learning_rates"]), np.array(curve["losses"])
    expected = SLOPE**2 * np.r_[1.0, np.cumprod((1 - 2 * rates[:-1]) ** 2)]
    exact = int(np.argmax(expected < 1e-4))  # below, the weight's float32 rounds the error
    assert exact > NUM_STEPS // 2
    assert losses[:exact] == pytest.approx(expected[:exact], rel=1e-3)


def clusters(num_workers):
    """Returns the TF_CONFIG of each worker of a cluster on this machine."""
    with contextlib.ExitStack() as stack:
        unused = [stack.enter_context(socket.socket()) for _ in range(num_workers)]
        for one in unused:
            one.bind(("localhost", 0))
        addresses = [f"localhost:{one.getsockname()[1]}" for one in unused]
    tasks = [{"type": "worker", "index": i} for i in range(num_workers)]
    return [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]


class Workers:
    """Processes that execute the component at the same time, on the same examples."""

    def __init__(self, examples, folder):
        """Each will write to a folder of its own."""
        self.examples = examples
        self.folder = folder

    def run(self, tf_configs, keras, second_workers_code="pass", **parameters):
        """Returns the exit code and the output of each."""
        module = self.folder / "model.py"
        module.write_text(USER_CODE.format(keras=keras, second_workers_code=second_workers_code))
        options = [f"--{name.replace('_', '-')}={value}" for name, value in parameters.items()]
        logs = [self.folder / f"worker-{i}.log" for i in range(len(tf_configs))]
        processes = []
        for i, (tf_config, log) in enumerate(zip(tf_configs, logs, strict=True)):
            places = ["--examples", self.examples, "--output", self.folder / f"worker-{i}"]
            command = ["-c", PROGRAM, "sweep", "--verbose"]
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
            if tf_config:
                environment["TF_CONFIG"] = tf_config
            arguments = [*command, "--module-file", module, *places, *STEPS, *options]
            processes.append(forked.start(arguments, log, log, env=environment))
        deadline = time.monotonic() + SECONDS
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
            process.kill()
            process.join()
        return [process.exitcode for process in processes], [log.read_text() for log in logs]

    def evidence(self):
        """Returns what the first one wrote."""
        return json.loads((self.folder / "worker-0" / "sweep" / "sweep.json").read_text())


@pytest.fixture
def workers(examples, tmp_path):
    """Workers in a folder without files."""
    return Workers(examples, tmp_path)


@pytest.mark.parametrize(
    ("keras", "has_cluster"),
    [
        ("keras", True),
        pytest.param("keras", False, marks=pytest.mark.slow),
        pytest.param("tf_keras", True, marks=pytest.mark.slow),
    ],
    ids=["keras3-cluster", "keras3-alone", "tf_keras-cluster"],
)
def test_strategy_for_several_workers_may_be_made_in_run_fn(workers, keras, has_cluster):
    """One worker, without a cluster and with one of its own; two sweeps and trials."""
    tf_configs = clusters(1) if has_cluster else [None]

    codes, outputs = workers.run(tf_configs, keras, num_sweeps=2, trial_steps=3)

    assert codes == [0], outputs
    evidence = workers.evidence()
    assert len(evidence["curves"]) == 2
    assert len(evidence["trials"]) >= 5
    for curve in evidence["curves"]:
        check_losses(curve)


@pytest.mark.slow
@pytest.mark.parametrize("keras", ["keras", "tf_keras"])
def test_two_workers_train_together_and_the_chief_writes(workers, keras):
    """A step is one of the global batch; both see the same, and only the first one has files."""
    codes, outputs = workers.run(clusters(2), keras, num_sweeps=2, trial_steps=3)

    assert codes == [0, 0], outputs
    evidence = workers.evidence()
    assert len(evidence["trials"]) >= 5
    curves = evidence["curves"]
    assert [(curve["num_replicas"], curve["batch_size"]) for curve in curves] == [(2, 8)] * 2
    for curve in curves:
        check_losses(curve)
    seen = [re.findall(r"Sweep, seed .*|Trial at .*|Learning rate .* found", o) for o in outputs]
    assert len(seen[0]) == len(curves) + len(evidence["trials"]) + 1
    assert seen[0] == seen[1]
    assert [path for path in workers.folder.rglob("worker-1/**/*") if path.is_file()] == []


@pytest.mark.parametrize(
    "code",
    ["raise ValueError('on one worker')", "dataset = dataset.map(unreadable)"],
    ids=["in run_fn", "in the sweep"],
)
def test_worker_does_not_wait_for_one_that_failed(workers, code):
    """The one that goes on learns of it from TensorFlow."""
    codes, outputs = workers.run(clusters(2), "keras", code)

    assert codes == [1, 1], outputs
    assert "on one worker" in outputs[1]
    assert re.search(r"\ntensorflow\S+\.UnavailableError: ", outputs[0])
