"""Conditions of tasks in CEL, the language in which Kubeflow Pipelines decides them."""

import json
from collections.abc import Iterator

from google.protobuf.message import Message
from tfx.dsl.compiler.compiler_utils import build_channel_to_key_fn, implicit_channel_key
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.experimental.conditionals.conditional import get_predicates
from tfx.dsl.placeholder.placeholder import Predicate
from tfx.orchestration.kubeflow.v2.compiler_utils import placeholder_to_cel
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration.placeholder_pb2 import PlaceholderExpression
from tfx.types.channel_utils import encode_placeholder_with_channels


def condition(component: BaseNode, pipeline: Pipeline) -> str:
    """Returns the condition under which a component runs; an empty text if it always runs.

    TFX's translation is completed in two ways. Texts are escaped. And a condition on a property
    that its artifact lacks is false: without a check, Kubeflow fails the run with "no such key".

    Raises:
        ValueError: If Kubeflow cannot decide the condition.
    """
    keys = {implicit_channel_key(channel): name for name, channel in component.inputs.items()}
    predicates = get_predicates(component, pipeline.dsl_context_registry)
    try:
        return " && ".join(_cel(predicate, keys) for predicate in predicates)
    except (NotImplementedError, ValueError) as error:
        raise ValueError(
            "A condition must be on custom properties of artifacts on Kubeflow. "
            f"Received: another one around {component.id!r} ({error}) "
            "Use for example "
            "`finder.outputs['sweep'].future()[0].custom_property('verdict') == 'ok'`."
        ) from error


def _cel(predicate: Predicate, keys: dict[str, str]) -> str:
    encoded = encode_placeholder_with_channels(predicate, build_channel_to_key_fn(keys))
    properties = []
    for expression in _expressions(encoded):
        if expression.value.HasField("string_value"):
            expression.value.string_value = _escaped(expression.value.string_value)
        if expression.operator.HasField("artifact_property_op"):
            operator = expression.operator.artifact_property_op
            operator.key = _escaped(operator.key)
            properties.append(operator)
    checks = [f"'{p.key}' in {placeholder_to_cel(p.expression)}.metadata" for p in properties]
    return " && ".join(dict.fromkeys([*checks, placeholder_to_cel(encoded)]))


def _expressions(message: Message) -> Iterator[PlaceholderExpression]:
    """Yields all expressions within a message, itself included."""
    if isinstance(message, PlaceholderExpression):
        yield message
    for field, value in message.ListFields():
        if field.message_type:
            for inner in [value] if isinstance(value, Message) else value:
                yield from _expressions(inner)


def _escaped(text: str) -> str:
    """Returns what stands between single quotes in CEL for a text; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("'", r"\'")
