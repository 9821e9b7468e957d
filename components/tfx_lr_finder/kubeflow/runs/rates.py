"""The rates of a run, out of Kubeflow's ML Metadata.

The API does not show artifacts. Kubeflow's page reads them from ML Metadata, by gRPC-web at the
root of its host, even where the page itself has a path such as `/pipeline`
(`frontend/server/app.ts` in kubeflow/pipelines). So does this module.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ml_metadata.proto import metadata_store_service_pb2 as service
from ml_metadata.proto.metadata_store_pb2 import Artifact

from tfx_lr_finder.core.publishing.interval import Interval
from tfx_lr_finder.kubeflow.runs.server import Server

CONTEXT_TYPE = "system.PipelineRun"
_HEADER = 5

Response = TypeVar("Response")


@dataclasses.dataclass(frozen=True)
class Rate:
    """A rate that a task of the run has published.

    Attributes:
        task: Name of the task.
        learning_rate: The rate, with all its digits.
        verdict: How far it can be trusted.
        interval: The rates between which a repetition is expected to find its own, if known.
    """

    task: str
    learning_rate: float
    verdict: str
    interval: Interval | None


def rates(server: Server, run_id: str, names: Mapping[str, str]) -> list[Rate]:
    """Returns the rates of a run, also those that Kubeflow took from its cache.

    Args:
        server: The server.
        run_id: Id of the run.
        names: The name of each task by its key.

    Raises:
        ServerError: If there is no ML Metadata at the server's host, as at that of the API alone.
    """
    host = server.root()
    context = _call(
        host,
        "GetContextByTypeAndName",
        service.GetContextByTypeAndNameRequest(type_name=CONTEXT_TYPE, context_name=run_id),
        service.GetContextByTypeAndNameResponse(),
    ).context
    artifacts = _call(
        host,
        "GetArtifactsByContext",
        service.GetArtifactsByContextRequest(context_id=context.id),
        service.GetArtifactsByContextResponse(),
    ).artifacts
    return [_rate(artifact, names) for artifact in artifacts if _is_metrics(artifact)]


def _is_metrics(artifact: Artifact) -> bool:
    properties = artifact.custom_properties
    is_metrics = properties["display_name"].string_value == "metrics"
    return is_metrics and "learning_rate_text" in properties


def _rate(artifact: Artifact, names: Mapping[str, str]) -> Rate:
    properties = artifact.custom_properties
    ends = ("learning_rate_low", "learning_rate_high")
    low, high = (properties[end].double_value if end in properties else None for end in ends)
    # The URI is .../KEY OF THE TASK/ID OF THE EXECUTION/metrics.
    task = [names[part] for part in artifact.uri.split("/") if part in names]
    return Rate(
        task[-1] if task else "",
        float(properties["learning_rate_text"].string_value),
        properties["verdict"].string_value,
        (low, high) if low is not None and high is not None else None,
    )


def _call(server: Server, method: str, request: Any, response: Response) -> Response:
    message = request.SerializeToString()
    answer = server.request(
        f"/ml_metadata.MetadataStoreService/{method}",
        b"\0" + len(message).to_bytes(4, "big") + message,
        "application/grpc-web+proto",
    )
    frames = dict(_frames(answer))
    if 0 not in frames:
        raise server.no_answer(f"{method} of its ML Metadata sends no message")
    response.ParseFromString(frames[0])  # type: ignore[attr-defined]
    return response


def _frames(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the frames of a gRPC-web answer: a mark, 0 for a message, and the content."""
    while len(answer) >= _HEADER:
        end = _HEADER + int.from_bytes(answer[1:_HEADER], "big")
        yield answer[0], answer[_HEADER:end]
        answer = answer[end:]
