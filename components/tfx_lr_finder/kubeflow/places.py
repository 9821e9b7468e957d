"""Checks at compile time that the tasks will reach what components name by a path or a URI."""

import os
from pathlib import PurePath
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from tfx.components import CsvExampleGen, Pusher
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import SOURCE_URI_KEY, Importer
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types.standard_component_specs import (
    INPUT_BASE_KEY,
    MODULE_FILE_KEY,
    PUSH_DESTINATION_KEY,
    SCHEMA_FILE_KEY,
)

from tfx_lr_finder.kubeflow.invocation import STORES

_READERS = {
    CsvExampleGen.EXECUTOR_SPEC.executor_class: INPUT_BASE_KEY,
    ImportSchemaGen.EXECUTOR_SPEC.executor_class: SCHEMA_FILE_KEY,
}
"""Executors that read an option's files through TensorFlow; other ExampleGens read with Beam."""


def check(component: BaseNode, pipeline_root: str | None) -> None:
    """Refuses a path or URI that no task can reach, or at which a result would be lost.

    Args:
        component: A component of the pipeline.
        pipeline_root: Root with which the pipeline is compiled. If it is the absolute path of a
            folder, the tasks see it, too.

    Raises:
        ValueError: If one of these holds:

            - a `module_file` cannot be packed into a folder that the tasks see;
            - a CsvExampleGen, ImportSchemaGen or Pusher uses a place where TensorFlow has no
              file system;
            - an Importer's URI is neither in an object store, nor in a registry of images
              (`oci://`), nor in that folder;
            - a Pusher's destination is a path in the task's container.
    """
    seen = folder(pipeline_root)
    _check_module_file(component, seen, pipeline_root)
    executor = getattr(getattr(component, "executor_spec", None), "executor_class", None)
    if option := _READERS.get(executor):
        _check_file_system(component, option, _text(component, option))
    if isinstance(component, Importer):
        _check_importer(component, seen)
    if executor is Pusher.EXECUTOR_SPEC.executor_class:
        _check_pusher(component, seen)


def folder(pipeline_root: str | None) -> str | None:
    """Returns the pipeline root if it is an absolute path, and else None."""
    return pipeline_root if pipeline_root and os.path.isabs(pipeline_root) else None


def _text(component: BaseNode, option: str) -> str:
    """Returns an option's text, or its default if it is a parameter; empty if there is none."""
    value: Any = component.exec_properties.get(option)
    return str((value.default if isinstance(value, RuntimeParameter) else value) or "")


def _is_within(path: str, seen: str | None) -> bool:
    return seen is not None and PurePath(path).is_relative_to(seen)


def _check_module_file(component: BaseNode, seen: str | None, pipeline_root: str | None) -> None:
    module_file = component.exec_properties.get(MODULE_FILE_KEY)
    if module_file and not seen:
        raise ValueError(
            "A `module_file` is packed into the pipeline root when the pipeline is compiled, so "
            "the root must be the absolute path of a folder that this machine and every task see. "
            f"Received: {component.id} with module_file={module_file!r}, "
            f"pipeline_root={pipeline_root!r}. Put the code into the image, and give the "
            "component's function by its dotted path, as in `run_fn='package.module.run_fn'`. Or "
            "give as `pipeline_root` a folder on a volume, and its claim as `volume_claim`."
        )


def _check_file_system(component: BaseNode, option: str, path: str) -> None:
    scheme, separator, _ = path.partition("://")
    schemes = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if separator and scheme not in schemes:
        raise ValueError(
            f"TensorFlow must have a file system for the `{option}` of a component. "
            f"Received: {path!r} of {component.id!r}, file systems {schemes}. Use a path in the "
            "image or on a volume. Or read examples that are stored already, with an Importer."
        )


def _check_importer(component: BaseNode, seen: str | None) -> None:
    uri = _text(component, SOURCE_URI_KEY)
    if uri and not uri.startswith((*STORES, "oci://")) and not _is_within(uri, seen):
        raise ValueError(
            f"An Importer's URI must begin with one of {STORES} on Kubeflow, which copies from "
            f"there into each task. Received: {uri!r} of {component.id!r}. Upload it to the "
            "bucket of the pipeline root."
        )


def _check_pusher(component: BaseNode, seen: str | None) -> None:
    text = _text(component, PUSH_DESTINATION_KEY)
    if not text:
        return
    path = json_format.Parse(text, PushDestination()).filesystem.base_directory
    _check_file_system(component, PUSH_DESTINATION_KEY, path)
    if path and "://" not in path and not _is_within(path, seen):
        raise ValueError(
            "A Pusher's destination must outlive its task on Kubeflow. "
            f"Received: {path!r} of {component.id!r}, a path in the task's container. Push to a "
            "`gs://` URI or into a folder on a volume, given as `pipeline_root`. Or leave the "
            "Pusher out: the Trainer's output is in the object store already."
        )
