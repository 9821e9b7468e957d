"""The peak memory of whole executions, each in a process of its own."""

import functools
import json
import os
import shutil

import forked
import numpy as np
import pytest
from tf_examples import write_examples

WIDTH = 1000
EXAMPLES_A_FILE = 5000
USER_CODE = f'''
import keras
import tensorflow as tf

FEATURES = {{"x": tf.io.FixedLenFeature([{WIDTH}], tf.float32)}}


def run_fn(fn_args):
    """Trains a model of as many hidden units as asked for, on wide examples.

    The data are shuffled as TFX's own examples do it.
    """
    files = tf.data.Dataset.list_files(fn_args.train_files, seed=0)
    dataset = files.interleave(lambda file: tf.data.TFRecordDataset(file, "GZIP"))
    dataset = dataset.shuffle(1000, seed=0).batch(32)
    dataset = dataset.map(lambda text: tf.io.parse_example(text, FEATURES)["x"])
    hidden = [keras.layers.Dense(units) for units in fn_args.custom_config["hidden"]]
    model = keras.Sequential([keras.Input(({WIDTH},)), *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(dataset.map(lambda x: (x, x[:, :1])).prefetch(tf.data.AUTOTUNE))
'''
PROGRAM = """
import json, re, sys
from pathlib import Path
from tfx_lr_finder.search.options import SweepOptions
from tfx_lr_finder.standalone import find_on_files

examples, outputs, module, options, custom_config = sys.argv[1:]
names = {"best_hyperparameters": "", "learning_rate": "/value", "sweep": ""}
written = {name: f"{outputs}/{name}{file}" for name, file in names.items()}
code, options = {"module_file": module}, SweepOptions(**json.loads(options))
custom_config = json.loads(custom_config)
find_on_files({"examples": examples}, written, code, options, custom_config=custom_config)
# Not getrusage's peak: a process inherits that of the one that started it. This one starts with
# what the fork server holds, which is what a process of its own would have loaded.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.fixture(scope="module")
def peak(tmp_path_factory):
    """A function that runs the component and returns the peak of its process in MiB."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "model.py").write_text(USER_CODE)
    first = folder / "data.gz"
    values = np.random.default_rng(0).normal(size=(EXAMPLES_A_FILE, WIDTH))
    write_examples(first, [{"x": row} for row in values])

    @functools.cache
    def run(num_files=1, hidden=(), **parameters):
        split = folder / f"examples-{num_files}" / "Split-train"
        split.mkdir(parents=True, exist_ok=True)
        (split.parent / "Split-eval").mkdir(exist_ok=True)
        for i in range(num_files):
            shutil.copyfile(first, split / f"data-{i:05d}-of-{num_files:05d}.gz")
        given = {
            "num_steps": 100,
            "min_learning_rate": 1e-8,
            "max_learning_rate": 1e-6,
            "divergence_factor": 1e9,
            "on_failure": "default",
            "default_learning_rate": 1e-3,
            "proof_steps": 10,
            **parameters,
        }
        outputs = folder / f"outputs-{len(list(folder.glob('outputs-*')))}"
        custom_config = {"hidden": hidden}
        completed = forked.run(
            [
                *("-c", PROGRAM, split.parent, outputs, folder / "model.py"),
                *(json.dumps(given), json.dumps(custom_config)),
            ],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        assert completed.returncode == 0, completed.stderr
        curves = json.loads((outputs / "sweep" / "sweep.json").read_text())["curves"]
        assert [len(curve["losses"]) for curve in curves] == [given["num_steps"]] * len(curves)
        assert len(curves) == given.get("num_sweeps", 1)
        return int(completed.stdout.split()[-1]) / 1024

    return run


@pytest.mark.slow
def test_peak_does_not_grow_with_the_data(peak):
    """20 MB of examples or 200 MB: those that the sweep takes are held, and no others."""
    assert peak(num_files=10) < 1.1 * peak()


@pytest.mark.slow
def test_peak_does_not_grow_with_the_number_of_sweeps(peak):
    """Of eight sweeps, each of a new model of 12 MB with its slots, one is held at a time."""
    sweep = {"hidden": (WIDTH,), "num_steps": 20}

    assert peak(**sweep, num_sweeps=8) < 1.1 * peak(**sweep, num_sweeps=2)


@pytest.mark.slow
def test_peak_does_not_grow_with_the_number_of_steps(peak):
    """2,000 steps take no more than 100 beside their curve, its plot and its page."""
    assert peak(num_steps=2_000) < 1.1 * peak()
