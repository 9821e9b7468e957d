"""The command `sweep`: finds the learning rate on files and folders."""

import contextlib
import dataclasses
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from tfx_lr_finder.command_line.output_folder import replaced_at_the_end
from tfx_lr_finder.command_line.program import Command, put_out, tensorflow_loaded_quietly
from tfx_lr_finder.command_line.stored import SWEEP_FILE, in_words, read_evidence, to_dict
from tfx_lr_finder.core import stored_json
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.search.options import (
    MAX_TRAIN_STEPS,
    ON_FAILURE,
    OPTION_TYPES,
    OUTPUT_KEYS,
    USER_CODE,
    SweepOptions,
    check_functions,
    the_one_given,
)
from tfx_lr_finder.search.termination import sigterm_raises

_CHOICES = {"rule": sorted(RULES), "on_failure": ON_FAILURE}
_FOLDER = click.Path(exists=True, file_okay=False)


def _json_object(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = stored_json.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"It must be JSON. Received: {text[:200]!r}. {error}.") from error
    if not isinstance(value, dict):
        raise click.BadParameter(
            f"It must be a JSON object. Received: {text!r}. Give for example '{{\"units\": 8}}'."
        )
    return value


def _sweep_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds a command-line option for every field of `SweepOptions`.

    The defaults and help texts are those of `SweepOptions`.
    """
    for field in reversed(dataclasses.fields(SweepOptions)):
        choices = _CHOICES.get(field.name)
        command = click.option(
            f"--{field.name.replace('_', '-')}",
            type=click.Choice(choices) if choices else OPTION_TYPES[field.name],
            default=field.default,
            show_default=field.default is not None,
            help=_HELP[field.name],
        )(command)
    return command


def _documented(documentation: str) -> dict[str, str]:
    """Maps each attribute in a Google-style docstring to its description, in one line."""
    _, _, attributes = documentation.partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.replace("`", "").split()) for name, text in found}


_HELP = _documented(inspect.getdoc(SweepOptions) or "")


@click.command("sweep", cls=Command)
@click.option(
    "--module-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Your module, as the component takes it: it may be the Trainer's own.",
)
@click.option("--lr-finder-fn", help="Dotted path of your function, in place of a module.")
@click.option("--run-fn", help="Dotted path of the Trainer's function, in place of a module.")
@click.option(
    "--examples",
    type=_FOLDER,
    required=True,
    help="Folder with Split-train and Split-eval, as Transform or an ExampleGen writes it.",
)
@click.option("--transform-graph", type=_FOLDER, help="Folder of Transform's graph.")
@click.option("--schema", type=_FOLDER, help="Folder with the schema.")
@click.option("--base-model", type=_FOLDER, help="Folder of a model to start from.")
@click.option("--hyperparameters", type=_FOLDER, help="Folder with hyperparameters, as a Tuner's.")
@click.option(
    "--train-steps",
    type=click.IntRange(1, MAX_TRAIN_STEPS),
    help="Number of the Trainer's training steps, where your code does not say it.",
)
@click.option(
    "--custom-config", callback=_json_object, metavar="JSON", help="JSON object for your module."
)
@_sweep_options
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    required=True,
    help="Folder for what the component puts out.",
)
@click.argument("beam_pipeline_args", metavar="[-- BEAM_ARGUMENT...]", nargs=-1)
def sweep_command(
    output: str,
    beam_pipeline_args: Sequence[str],
    train_steps: int | None,
    custom_config: dict[str, Any] | None,
    as_json: bool,
    **others: Any,
) -> None:
    """Finds the learning rate of your model on your data.

    It does what the component does in a pipeline, and writes the component's outputs to folders of
    their names: best_hyperparameters, learning_rate and sweep. Those of an earlier sweep are
    replaced at the end, if a rate was found. What your code prints goes to the standard error.
    Beam, which runs several sweeps and the trials, takes the arguments after --.

    \b
    Examples:
      tfx-lr-finder sweep --module-file model.py \\
        --examples pipeline/Transform/transformed_examples/4 \\
        --transform-graph pipeline/Transform/transform_graph/4 --output found
      tfx-lr-finder sweep --module-file model.py --examples data --output found \\
        --train-steps 2000 --num-steps 400 --custom-config '{"units": 8}' --json
      tfx-lr-finder sweep --module-file model.py --examples data --output found \\
        --num-sweeps 4 -- --direct_running_mode=multi_processing --direct_num_workers=4
    """
    _check_beam_arguments(beam_pipeline_args)
    given = {name: others.pop(name) for name in OPTION_TYPES}
    code = _user_code({name: others.pop(name) for name in USER_CODE})
    inputs = {name: path for name, path in others.items() if path is not None}
    _check_apart([*inputs.values(), *filter(None, [code.get("module_file")])], output)
    try:
        check_functions(code)
        options = SweepOptions(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    # The module can import its neighbours, as in a pipeline, which packs them into one wheel.
    sys.path.insert(0, os.path.dirname(os.path.abspath(code.get("module_file", "module.py"))))
    with tensorflow_loaded_quietly():
        from tfx_lr_finder.standalone import find_on_files
        from tfx_lr_finder.training.model.cluster import is_chief

    def find(folder: str) -> None:
        # Only the result goes to stdout, not what the user's code prints.
        with contextlib.redirect_stdout(sys.stderr):
            find_on_files(
                inputs,
                _outputs(folder),
                code,
                options,
                train_steps,
                custom_config,
                beam_pipeline_args,
            )

    if not is_chief():
        find(output)  # trains together with the chief, which alone writes
        return
    with sigterm_raises(), replaced_at_the_end(output, OUTPUT_KEYS, SWEEP_FILE) as folder:
        find(folder)
    outputs = _outputs(output)
    evidence = read_evidence(outputs["sweep"])
    put_out(
        {**to_dict(evidence), "outputs": outputs},
        "\n".join([in_words(evidence), *outputs.values()]),
        as_json,
    )


def _outputs(folder: str) -> dict[str, str]:
    """Returns the path of each of the component's outputs in a folder."""
    paths = {name: os.path.join(folder, name) for name in OUTPUT_KEYS}
    return {**paths, "learning_rate": os.path.join(folder, "learning_rate", "value")}


def _check_apart(inputs: Sequence[str], output: str) -> None:
    for path in inputs:
        # Both paths of a link count: replacing the folder of a link loses the link itself.
        for resolved in (os.path.abspath, os.path.realpath):
            folder = resolved(output)
            if os.path.commonpath([folder, resolved(path)]) == folder:
                raise click.UsageError(
                    "--output must not be the folder of an input, which could be replaced. "
                    f"Received: {path} in {output}. Name another folder."
                )


def _check_beam_arguments(given: Sequence[str]) -> None:
    for argument in given:
        if not argument.startswith("--"):
            raise click.UsageError(
                "Every argument but Beam's own must belong to an option. "
                f"Received: {argument!r}. Beam's stand after --, and each is one --name=value."
            )


def _user_code(given: dict[str, str | None]) -> dict[str, str]:
    flags = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    try:
        the_one_given(flags, "Give the Trainer's module, or the dotted path of a function.")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return {name: value for name, value in given.items() if value}
