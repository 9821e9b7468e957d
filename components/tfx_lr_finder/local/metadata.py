"""What the metadata of a pipeline say about an execution of a node."""

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig, Execution
from tfx.orchestration.metadata import Metadata
from tfx.orchestration.portable.mlmd import execution_lib, store_ext
from tfx.types.artifact import Artifact


def latest_execution(
    connection: ConnectionConfig, pipeline_name: str, node_id: str, run_id: str | None = None
) -> Execution | None:
    """Returns the latest execution of a node in a run; None if the run skipped the node.

    Args:
        connection: Where the metadata are.
        pipeline_name: Name of the pipeline.
        node_id: Id of the node.
        run_id: Id of the run; None (default) for all runs.
    """
    with Metadata(connection) as handle:
        executions = store_ext.get_node_executions(
            handle.store, pipeline_id=pipeline_name, node_id=node_id, pipeline_run_id=run_id
        )
    return max(executions, key=lambda execution: execution.id, default=None)


def latest_output(
    connection: ConnectionConfig,
    pipeline_name: str,
    node_id: str,
    key: str,
    run_id: str | None = None,
) -> Artifact | None:
    """Returns the artifact that the latest execution of a node in a run wrote to an output.

    The arguments are those of `latest_execution`; `key` is the name of the output. Returns None if
    the run skipped the node.
    """
    execution = latest_execution(connection, pipeline_name, node_id, run_id)
    if execution is None:
        return None
    with Metadata(connection) as handle:
        return execution_lib.get_output_artifacts(handle, execution.id)[key][0]
