"""Compiled pipelines as YAML that every reader takes for the same."""

import re
from collections.abc import Iterable
from typing import Any

import yaml  # type: ignore[import-untyped]


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that are numbers or times for Kubeflow's reader, Go's yaml.v3.

    For PyYAML, texts such as `1e-3`, `0XFF`, `1_0e3` and `2026-1-5` are none.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""(
            [-+]? (\.[\d_]+ | \d[\d_]*(\.[\d_]*)?) (e[-+]?[\d_]+)?
            | [-+]? 0[box][\da-f_]+
            | \d{4}-\d\d?-\d\d? ([t\ ].*)?
        )$""",
        re.IGNORECASE | re.VERBOSE,
    ),
    list("-+.0123456789"),
)


def yaml_text(documents: Iterable[dict[str, Any]]) -> str:
    """Returns the text of a file with these documents."""
    return str(yaml.dump_all(documents, Dumper=_Dumper))
