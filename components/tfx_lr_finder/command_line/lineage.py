"""Reads the found rates from a pipeline's metadata, with their lineage: data, module, trainings.

It uses ML Metadata directly, so that neither TFX nor TensorFlow is loaded. It follows single
events, because newer releases of ML Metadata support neither filters nor subgraphs.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from tfx_lr_finder.command_line.metadata_store import check_not_locked, store_of
from tfx_lr_finder.core.evidence import SWEEP_TYPE
from tfx_lr_finder.search.options import CODE_KEYS, RATE_KEYS

_WHEEL = re.compile(r"(?P<module>[^@]+)@.*-(?P<version>[^-]+)-py3-none-any\.whl")
"""How TFX records a packaged module: module name, `@`, and a wheel whose version has a hash."""

_INTERVAL = ("learning_rate_low", "learning_rate_high")


@dataclasses.dataclass(frozen=True)
class Data:
    """An `Examples` artifact.

    Attributes:
        uri: URI of the artifact.
        splits: Names of the splits.
        span: Number of the span that an ExampleGen read; None if no ExampleGen wrote the artifact.
        version: Version of the span; None if it has none.
        fingerprint: Fingerprint of the input files that an ExampleGen recorded; None without one.
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
        name: Name of the packaged module, dotted path of the function, or path of the file.
        version: Version of the wheel, which has a hash of the code; None if it is not packaged.
        wheel: Path of the wheel; None if the code is not packaged.
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
        state: State of the execution: `COMPLETE`, `FAILED`, `RUNNING` and so on.
        models: URIs of the models that it wrote.
    """

    node: str
    run: str
    state: str
    models: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FoundRate:
    """A learning rate that a pipeline found.

    Attributes:
        learning_rate: The rate as stored in the metadata: SQLite and MySQL keep six decimals.
        rule: Name of the rule, or `default`.
        verdict: Value of the verdict.
        interval: The least and the greatest rate that are expected; None if there is no interval,
            or if the metadata have rounded an end to 0.
        search_steps: Number of training steps that the search took.
        train_steps: Number of steps of the training to come; None if it was not known.
        sweep: URI of the sweep artifact, which holds the evidence.
        found_at: Time at which the sweep was written, in UTC.
        pipeline: Name of the pipeline.
        run: Name of the pipeline run.
        node: Name of the finder's node.
        module: The user's code.
        examples: The examples that the finder read.
        sources: The examples from which `examples` were made, over all generations.
        trainings: The executions that read the rate, except executions served from the cache.
    """

    learning_rate: float
    rule: str
    verdict: str
    interval: tuple[float, ...] | None
    search_steps: int
    train_steps: int | None
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
    """Returns the latest rates in a metadata store, the newest first.

    Args:
        connection: ML Metadata's `ConnectionConfig`.
        limit: Greatest number of rates to return, at least 1.

    Raises:
        ValueError: If the store is not a pipeline's, cannot be reached, or is a SQLite file that
            another process has locked.
    """
    check_not_locked(connection.sqlite.filename_uri)
    store = store_of(connection)
    sweeps = [
        sweep
        for sweep in store.get_artifacts_by_type(SWEEP_TYPE)
        # A sweep that an Importer put out has no rate among its properties, only the URI.
        if sweep.state == Artifact.LIVE and "learning_rate" in sweep.custom_properties
    ]
    latest = sorted(sweeps, key=lambda sweep: sweep.id, reverse=True)[:limit]
    return [_found_rate(store, sweep) for sweep in latest]


def _interval(facts: Mapping[str, Any]) -> tuple[float, ...] | None:
    # Of a tiny rate, the store has rounded the lower end to 0.
    ends = tuple(facts[name] for name in _INTERVAL if facts.get(name))
    return ends if len(ends) == len(_INTERVAL) else None


def _found_rate(store: MetadataStore, sweep: Any) -> FoundRate:
    # Executions served from the cache have put out the same sweep. The first one found the rate.
    finder = min(_executions(store, [sweep.id], Event.OUTPUT))
    (execution,) = store.get_executions_by_id([finder])
    facts = _values(sweep.custom_properties)
    examples = _artifacts(store, finder, Event.INPUT, "examples")
    return FoundRate(
        learning_rate=facts["learning_rate"],
        rule=facts["rule"],
        verdict=facts["verdict"],
        interval=_interval(facts),
        search_steps=facts["search_steps"],
        train_steps=facts.get("train_steps"),
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
    """Returns the ids of an execution's inputs or outputs: under some keys, or all without keys."""
    events = store.get_events_by_execution_ids([execution])
    return {
        event.artifact_id
        for event in events
        if event.type == kind and (not keys or event.path.steps[0].key in keys)
    }


def _executions(store: MetadataStore, artifacts: Iterable[int], kind: int) -> set[int]:
    """Returns the ids of the executions that read some artifacts, or that put them out."""
    events = store.get_events_by_artifact_ids(list(artifacts))
    return {event.execution_id for event in events if event.type == kind}


def _ancestors(store: MetadataStore, artifacts: set[int]) -> set[int]:
    """Returns the ids of all artifacts from which some artifacts were made, in any generation."""
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
    # Not `sweep`: a node inside a condition on the verdict reads it without using the rate.
    rates = _artifacts(store, finder, Event.OUTPUT, *RATE_KEYS)
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
    """Returns the names of an execution's `pipeline`, `run` and `node`."""
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
    name = next((parameters[key] for key in CODE_KEYS if parameters.get(key)), "")
    if wheel := _WHEEL.fullmatch(name):
        return Module(wheel["module"], wheel["version"], name.partition("@")[2])
    return Module(name)


def _values(properties: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("value")) for name, value in properties.items()}
