"""Uploads and runs a compiled pipeline: `python -m submit_kubeflow penguin.yaml --endpoint URL`."""

import argparse
import contextlib
import datetime
import io
import json
import re
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from compiled_pipeline import PipelineError, package, read, typed_parameters

POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
FINAL_STATES = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
ROOT_SCHEMES = ("gs://", "minio://", "s3://")


class SubmissionError(RuntimeError):
    """A run could not start, or did not succeed; the message is for the user."""


def main(argv: Sequence[str] | None = None) -> None:
    """Uploads a pipeline, starts a run, prints the run's address, and waits for its end if asked.

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
    use_cache: bool = True,
    parameter: Sequence[tuple[str, str]] = (),
    experiment: str = "Default",
    namespace: str | None = None,
    token: str | None = None,
    wait: bool = False,
) -> None:
    """Uploads a compiled pipeline, starts a run of it and prints the run's address.

    Each call uploads a new version of the pipeline, with the same name as the run.

    Args:
        pipeline: The compiled pipeline, a YAML file.
        endpoint: URL of Kubeflow Pipelines.
        pipeline_root: Folder in an object store for the outputs; by default the server's own.
        image: Image of every task, in place of the image in the compiled pipeline.
        use_cache: Whether tasks may reuse the outputs of earlier runs, as they were compiled.
        parameter: Parameters of the run, as names and values.
        experiment: Name of the run's experiment, which is created if it does not exist.
        namespace: Namespace, if Kubeflow has several users.
        token: Bearer token, if Kubeflow asks for one.
        wait: Whether to wait for the end of the run.

    Raises:
        PipelineError: If the file is not a compiled pipeline, or the parameters do not fit.
        SubmissionError: If the run cannot start, or if `wait` is true and it does not succeed.
    """
    documents = read(pipeline)
    values = typed_parameters(documents[0], dict(parameter))
    _check_endpoint(endpoint, token)

    # Imported only here, so that the checks above refuse within a second.
    import kfp_server_api
    from kfp import Client
    from urllib3.exceptions import HTTPError

    name = documents[0]["pipelineInfo"]["name"]
    run_name = f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    try:
        with package(pipeline, documents, image, use_cache) as file, _quiet():
            client = Client(host=endpoint, existing_token=token)
            version = _upload(client, file, name, run_name, namespace)
            run_id = client.run_pipeline(
                client.create_experiment(experiment, namespace=namespace).experiment_id,
                run_name,
                params=values,
                pipeline_id=version.pipeline_id,
                version_id=version.pipeline_version_id,
                pipeline_root=pipeline_root,
            ).run_id
        print(f"Run: {endpoint}/#/runs/details/{run_id}", flush=True)
        if wait:
            _wait(client, run_id)
    except (kfp_server_api.ApiException, HTTPError, TimeoutError) as error:
        raise SubmissionError(
            f"Kubeflow Pipelines at {endpoint} did not take the request: {_reason(error)}"
        ) from error


def _check_endpoint(endpoint: str, token: str | None) -> None:
    url = f"{endpoint}/apis/v2beta1/healthz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy, as in kfp
    try:
        request = urllib.request.Request(url)
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            answer = response.read()
    except OSError as error:
        raise _no_api(endpoint, f"{url} gave {error}") from error
    except (HTTPException, ValueError) as error:  # not a web server, or not the address of one
        raise _no_api(endpoint, f"{url} gave {error!r}") from error
    try:
        json.loads(answer)
    except ValueError as error:
        raise _no_api(endpoint, f"{url} gave no JSON, perhaps a login page") from error


def _no_api(endpoint: str, reason: str) -> SubmissionError:
    return SubmissionError(
        f"No Kubeflow Pipelines API at {endpoint}: {reason}. Give the address under which a "
        "browser shows its page, and a token with --token-file if it asks who you are."
    )


def _upload(client: Any, file: Path, name: str, version: str, namespace: str | None) -> Any:
    """Uploads a version of the pipeline with this name; creates the pipeline if there is none."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    found = client.list_pipelines(
        filter=json.dumps({"predicates": [predicate]}), namespace=namespace
    )
    if found.pipelines:
        return client.upload_pipeline_version(
            str(file), version, pipeline_id=found.pipelines[0].pipeline_id
        )
    pipeline = client.upload_pipeline(str(file), name, namespace=namespace)
    (first,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    return first


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides kfp's own output: the run's address once more, and warnings."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _wait(client: Any, run_id: str) -> None:
    # kfp's own wait never ends if a run is cancelled.
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
        prog="python -m submit_kubeflow", description="Uploads and runs a compiled pipeline."
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
        "--no-cache",
        dest="use_cache",
        action="store_false",
        help="run every task, also where an earlier run has its outputs",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_name_and_value,
        metavar="NAME=VALUE",
        help="a parameter of the run; may be repeated",
    )
    parser.add_argument(
        "--experiment", default="Default", help="the experiment that the run belongs to"
    )
    parser.add_argument("--namespace", help="namespace, where Kubeflow has several users")
    parser.add_argument(
        "--token-file",
        dest="token",
        type=_token,
        metavar="FILE",
        help="file with a bearer token, where Kubeflow asks for one",
    )
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


def _token(file: str) -> str:
    try:
        token = Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a file with a token: {error}") from error
    if not re.fullmatch("[!-~]+", token):  # else the error about the header would print it
        raise argparse.ArgumentTypeError(f"must be a file with one token and no more, not {file}")
    return token


if __name__ == "__main__":
    main()
