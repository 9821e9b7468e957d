"""Runs a pipeline on this machine: prints a line for each component, and what was found."""

import copy
import datetime
import gc
import sys
import threading
import time
from typing import IO, Any

from absl import logging
from apache_beam.utils.shared import Shared
from ml_metadata.proto.metadata_store_pb2 import Execution
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils

from tfx_lr_finder.local.metadata import latest_execution
from tfx_lr_finder.local.output import progress_label
from tfx_lr_finder.local.summary import summary
from tfx_lr_finder.search.offline import offline


def run_pipeline(pipeline: Pipeline, terminal: IO[str] | None = None) -> None:
    """Runs a pipeline by TFX's LocalDagRunner, and prints its progress and a summary.

    The progress is a line for each component, with its time, `cached`, or `skipped` if a condition
    was not fulfilled. The summary has the rate of each LearningRateFinder, the models that were
    trained with it, their evaluations, and the paths of all these.

    Args:
        pipeline: The pipeline, with a `metadata_connection_config`.
        terminal: Receives the lines; by default the standard output. With the one that
            `output_to_log` yields, they are all that is seen.
    """
    shown = sys.stdout if terminal is None else terminal
    connection, name = pipeline.metadata_connection_config, pipeline.pipeline_info.pipeline_name
    run_id = datetime.datetime.now().isoformat()

    def outcome(node_id: str, seconds: float) -> str:
        execution = latest_execution(connection, name, node_id, run_id)
        if execution is None:
            return "skipped"
        is_cached = execution.last_known_state == Execution.CACHED
        return "cached" if is_cached else f"{seconds:.1f} s"

    outcomes: list[str] = []

    class NodeByNode(LocalDagRunner):
        """Runs each node by LocalDagRunner on its own, since LocalDagRunner prints no progress."""

        def run_with_ir(self, pipeline: Any, run_options: Any = None) -> None:
            runtime_parameter_utils.substitute_runtime_parameter(
                pipeline, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
            )
            for number, node in enumerate(pipeline.nodes, 1):
                node_id = node.pipeline_node.node_info.id
                shown.write(f"{progress_label(number, len(pipeline.nodes), node_id)} ")
                shown.flush()
                single = copy.deepcopy(pipeline)
                del single.nodes[:]
                single.nodes.append(node)
                started = time.monotonic()
                super().run_with_ir(single, run_options)
                outcomes.append(outcome(node_id, time.monotonic() - started))
                shown.write(f"{outcomes[-1]}\n")

    logging.set_verbosity(logging.INFO)  # a line in the log for each event, TFX's too
    with offline():
        NodeByNode().run(pipeline)
    _release_last_model()
    if set(outcomes) == {"cached"}:
        shown.write("Everything was served from the cache.\n")
    shown.write(summary(pipeline, run_id))
    shown.flush()


def _release_last_model() -> None:
    """Releases the Evaluator's model: TensorFlow cannot close its tables while Python exits.

    Beam keeps the last object that it shared, until another object takes its place.
    """
    Shared().acquire(threading.Event)
    gc.collect()
