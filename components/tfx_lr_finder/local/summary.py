"""What the finders of a pipeline found, and what became of their rates."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfx.dsl.io import fileio
from tfx.orchestration.pipeline import Pipeline

from tfx_lr_finder.artifacts import PLOT_FILE, REPORT_FILE, LearningRateSweep
from tfx_lr_finder.local.metadata import latest_output

PROPERTIES = ("learning_rate", "rule", "verdict")
"""The custom properties of a sweep that a summary shows."""

DIFFERENCE = "{}_diff"
"""TFMA's name of the difference between a metric and that of the baseline model."""

Rows = Iterator[tuple[str, str]]


def summary(pipeline: Pipeline, run_id: str) -> str:
    """Returns the rates that a run of a pipeline found, the losses, and the files.

    What the run skipped is left out. A pipeline without a LearningRateFinder has an empty summary.
    """
    found = (
        in_lines(_found(pipeline, run_id, component))
        for component in pipeline.components
        if any(output.type is LearningRateSweep for output in component.outputs.values())
    )
    return "".join(f"\n{lines}" for lines in found if lines)


def in_lines(rows: Iterable[tuple[str, str]]) -> str:
    """Returns rows of a name and a value as lines, with the values below each other."""
    return "".join(f"{name:<16} {value}\n" for name, value in rows)


def rate_rows(sweep: str, properties: Mapping[str, Any], hyperparameters: str, name: str) -> Rows:
    """Yields the rate, the values beside it, and where its evidence lies.

    Args:
        sweep: Folder of the sweep.
        properties: Custom properties of the sweep, at least those in `PROPERTIES`.
        hyperparameters: Folder of the finder's hyperparameters.
        name: Name of the rate among them.
    """
    rate, rule, verdict = (properties[name] for name in PROPERTIES)
    yield "Learning rate", f"{rate:.3g} (rule: {rule}, verdict: {verdict})"
    (file,) = fileio.listdir(hyperparameters)
    with fileio.open(os.path.join(hyperparameters, file)) as config:
        values = json.load(config)["values"]
    if others := [f"{other} {value}" for other, value in values.items() if other != name]:
        yield "Carried over", ", ".join(others)
    yield "Curve", _shown(os.path.join(sweep, PLOT_FILE))
    yield "Report", _shown(os.path.join(sweep, REPORT_FILE))


def model_row(model: str) -> tuple[str, str]:
    """Returns the row of a model that was trained with the rate."""
    return "Model", _shown(model)


def evaluation_rows(evaluation: str, baseline: str) -> Rows:
    """Yields each metric over all examples, with that of the baseline model if there is one.

    Args:
        evaluation: Folder of an Evaluator's evaluation.
        baseline: What to call the baseline model.
    """
    import tensorflow_model_analysis as tfma  # slow, and only an Evaluator needs it

    overall = dict(tfma.load_eval_result(evaluation).slicing_metrics).get((), {})
    for metrics in (named for outputs in overall.values() for named in outputs.values()):
        values = {n: value["doubleValue"] for n, value in metrics.items() if "doubleValue" in value}
        differences = {DIFFERENCE.format(name) for name in values}
        for name, value in values.items():
            if name == "example_count" or name in differences:
                continue
            difference = values.get(DIFFERENCE.format(name))
            beside = "" if difference is None else f" ({baseline}: {value - difference:.4f})"
            yield "Evaluation", f"{name} {value:.4f}{beside}"


def _found(pipeline: Pipeline, run_id: str, finder: Any) -> Rows:
    def output(node: Any, key: str) -> Any:
        connection, name = pipeline.metadata_connection_config, pipeline.pipeline_info.pipeline_name
        return latest_output(connection, name, node.id, key, run_id)

    sweep = output(finder, "sweep")
    if sweep is None:
        return
    properties = {name: sweep.get_custom_property(name) for name in PROPERTIES}
    hyperparameters = output(finder, "best_hyperparameters").uri
    yield from rate_rows(
        sweep.uri, properties, hyperparameters, finder.exec_properties["learning_rate_name"]
    )
    trainers = {node.id for node in _fed_by({finder.id}, pipeline, "hyperparameters")}
    for node in pipeline.components:
        if node.id in trainers and "model" in node.outputs and (model := output(node, "model")):
            yield model_row(model.uri)
    for node in _fed_by(trainers, pipeline, "model"):
        if "evaluation" in node.outputs and (evaluation := output(node, "evaluation")):
            baseline = node.inputs.get("baseline_model")
            of = baseline.producer_component_id if baseline else None
            yield from evaluation_rows(evaluation.uri, of or "baseline")


def _fed_by(producers: set[str], pipeline: Pipeline, key: str) -> Iterator[Any]:
    """Yields the components that take an input from one of the producers."""
    for node in pipeline.components:
        channel = node.inputs.get(key)
        if channel is not None and getattr(channel, "producer_component_id", None) in producers:
            yield node


def _shown(path: str) -> str:
    return path if "://" in path else os.path.relpath(path)
