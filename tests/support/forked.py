"""Python programs in processes of their own, without the seconds in which TensorFlow and TFX load.

One server loads both, and is forked for each program; nothing of TensorFlow has run in it by then.
Tests of what is loaded, read or printed at the start of a program start a Python itself.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["keras", "tf_keras", "tfx.components", "tfx_lr_finder.component", "tfx_lr_finder.standalone"]
)

Argument = str | os.PathLike[str]


def start(
    arguments: Sequence[Argument],
    stdout: Argument,
    stderr: Argument,
    cwd: Argument = ".",
    env: Mapping[str, str] | None = None,
) -> ForkServerProcess:
    """Starts a program.

    Args:
        arguments: As a Python's: `-c CODE`, `-m MODULE` or a file, and what follows.
        stdout: The file that its output is written to.
        stderr: The file that its errors are written to; it may be the same.
        cwd: The folder to run it in.
        env: Its environment; by default that of this process.
    """
    words = [os.fspath(argument) for argument in arguments]
    files = str(Path(stdout).absolute()), str(Path(stderr).absolute())
    environment = dict(os.environ if env is None else env)
    process = _CONTEXT.Process(target=_program, args=(words, files, os.fspath(cwd), environment))
    process.start()
    return process


def run(
    arguments: Sequence[Argument], cwd: Argument = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; returns what `subprocess.run` does of a Python, with its text."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = start(arguments, stdout, stderr, cwd, env)
        process.join()
        texts = stdout.read_text(), stderr.read_text()
    return subprocess.CompletedProcess(list(arguments), process.exitcode, *texts)


def _program(
    words: list[str], files: tuple[str, str], cwd: str, environment: dict[str, str]
) -> None:
    os.chdir(cwd)
    # A shell lets its jobs in the background ignore SIGINT, and with them the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    warnings.simplefilter("ignore")
    tempfile.tempdir = None  # it is read from the environment again
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    main = vars(sys.modules["__main__"])
    match words:
        case ["-c", code, *others]:
            sys.argv = ["-c", *others]
            exec(compile(code, "<string>", "exec"), main)
        case ["-m", module, *others]:
            sys.argv = [module, *others]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [file, *_]:
            sys.argv = words
            runpy.run_path(file, run_name="__main__")
