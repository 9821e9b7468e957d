"""What SIGTERM and SIGKILL leave of an execution, and of the one after it."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from tfx_lr_finder import Evidence

MISTAKES = Path(__file__).parents[1] / "data" / "mistakes"
SWEEP_FILES = ["curve.png", "report.html", "sweep.json", "tensorboard"]

PROGRAM = """
import sys
from pathlib import Path
from tfx.types import standard_artifacts
from tfx_lr_finder import LearningRateFinder, LearningRateSweep
from tfx.types.channel import Channel
from tfx_lr_finder.executor import Executor

examples, folder, num_steps, temporary = sys.argv[1:]
artifact = standard_artifacts.Examples()
artifact.uri, artifact.split_names = examples, '["train","eval"]'
kinds = {
    "best_hyperparameters": standard_artifacts.HyperParameters,
    "learning_rate": standard_artifacts.Float,
    "sweep": LearningRateSweep,
}
outputs = {}
for name, kind in kinds.items():
    output = kind()
    output.uri = str(Path(folder, name, "value" if name == "learning_rate" else ""))
    outputs[name] = [output]
finder = LearningRateFinder(
    examples=Channel(type=standard_artifacts.Examples),
    lr_finder_fn="mistakes.right",
    num_steps=int(num_steps),
)
properties = {k: v for k, v in finder.spec.exec_properties.items() if v is not None}
properties.update(train_args="{}", eval_args="{}")
def execute():
    Executor().Do({"examples": [artifact]}, outputs, properties)
"""
EXECUTE = (
    PROGRAM
    + """
print("started", flush=True)
execute()
"""
)
KILLED = (
    PROGRAM
    + """
import os, random, signal, time

def forked():
    # Nothing of TensorFlow has run yet: its libraries are loaded, and no thread is started.
    if (child := os.fork()) == 0:
        execute()
        os._exit(0)
    return child

def finished():
    started = time.monotonic()
    assert os.waitpid(forked(), 0)[1] == 0
    return time.monotonic() - started

duration = finished()
undisturbed = Path(folder, "sweep", "sweep.json").read_text()
moments = random.Random(0)
killed = 0
for _ in range(20):
    child = forked()
    time.sleep(moments.uniform(0, duration))
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
finished()
Path(folder, "undisturbed.json").write_text(undisturbed)
print("killed", killed, flush=True)
"""
)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """64 examples of y = 2 x in each split."""
    folder = tmp_path_factory.mktemp("examples")
    for split in ("train", "eval"):
        (folder / f"Split-{split}").mkdir()
        file = str(folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz")
        with tf.io.TFRecordWriter(file, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for i in range(64):
                values = {"x": (-1.0) ** i, "y": 2 * (-1.0) ** i}
                feature = {
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in values.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return folder


def start(program, examples, folder, num_steps=100):
    """Starts a program in a process of its own."""
    temporary = folder / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    arguments = [str(examples), str(folder / "outputs"), str(num_steps), str(temporary)]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        env={"PYTHONPATH": str(MISTAKES), "TMPDIR": str(temporary), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_ends_an_execution_within_seconds_and_leaves_nothing(examples, tmp_path):
    """In the middle of a sweep that would go on for minutes."""
    process = start(EXECUTE, examples, tmp_path, num_steps=1_000_000)
    assert process.stdout.readline() == "started\n"
    while not list((tmp_path / "temporary").glob("tfx-lr-finder-*")):
        time.sleep(0.1)
    time.sleep(4)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()

    _, errors = process.communicate(timeout=60)

    assert time.monotonic() - asked < 20
    assert re.search(r"TerminatedError: .* asked to end by SIGTERM\. Run it again\.", errors)
    assert process.returncode == 1
    assert list((tmp_path / "temporary").glob("tfx-lr-finder-*")) == []
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == []


def test_execution_after_kills_is_undisturbed(examples, tmp_path):
    """Killed at twenty random moments; then the same folder again: undisturbed."""
    process = start(KILLED, examples, tmp_path)
    output, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert int(output.split()[1]) >= 15  # some have ended before their moment
    outputs = tmp_path / "outputs"
    undisturbed = Evidence.from_json((outputs / "undisturbed.json").read_text())
    found = Evidence.from_json((outputs / "sweep" / "sweep.json").read_text())
    assert found.curves == undisturbed.curves
    assert found.suggestion == undisturbed.suggestion
    assert sorted(p.name for p in (outputs / "sweep").iterdir()) == SWEEP_FILES
    assert [p.name for p in (outputs / "best_hyperparameters").iterdir()] == [
        "best_hyperparameters.txt"
    ]
