"""Runs a pipeline on this machine: prints one line per component, and logs the rest to a file."""

import contextlib
import copy
import datetime
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

LOG_FILE = "run.log"
METADATA_FILE = "metadata.db"


@contextlib.contextmanager
def output_to_log(folder: Path) -> Iterator[IO[str]]:
    """Redirects everything that this process and its children print to a log file.

    TensorFlow, Beam and pip write past Python's file objects, hence the file descriptors.
    Yields the terminal, for lines that are meant for the user. After an error, the path of the
    log is printed there, and the error is raised again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / LOG_FILE
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log_file.open("w") as log, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield terminal
        except BaseException:
            print(f"\nFailed. All that was printed is in {log_file}", file=terminal)
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, original)
                os.close(descriptor)


def run(name: str, components: Sequence[Any], folder: Path, terminal: IO[str]) -> None:
    """Runs the components as a pipeline with SQLite metadata, and prints the progress.

    Args:
        name: Name of the pipeline.
        components: The components of the pipeline.
        folder: Folder for the pipeline's artifacts and metadata.
        terminal: Receives the progress: a line per component with its time, or `cached`.
    """
    from absl import logging
    from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline
    from tfx.orchestration.portable import runtime_parameter_utils

    from tfx_lr_finder.search.offline import offline

    class NodeByNode(LocalDagRunner):
        """Runs each node by LocalDagRunner on its own, since LocalDagRunner prints no progress."""

        def run_with_ir(self, pipeline: Any, run_options: Any = None) -> None:
            run_id = datetime.datetime.now().isoformat()
            runtime_parameter_utils.substitute_runtime_parameter(
                pipeline, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
            )
            for number, node in enumerate(pipeline.nodes, 1):
                node_id = node.pipeline_node.node_info.id
                label = progress_label(number, len(pipeline.nodes), node_id)
                print(label, end=" ", file=terminal, flush=True)
                single = copy.deepcopy(pipeline)
                del single.nodes[:]
                single.nodes.append(node)
                started = time.monotonic()
                super().run_with_ir(single, run_options)
                seconds = f"{time.monotonic() - started:.1f} s"
                print("cached" if is_cached(folder, name, node_id) else seconds, file=terminal)

    logging.set_verbosity(logging.INFO)  # a line in the log for each event, TFX's too
    pipeline = Pipeline(
        pipeline_name=name,
        pipeline_root=str(folder),
        components=components,
        enable_cache=True,
        metadata_connection_config=_connection(folder),
    )
    with offline():
        NodeByNode().run(pipeline)
    _release_last_model()
    if all(is_cached(folder, name, component.id) for component in components):
        print("Everything was served from the cache.", file=terminal)


def _release_last_model() -> None:
    """Releases the Evaluator's model: TensorFlow cannot close its tables while Python exits.

    Beam keeps the last object that it shared, until another object takes its place.
    """
    from apache_beam.utils.shared import Shared

    Shared().acquire(threading.Event)
    gc.collect()


def progress_label(number: int, total: int, name: str) -> str:
    """Returns the first part of a component's line, with the same width for every component."""
    return f"[{number}/{total}] {name} ".ljust(32, ".")


def is_cached(folder: Path, pipeline_name: str, node_id: str) -> bool:
    """Returns whether the latest execution of a node was served from the cache."""
    from ml_metadata.proto.metadata_store_pb2 import Execution

    with _metadata(folder) as handle:
        execution = _latest_execution(handle, pipeline_name, node_id)
        return bool(execution.last_known_state == Execution.CACHED)


def latest_output(folder: Path, pipeline_name: str, node_id: str, key: str) -> Any:
    """Returns the artifact that the latest execution of a node wrote to an output."""
    from tfx.orchestration.portable.mlmd import execution_lib

    with _metadata(folder) as handle:
        execution = _latest_execution(handle, pipeline_name, node_id)
        return execution_lib.get_output_artifacts(handle, execution.id)[key][0]


def _connection(folder: Path) -> Any:
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    return sqlite_metadata_connection_config(str(folder / METADATA_FILE))


def _metadata(folder: Path) -> Any:
    from tfx.orchestration.metadata import Metadata

    return Metadata(_connection(folder))


def _latest_execution(handle: Any, pipeline_name: str, node_id: str) -> Any:
    context = handle.store.get_context_by_type_and_name("node", f"{pipeline_name}.{node_id}")
    executions = handle.store.get_executions_by_context(context.id)
    return max(executions, key=lambda execution: execution.id)
