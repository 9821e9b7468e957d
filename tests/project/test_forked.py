"""Forked programs are like those that a Python starts."""

import json
import sys
from pathlib import Path

import forked
import pytest

TELLING = """
import json, os, sys
loaded = "tfx.components" in sys.modules
print(json.dumps([__name__, sys.argv[1:], os.getcwd(), dict(os.environ), loaded]))
print("error", file=sys.stderr)
"""


@pytest.fixture(params=["-c", "-m", "file"])
def arguments(request, tmp_path):
    """What leads a Python to the program: its text, its name or its file."""
    (tmp_path / "telling.py").write_text(TELLING)
    return {
        "-c": ["-c", TELLING],
        "-m": ["-m", "telling"],
        "file": [tmp_path / "telling.py"],
    }[request.param]


def test_program_has_its_arguments_folder_and_environment(arguments, tmp_path):
    """And TFX is loaded; its output and its errors are told apart."""
    environment = {"PYTHONPATH": str(tmp_path), "OWN": "1"}

    process = forked.run([*arguments, "a", "b"], tmp_path, environment)

    told = json.loads(process.stdout)
    assert told == ["__main__", ["a", "b"], str(tmp_path), environment, True]
    assert (process.returncode, process.stderr) == (0, "error\n")


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('why')", 1, "why\n"),
        ("raise LookupError('why')", 1, "LookupError: why\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
    ],
    ids=["code", "text", "error", "killed"],
)
def test_program_ends_as_it_would_alone(code, exit_code, error):
    """With its exit code or its signal; an error is shown."""
    process = forked.run(["-c", code])

    assert process.returncode == exit_code
    assert process.stderr.endswith(error)


def test_programs_run_at_the_same_time_and_share_nothing(tmp_path):
    """Each is a process; this one's modules and folder stay as they are."""
    code = "import os, sys; sys.modules['shared'] = None; print(os.getpid())"
    files = [tmp_path / str(i) for i in range(2)]
    here = Path.cwd()

    processes = [forked.start(["-c", code], file, file, tmp_path) for file in files]
    for process in processes:
        process.join()

    assert [int(file.read_text()) for file in files] == [process.pid for process in processes]
    assert ("shared" in sys.modules, Path.cwd()) == (False, here)
