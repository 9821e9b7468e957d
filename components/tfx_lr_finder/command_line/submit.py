"""The command `submit`: uploads a compiled pipeline, starts a run and follows it."""

import re
from pathlib import Path
from typing import Any

import click

from tfx_lr_finder.command_line.program import Command, printable, put_out
from tfx_lr_finder.kubeflow.invocation import STORES


def _url(context: click.Context, option: click.Parameter, text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise click.BadParameter(f"It must begin with http:// or https://. Received: {text!r}.")
    return text.partition("#")[0].rstrip("/")  # after # is what the page shows


def _root(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.startswith(STORES):
        schemes = ", ".join(STORES)
        raise click.BadParameter(f"It must begin with one of {schemes}. Received: {text!r}.")
    return text


def _parameters(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    parts = [text.partition("=") for text in texts]
    for name, separator, value in parts:
        if not name or not separator:
            raise click.BadParameter(f"It must be NAME=VALUE. Received: {name + value!r}.")
    return {name: value for name, _, value in parts}


def _token(context: click.Context, option: click.Parameter, file: str | None) -> str | None:
    if file is None:
        return None
    try:
        token = Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"It must be a file with a token: {error}.") from error
    if not re.fullmatch("[!-~]+", token):  # else the error about the header would print it
        raise click.BadParameter(f"It must be a file with one token and no more, not {file}.")
    return token


@click.command("submit", cls=Command)
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option(
    "--endpoint",
    required=True,
    callback=_url,
    metavar="URL",
    help="The address under which a browser shows Kubeflow Pipelines.",
)
@click.option(
    "--token-file",
    "token",
    callback=_token,
    metavar="FILE",
    help="File with a bearer token, where Kubeflow asks for one.",
)
@click.option("--namespace", help="Namespace, where Kubeflow has several users.")
@click.option(
    "--experiment",
    default="Default",
    show_default=True,
    help="The experiment that the run belongs to.",
)
@click.option("--run-name", help="Name of the run; by default the pipeline's name and the time.")
@click.option(
    "--pipeline-root",
    callback=_root,
    metavar="URI",
    help="Folder in an object store for the outputs; by default the server's own.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    callback=_parameters,
    metavar="NAME=VALUE",
    help="A parameter of the run; may be repeated.",
)
@click.option("--image", help="Image of every task, in place of the compiled one.")
@click.option(
    "--no-cache",
    is_flag=True,
    help="Run every task, also where an earlier run has its outputs.",
)
@click.option("--follow", is_flag=True, help="Show the run's tasks until its end.")
@click.option(
    "--end-on-interrupt",
    is_flag=True,
    help="Ctrl-C ends the run that is followed. By default it goes on.",
)
def submit_command(
    pipeline: Path,
    endpoint: str,
    token: str | None,
    parameters: dict[str, str],
    image: str | None,
    no_cache: bool,
    follow: bool,
    end_on_interrupt: bool,
    as_json: bool,
    **run: Any,
) -> None:
    """Uploads a compiled pipeline to Kubeflow Pipelines and starts a run.

    With --follow it prints a line for each task that ends, the end of the log of a task that fails,
    and the rate that was found; the exit code is 0 only if the run succeeds.

    \b
    Examples:
      tfx-lr-finder submit penguin.yaml --endpoint https://kubeflow.example/pipeline
      tfx-lr-finder submit penguin.yaml --endpoint http://localhost:8080 \\
        --pipeline-root s3://bucket/root --parameter num_steps=100 --follow
    """
    if end_on_interrupt and not follow:
        raise click.UsageError("--end-on-interrupt needs --follow.")
    from tfx_lr_finder.kubeflow.runs import compiled
    from tfx_lr_finder.kubeflow.runs.server import Server
    from tfx_lr_finder.kubeflow.runs.tasks import SUCCEEDED

    documents = compiled.read(pipeline)
    spec = documents[0]
    values = compiled.typed_parameters(spec, parameters)
    server = Server(endpoint, token)
    server.check()

    from tfx_lr_finder.kubeflow.runs.submission import Submission, submit  # loads kfp: seconds

    with compiled.package(pipeline, documents, image, not no_cache) as file:
        run_id = submit(server, file, Submission(spec["pipelineInfo"]["name"], values, **run))
    result: dict[str, Any] = {"run_id": run_id, "url": f"{endpoint}/#/runs/details/{run_id}"}
    _say(f"Run: {result['url']}", as_json)
    try:
        if follow:
            result |= _followed(server, run_id, spec, run["namespace"], end_on_interrupt, as_json)
    finally:
        if as_json:
            put_out(result, "", as_json)
    if result.get("state", SUCCEEDED) != SUCCEEDED:
        failed = ", ".join(result["failed_tasks"]) or "none"
        raise click.ClickException(f"The run ended as {result['state']}. Failed tasks: {failed}.")


def _followed(
    server: Any,
    run_id: str,
    spec: dict[str, Any],
    namespace: str | None,
    end_on_interrupt: bool,
    as_json: bool,
) -> dict[str, Any]:
    """Follows a run, and returns how it ended."""
    from tfx_lr_finder.kubeflow.runs import compiled, following
    from tfx_lr_finder.kubeflow.runs.server import ServerError

    def say(line: str) -> None:
        _say(line, as_json)

    names = compiled.task_names(spec)
    try:
        ended = following.follow(server, run_id, names, say, namespace)
    except KeyboardInterrupt:
        token = ' -H "Authorization: Bearer $(cat FILE)"' if server.token else ""
        command = f"curl -X POST{token} {server.endpoint}{following.end_path(run_id)}"
        goes_on = f"The run goes on. To end it, use its page, or `{command}`."
        try:
            if end_on_interrupt:
                following.end(server, run_id)
            say("Kubeflow was asked to end the run." if end_on_interrupt else goes_on)
        except ServerError as error:
            say(f"{error} {goes_on}")
        raise
    rates: list[dict[str, Any]] | None = []
    if compiled.has_finder(spec):
        rates = following.say_rates(server, run_id, names, ended, say)
    return {"state": ended.state, "failed_tasks": ended.failed, "rates": rates}


def _say(line: str, as_json: bool) -> None:
    """Prints a line at once; to the standard error if JSON is to follow."""
    click.echo(printable(line), err=as_json)
