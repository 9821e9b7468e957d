"""What the metadata of a pipeline say about the latest execution of a node."""

from typing import Any

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig, Execution
from tfx.orchestration.metadata import Metadata
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types.artifact import Artifact


def is_cached(connection: ConnectionConfig, pipeline_name: str, node_id: str) -> bool:
    """Returns whether the latest execution of a node was served from the cache."""
    with Metadata(connection) as handle:
        execution = _latest_execution(handle, pipeline_name, node_id)
        return bool(execution.last_known_state == Execution.CACHED)


def latest_output(
    connection: ConnectionConfig, pipeline_name: str, node_id: str, key: str
) -> Artifact:
    """Returns the artifact that the latest execution of a node wrote to an output."""
    with Metadata(connection) as handle:
        execution = _latest_execution(handle, pipeline_name, node_id)
        return execution_lib.get_output_artifacts(handle, execution.id)[key][0]


def _latest_execution(handle: Any, pipeline_name: str, node_id: str) -> Execution:
    context = handle.store.get_context_by_type_and_name("node", f"{pipeline_name}.{node_id}")
    executions = handle.store.get_executions_by_context(context.id)
    return max(executions, key=lambda execution: execution.id)
