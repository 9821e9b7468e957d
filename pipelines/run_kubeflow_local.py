"""Runs a compiled pipeline on this machine, each task in a container of its image.

    python -m run_kubeflow_local PIPELINE.yaml FOLDER >run.log

Progress and errors go to standard error, the output of kfp.local and the tasks to standard output.
kfp.local takes the place of a cluster. It needs a newer protobuf than TFX 1.16, hence a separate
environment: `container/requirements/kfp-local.txt`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import docker
from kfp import components, dsl, local
from kfp.local import docker_task_handler, importer_handler, status, task_dispatcher

OUTPUTS_FILE = "outputs.json"
PREFIX = "comp-"
LAST_LINES = 20
SERVICE_TIMEOUT_SECONDS = 30

Outputs = dict[str, Any]
"""By output key: an artifact's URI and metadata, or a parameter's value."""

Ended = tuple[dict[str, Any], status.Status]
"""The result of a task in kfp.local: the values of its outputs, and whether it succeeded."""


class RunError(RuntimeError):
    """The pipeline cannot run to its end; the message is for the user."""


def main(pipeline_file: Path, folder: Path) -> None:
    """Runs the pipeline, and writes the outputs of all tasks to `outputs.json` in the folder.

    Args:
        pipeline_file: The compiled pipeline.
        folder: Pipeline root, which every task's container sees under the same path.
    """
    outputs_file = folder / OUTPUTS_FILE
    outputs_file.unlink(missing_ok=True)  # the file of an earlier run would be wrong
    with container_engine():
        outputs = run(pipeline_file, folder)
    outputs_file.write_text(json.dumps(outputs, indent=2))


def run(pipeline_file: Path, folder: Path) -> dict[str, Outputs]:
    """Runs a compiled pipeline, and prints a line with the time of each task.

    Args:
        pipeline_file: The compiled pipeline.
        folder: Pipeline root.

    Returns:
        The outputs of each task, by the task's name.

    Raises:
        RunError: If a parameter has no default, or if a task has a condition, fails, or ends
            without reporting all its outputs.
    """
    pipeline = components.load_component_from_file(str(pipeline_file))
    root = pipeline.pipeline_spec.root
    parameters = root.input_definitions.parameters.items()
    missing = sorted(
        name for name, p in parameters if not (p.HasField("default_value") or p.is_optional)
    )
    if missing:
        raise RunError(
            "Every parameter must have a default here. "
            f"Received: missing {missing}. Compile the pipeline with their defaults."
        )
    tasks = root.dag.tasks
    conditional = sorted(name for name, task in tasks.items() if task.trigger_policy.condition)
    if conditional:
        raise RunError(
            "kfp.local cannot decide conditions on what a task put out: it skips the tasks. "
            f"Received: conditions around {conditional}. "
            "Compile the pipeline without its gates, or run it on Kubeflow."
        )
    outputs: dict[str, Outputs] = {}
    run_importer = importer_handler.run_importer

    def import_under_its_key(**task: Any) -> Ended:
        # kfp.local always names the output `artifact`; TFX's definition has another name.
        values, task_status = run_importer(**task)
        (key,) = task["component_spec"].output_definitions.artifacts
        return {key: values["artifact"]}, task_status

    def checked(run_task: Callable[..., Ended]) -> Callable[..., Ended]:
        def run_and_check(**task: Any) -> Ended:
            name = task["component_name"].removeprefix(PREFIX)
            # kfp.local cuts as many characters off the component's name as its own prefix has, and
            # names the folder so. Without a prefix, FirstTrainer and OtherTrainer would share one.
            task["component_name"] = PREFIX + name
            label = f"[{len(outputs) + 1}/{len(tasks)}] {name} ".ljust(32, ".")
            print(label, end=" ", file=sys.stderr, flush=True)
            started = time.monotonic()
            try:
                values, task_status = run_task(**task)
            except RunError as error:
                raise RunError(f"\n{name} failed:\n{error}") from None
            defined = task["component_spec"].output_definitions
            missing = {*defined.artifacts, *defined.parameters} - values.keys()
            if missing:
                raise RunError(f"\n{name} ended without its outputs {sorted(missing)}.")
            print(f"{time.monotonic() - started:.1f} s", file=sys.stderr)
            outputs[name] = {key: _described(value) for key, value in values.items()}
            return values, task_status

        return run_and_check

    with contextlib.closing(docker.from_env()) as client:
        # In a rootless engine, the container's root is the user of this process.
        rootless = "name=rootless" in client.info()["SecurityOptions"]
    user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
    # The host's network: for a separate one, podman needs further packages.
    runner = local.DockerRunner(user=user, network_mode="host")
    local.init(runner, pipeline_root=str(folder))
    with (
        patch.object(docker_task_handler, "run_docker_container", run_container),
        patch.object(importer_handler, "run_importer", checked(import_under_its_key)),
        patch.object(
            task_dispatcher,
            "run_single_task_implementation",
            checked(task_dispatcher.run_single_task_implementation),
        ),
    ):
        pipeline()
    return outputs


def run_container(
    client: docker.DockerClient, image: str, command: list[str], **options: Any
) -> int:
    """Runs a container to its end, for kfp.local.

    kfp.local's own function lets the engine remove the container. If that happens before the
    function asks for the status, it reports a success.

    Raises:
        RunError: If the container cannot be started, or ends with a status other than 0.
    """
    try:
        container = client.containers.run(image, command, detach=True, **options)
    except docker.errors.DockerException as error:
        raise RunError(str(error)) from error
    try:
        for output in container.logs(stream=True):
            sys.stdout.write(output.decode(errors="replace"))
        if container.wait()["StatusCode"] != 0:
            log = container.logs(tail=LAST_LINES).decode(errors="replace")
            raise RunError(f"The end of its log:\n{log}")
        return 0
    finally:
        container.remove(force=True)


@contextlib.contextmanager
def container_engine() -> Iterator[None]:
    """Runs podman's service while the context is open, unless a Docker engine answers.

    Raises:
        RunError: If there is neither Docker nor podman.
    """
    if _engine_answers():
        yield
        return
    no_engine = RunError(
        "A container engine must answer. "
        f"Received: no Docker at {os.environ.get('DOCKER_HOST', 'its usual address')}, no podman. "
        "Start Docker, and set DOCKER_HOST if it has another address, or install podman."
    )
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix://{folder}/podman.sock"
        try:
            service = subprocess.Popen(
                ["podman", "system", "service", "--time=0", address], stderr=sys.stdout
            )
        except FileNotFoundError as error:
            raise no_engine from error
        os.environ["DOCKER_HOST"] = address
        try:
            give_up = time.monotonic() + SERVICE_TIMEOUT_SECONDS
            while not _engine_answers():
                if service.poll() is not None or time.monotonic() > give_up:
                    raise no_engine
                time.sleep(0.1)
            yield
        finally:
            del os.environ["DOCKER_HOST"]
            service.terminate()
            service.wait()


def _described(value: Any) -> Any:
    is_artifact = isinstance(value, dsl.Artifact)
    return {"uri": value.uri, "metadata": value.metadata} if is_artifact else value


def _engine_answers() -> bool:
    try:
        with contextlib.closing(docker.from_env()) as client:
            return bool(client.ping())
    except docker.errors.DockerException:
        return False


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    except RunError as error:
        sys.exit(str(error))
