"""The tasks of a run, out of the nodes that the API shows.

The API shows the nodes of Argo's workflow. For a task with the key `X` these are the driver
(`X-driver`), the task itself (`X`), its attempts (`X(0)`), and the container (`executor`), beside
nodes of the whole run (`root`, the workflow's name). The container of a task whose outputs are in
the cache is skipped (`backend/src/v2/compiler/argocompiler/container.go` in kubeflow/pipelines).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

Json = dict[str, Any]

FAILED = "FAILED"
SKIPPED = "SKIPPED"
SUCCEEDED = "SUCCEEDED"
FINAL_STATES = (SUCCEEDED, FAILED, SKIPPED, "CANCELED")
CACHED = "CACHED"

_CONTAINER = "executor"
_DRIVER = "-driver"


class Task(NamedTuple):
    """A task that has ended.

    Attributes:
        name: The name that the pipeline's author gave it.
        state: One of FINAL_STATES, or CACHED.
        seconds: How long it took, without the time that its driver took; None if not known.
        pod: Of a failed task, the pod with its log.
    """

    name: str
    state: str
    seconds: float | None
    pod: str | None


def ended_tasks(run: Json, names: Mapping[str, str]) -> dict[str, Task]:
    """Returns the tasks of a run that have ended, by the id of their node, in the order of time.

    Args:
        run: The run as the API shows it.
        names: The name of each task by its key, as `compiled.task_names` returns them.
    """
    nodes = (run.get("run_details") or {}).get("task_details") or []
    by_hash = {_hash(node.get("pod_name", "")): node for node in nodes}
    tasks = {}
    for node in sorted(nodes, key=lambda node: node.get("end_time") or ""):
        key = node.get("display_name", "")
        driver = key.removesuffix(_DRIVER)
        if node.get("state") not in FINAL_STATES:
            continue
        if key in names:
            inner = [*_within(node, by_hash, names)]
            failed = [n.get("pod_name") for n in inner if n.get("state") == FAILED]
            pod = failed[-1] if node["state"] == FAILED else None  # of the innermost node
            state = CACHED if _is_cached(node, inner) else node["state"]
            tasks[node["task_id"]] = Task(names[key], state, _seconds(node), pod)
        elif driver in names and node["state"] == FAILED:  # the task itself is never run
            tasks[node["task_id"]] = Task(names[driver], FAILED, None, node.get("pod_name"))
    return tasks


def _seconds(node: Json) -> float | None:
    if not node.get("start_time") or not node.get("end_time"):
        return None
    start, end = Timestamp(), Timestamp()
    start.FromJsonString(node["start_time"])
    end.FromJsonString(node["end_time"])
    seconds = (end.ToDatetime() - start.ToDatetime()).total_seconds()
    return seconds if seconds >= 0 else None  # Argo's time of what has not happened is the year 1


def _is_cached(node: Json, inner: Sequence[Json]) -> bool:
    is_skipped = any(
        n.get("display_name") == _CONTAINER and n.get("state") == SKIPPED for n in inner
    )
    return node["state"] == SUCCEEDED and is_skipped


def _within(node: Json, by_hash: Mapping[str, Json], names: Mapping[str, str]) -> Iterator[Json]:
    """Yields a task's node and the nodes in it, from the outermost to the innermost."""
    yield node
    for child in node.get("child_tasks") or []:
        inner = by_hash.get(_hash(child.get("pod_name", "")))
        # What comes after a task is a child of its innermost node.
        if inner and not _is_task(inner.get("display_name", ""), names):
            yield from _within(inner, by_hash, names)


def _is_task(key: str, names: Mapping[str, str]) -> bool:
    return key.removesuffix(_DRIVER) in names


def _hash(pod: str) -> str:
    """Returns what the name of a pod and the id of its node in Argo have in common: their end."""
    return pod.rpartition("-")[2]
