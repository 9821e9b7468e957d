"""The command `show`: the rates in a pipeline's metadata, with their lineage."""

import dataclasses
from typing import Any

import click

from tfx_lr_finder.command_line.program import Command, put_out
from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.core.trials.plan import share

_PASSWORD_VARIABLE = "TFX_LR_FINDER_PASSWORD"


@click.command("show", cls=Command)
@click.argument("sqlite_file", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--host", help="Name or address of the MySQL server, in place of SQLITE_FILE.")
@click.option("--port", type=int, default=3306, show_default=True, help="Its port.")
@click.option("--database", help="The database on it.")
@click.option("--username", help="The user who reads it.")
@click.option(
    "--password",
    envvar=_PASSWORD_VARIABLE,
    show_envvar=True,
    default="",
    help="The password; better in the environment, where other users do not see it.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="The greatest number of rates.",
)
def show_command(sqlite_file: str | None, limit: int, as_json: bool, **mysql: Any) -> None:
    """Shows the latest rates in a pipeline's metadata.

    With each rate it shows the data and the module that it was found with, and the trainings that
    used it. SQLITE_FILE holds the pipeline's metadata; for those in MySQL give --host, --database
    and --username. The rates are rounded to six decimals, as ML Metadata keeps them.

    \b
    Examples:
      tfx-lr-finder show pipeline/metadata.db
      tfx-lr-finder show --host mysql.example --database metadb --username reader --limit 1
    """
    from tfx_lr_finder.command_line.lineage import latest_rates

    rates = latest_rates(_connection(sqlite_file, **mysql), limit)
    content = [dataclasses.asdict(rate) | {"found_at": rate.found_at.isoformat()} for rate in rates]
    text = "\n\n".join(map(_in_words, rates)) or "No learning rate was found in these metadata."
    put_out({"rates": content}, text, as_json)


def _connection(
    sqlite_file: str | None,
    host: str | None,
    port: int,
    database: str | None,
    username: str | None,
    password: str,
) -> Any:
    from ml_metadata.proto.metadata_store_pb2 import (
        ConnectionConfig,
        MySQLDatabaseConfig,
        SqliteMetadataSourceConfig,
    )

    server = {"--host": host, "--database": database, "--username": username}
    missing = [name for name, value in server.items() if not value]
    if sqlite_file and len(missing) == len(server):
        mode = SqliteMetadataSourceConfig.READONLY
        return ConnectionConfig(
            sqlite=SqliteMetadataSourceConfig(filename_uri=sqlite_file, connection_mode=mode)
        )
    if sqlite_file or missing:
        received = [*filter(None, [sqlite_file]), *(n for n in server if n not in missing)]
        raise click.UsageError(
            "Give either SQLITE_FILE, or --host, --database and --username. "
            f"Received: {', '.join(received) or 'none of them'}."
        )
    return ConnectionConfig(
        mysql=MySQLDatabaseConfig(
            host=host, port=port, database=database, user=username, password=password
        )
    )


def _in_words(rate: Any) -> str:
    module = rate.module.name + (f" (version {rate.module.version})" if rate.module.version else "")
    lines = [
        ("Learning rate", f"{rate.learning_rate:.3g} (rule: {rate.rule}, verdict: {rate.verdict})"),
        *([("Expected", expectation(rate.interval))] if rate.interval else []),
        ("Cost", f"{rate.search_steps} steps{share(rate.search_steps, rate.train_steps)}"),
        ("Found", f"{rate.found_at:%Y-%m-%d %H:%M} UTC by {rate.node} of {rate.pipeline}"),
        ("Run", rate.run),
        *(("Examples", _data_in_words(data)) for data in rate.examples),
        *(("made from", _data_in_words(data)) for data in rate.sources),
        ("Module", module),
        ("Sweep", rate.sweep),
        *(("Used by", _training_in_words(training)) for training in rate.trainings),
    ]
    return "\n".join(f"{label:<15}{value}" for label, value in lines)


def _data_in_words(data: Any) -> str:
    facts = [f"splits {', '.join(data.splits)}"]
    if data.span is not None:
        facts.append(f"span {data.span}")
    if data.version is not None:
        facts.append(f"version {data.version}")
    return f"{data.uri} ({'; '.join(facts)})"


def _training_in_words(training: Any) -> str:
    models = ", ".join(training.models) or f"no model: {training.state}"
    return f"{training.node} in run {training.run}: {models}"
