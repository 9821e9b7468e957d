"""Compiled pipelines as YAML that every reader takes for the same."""

import re
from collections.abc import Iterable
from typing import Any

import yaml  # type: ignore[import-untyped]


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that are numbers for YAML 1.2, which Kubeflow reads.

    For PyYAML, which reads YAML 1.1, a text such as `1e-3` is none.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.\d+|\d+(\.\d*)?)(e[-+]?\d+)?|0o[0-7]+)$", re.IGNORECASE),
    list("-+.0123456789"),
)


def yaml_text(documents: Iterable[dict[str, Any]]) -> str:
    """Returns the text of a file with these documents."""
    return str(yaml.dump_all(documents, Dumper=_Dumper))
