"""Checks at compile time for everything that Kubeflow Pipelines v2 cannot run."""

import json
import re

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import get_predicates
from tfx.dsl.placeholder.placeholder import Placeholder
from tfx.orchestration.data_types import RUNTIME_PARAMETER_PATTERN, RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import UnionChannel
from tfx.types.channel_utils import get_dependent_channels

from tfx_lr_finder.kubeflow import places
from tfx_lr_finder.kubeflow.conditions import condition

MOST_BYTES = 100 * 1024
"""Of a task's options, which are in one argument with its artifacts: Linux takes 128 KiB."""


def check(pipeline: Pipeline) -> None:
    """Refuses a pipeline that Kubeflow would refuse, or would fail to run.

    Raises:
        ValueError: If one of these holds for a component:

            - its id has other characters than letters, digits and `-`, or is that of a task
              which Kubeflow adds;
            - it is a Resolver;
            - an input is a union of channels;
            - an input or condition reads an output of a component outside of the pipeline;
            - a path or URI is out of the tasks' reach (see `tfx_lr_finder.kubeflow.places`);
            - an option is an output of another component;
            - an option contains a RuntimeParameter but is not one as a whole;
            - its options are longer than 100 KiB together, or contain `{{workflow.`;
            - it reads files by span, version or date;
            - a condition is on the value of an artifact, or around an Importer.
    """
    for component in pipeline.components:
        _check_id(component.id)
        _check_added_tasks(component.id, pipeline)
        _check_resolver(component)
        _check_inputs(component)
        _check_producers(component, pipeline)
        places.check(component, pipeline.pipeline_info.pipeline_root)
        _check_options(component)
        _check_runtime_parameters(component)
        _check_texts(component)
        _check_file_pattern(component)
        _check_conditions(component, pipeline)


def _check_id(component_id: str) -> None:
    # Argo, which runs the tasks, uses the id as the name of a template.
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9-]*", component_id):
        raise ValueError(
            "A component's id must be of letters, digits and `-` on Kubeflow. "
            f"Received: {component_id!r}. "
            f"Give it another: `.with_id({re.sub('[^a-zA-Z0-9]+', '-', component_id)!r})`."
        )


def _check_added_tasks(component_id: str, pipeline: Pipeline) -> None:
    added = ["root", "executor", *(f"{component.id}-driver" for component in pipeline.components)]
    if component_id in added:
        raise ValueError(
            "Kubeflow adds a task `root`, and tasks `executor` and `ID-driver` for a component. "
            f"Received: a component of the name {component_id!r}. Give it another id."
        )


def _check_resolver(component: BaseNode) -> None:
    if isinstance(component, Resolver):
        raise ValueError(
            "A Resolver cannot run on Kubeflow Pipelines, whose tasks do not see earlier runs. "
            f"Received: {component.id!r}. "
            "Name what it would find, with an Importer of the artifact's URI."
        )


def _check_inputs(component: BaseNode) -> None:
    unions = [
        name for name, channel in component.inputs.items() if isinstance(channel, UnionChannel)
    ]
    if unions:
        raise ValueError(
            "An input must be the output of one component on Kubeflow. "
            f"Received: a union of several for {unions} of {component.id!r}. "
            "Read everything with one ExampleGen, or put the union into a component of yours."
        )


def _check_producers(component: BaseNode, pipeline: Pipeline) -> None:
    predicates = get_predicates(component, pipeline.dsl_context_registry)
    read = [(repr(name), channel) for name, channel in component.inputs.items()]
    read += [("a condition", channel) for p in predicates for channel in get_dependent_channels(p)]
    known = {node.id for node in pipeline.components}
    for name, channel in read:
        producers = channel.get_data_dependent_node_ids()
        if queried := getattr(channel, "producer_component_id", None):  # it is an artifact query
            producers = producers | {queried}
        if missing := producers - known:
            raise ValueError(
                "Each input must be the output of a component of the pipeline. "
                f"Received: {name} of {component.id!r} from {sorted(missing)}, not among them. "
                "Add it to the pipeline's components."
            )


def _check_options(component: BaseNode) -> None:
    dynamic = [n for n, v in component.exec_properties.items() if isinstance(v, Placeholder)]
    if dynamic:
        raise ValueError(
            "An option cannot be the output of another component on Kubeflow. "
            f"Received: {dynamic} of {component.id!r}. "
            "Hand over the artifact itself, as an input, and read it in the component."
        )


def _check_runtime_parameters(component: BaseNode) -> None:
    inside = [
        name
        for name, value in component.exec_properties.items()
        if not isinstance(value, RuntimeParameter)
        and re.search(RUNTIME_PARAMETER_PATTERN, str(value))
    ]
    if inside:
        raise ValueError(
            "A RuntimeParameter must be the whole of an option on Kubeflow: inside of one, "
            "TFX writes down what it is in place of its value. "
            f"Received: one inside {inside} of {component.id!r}. Give the value itself."
        )


def _check_texts(component: BaseNode) -> None:
    texts = {name: str(value) for name, value in component.exec_properties.items()}
    if replaced := [name for name, text in texts.items() if "{{workflow." in text]:
        raise ValueError(
            "An option cannot contain `{{workflow.` on Kubeflow: Argo, which runs the tasks, "
            f"replaces it. Received: {replaced} of {component.id!r}. "
            "Put the text into the image, or write the braces apart."
        )
    num_bytes = len(json.dumps(texts).encode())
    if num_bytes > MOST_BYTES:
        raise ValueError(
            f"A component's options must have at most {MOST_BYTES} bytes on Kubeflow, where they "
            f"are one argument of a command. Received: {num_bytes} bytes for {component.id!r}, "
            f"most of them in {max(texts, key=lambda name: len(texts[name]))!r}. "
            "Put long texts into files of the image, or hand them over as an artifact."
        )


def _check_file_pattern(component: BaseNode) -> None:
    # TFX resolves span, version and date in a driver, which open-source Kubeflow never runs.
    pattern = str(component.exec_properties.get("input_config", ""))
    found = re.findall(r"\{(?:SPAN|VERSION|YYYY|MM|DD)\b.*?\}", pattern)
    if found:
        raise ValueError(
            "Files cannot be chosen by span, version or date on Kubeflow. "
            f"Received: {found} in `input_config` of {component.id!r}. "
            "Give the pattern of the very files, or a RuntimeParameter for their folder."
        )


def _check_conditions(component: BaseNode, pipeline: Pipeline) -> None:
    if condition(component, pipeline) and isinstance(component, Importer):
        raise ValueError(
            "An Importer cannot have a condition on Kubeflow, which imports always. "
            f"Received: one around {component.id!r}. Put the Importer before the `with Cond(...)`."
        )
