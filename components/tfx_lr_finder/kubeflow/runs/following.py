"""Follows a run to its end: a line for each task, and the rates that were found."""

import dataclasses
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.kubeflow.runs.server import (
    API,
    NoAnswerError,
    NotFoundError,
    Server,
    ServerError,
)
from tfx_lr_finder.kubeflow.runs.tasks import FAILED, FINAL_STATES, SUCCEEDED, Task, ended_tasks

POLL_SECONDS = 5.0
PATIENCE_SECONDS = 600.0
"""How long the server may give no answer. The run goes on meanwhile."""
LAST_LINES = 20

Say = Callable[[str], None]


class Ended(NamedTuple):
    """How a run has ended.

    Attributes:
        state: One of FINAL_STATES.
        failed: Names of the tasks that failed.
    """

    state: str
    failed: list[str]


def follow(
    server: Server, run_id: str, names: Mapping[str, str], say: Say, namespace: str | None = None
) -> Ended:
    """Waits for the end of a run, and says when a task has ended, and why one has failed.

    Args:
        server: The server.
        run_id: Id of the run.
        names: The name of each task by its key.
        say: Prints a line.
        namespace: Namespace of the run, if Kubeflow has several users.

    Raises:
        ServerError: If the server refuses the request, or does not answer for PATIENCE_SECONDS.
    """
    told: dict[str, Task] = {}
    while True:
        run = _patiently(server, f"/runs/{run_id}", say)
        for node, task in ended_tasks(run, names).items():
            if node not in told:
                told[node] = task
                say(_line(len(told), len(names), task))
        if run.get("state") in FINAL_STATES:
            break
        time.sleep(POLL_SECONDS)
    failed = [task for task in told.values() if task.state == FAILED]
    for task in failed:
        say(f"\n{task.name} failed. {_end_of_log(server, run_id, task.pod, namespace)}\n")
    say(f"Run {run['state']}")
    return Ended(run["state"], [task.name for task in failed])


def say_rates(
    server: Server, run_id: str, names: Mapping[str, str], ended: Ended, say: Say
) -> list[dict[str, Any]] | None:
    """Says the rates that a run has found, and returns them, or None if they cannot be read.

    Args:
        server: The server.
        run_id: Id of the run.
        names: The name of each task by its key.
        ended: How the run has ended.
        say: Prints a line.
    """
    from tfx_lr_finder.kubeflow.runs.rates import rates

    try:
        found = rates(server, run_id, names)
    except ServerError as error:
        if ended.state == SUCCEEDED:
            say(f"The rate is shown on the page of the run, but cannot be read here. {error}")
        return None
    for rate in found:
        expected = f"; {expectation(rate.interval)}" if rate.interval else ""
        say(
            f"Learning rate    {rate.learning_rate:.3g} "
            f"(verdict: {rate.verdict}{expected}) by {rate.task}"
        )
    return [dataclasses.asdict(rate) for rate in found]


def end(server: Server, run_id: str) -> None:
    """Asks Kubeflow to end a run.

    Raises:
        ServerError: If it does not take the request.
    """
    server.request(end_path(run_id), b"{}", "application/json")


def end_path(run_id: str) -> str:
    """Returns the path of the API to which a POST ends a run."""
    return f"{API}/runs/{run_id}:terminate"


def _patiently(server: Server, path: str, say: Say) -> Any:
    """Returns the answer to a request, which is repeated while the server cannot be reached."""
    silent_since = None
    while True:
        try:
            answer = server.get_json(path)
        except NoAnswerError as error:
            now = time.monotonic()
            if silent_since is None:
                silent_since = now
                say(f"{error} Asking again; the run goes on.")
            elif now - silent_since > PATIENCE_SECONDS:
                raise ServerError(f"{error} The run may go on.") from error
            time.sleep(POLL_SECONDS)
        except NotFoundError:
            raise
        except ServerError as error:
            raise ServerError(f"{error} The run goes on.") from error
        else:
            return answer


def _line(number: int, total: int, task: Task) -> str:
    """Returns the line of a task, as a local run prints it."""
    label = f"[{number}/{total}] {task.name} ".ljust(32, ".")
    took = f"{task.seconds:.1f} s" if task.seconds is not None else ""
    return f"{label} {took if task.state == SUCCEEDED else task.state.lower()}"


def _end_of_log(server: Server, run_id: str, pod: str | None, namespace: str | None) -> str:
    if not pod:
        return "The page of the run says why."
    query = {"podname": pod, "runid": run_id}
    if namespace:
        query["podnamespace"] = namespace
    paths = (  # the API's, and that of the server of the page
        f"/apis/v1alpha1/runs/{run_id}/nodes/{urllib.parse.quote(pod)}/log",
        f"/k8s/pod/logs?{urllib.parse.urlencode(query)}",
    )
    for path in paths:
        try:
            log = server.request(path).decode(errors="replace")
        except ServerError:
            continue
        if log.strip() and not log.lstrip().startswith("<"):  # a page instead of a log
            last = "\n".join(log.splitlines()[-LAST_LINES:])
            return f"The end of its log:\n{last}"
    command = f"kubectl logs {pod} -c main{f' -n {namespace}' if namespace else ''}"
    return f"Its log is that of pod {pod}: `{command}`, or the page of the run."
