"""Starts a run of a compiled pipeline: `python -m submit_kubeflow penguin.yaml --endpoint URL`."""

import argparse
import contextlib
import datetime
import io
import json
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compiled_pipeline import PipelineError, package, read, typed_parameters

POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
FINAL_STATES = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
ROOT_SCHEMES = ("gs://", "minio://", "s3://")


class SubmissionError(RuntimeError):
    """A run could not be started, or did not succeed; the message is for the user."""


def main(argv: Sequence[str] | None = None) -> None:
    """Starts a run, prints its address, and waits for its end if asked.

    Args:
        argv: Command-line arguments; by default those of this process.
    """
    arguments = _parser().parse_args(argv)
    try:
        submit(**vars(arguments))
    except (PipelineError, SubmissionError) as error:
        sys.exit(f"Error: {error}")


def submit(
    pipeline: Path,
    endpoint: str,
    pipeline_root: str | None = None,
    image: str | None = None,
    parameter: Sequence[tuple[str, str]] = (),
    experiment: str | None = None,
    namespace: str | None = None,
    wait: bool = False,
) -> None:
    """Starts a run of a compiled pipeline and prints its address.

    Args:
        pipeline: The compiled pipeline, a YAML file.
        endpoint: URL of Kubeflow Pipelines.
        pipeline_root: Where outputs go, in an object store; by default the server's own.
        image: Image of every task, in place of the compiled one.
        parameter: Parameters of the run, as names and values.
        experiment: The experiment that the run belongs to; by default the server's default.
        namespace: Namespace, where Kubeflow has several users.
        wait: Whether to wait for the end of the run.

    Raises:
        PipelineError: If the file is no compiled pipeline, or does not take the parameters.
        SubmissionError: If the run cannot be started, or is waited for and does not succeed.
    """
    documents = read(pipeline)
    values = typed_parameters(documents[0], dict(parameter))
    _check_endpoint(endpoint)

    # Here, for a refusal within a second.
    import kfp_server_api  # type: ignore[import-untyped]
    from kfp import Client
    from urllib3.exceptions import HTTPError  # type: ignore[import-untyped]

    try:
        with package(pipeline, documents, image) as file, _quiet():
            client = Client(host=endpoint)
            run_id = client.create_run_from_pipeline_package(
                str(file),
                arguments=values,
                run_name=f"{pipeline.stem} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}",
                experiment_name=experiment,
                namespace=namespace,
                pipeline_root=pipeline_root,
            ).run_id
        print(f"Run: {endpoint}/#/runs/details/{run_id}", flush=True)
        if wait:
            _wait(client, run_id)
    except (kfp_server_api.ApiException, HTTPError, TimeoutError) as error:
        raise SubmissionError(
            f"Kubeflow Pipelines at {endpoint} did not take the request: {_reason(error)}"
        ) from error


def _check_endpoint(endpoint: str) -> None:
    url = f"{endpoint}/apis/v2beta1/healthz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # kfp uses none either
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
            json.load(response)
    except (OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403):
            return  # kfp's client may have credentials
        raise SubmissionError(
            f"No Kubeflow Pipelines API at {endpoint}: {url} gave {error}. "
            "Give the address under which a browser shows its page."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what kfp prints: the same address, in its own words, and warnings."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _wait(client: Any, run_id: str) -> None:
    # Not kfp's own wait, which never ends for a run that is cancelled.
    while (run := client.get_run(run_id)).state not in FINAL_STATES:
        time.sleep(POLL_SECONDS)
    print(f"Run {run.state}", flush=True)
    if run.state != "SUCCEEDED":
        details = run.run_details.task_details if run.run_details else None
        failed = sorted({task.display_name for task in details or () if task.state == "FAILED"})
        raise SubmissionError(f"The run ended as {run.state}; failed tasks: {failed}.")


def _reason(error: Exception) -> str:
    try:
        return str(json.loads(getattr(error, "body", ""))["message"])
    except (KeyError, TypeError, ValueError):
        return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m submit_kubeflow", description="Starts a run of a compiled pipeline."
    )
    parser.add_argument("pipeline", type=Path, help="the compiled pipeline, a YAML file")
    parser.add_argument(
        "--endpoint", required=True, type=_url, help="URL of Kubeflow Pipelines, http(s)://..."
    )
    parser.add_argument(
        "--pipeline-root", type=_root, help=f"where outputs go: {', '.join(ROOT_SCHEMES)}"
    )
    parser.add_argument("--image", help="image of every task, in place of the compiled one")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_name_and_value,
        metavar="NAME=VALUE",
        help="a parameter of the run; may be repeated",
    )
    parser.add_argument("--experiment", help="the experiment that the run belongs to")
    parser.add_argument("--namespace", help="namespace, where Kubeflow has several users")
    parser.add_argument("--wait", action="store_true", help="wait for the end of the run")
    return parser


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"must begin with http:// or https://, not {text!r}")
    return text.rstrip("/")


def _root(text: str) -> str:
    if not text.startswith(ROOT_SCHEMES):
        raise argparse.ArgumentTypeError(f"must begin with one of {ROOT_SCHEMES}, not {text!r}")
    return text


def _name_and_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return name, value


if __name__ == "__main__":
    main()
