"""The Trainer's arguments, which record when user code reads an argument that is missing."""

from typing import Any

import attr
from tfx.components.trainer.fn_args_utils import FnArgs

_GIVEN_BY = {
    "train_steps": ("`num_steps` of `train_args`", "--train-steps"),
    "eval_steps": ("`num_steps` of `eval_args`", None),
    "transform_graph_path": ("the input `transform_graph`", "--transform-graph"),
    "transform_output": ("the input `transform_graph`", "--transform-graph"),
    "schema_path": ("the input `schema`", "--schema"),
    "schema_file": ("the input `schema`", "--schema"),
    "base_model": ("the input `base_model`", "--base-model"),
    "custom_config": ("`custom_config`", "--custom-config"),
}
"""How a user sets each argument: in a pipeline, and on the command line (None if impossible)."""


class WatchedFnArgs(FnArgs):
    """`FnArgs` that record which arguments are read, and with which value."""

    @classmethod
    def of(cls, fn_args: FnArgs) -> "WatchedFnArgs":
        """Returns a copy of `fn_args` that records reads."""
        return cls(**{field.name: getattr(fn_args, field.name) for field in attr.fields(FnArgs)})

    def __getattribute__(self, name: str) -> Any:
        """Returns an argument, and records the read if the argument may be missing."""
        value = super().__getattribute__(name)
        if name in _GIVEN_BY or name == "hyperparameters":
            self.__dict__.setdefault("_read", {})[name] = value
        return value

    def notes_on(self, error: Exception) -> list[str]:
        """Returns sentences about what may have caused an error.

        There is one for each argument that was read although it is missing. A KeyError gets
        another one if the learning rate is the only hyperparameter.
        """
        read = self.__dict__.get("_read", {})
        notes = [
            f"It read `fn_args.{name}`, which is None because {parameter} was not given"
            + (f" ({option} on the command line)." if option else ".")
            for name, (parameter, option) in _GIVEN_BY.items()
            if read.get(name, name) is None
        ]
        values = (read.get("hyperparameters") or {}).get("values", {})
        if isinstance(error, KeyError) and len(values) == 1:
            notes.append(
                f"`fn_args.hyperparameters` holds {next(iter(values))!r} alone, as the Trainer's "
                "will. Give the others by the input `hyperparameters` (--hyperparameters on the "
                "command line), or have the module do without them."
            )
        return notes


# Error messages of the user's code then show the class name that the user knows.
WatchedFnArgs.__name__ = FnArgs.__name__
