"""The tasks of a run, out of the nodes of Argo's workflow that the API shows."""

import pytest

from tfx_lr_finder.kubeflow.runs.tasks import Task, ended_tasks

NAMES = {"first": "First", "second": "Second"}


def node(name, state, number, children=(), **times):
    """Returns a node: its own name is that of a pod, its children have Argo's ids."""
    return {
        "task_id": f"id-{number}",
        "display_name": name,
        "state": state,
        "pod_name": f"flow-x7k2p-template-{number}",
        "child_tasks": [{"pod_name": f"flow-x7k2p-{child}"} for child in children],
        **times,
    }


def run(*nodes):
    """Returns a run with these nodes."""
    return {"run_details": {"task_details": list(nodes)}}


def ended(*nodes):
    """Returns the tasks that have ended."""
    return list(ended_tasks(run(*nodes), NAMES).values())


@pytest.mark.parametrize("details", [{}, {"run_details": None}, {"run_details": {}}])
def test_run_that_has_not_begun_has_no_tasks(details):
    """The API leaves out what is empty."""
    assert ended_tasks(details, NAMES) == {}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "PAUSED", "CANCELING", None])
def test_task_that_is_at_work_has_not_ended(state):
    """Nor has one whose state is not known."""
    assert ended(node("first", state, 1)) == []


def test_nodes_of_argo_are_no_tasks():
    """The workflow, its root, drivers, attempts, and the containers themselves."""
    others = ("flow-x7k2p", "root", "first-driver", "first(0)", "executor", "executor(0)")

    assert ended(*(node(name, "SUCCEEDED", n) for n, name in enumerate(others))) == []


def test_tasks_come_in_the_order_in_which_they_ended():
    """Whatever the order of the API; each iteration of a loop is one."""
    nodes = [
        node("second", "SUCCEEDED", 1, end_time="2026-11-30T12:00:09Z"),
        node("first", "SUCCEEDED", 2, end_time="2026-11-30T12:00:05Z"),
        node("first", "SUCCEEDED", 3, end_time="2026-11-30T12:00:03.5Z"),
    ]

    assert list(ended_tasks(run(*nodes), NAMES)) == ["id-3", "id-2", "id-1"]


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2026-11-30T12:00:00Z", "2026-11-30T12:01:30.25Z", 90.25),
        ("2026-11-30T12:00:00Z", "0001-01-01T00:00:00Z", None),
        ("2026-11-30T12:00:00Z", None, None),
    ],
)
def test_time_is_that_between_start_and_end(start, end, seconds):
    """If both are known: Go's zero is the year 1."""
    [task] = ended(node("first", "SUCCEEDED", 1, start_time=start, end_time=end))

    assert task == Task("First", "SUCCEEDED", seconds, None)


def test_task_whose_container_is_skipped_comes_from_the_cache():
    """A task whose condition does not hold is skipped itself."""
    tasks = ended(
        node("first", "SUCCEEDED", 1, [2]),
        node("executor", "SKIPPED", 2, [3]),
        node("second-driver", "SUCCEEDED", 3, [4]),
        node("second", "SKIPPED", 4),
    )

    assert [(task.name, task.state) for task in tasks] == [
        ("First", "CACHED"),
        ("Second", "SKIPPED"),
    ]


def test_log_is_that_of_the_innermost_failed_node_of_the_task():
    """And not that of a task after it, whose driver is a child of the container in Argo."""
    nodes = [
        node("first", "FAILED", 1, [2]),
        node("first(0)", "FAILED", 2, [3]),
        node("executor", "FAILED", 3, [4]),
        node("executor(0)", "FAILED", 4, [5]),
        node("second-driver", "FAILED", 5),
    ]

    tasks = ended(*nodes)

    assert [(task.name, task.pod) for task in tasks] == [
        ("First", "flow-x7k2p-template-4"),
        ("Second", "flow-x7k2p-template-5"),
    ]


def test_failed_task_without_nodes_in_it_has_its_own_pod():
    """As an importer, which has no container."""
    [task] = ended(node("first", "FAILED", 1, ["unknown"]))

    assert task.pod == "flow-x7k2p-template-1"
