"""The suite on a machine without the programs that some tests need, beside Python."""

import os
import re
from pathlib import Path

import forked
import pytest

REPOSITORY = Path(__file__).parents[2]
HOW_TO_GET_THEM = [
    "needs chromium, chromedriver: apt-get install chromium chromium-driver",
    "needs docker or podman: apt-get install podman runc debootstrap",
    "needs mariadb-install-db: apt-get install mariadb-server-core mariadb-client-core",
]
RUNS = """
import os, sys, pytest
for os.environ["CI"] in ("false", "true"):
    ended = pytest.main(["-p", "no:cacheprovider", "-m", "needs", "-q", "--tb=no", *sys.argv[1:]])
    print("ended with", int(ended))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What is printed without any program: elsewhere, and in CI.

    Of the files that mark tests; the other tests in them are left out.
    """
    tests = REPOSITORY.joinpath("tests").rglob("test_*.py")
    marking = [str(file) for file in tests if "mark.needs(" in file.read_text()]
    environment = {**os.environ, "PATH": str(tmp_path_factory.mktemp("no_programs"))}
    process = forked.run(["-c", RUNS, *marking], cwd=REPOSITORY, env=environment)
    elsewhere, ci, _ = re.split(r"(?<=ended with \d)\n", process.stdout)
    return elsewhere, ci


def test_tests_that_need_a_program_are_skipped_and_say_how_to_get_it(printed):
    """In one line for all tests that need the same, at the end."""
    elsewhere, _ = printed
    summary = elsewhere.partition("short test summary info")[2]

    skipped = re.findall(r"(?m)^SKIPPED \[\d+\] tests/conftest.py:\d+: (.*)$", summary)

    assert sorted(skipped) == HOW_TO_GET_THEM
    assert re.search(r"(?m)^\d+ skipped, \d+ deselected.*\nended with 0$", elsewhere)


def test_tests_that_need_a_program_fail_in_ci(printed):
    """Each of them, and none is skipped: CI has the programs."""
    _, ci = printed
    summary = ci.partition("short test summary info")[2]

    failed = re.findall(r"(?m)^ERROR tests/\S+\.py::.* - Failed: (.*)$", summary)

    assert sorted(set(failed)) == HOW_TO_GET_THEM
    assert re.search(rf"(?m)^\d+ deselected.*, {len(failed)} errors.*\nended with 1$", ci)
