"""The rates in a pipeline's metadata, with their lineage: the data, the module, the trainings.

It asks ML Metadata itself: neither TFX nor TensorFlow is loaded. It goes from event to event, for
newer releases of ML Metadata can neither filter nor give a subgraph.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from tfx_lr_finder.command_line.metadata_store import check_not_locked, store_of
from tfx_lr_finder.core.evidence import SWEEP_TYPE
from tfx_lr_finder.search.options import OUTPUT_KEYS, user_code

_RATE_KEYS = OUTPUT_KEYS[:2]
"""The component's outputs that hold the rate; a gate around a node makes it read the `sweep`."""
_WHEEL = re.compile(r"(?P<module>[^@]+)@.*-(?P<version>[^-]+)-py3-none-any\.whl")
"""How TFX records a packaged module: its name, and a wheel with its hash as the version."""


@dataclasses.dataclass(frozen=True)
class Data:
    """An artifact of examples.

    Attributes:
        uri: Where it lies.
        splits: Names of its splits.
        span: Number of the span that an ExampleGen read; None for what is made from it.
        version: The span's version, if it has one.
        fingerprint: What the ExampleGen recorded of its input files, if it did.
    """

    uri: str
    splits: tuple[str, ...]
    span: int | None = None
    version: int | None = None
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True)
class Module:
    """The user's code.

    Attributes:
        name: Name of the module or of the dotted function, or path of the file.
        version: That of the wheel, which has the hash of the text; None for code not packaged.
        wheel: The wheel; None for code not packaged.
    """

    name: str
    version: str | None = None
    wheel: str | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """An execution that read the rate.

    Attributes:
        node: Name of the node, for example `Trainer`.
        run: Name of the pipeline run.
        state: `COMPLETE`, `FAILED`, `RUNNING` and so on.
        models: Where its models lie.
    """

    node: str
    run: str
    state: str
    models: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FoundRate:
    """A learning rate that a pipeline found.

    Attributes:
        learning_rate: The rate, as the metadata have it: SQLite and MySQL keep six decimals.
        rule: Name of the rule, or `default`.
        verdict: Value of the verdict.
        sweep: Where the evidence lies.
        found_at: When it was written, in UTC.
        pipeline: Name of the pipeline.
        run: Name of the run.
        node: Name of the node.
        module: The user's code.
        examples: What the finder read.
        sources: The examples that those were made from.
        trainings: What read the rate. Executions served from the cache are left out.
    """

    learning_rate: float
    rule: str
    verdict: str
    sweep: str
    found_at: datetime.datetime
    pipeline: str
    run: str
    node: str
    module: Module
    examples: tuple[Data, ...]
    sources: tuple[Data, ...]
    trainings: tuple[Training, ...]


def latest_rates(connection: Any, limit: int) -> list[FoundRate]:
    """Returns the latest rates of a metadata store, the last one first.

    Args:
        connection: ML Metadata's `ConnectionConfig`.
        limit: The greatest number of rates, at least 1.

    Raises:
        ValueError: If it is not the metadata store of a pipeline, cannot be reached, or is a
            SQLite file that another process has locked.
    """
    check_not_locked(connection.sqlite.filename_uri)
    store = store_of(connection)
    sweeps = [
        sweep
        for sweep in store.get_artifacts_by_type(SWEEP_TYPE)
        # One that an Importer put out has no rate: it knows only where the sweep lies.
        if sweep.state == Artifact.LIVE and "learning_rate" in sweep.custom_properties
    ]
    latest = sorted(sweeps, key=lambda sweep: sweep.id, reverse=True)[:limit]
    return [_found_rate(store, sweep) for sweep in latest]


def _found_rate(store: MetadataStore, sweep: Any) -> FoundRate:
    # Executions that were served from the cache have put it out, too.
    finder = min(_executions(store, [sweep.id], Event.OUTPUT))
    (execution,) = store.get_executions_by_id([finder])
    facts = _values(sweep.custom_properties)
    examples = _artifacts(store, finder, Event.INPUT, "examples")
    return FoundRate(
        learning_rate=facts["learning_rate"],
        rule=facts["rule"],
        verdict=facts["verdict"],
        sweep=sweep.uri,
        found_at=datetime.datetime.fromtimestamp(
            sweep.create_time_since_epoch / 1000, datetime.timezone.utc
        ),
        **_context_names(store, finder),
        module=_module(_values(execution.custom_properties)),
        examples=tuple(map(_data, _of_type(store, examples, "Examples"))),
        sources=tuple(map(_data, _of_type(store, _ancestors(store, examples), "Examples"))),
        trainings=tuple(_trainings(store, finder)),
    )


def _artifacts(store: MetadataStore, execution: int, kind: int, *keys: str) -> set[int]:
    """Returns the artifacts that an execution read or put out, under some keys or under any."""
    events = store.get_events_by_execution_ids([execution])
    return {
        event.artifact_id
        for event in events
        if event.type == kind and (not keys or event.path.steps[0].key in keys)
    }


def _executions(store: MetadataStore, artifacts: Iterable[int], kind: int) -> set[int]:
    """Returns the executions that read artifacts or put them out."""
    events = store.get_events_by_artifact_ids(list(artifacts))
    return {event.execution_id for event in events if event.type == kind}


def _ancestors(store: MetadataStore, artifacts: set[int]) -> set[int]:
    """Returns what artifacts were made from, and what that was made from, and so on."""
    found: set[int] = set()
    new = artifacts
    while new:
        makers = _executions(store, new, Event.OUTPUT)
        read = set[int]().union(*(_artifacts(store, maker, Event.INPUT) for maker in makers))
        new = read - found
        found |= new
    return found


def _of_type(store: MetadataStore, artifacts: set[int], name: str) -> list[Any]:
    return [artifact for artifact in store.get_artifacts_by_id(artifacts) if artifact.type == name]


def _trainings(store: MetadataStore, finder: int) -> Iterator[Training]:
    rates = _artifacts(store, finder, Event.OUTPUT, *_RATE_KEYS)
    readers = _executions(store, rates, Event.INPUT)
    for execution in store.get_executions_by_id(readers):
        if execution.last_known_state == Execution.CACHED:
            continue
        names = _context_names(store, execution.id)
        written = _artifacts(store, execution.id, Event.OUTPUT)
        yield Training(
            node=names["node"],
            run=names["run"],
            state=Execution.State.Name(execution.last_known_state),
            models=tuple(artifact.uri for artifact in _of_type(store, written, "Model")),
        )


def _context_names(store: MetadataStore, execution: int) -> dict[str, str]:
    """Returns the names of an execution's pipeline, run and node."""
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution)}
    pipeline = names.get("pipeline", "")
    return {
        "pipeline": pipeline,
        "run": names.get("pipeline_run", ""),
        "node": names.get("node", "").removeprefix(f"{pipeline}."),
    }


def _data(artifact: Any) -> Data:
    facts = {**_values(artifact.properties), **_values(artifact.custom_properties)}
    return Data(
        uri=artifact.uri,
        splits=tuple(sorted(json.loads(facts.get("split_names", "[]")))),
        span=_number(facts.get("span")),
        version=_number(facts.get("version")),
        fingerprint=facts.get("input_fingerprint"),
    )


def _number(value: str | float | None) -> int | None:
    return None if value is None else int(value)


def _module(parameters: dict[str, Any]) -> Module:
    name = user_code(parameters)
    if wheel := _WHEEL.fullmatch(name):
        return Module(wheel["module"], wheel["version"], name.partition("@")[2])
    return Module(name)


def _values(properties: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("value")) for name, value in properties.items()}
