"""Reads the found rates from a pipeline's metadata, with their lineage: data, module, trainings.

It uses ML Metadata directly, so that neither TFX nor TensorFlow is loaded. It follows single
events, because newer releases of ML Metadata support neither filters nor subgraphs.
"""

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

from tfx_lr_finder.command_line.found_rate import Data, FoundRate, Module, Training
from tfx_lr_finder.command_line.metadata_store import check_not_locked, store_of
from tfx_lr_finder.core.evidence import SWEEP_TYPE
from tfx_lr_finder.search.options import CODE_KEYS, RATE_KEYS

_WHEEL = re.compile(r"(?P<module>[^@]+)@.*-(?P<version>[^-]+)-py3-none-any\.whl")
"""How TFX records a packaged module: module name, `@`, and a wheel whose version has a hash."""

_INTERVAL = ("learning_rate_low", "learning_rate_high")


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
