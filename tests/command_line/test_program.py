"""The command line on stored sweeps: what it prints and writes, how it fails, what it loads."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

from tfx_lr_finder import Verdict, suggest
from tfx_lr_finder.command_line import main
from tfx_lr_finder.command_line.program import tensorflow_loaded_quietly
from tfx_lr_finder.core.evidence import Evidence, Publication
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.search.options import SweepOptions

PNG = b"\x89PNG\r\n\x1a\n"
RATES = 10 ** np.linspace(-6, 1, 200)
FALLING = 1.5 - 1 / (1 + (3e-3 / RATES) ** 1.5) + (RATES / 0.3) ** 2
COMMANDS = sorted(main.commands)
SWEEP = "sweep --examples . --output o"


def evidence(curve):
    """Returns the evidence of one sweep by the default rule."""
    return Evidence.of(suggest(curve), [curve])


@pytest.fixture(scope="module")
def falling(make_curve):
    """A curve that falls and rises again, with a rate for every rule."""
    noise = np.random.default_rng(0).normal(0, 0.005, RATES.size)
    return make_curve(FALLING + noise, RATES, smoothing=0.9, train_steps=1000)


@pytest.fixture(scope="module")
def flat(make_curve):
    """A curve with no rate."""
    return make_curve(np.ones(100))


@pytest.fixture
def sweep(tmp_path, falling):
    """The folder of a stored sweep."""
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.json").write_text(evidence(falling).to_json())
    return str(folder)


@pytest.fixture
def default_sweep(tmp_path, flat):
    """A stored sweep that found nothing, and for which a default rate was published."""
    file = tmp_path / "default.json"
    published = Publication(1e-3, Verdict.FLAT, is_default=True)
    file.write_text(Evidence(published, None, (flat,)).to_json())
    return str(file)


def run(*arguments):
    """Runs a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def printed(*arguments):
    """Returns what a command prints as JSON, and nothing else."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_suggest_prints_the_rate_with_its_verdict_in_words(sweep, falling):
    """For people: three lines."""
    rate = suggest(falling).learning_rate
    low, high = rate / 10**0.3, rate * 10**0.3

    result = run("suggest", sweep)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"Learning rate  {rate:.3g} (rule: descent, verdict: ok)\n"
        f"Expected       {low:.3g} to {high:.3g} in 9 of 10 repetitions\n"
        f"{Verdict.OK.meaning}\n"
    )


def test_suggest_prints_the_suggestion_as_json(sweep, falling):
    """For scripts: every digit of the rate."""
    rate = suggest(falling).learning_rate

    assert printed("suggest", sweep) == {
        "learning_rate": rate,
        "rule": "descent",
        "verdict": "ok",
        "interval": pytest.approx([rate / 10**0.3, rate * 10**0.3]),
        "spread": None,
        "meaning": Verdict.OK.meaning,
        "advice": "",
    }


@pytest.mark.parametrize("rule", sorted(RULES))
def test_suggest_reads_the_rate_off_by_any_rule(sweep, falling, rule):
    """No training is needed to ask another rule."""
    found = printed("suggest", sweep, "--rule", rule)

    assert (found["learning_rate"], found["rule"]) == (suggest(falling, rule).learning_rate, rule)


def test_suggest_repeats_what_was_published(default_sweep):
    """Without a rule no rate is read off anew: a default that was published is shown as one."""
    found = printed("suggest", default_sweep)

    assert [found[k] for k in ("learning_rate", "rule", "verdict")] == [1e-3, "default", "flat"]
    assert found["interval"] is None


def test_sweep_may_be_given_as_its_file(sweep):
    """`sweep.json`, or the folder in which it lies."""
    assert printed("suggest", f"{sweep}/sweep.json") == printed("suggest", sweep)


@pytest.mark.parametrize(("command", "start"), [("plot", PNG), ("report", b"<!DOCTYPE html>")])
def test_file_is_written_and_named(sweep, tmp_path, command, start):
    """The picture and the page; what is printed is the rate and the place."""
    file = tmp_path / "written"

    result = run(command, sweep, "--output", file)

    assert result.exit_code == 0
    assert result.stdout == run("suggest", sweep).stdout + f"{file}\n"
    assert file.read_bytes().startswith(start)
    assert printed(command, sweep, "--output", file) == {
        **printed("suggest", sweep),
        "file": str(file),
    }


@pytest.mark.parametrize("command", ["plot", "report", "compare"])
def test_evidence_is_not_replaced(sweep, tmp_path, command):
    """Not of the sweep that is read, nor of another; by another name as little."""
    link = tmp_path / "link"
    link.symlink_to(f"{sweep}/sweep.json")
    before = link.read_bytes()

    for output in (f"{sweep}/sweep.json", link):
        result = run(command, sweep, "--output", output)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "Error: Invalid value for '--output': It must not be a sweep, which would be replaced. "
            f"Received: {output}. Name another file. See `main {command} --help`.\n"
        )
    assert link.read_bytes() == before


@pytest.mark.parametrize("command", ["plot", "report"])
def test_file_shows_the_rule_that_was_asked_for(sweep, tmp_path, command):
    """Another rule, another rate, another file."""
    files = {rule: tmp_path / rule for rule in ("descent", "minimum")}
    for rule, file in files.items():
        assert printed(command, sweep, "--rule", rule, "--output", file)["rule"] == rule

    assert files["descent"].read_bytes() != files["minimum"].read_bytes()


def test_page_of_another_rule_does_not_speak_of_trainings(tmp_path, falling):
    """They settled the rate that was published, not the one that is read off now."""
    found = dataclasses.replace(
        evidence(falling), trials=tuple(Trial(r, 1.0, 7) for r in (1e-3, 1e-2))
    )
    stored, page = tmp_path / "sweep.json", tmp_path / "report.html"
    stored.write_text(found.to_json())

    run("report", stored, "--output", page)
    published = page.read_text()
    run("report", stored, "--output", page, "--rule", "valley")

    assert "settled by 2 trials" in published
    assert "Read off 1 sweep by the rule valley.<" in page.read_text()
    assert 'id="trials"' in published
    assert 'id="trials"' not in page.read_text()


def test_compare_shows_a_row_for_each_sweep_and_writes_a_picture(sweep, default_sweep, tmp_path):
    """In the order in which they are given."""
    file = tmp_path / "both.png"

    result = run("compare", sweep, default_sweep, "--output", file)

    assert result.exit_code == 0
    assert [re.split(" {2,}", line) for line in result.stdout.splitlines()] == [
        ["learning rate", "rule", "verdict", "points", "sweep"],
        [f"{printed('suggest', sweep)['learning_rate']:.3g}", "descent", "ok", "200/200", sweep],
        ["0.001", "default", "flat", "100/100", default_sweep],
        [""],
        [str(file)],
    ]
    assert file.read_bytes().startswith(PNG)


def test_comparison_as_json_is_every_suggestion(sweep, default_sweep, tmp_path):
    """Each as `suggest` prints it, with the path that it was given by."""
    file = str(tmp_path / "both.png")

    assert printed("compare", sweep, default_sweep, "--output", file) == {
        "sweeps": [{"sweep": path, **printed("suggest", path)} for path in (sweep, default_sweep)],
        "file": file,
    }


def test_repeated_sweeps_are_compared_by_all_their_curves(sweep, falling, tmp_path):
    """The picture of two curves is not that of the first."""
    curves = (falling, dataclasses.replace(falling, losses=falling.losses + 0.1))
    file = tmp_path / "repeated.json"
    file.write_text(Evidence.of(suggest(curves), curves).to_json())
    first = tmp_path / "first.json"
    first.write_text(Evidence.of(suggest(curves), curves[:1]).to_json())

    for path in (file, first):
        printed("compare", path, "--output", path.with_suffix(".png"))

    assert file.with_suffix(".png").read_bytes() != first.with_suffix(".png").read_bytes()


def test_path_in_the_picture_may_have_any_character(sweep, tmp_path):
    """What matplotlib takes for mathematics is a name all the same."""
    strange = tmp_path / r"$\nope{$.json"
    strange.write_bytes((tmp_path / "sweep" / "sweep.json").read_bytes())

    assert printed("compare", strange, "--output", tmp_path / "picture.png")


@pytest.mark.parametrize("command", ["suggest", "plot", "report", "compare"])
def test_curve_without_a_rate_has_an_exit_code_of_its_own(default_sweep, tmp_path, command):
    """3, with the reason on one line of standard error; no file is written."""
    written = ["--output", tmp_path / "no"] * (command != "suggest")

    result = run(command, default_sweep, "--rule", "valley", "--json", *written)

    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(
        r"Error: No learning rate can be suggested \(flat\)\. The loss never fell\. .*\n",
        result.stderr,
    )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"[1,\n2]", r"'\[1,\\n2\]'"), (PNG, "'\ufffdPNG.*'")],
    ids=["JSON", "a picture"],
)
def test_file_that_is_no_sweep_is_refused(tmp_path, content, shown):
    """On one line, with what was found and what is wanted."""
    file = tmp_path / "other.json"
    file.write_bytes(content)

    result = run("suggest", file)

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        rf"Error: Not the JSON of an evidence: .* Received: {shown}\. "
        r"Read the sweep\.json of a sweep artifact\.\n",
        result.stderr,
    )


def test_reader_that_has_gone_is_no_error_to_speak_of(sweep):
    """As in `tfx-lr-finder suggest SWEEP | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    code = f"from tfx_lr_finder.command_line import main; main(['suggest', {sweep!r}])"

    process = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True
    )

    os.close(writer)
    assert (process.returncode, process.stderr) == (1, "")


def test_folder_without_a_sweep_is_refused(tmp_path):
    """The system's own message names the file."""
    result = run("suggest", tmp_path)

    assert result.exit_code == 1
    assert result.stderr == f"Error: [Errno 2] No such file or directory: '{tmp_path}/sweep.json'\n"


NAME_THAT_CLEARS_THE_SCREEN = "\x1b[2J\x9b2J\u202e.json"
SHOWN_NAME = r"\x1b[2J\x9b2J\u202e.json"


def test_name_in_a_message_gives_no_orders_to_the_terminal(tmp_path):
    """Its control characters are shown, those that turn the direction of the text too."""
    file = tmp_path / NAME_THAT_CLEARS_THE_SCREEN
    file.write_text('{"suggestion": "\x1b[2J"}')

    result = run("suggest", file)
    missing = run("plot", tmp_path / "no" / NAME_THAT_CLEARS_THE_SCREEN)

    assert r"\x1b[2J" in result.stderr
    assert SHOWN_NAME in missing.stderr
    assert (result.stderr + missing.stderr).replace("\n", "").isprintable()


def test_name_in_a_table_gives_no_orders_to_the_terminal(sweep, tmp_path):
    """What was printed as text as well as what was written."""
    named = tmp_path / NAME_THAT_CLEARS_THE_SCREEN
    named.write_bytes((tmp_path / "sweep" / "sweep.json").read_bytes())

    table = run("compare", named, "--output", tmp_path / "picture.png").stdout

    assert SHOWN_NAME in table
    assert table.replace("\n", "").isprintable()


def test_verbose_shows_the_traceback(tmp_path):
    """For whoever looks for the place of an error; the last line stays the same."""
    result = run("suggest", tmp_path, "--verbose")

    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith(run("suggest", tmp_path).stderr)


def test_long_message_is_cut_in_its_middle(tmp_path):
    """An error's line has at most some 1000 characters, the beginning and the end."""
    folder = tmp_path.joinpath(*["x" * 200] * 10)
    folder.mkdir(parents=True)

    message = run("suggest", folder).stderr

    assert len(message) < 1030
    assert re.fullmatch(r"Error: \[Errno 2\] No such .* \[\.\.\.\] .*/sweep\.json'\n", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", r"Missing command\. See `main --help`\."),
        ("nope", r"No such command 'nope'\. See `main --help`\."),
        ("suggest", r"Missing argument 'SWEEP'\. See `main suggest --help`\."),
        ("compare", r"Missing argument 'SWEEPS\.\.\.'\. See `main compare --help`\."),
        ("suggest nowhere", r"Invalid value for 'SWEEP': Path 'nowhere' does not exist\. See .*"),
        ("plot . --rule best", r"Invalid value for '--rule': 'best' is not one of 'descent', .*"),
        ("sweep --output o", r"Missing option '--examples'\. See `main sweep --help`\."),
        (
            SWEEP,
            r"Exactly one of --module-file, .* must be given\. Received: none of them\. "
            r"Give the Trainer's module, or the dotted path of a function\. See .*",
        ),
        (
            f"{SWEEP} --lr-finder-fn a.b --run-fn c.d",
            r"Exactly one of --module-file, .* must be given\. "
            r"Received: --lr-finder-fn='a\.b', --run-fn='c\.d'\. Give the Trainer's .*\. See .*",
        ),
        (
            f"{SWEEP} --run-fn run_fn",
            r"Argument `run_fn` must be a dotted path, of a module and a function in it\. "
            r"Received: run_fn='run_fn'\. Give for example 'package\.module\.run_fn'\. See .*",
        ),
        (
            f"{SWEEP} --lr-finder-fn a.b --num-steps 9",
            r"Argument `num_steps` must be at least 10, .* num_steps=9 for 7 decades\. .* See .*",
        ),
        (
            f"{SWEEP} --lr-finder-fn a.b --on-failure default",
            r"Argument `default_learning_rate` must be given exactly if .* See .*",
        ),
        (
            f"{SWEEP} --custom-config {{",
            r"Invalid value for '--custom-config': It must be JSON\. Received: '\{'\. .* See .*",
        ),
        (
            f"{SWEEP} --custom-config [8]",
            r"Invalid value for '--custom-config': It must be a JSON object\. Received: '\[8\]'\. "
            r"Give for example '\{\"units\": 8\}'\. See .*",
        ),
        (
            "show",
            r"Give either SQLITE_FILE, or --host, --database and --username\. "
            r"Received: none of them\. See `main show --help`\.",
        ),
        (
            "show --host mysql.example --username reader",
            r"Give either .*\. Received: --host, --username\. See .*",
        ),
        (
            f"show {__file__} --host mysql.example",
            r"Give either .*\. Received: \S+\.py, --host\. See .*",
        ),
        (f"show {__file__} --limit 0", r"Invalid value for '--limit': 0 is not .* See .*"),
    ],
)
def test_wrong_usage_is_refused_on_one_line(arguments, message):
    """The exit code is 2; the line names the help that helps."""
    result = run(*arguments.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"Error: {message}\n", result.stderr)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_examples(command):
    """Of every command, and of the program."""
    result = run(*filter(None, [command]), "--help")

    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Examples:\n")
    assert len(re.findall(rf"(?m)^ +tfx-lr-finder {command}", examples)) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help_are_valid(command):
    """Their options exist; only the files are made up."""
    _, _, examples = run(command, "--help").stdout.partition("Examples:\n")
    text = examples.partition("\n\n")[0].replace("\\\n", " ")

    for line in text.strip().splitlines():
        _, name, *arguments = shlex.split(line)
        parser = main.commands[name].make_parser(click.Context(main.commands[name]))
        _, rest, _ = parser.parse_args(arguments)
        assert (name, rest) == (command, [])


def test_program_lists_its_commands_whole():
    """The short help of each fits its line."""
    _, _, listed = run("--help").stdout.partition("Commands:\n")

    assert re.findall(r"(?m)^  (\w+) +\w.*\w\.$", listed) == COMMANDS


def test_version_is_the_packages():
    """`--version` says it."""
    assert re.fullmatch(r"main, version \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("field", dataclasses.fields(SweepOptions), ids=lambda field: field.name)
def test_sweep_has_every_option_with_its_default_and_help(field):
    """They are those of `SweepOptions`, whatever those are."""
    (option,) = (o for o in main.commands["sweep"].params if o.name == field.name)

    assert option.opts == [f"--{field.name.replace('_', '-')}"]
    assert option.default == field.default
    assert option.help
    assert option.help in " ".join(SweepOptions.__doc__.replace("`", "").split())


@pytest.mark.parametrize("arguments", ["suggest {sweep}", "plot {sweep} --output {sweep}.png"])
def test_stored_sweeps_need_no_framework(sweep, arguments):
    """Neither TensorFlow nor TFX is loaded: the answer is there at once."""
    code = (
        "import sys; from tfx_lr_finder.command_line import main\n"
        f"try: main({arguments.format(sweep=sweep).split()})\n"
        "except SystemExit as end: print(end.code or 0, *sorted(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    exit_code, *modules = process.stdout.splitlines()[-1].split()

    assert exit_code == "0"
    assert "tfx_lr_finder.command_line" in modules
    assert not set(modules) & {"tensorflow", "keras", "tf_keras", "tfx", "apache_beam"}


class TestTensorflowLoadedQuietly:
    """What native code prints while TensorFlow is loaded."""

    @pytest.mark.parametrize(("level", "shown"), [("3", ""), ("0", "native\n")])
    def test_native_messages_are_kept_back_at_the_level_of_errors(
        self, monkeypatch, capfd, level, shown
    ):
        """They bypass Python's own stderr."""
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)

        with tensorflow_loaded_quietly():
            os.write(2, b"native\n")
        os.write(2, b"later\n")

        assert capfd.readouterr().err == f"{shown}later\n"

    def test_they_are_shown_with_an_error(self, monkeypatch, capfd):
        """They may say why TensorFlow cannot be loaded."""
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

        @tensorflow_loaded_quietly()
        def load():
            os.write(2, b"native\n")
            raise ImportError("no such library")

        with pytest.raises(ImportError, match="no such library"):
            load()

        assert capfd.readouterr().err == "native\n"
