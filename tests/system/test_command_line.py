"""The command line beside a real pipeline: `sweep` on its artifacts, `show` on its metadata."""

import datetime
import fcntl
import getpass
import json
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata, mysql_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from tfx_lr_finder import Evidence, LearningRateFinder, Verdict
from tfx_lr_finder.command_line import main
from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.core.trials.plan import share

PROGRAM = Path(sys.executable).with_name("tfx-lr-finder")
MODULE_FILE = Path(__file__).parents[1] / "data" / "tuned_penguin" / "model.py"


def run(*arguments, **options):
    """Runs a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


def printed(*arguments, **options):
    """Returns what a command prints as JSON, and nothing else."""
    result = run(*arguments, "--json", **options)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def unchanged_path(monkeypatch):
    """Takes back what a sweep adds to Python's path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def inputs(first_run, pipeline):
    """The arguments that hand over what the pipeline's finder was handed."""
    return [
        *("--examples", first_run.output("Transform", "transformed_examples").uri),
        *("--transform-graph", first_run.output("Transform", "transform_graph").uri),
        *("--hyperparameters", str(pipeline.upstream)),
    ]


@pytest.fixture(scope="module")
def process(inputs, tmp_path_factory):
    """A sweep with every default, in a process of its own: its output folder, and what it said.

    Its standard error is a terminal.
    """
    folder = tmp_path_factory.mktemp("process")
    arguments = ["sweep", "--module-file", str(MODULE_FILE), *inputs, "--train-steps", "40"]
    terminal, standard_error = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 25, 80, 0, 0))
    with (folder / "stdout").open("w") as stdout:
        process = subprocess.Popen(
            [PROGRAM, *arguments, "--output", "found"],
            cwd=folder,
            stdout=stdout,
            stderr=standard_error,
        )
        os.close(standard_error)
        shown = b"".join(iter(lambda: read(terminal), b"")).decode()
    return process.wait(), folder, shown


def read(terminal):
    """Returns the next bytes of a terminal, none at its end."""
    try:
        return os.read(terminal, 1024)
    except OSError:
        return b""


def files(folder):
    """Returns the names of the files below a folder."""
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


def test_sweep_prints_the_rate_with_its_verdict_and_places(process):
    """Three lines of the rate, three of places, and nothing else."""
    exit_code, folder, _ = process
    rate = float((folder / "found" / "learning_rate" / "value").read_text())
    evidence = Evidence.from_json((folder / "found" / "sweep" / "sweep.json").read_text())

    assert exit_code == 0
    assert (folder / "stdout").read_text().splitlines() == [
        f"Learning rate  {rate:.3g} (rule: descent, verdict: ok)",
        f"Expected       {expectation(evidence.published.interval)}",
        Verdict.OK.meaning,
        "found/best_hyperparameters",
        "found/learning_rate/value",
        "found/sweep",
    ]


def test_sweep_shows_its_progress_on_a_terminal_and_nothing_else(process):
    """No warning of TensorFlow, Beam or TFX: a line while they are loaded, then two bars."""
    _, _, shown = process
    loading, *bars = filter(None, re.split(r"[\r\n]+", shown))

    assert loading == "Loading TFX ..."
    assert bars
    pattern = r"(Learning-rate sweep: .*\d+/200|Proof at [\d.e-]+: .*\d+/\d+).*"
    assert all(re.fullmatch(pattern, bar) for bar in bars)


@pytest.mark.parametrize("key", ["best_hyperparameters", "learning_rate", "sweep"])
def test_sweep_writes_the_files_of_the_component(process, first_run, key):
    """The same names in folders of the same names."""
    _, folder, _ = process
    written = Path(first_run.output("LearningRateFinder", key).uri)

    assert files(folder / "found" / key) == files(written if written.is_dir() else written.parent)


def test_sweep_finds_what_the_component_found(process, first_run):
    """The very same curve on the same data, without a pipeline; so every answer is the same."""
    _, folder, _ = process
    sweep = Path(first_run.output("LearningRateFinder", "sweep").uri)
    texts = [(path / "sweep.json").read_text() for path in (folder / "found" / "sweep", sweep)]
    here = {"seconds": 0, "ended": 0, "origin": {}}  # which differ
    ours, theirs = ({**json.loads(text), **here} for text in texts)

    assert {k: ours[k] for k in ours if ours[k] != theirs[k]} == {}


def test_stored_sweep_of_a_pipeline_can_be_asked_again(first_run, tmp_path):
    """`suggest`, `plot`, `report` and `compare` take the artifact's folder."""
    sweep = first_run.output("LearningRateFinder", "sweep").uri

    assert printed("suggest", sweep)["verdict"] == "ok"
    for command in ("plot", "report", "compare"):
        file = tmp_path / command
        assert printed(command, sweep, "--rule", "valley", "--output", file)["file"] == str(file)
        assert file.stat().st_size > 10_000


@pytest.fixture(scope="module")
def short_sweep(inputs):
    """A function that runs a short sweep in this process."""

    def sweep(module_file, output, *options):
        return run(
            *("sweep", "--module-file", module_file, *inputs, "--output", output),
            *("--num-steps", "60", *options),
        )

    return sweep


@pytest.fixture(scope="module")
def two_sweeps(short_sweep, tmp_path_factory):
    """Two sweeps with other options than the defaults: the output folder, and the result."""
    folder = tmp_path_factory.mktemp("two-sweeps") / "found"
    options = ["--seed", "3", "--rule", "valley", "--max-learning-rate", "1", "--num-sweeps", "2"]
    return folder, short_sweep(MODULE_FILE, folder, *options, "--json")


def test_options_reach_the_sweep(two_sweeps):
    """As those of the component do; the outputs are named in JSON."""
    folder, result = two_sweeps
    found = json.loads(result.stdout)
    evidence = json.loads((folder / "sweep" / "sweep.json").read_text())

    assert (result.exit_code, result.stderr) == (0, "")
    assert found["rule"] == "valley"
    assert found["outputs"] == {
        "best_hyperparameters": str(folder / "best_hyperparameters"),
        "learning_rate": str(folder / "learning_rate" / "value"),
        "sweep": str(folder / "sweep"),
    }
    assert [curve["seed"] for curve in evidence["curves"]] == [3, 4]
    assert max(evidence["curves"][0]["learning_rates"]) <= 1
    assert evidence["published"]["learning_rate"] == found["learning_rate"]
    assert evidence["read"]["spread"] == found["spread"]


def test_module_may_import_what_lies_beside_it(short_sweep, tmp_path):
    """As from the wheel in which a pipeline packs the folder; `custom_config` is handed over.

    What the module prints stays out of the result, which a script may read as JSON. It is called
    for the sweep, for the best constant output and for each proof.
    """
    (tmp_path / "beside.py").write_text("NAME = 'units'\n")
    module = tmp_path / "module.py"
    module.write_text(
        MODULE_FILE.read_text()
        + "import beside\n"
        + "given = lr_finder_fn\n"
        + "def lr_finder_fn(fn_args):\n"
        + "    print(beside.NAME, fn_args.custom_config[beside.NAME])\n"
        + "    return given(fn_args)\n"
    )

    result = short_sweep(module, tmp_path / "found", "--custom-config", '{"units": 8}')

    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) >= 3
    assert set(result.stderr.splitlines()) == {"[LearningRateFinder] units 8"}
    assert result.stdout.startswith("Learning rate ")


def changed_module(folder, old, new):
    """Returns a copy of the module with one thing changed."""
    assert old in MODULE_FILE.read_text()
    module = folder / "module.py"
    module.write_text(MODULE_FILE.read_text().replace(old, new))
    return module


FLAT = ('loss="sparse_categorical_crossentropy"', "loss=lambda y, p: 0.0 * p[:, 0]")


def test_sweep_without_a_rate_has_an_exit_code_of_its_own(short_sweep, tmp_path):
    """3: the message is the evidence; no rate is written."""
    result = short_sweep(changed_module(tmp_path, *FLAT), tmp_path / "found")

    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(
        r"Error: No learning rate can be suggested \(flat\)\. .* Received: 60 of 60 steps.*\n",
        result.stderr,
    )
    assert files(tmp_path / "found") == []


@pytest.fixture(scope="module")
def beside_mine(short_sweep, tmp_path_factory):
    """A first sweep into a folder with a file of mine, where an output goes: folder and result."""
    folder = tmp_path_factory.mktemp("beside-mine")
    (folder / "sweep").mkdir()
    (folder / "sweep" / "mine.txt").write_text("of no sweep")
    return folder, short_sweep(MODULE_FILE, folder)


def test_outputs_are_those_of_the_last_sweep_alone(short_sweep, beside_mine, two_sweeps, tmp_path):
    """Nothing of an earlier one is left beside them, nor in the place of a sweep that failed."""
    (once, _), (earlier, _) = beside_mine, two_sweeps
    found = tmp_path / "found"
    shutil.copytree(earlier, found)
    (found / "mine.txt").write_text("of no sweep")
    of_two = files(found)

    short_sweep(MODULE_FILE, found)
    of_one = files(found)
    short_sweep(changed_module(tmp_path, *FLAT), found)

    assert len(of_one) < len(of_two)
    assert of_one == files(once)  # which has a mine.txt, too
    assert files(found) == of_one


def test_folder_that_is_no_sweeps_is_left_alone(beside_mine):
    """One that happens to have the name of an output."""
    folder, result = beside_mine

    assert result.exit_code == 0
    assert (folder / "sweep" / "mine.txt").read_text() == "of no sweep"


def test_input_is_not_replaced(tmp_path):
    """The hyperparameters that an earlier sweep put out may be handed over, not written over."""
    both = tmp_path / "best_hyperparameters"
    both.mkdir()
    arguments = ["--module-file", MODULE_FILE, "--examples", tmp_path, "--output", tmp_path]

    result = run("sweep", *arguments, "--hyperparameters", both)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "Error: --output must not be the folder of an input, which could be replaced. "
        f"Received: {tmp_path} in {tmp_path}. Name another folder."
    )


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("file/found", "[Errno 20] Not a directory: '{output}'"),
        ("found", "[Errno 17] File exists: '{output}/sweep'"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_the_search(tmp_path, output, error):
    """Nobody waits for a rate that is lost; the examples, which have no splits, are not read."""
    for name in ("file", "found/sweep"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    arguments = ["--module-file", MODULE_FILE, "--examples", tmp_path]

    result = run("sweep", *arguments, "--output", tmp_path / output)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {error.format(output=tmp_path / output)}\n"


def test_default_is_published_with_its_verdict(short_sweep, tmp_path):
    """If that is asked for, a sweep without a rate is no failure."""
    options = ["--on-failure", "default", "--default-learning-rate", "0.002"]

    result = short_sweep(changed_module(tmp_path, *FLAT), tmp_path / "found", *options)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(
        f"Learning rate  0.002 (rule: default, verdict: flat)\n{Verdict.FLAT.meaning}\n"
    )


def place(module):
    """Returns how an error names the line of the mistake in a module."""
    lines = module.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if MISTAKE[1] in line)
    return f"(at {module}, line {number})"


MISTAKE = ('hyperparameters.get("units")', '{}["units"]')


def test_error_of_the_users_module_is_one_line(short_sweep, tmp_path):
    """Its type, its text and its place."""
    module = changed_module(tmp_path, *MISTAKE)

    result = short_sweep(module, tmp_path / "found")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: KeyError: 'units' {place(module)}\n"


def test_error_of_several_sweeps_is_one_line(short_sweep, tmp_path):
    """They run in this process."""
    module = changed_module(tmp_path, *MISTAKE)

    result = short_sweep(module, tmp_path / "found", "--num-sweeps", "2")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: KeyError: 'units' {place(module)}\n"


def test_place_of_an_error_is_shown_if_asked_for(short_sweep, tmp_path):
    """`--verbose` leads to the line of the user's module."""
    module = changed_module(tmp_path, *MISTAKE)

    result = short_sweep(module, tmp_path / "found", "--verbose")

    assert result.exit_code == 1
    assert f'File "{module}", line ' in result.stderr
    assert result.stderr.endswith(f"KeyError: 'units'\nError: KeyError: 'units' {place(module)}\n")


def test_examples_without_splits_are_refused(tmp_path):
    """A folder of files is not what TFX writes."""
    arguments = ["--module-file", MODULE_FILE, "--examples", tmp_path, "--output", tmp_path / "o"]

    result = run("sweep", *arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: Input `examples` must be a folder with one folder for each split\. "
        r"Received: \S+ without any Split-\*\. .*\n",
        result.stderr,
    )


@pytest.fixture(scope="module")
def metadata(second_run, pipeline):
    """The pipeline's metadata, after a second run that was served from the cache."""
    return Path(pipeline.connection.sqlite.filename_uri)


@pytest.fixture(scope="module")
def shown(metadata, first_run):
    """What `show` prints of the first run's rate as JSON."""
    sweep = first_run.output("LearningRateFinder", "sweep").uri
    rates = printed("show", metadata, "--limit", 100)["rates"]
    return next(rate for rate in rates if rate["sweep"] == sweep)


def test_rate_is_shown_as_the_metadata_have_it(shown, first_run):
    """With rule and verdict, where the evidence lies, and when it was found."""
    sweep = first_run.output("LearningRateFinder", "sweep")
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
        shown["found_at"]
    )

    assert shown["learning_rate"] == sweep.get_float_custom_property("learning_rate")
    assert (shown["rule"], shown["verdict"], shown["sweep"]) == ("descent", "ok", sweep.uri)
    assert datetime.timedelta() < age < datetime.timedelta(hours=1)


def run_name(run, node):
    """Returns the name of the pipeline run of an execution."""
    with Metadata(run.connection) as handle:
        contexts = handle.store.get_contexts_by_execution(run.executions[node].id)
    return next(context.name for context in contexts if context.type == "pipeline_run")


def test_rate_is_shown_with_the_run_that_found_it(shown, first_run):
    """Not with a later one that was served from the cache."""
    assert {name: shown[name] for name in ("pipeline", "run", "node")} == {
        "pipeline": "tuned-penguin",
        "run": run_name(first_run, "LearningRateFinder"),
        "node": "LearningRateFinder",
    }


def test_rate_is_shown_with_its_module(shown, first_run):
    """The version is the hash of the text that ran."""
    path = first_run.properties("LearningRateFinder")["module_path"]
    version = re.search(r"-(0\.0\+[0-9a-f]{64})-py3-none-any\.whl$", path)[1]

    assert shown["module"] == {
        "name": "model",
        "version": version,
        "wheel": path.partition("@")[2],
    }


def test_rate_is_shown_with_its_data(shown, first_run):
    """The examples that it was found on, and the span that those were made from."""
    (examples,), (source,) = shown["examples"], shown["sources"]
    generated = first_run.output("CsvExampleGen", "examples")

    assert examples == {
        "uri": first_run.output("Transform", "transformed_examples").uri,
        "splits": ["eval", "train"],
        "span": None,
        "version": None,
        "fingerprint": None,
    }
    assert source == {
        "uri": generated.uri,
        "splits": ["eval", "train"],
        "span": 0,
        "version": None,
        "fingerprint": generated.get_string_custom_property("input_fingerprint"),
    }
    assert "xor_checksum" in source["fingerprint"]


def test_rate_is_shown_with_the_trainer_that_used_it(shown, first_run):
    """Once, although a second run names the same model; an Evaluator would not be a user."""
    assert shown["trainings"] == [
        {
            "node": "Trainer",
            "run": run_name(first_run, "Trainer"),
            "state": "COMPLETE",
            "models": [first_run.output("Trainer", "model").uri],
        }
    ]


def test_latest_rate_comes_first(pipeline, metadata):
    """Of a run up to the finder no training is shown."""
    later = pipeline.run_to_finder(seed=7).output("LearningRateFinder", "sweep").uri

    (latest,) = printed("show", metadata, "--limit", 1)["rates"]

    assert (latest["sweep"], latest["trainings"]) == (later, [])


def test_rates_are_shown_in_words(metadata, shown):
    """A line for each fact, an empty line between two rates."""
    (example,), (source,), (training,) = (shown[k] for k in ("examples", "sources", "trainings"))
    found_at = datetime.datetime.fromisoformat(shown["found_at"])

    result = run("show", metadata, "--limit", 100)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.rstrip("\n").split("\n\n")[-1].splitlines() == [
        f"Learning rate  {shown['learning_rate']:.3g} (rule: descent, verdict: ok)",
        f"Expected       {expectation(shown['interval'])}",
        f"Cost           {shown['search_steps']} steps"
        f"{share(shown['search_steps'], shown['train_steps'])}",
        f"Found          {found_at:%Y-%m-%d %H:%M} UTC by LearningRateFinder of tuned-penguin",
        f"Run            {shown['run']}",
        f"Examples       {example['uri']} (splits eval, train)",
        f"made from      {source['uri']} (splits eval, train; span 0)",
        f"Module         model (version {shown['module']['version']})",
        f"Sweep          {shown['sweep']}",
        f"Used by        Trainer in run {training['run']}: {training['models'][0]}",
    ]


def test_show_needs_no_framework(metadata):
    """Neither TensorFlow nor TFX is loaded, nor does any library print."""
    code = (
        "import sys; from tfx_lr_finder.command_line import main\n"
        f"try: main(['show', {str(metadata)!r}])\n"
        "except SystemExit as end: print(end.code or 0, *sorted(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    exit_code, *modules = process.stdout.splitlines()[-1].split()

    assert (exit_code, process.stderr) == ("0", "")
    assert "tfx_lr_finder.command_line.lineage" in modules
    assert not set(modules) & {"tensorflow", "keras", "tf_keras", "tfx", "apache_beam"}


def test_metadata_are_not_changed(metadata):
    """They are opened for reading alone."""
    before = metadata.read_bytes()
    metadata.chmod(0o444)

    assert printed("show", metadata)["rates"]
    assert metadata.read_bytes() == before
    metadata.chmod(0o644)


def test_metadata_without_a_rate_say_so(tmp_path):
    """A pipeline that has no finder, or has not got to it."""
    file = tmp_path / "metadata.db"
    with Metadata(ConnectionConfig(sqlite={"filename_uri": str(file), "connection_mode": 3})):
        pass

    assert run("show", file).stdout == "No learning rate was found in these metadata.\n"
    assert printed("show", file) == {"rates": []}


def test_file_that_is_no_metadata_is_refused():
    """On one line, without the SQL that failed."""
    result = run("show", MODULE_FILE)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The metadata store must be one that a TFX pipeline has written to. "
        "Received: Error when executing query: file is not a database. "
        "Give the file, or the server, database, user and password, of the pipeline's "
        "`metadata_connection_config`.\n"
    )


SERVER = ["--host", "127.0.0.1", "--database", "metadata", "--username", "finder"]
needs_mariadb = pytest.mark.needs(
    "mariadb-install-db", packages="mariadb-server-core mariadb-client-core"
)
PASSWORD = {"TFX_LR_FINDER_PASSWORD": "a secret"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a MariaDB server with an empty database, which runs for the tests' time."""
    folder = tmp_path_factory.mktemp("mariadb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = ["--no-defaults", f"--datadir={folder / 'data'}", f"--user={getpass.getuser()}"]
    install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    (folder / "init.sql").write_text(
        "CREATE DATABASE metadata;\n"
        "CREATE USER finder@'%' IDENTIFIED BY 'a secret';\n"
        "GRANT ALL ON metadata.* TO finder@'%';\n"
    )
    process = subprocess.Popen(
        [
            shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin"),
            *common,
            *(f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"),
            *("--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve"),
            f"--init-file={folder / 'init.sql'}",
        ]
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for(port):
    """Returns once a server listens on a port."""
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"No server listens on port {port}.")


@needs_mariadb
def test_rates_in_a_mysql_database_are_shown(server, first_run, pipeline, tmp_path):
    """A pipeline that keeps its metadata there: it imports the first run's data and sweeps."""
    uris = {
        "examples": first_run.output("Transform", "transformed_examples"),
        "transform_graph": first_run.output("Transform", "transform_graph"),
        "hyperparameters": first_run.output("Tuned", "result"),
    }
    imported = {
        key: Importer(
            source_uri=artifact.uri,
            artifact_type=type(artifact),
            properties={"split_names": artifact.split_names} if key == "examples" else None,
        ).with_id(key)
        for key, artifact in uris.items()
    }
    finder = LearningRateFinder(
        **{key: importer.outputs["result"] for key, importer in imported.items()},
        module_file=str(MODULE_FILE),
    )
    password = PASSWORD["TFX_LR_FINDER_PASSWORD"]
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="on-mysql",
            pipeline_root=str(tmp_path),
            components=[*imported.values(), finder],
            metadata_connection_config=mysql_metadata_connection_config(
                "127.0.0.1", server, "metadata", "finder", password
            ),
        )
    )

    (rate,) = printed("show", *SERVER, "--port", server, env=PASSWORD)["rates"]

    expected = printed("suggest", rate["sweep"])
    assert rate["learning_rate"] == pytest.approx(expected["learning_rate"], abs=5e-7)
    assert (rate["pipeline"], rate["node"]) == ("on-mysql", "LearningRateFinder")
    assert [data["uri"] for data in rate["examples"]] == [uris["examples"].uri]
    assert rate["module"]["version"].startswith("0.0+")


@needs_mariadb
def test_wrong_password_is_refused(server):
    """On one line; what is on the command line comes before the environment."""
    result = run("show", *SERVER, "--port", server, "--password", "wrong", env=PASSWORD)

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: The metadata store must be .* Received: mysql_real_connect failed.*\n",
        result.stderr,
    )
