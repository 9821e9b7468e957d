"""The user's function: what it has read and was not given, and where it ends the process."""

import sys

import pytest
from tfx.components.trainer.fn_args_utils import FnArgs

from tfx_lr_finder.search.missing_arguments import WatchedFnArgs
from tfx_lr_finder.search.user_module import call, load


@pytest.mark.parametrize("code", [0, 1, None, "no such option"])
def test_function_that_ends_the_process_is_refused(code):
    """An exit code of 0 would tell that a rate was found."""
    with pytest.raises(
        RuntimeError,
        match=rf"^The user's code must not end the process\. Received: SystemExit\({code!r}\), as "
        r"`sys\.exit` raises it\. Raise an error, or return\.$",
    ):
        call(lambda fn_args: sys.exit(code), None)


def test_module_that_ends_the_process_is_refused(tmp_path):
    """As one does that reads the arguments of a command line of its own."""
    module = tmp_path / "module.py"
    module.write_text("import argparse\nargparse.ArgumentParser().parse_args(['--no-such'])\n")

    with pytest.raises(RuntimeError, match=r"must not end the process\. Received: SystemExit\(2\)"):
        load({"module_file": str(module)})


def notes_of(function, **given):
    """Returns the notes of the error that a function raises."""
    with pytest.raises(LookupError) as raised:
        call(function, WatchedFnArgs.of(FnArgs(**given)))
    return raised.value.__notes__


def reading(*names):
    """Returns a function that reads arguments, and fails."""

    def function(fn_args):
        for name in names:
            getattr(fn_args, name)
        raise LookupError("the user's own message")

    return function


def test_error_has_a_note_of_what_was_read_and_not_given():
    """Each argument once; Python shows notes with the error from 3.11 on."""
    assert notes_of(reading("train_steps", "schema_path", "train_steps")) == [
        "It read `fn_args.train_steps`, which is None because `num_steps` of `train_args` was not "
        "given (--train-steps on the command line).",
        "It read `fn_args.schema_path`, which is None because the input `schema` was not given "
        "(--schema on the command line).",
    ]


def test_what_was_given_or_not_read_has_no_note():
    """0 and an empty dict are given, too."""
    assert notes_of(reading("train_steps", "custom_config"), train_steps=0, custom_config={}) == []
    assert notes_of(reading()) == []


def test_name_that_is_looked_up_beside_the_learning_rate_alone_has_a_note():
    """A run_fn that reads `units` fails in the Trainer, too, which is given the rate alone."""
    given = {"space": [], "values": {"learning_rate": 0.1}}

    (note,) = notes_of(lambda fn_args: fn_args.hyperparameters["units"], hyperparameters=given)

    assert note.startswith(
        "`fn_args.hyperparameters` holds 'learning_rate' alone, as the Trainer's"
    )
    assert "Give the others by the input `hyperparameters`" in note
    given["values"]["units"] = 8
    assert notes_of(reading(), hyperparameters=given) == []


def test_what_the_command_line_cannot_give_has_a_note_without_an_option():
    """The Trainer has `eval_args` for it."""
    (note,) = notes_of(reading("eval_steps"))

    assert note.endswith("is None because `num_steps` of `eval_args` was not given.")


def test_arguments_are_the_trainers_own():
    """A module that asks for the type, or compares them, finds them as ever."""
    given = FnArgs(train_files=["a"], train_steps=7)

    watched = WatchedFnArgs.of(given)

    assert isinstance(watched, FnArgs)
    assert (watched.train_files, watched.train_steps, watched.base_model) == (["a"], 7, None)
