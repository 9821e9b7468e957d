"""What SIGTERM and SIGKILL leave of an execution in a real pipeline, and of the one after it."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution
from tf_examples import write_examples
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.portable.mlmd import execution_lib

from tfx_lr_finder.artifacts import read_evidence
from tfx_lr_finder.search.workers import SECONDS_TO_END

MISTAKES = Path(__file__).parents[1] / "data" / "mistakes"
NUM_STEPS = 100
KILLS = 10

SWEEPS = {
    "one sweep": ["1"],
    "threads": pytest.param(
        ["2", "--direct_running_mode=multi_threading", "--direct_num_workers=2"],
        marks=pytest.mark.slow,
    ),
    "processes": pytest.param(
        ["2", "--direct_running_mode=multi_processing", "--direct_num_workers=2"],
        marks=pytest.mark.slow,
    ),
}

KILLED = f"""
import os, random, signal, sys, time
import pipeline

examples, folder = sys.argv[1:]

def forked():
    # Nothing of TensorFlow has run yet: its libraries are loaded, and no thread is started.
    if (child := os.fork()) == 0:
        try:
            pipeline.run(examples, folder, "right", {NUM_STEPS})
            os._exit(0)
        finally:
            os._exit(1)
    return child

def finish():
    started = time.monotonic()
    assert os.waitpid(forked(), 0)[1] == 0
    return time.monotonic() - started

duration = finish()
moments, killed = random.Random(0), 0
while killed < {KILLS}:  # on a busy machine, some have ended before their moment
    child = forked()
    time.sleep(moments.uniform(0, duration))
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
finish()
print("killed", killed)
"""


class Runs:
    """Programs that run the pipeline of the finder in one folder, and what they left."""

    def __init__(self, folder):
        """Writes the examples: 64 of y = 2 x in each split."""
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        for split in ("train", "eval"):
            file = folder / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
            write_examples(file, [{"x": (-1.0) ** i, "y": 2 * (-1.0) ** i} for i in range(64)])

    def start(self, *program):
        """Starts a program in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", *program],
            env={
                "PYTHONPATH": str(MISTAKES),
                "TMPDIR": str(self.temporary),
                "PATH": "/usr/bin:/bin",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def working_folders(self):
        """The temporary folders of the package."""
        return list(self.temporary.glob("tfx-lr-finder*"))

    @property
    def files(self):
        """Every file that the finder left in the pipeline's root."""
        root = self.folder / "root" / "LearningRateFinder"
        return [path for path in root.rglob("*") if path.is_file()]

    def executions(self):
        """Returns state and output artifacts of each execution of the finder."""
        connection = sqlite_metadata_connection_config(str(self.folder / "metadata.db"))
        with Metadata(connection) as handle:
            node = handle.store.get_context_by_type_and_name("node", "finder.LearningRateFinder")
            executions = handle.store.get_executions_by_context(node.id)
            return [
                (
                    Execution.State.Name(execution.last_known_state),
                    execution_lib.get_output_artifacts(handle, execution.id),
                )
                for execution in sorted(executions, key=lambda execution: execution.id)
            ]


def files_of(artifacts):
    """Returns the files of artifacts, as paths below each."""
    folders = {key: Path(artifact.uri) for key, (artifact,) in artifacts.items()}
    return {
        key: sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        for key, folder in folders.items()
    }


@pytest.fixture
def runs(tmp_path):
    """A folder in which nothing has run."""
    return Runs(tmp_path)


@pytest.mark.parametrize("sweeps", SWEEPS.values(), ids=SWEEPS)
def test_sigterm_ends_an_execution_within_seconds_and_leaves_nothing(runs, sweeps):
    """In the middle of sweeps that would go on for minutes, wherever Beam runs them."""
    program = [str(MISTAKES / "pipeline.py"), runs.folder / "examples", runs.folder]
    process = runs.start(*program, "slow", "10000", *sweeps)
    while not runs.working_folders:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()

    _, errors = process.communicate(timeout=60)  # until its last child has ended too

    # A few seconds, were the machine not shared; the error waits for trainings in other threads.
    waits = SECONDS_TO_END if "--direct_running_mode=multi_threading" in sweeps else 0
    assert time.monotonic() - asked < 25 + waits
    error = re.search(r"TerminatedError: .* asked to end by SIGTERM\. Run it again\.\n", errors)
    assert error, errors
    # It is the last line, but for a thread of Beam's that reports that its bundle is gone.
    assert re.search(r"\A(|[\s\S]*KeyError: 'bundle_\d+'\s*)\Z", errors[error.end() :])
    assert process.returncode == 1
    assert runs.executions() == [("FAILED", {})]
    assert runs.files == []
    assert runs.working_folders == []


@pytest.mark.slow
def test_process_that_ends_waits_for_a_training_in_another_thread(runs):
    """A thread that is still in TensorFlow while Python shuts down would abort the process."""
    impatient = """
import runpy, sys
from tfx_lr_finder.search import workers
workers.SECONDS_TO_END = 0  # as if the training did not end in time
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    sweeps = ["2", "--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    program = [str(MISTAKES / "pipeline.py"), runs.folder / "examples", runs.folder]
    process = runs.start("-c", impatient, *program, "slow", "10000", *sweeps)
    while not runs.working_folders:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)

    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1, errors
    assert "TerminatedError: " in errors
    assert runs.executions() == [("FAILED", {})]


@pytest.mark.slow
def test_execution_after_kills_is_undisturbed(runs):
    """Killed at ten random moments, the pipeline then finds what it found before."""
    process = runs.start("-c", KILLED, runs.folder / "examples", runs.folder)
    output, errors = process.communicate(timeout=400)

    assert process.returncode == 0, errors
    assert int(output.split()[-1]) == KILLS
    executions = runs.executions()
    (state, undisturbed), (last_state, last) = executions[0], executions[-1]
    assert state == last_state == "COMPLETE"
    (before,), (found,) = undisturbed["sweep"], last["sweep"]
    assert read_evidence(found).curves == read_evidence(before).curves
    assert read_evidence(found).published == read_evidence(before).published
    assert files_of(last) == files_of(undisturbed)
    # Nothing that was begun is published.
    assert all(state == "COMPLETE" or not outputs for state, outputs in executions)
    assert runs.working_folders == []
