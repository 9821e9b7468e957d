"""The rates in a pipeline's metadata, with their lineage: the data, the module, the trainings.

It asks ML Metadata itself: neither TFX nor TensorFlow is loaded.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

from ml_metadata import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto.metadata_store_pb2 import (
    Event,
    Execution,
    LineageGraph,
    LineageSubgraphQueryOptions,
)

SWEEP_TYPE = "tfx_lr_finder.LearningRateSweep"

_WHEEL = re.compile(r"(?P<module>.+)@.*-(?P<version>[^-]+)-py3-none-any\.whl")
"""How TFX records a packaged module: its name, and a wheel with its hash as the version."""
_STATEMENT = re.compile(r" query: +[A-Z].*", re.DOTALL)
"""The SQL that ML Metadata appends to an error."""
_TRAINING_HOPS = 3
"""From a finder's execution over its outputs and their readers to what these wrote."""
_ALL_HOPS = 100
"""More than a pipeline has from its data to its model."""


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
        ValueError: If it is not the metadata store of a pipeline, or cannot be reached.
    """
    store = _store(connection)
    latest_first = ListOptions(
        limit=limit,
        order_by=OrderByField.ID,
        is_asc=False,
        filter_query=f"type = '{SWEEP_TYPE}' AND state = LIVE",
    )
    return [_found_rate(store, sweep) for sweep in store.get_artifacts(list_options=latest_first)]


def _store(connection: Any) -> MetadataStore:
    try:
        return MetadataStore(connection)
    except RuntimeError as error:
        reason = _STATEMENT.sub("", str(error))
        raise ValueError(
            "The metadata store must be one that a TFX pipeline has written to. "
            f"Received: {reason}. Give the file, or the server, database, user and password, "
            "of the pipeline's `metadata_connection_config`."
        ) from error


def _found_rate(store: MetadataStore, sweep: Any) -> FoundRate:
    events = store.get_events_by_artifact_ids([sweep.id])
    # Executions that were served from the cache have put it out, too.
    finder = min(event.execution_id for event in events if event.type == Event.OUTPUT)
    upstream = _lineage(store, finder, LineageSubgraphQueryOptions.UPSTREAM, _ALL_HOPS)
    downstream = _lineage(store, finder, LineageSubgraphQueryOptions.DOWNSTREAM, _TRAINING_HOPS)
    (execution,) = store.get_executions_by_id([finder])
    facts, names = _values(sweep.custom_properties), _context_names(store, finder)
    examples = set(_ends(upstream, finder, Event.INPUT, "examples"))
    data = [artifact for artifact in upstream.artifacts if artifact.type == "Examples"]
    return FoundRate(
        learning_rate=facts["learning_rate"],
        rule=facts["rule"],
        verdict=facts["verdict"],
        sweep=sweep.uri,
        found_at=datetime.datetime.fromtimestamp(
            sweep.create_time_since_epoch / 1000, datetime.timezone.utc
        ),
        **names,
        module=_module(_values(execution.custom_properties)),
        examples=tuple(_data(artifact) for artifact in data if artifact.id in examples),
        sources=tuple(_data(artifact) for artifact in data if artifact.id not in examples),
        trainings=tuple(_trainings(store, downstream, finder)),
    )


def _lineage(store: MetadataStore, execution: int, direction: int, hops: int) -> LineageGraph:
    return store.get_lineage_subgraph(
        LineageSubgraphQueryOptions(
            starting_executions={"filter_query": f"id = {execution}"},
            max_num_hops=hops,
            direction=direction,
        ),
        ["artifacts", "executions", "events"],
    )


def _ends(graph: LineageGraph, execution: int, kind: int, key: str | None = None) -> Iterator[int]:
    """Yields the artifacts that an execution read or put out, under a key or under any."""
    for event in graph.events:
        of_execution = event.execution_id == execution and event.type == kind
        if of_execution and key in (None, event.path.steps[0].key):
            yield event.artifact_id


def _trainings(store: MetadataStore, graph: LineageGraph, finder: int) -> Iterator[Training]:
    for execution in graph.executions:
        if execution.id == finder or execution.last_known_state == Execution.CACHED:
            continue
        written = set(_ends(graph, execution.id, Event.OUTPUT))
        names = _context_names(store, execution.id)
        yield Training(
            node=names["node"],
            run=names["run"],
            state=Execution.State.Name(execution.last_known_state),
            models=tuple(
                artifact.uri
                for artifact in graph.artifacts
                if artifact.type == "Model" and artifact.id in written
            ),
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
    path = parameters.get("module_path") or ""
    if wheel := _WHEEL.fullmatch(path):
        return Module(wheel["module"], wheel["version"], path.partition("@")[2])
    return Module(path or parameters.get("module_file") or parameters.get("lr_finder_fn") or "")


def _values(properties: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("value")) for name, value in properties.items()}
