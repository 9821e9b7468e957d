"""The command line `tfx-lr-finder`."""

import click

from tfx_lr_finder.command_line.compile import compile_command
from tfx_lr_finder.command_line.program import Program
from tfx_lr_finder.command_line.show import show_command
from tfx_lr_finder.command_line.stored import (
    compare_command,
    plot_command,
    report_command,
    suggest_command,
)
from tfx_lr_finder.command_line.submit import submit_command
from tfx_lr_finder.command_line.sweep import sweep_command

_COMMANDS = [
    sweep_command,
    suggest_command,
    plot_command,
    report_command,
    compare_command,
    show_command,
    compile_command,
    submit_command,
]


@click.group(cls=Program, commands=_COMMANDS, no_args_is_help=False)
@click.version_option(package_name="tfx-lr-finder")
def main() -> None:
    """Finds the learning rate of a Keras model, shows what was found, and runs TFX on Kubeflow.

    \b
    Exit codes:
      0    done
      1    an error
      2    wrong usage
      3    no learning rate can be suggested
      130  interrupted by Ctrl-C
      143  ended by SIGTERM
    \b
    Examples:
      tfx-lr-finder sweep --module-file model.py --examples data --output found
      tfx-lr-finder suggest found --rule valley
      tfx-lr-finder show pipeline/metadata.db
      tfx-lr-finder compile pipeline:create_pipeline --image IMAGE --output pipeline.yaml
    """
