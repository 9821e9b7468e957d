"""Uploads a compiled pipeline to Kubeflow Pipelines and starts a run."""

import contextlib
import datetime
import io
import json
import secrets
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tfx_lr_finder.kubeflow.extras import kfp_imported
from tfx_lr_finder.kubeflow.runs.server import Server

with kfp_imported():
    import kfp_server_api
    from kfp import Client
from urllib3.exceptions import HTTPError

CONFLICT = 409


class Submission(NamedTuple):
    """What a run is started with.

    Attributes:
        pipeline_name: Name of the pipeline. Each submission uploads a new version of it.
        parameters: Parameters of the run, in the types that the pipeline declares.
        pipeline_root: Folder in an object store for the outputs; by default the server's own.
        run_name: Name of the run; by default the pipeline's name and the time.
        experiment: Name of the run's experiment, which is created if it does not exist.
        namespace: Namespace, if Kubeflow has several users.
    """

    pipeline_name: str
    parameters: Mapping[str, Any]
    pipeline_root: str | None = None
    run_name: str | None = None
    experiment: str = "Default"
    namespace: str | None = None


def submit(server: Server, file: Path, submission: Submission) -> str:
    """Uploads a compiled pipeline, starts a run of it and returns the run's id.

    Raises:
        ServerError: If the run cannot start.
    """
    # Every version needs a name of its own, also if two are submitted in the same second.
    now = datetime.datetime.now()
    unique = f"{submission.pipeline_name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    try:
        with _quiet():
            client = Client(host=server.endpoint, existing_token=server.token)
            version = _upload(client, file, unique, submission)
            experiment = _experiment(client, submission)
            run = client.run_pipeline(
                experiment.experiment_id,
                submission.run_name or unique,
                params=dict(submission.parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.pipeline_version_id,
                pipeline_root=submission.pipeline_root,
            )
    except kfp_server_api.ApiException as error:
        raise server.refusal(error.status, error.reason, error.body) from error
    except (HTTPError, TimeoutError) as error:
        raise server.no_answer(" ".join(str(error).split())) from error
    return str(run.run_id)


def _upload(client: Any, file: Path, version: str, submission: Submission) -> Any:
    """Uploads a version of the pipeline with this name; creates the pipeline if there is none."""
    name, namespace = submission.pipeline_name, submission.namespace
    if not (known := _known(client, name, namespace)):
        try:
            created = client.upload_pipeline(str(file), name, namespace=namespace)
        except kfp_server_api.ApiException as error:
            known = error.status == CONFLICT and _known(client, name, namespace)
            if not known:  # else another submission has created it in the meantime
                raise
        else:  # others may have uploaded a version since; the first has the pipeline's name
            versions = client.list_pipeline_versions(created.pipeline_id).pipeline_versions
            return next(version for version in versions if version.display_name == name)
    return client.upload_pipeline_version(str(file), version, pipeline_id=known[0].pipeline_id)


def _experiment(client: Any, submission: Submission) -> Any:
    name, namespace = submission.experiment, submission.namespace
    try:
        return client.create_experiment(name, namespace=namespace)
    except kfp_server_api.ApiException as error:
        if error.status != CONFLICT:
            raise
        # Another submission has created it since kfp looked for it.
        return client.get_experiment(experiment_name=name, namespace=namespace)


def _known(client: Any, name: str, namespace: str | None) -> list[Any]:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    found = client.list_pipelines(
        filter=json.dumps({"predicates": [predicate]}), namespace=namespace
    )
    return found.pipelines or []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides kfp's own output: the run's address once more, and warnings."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
