"""Compiled pipelines as YAML that every reader takes for the same."""

import re
from collections.abc import Iterable
from typing import Any

import yaml  # type: ignore[import-untyped]


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that begin as a number does.

    Some of them are numbers or times for Kubeflow's reader, but not for PyYAML: `1e-3`, `0XFF`,
    `2026-1-5`.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\.?\d"),
    list("-+.0123456789"),
)


def yaml_text(documents: Iterable[dict[str, Any]]) -> str:
    """Returns the text of a file with these documents."""
    return str(yaml.dump_all(documents, Dumper=_Dumper))
