"""Submitting to a local HTTP server that answers as Kubeflow Pipelines' API does."""

import http.server
import json
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import pytest
import yaml
from tfx.components import CsvExampleGen
from tfx.orchestration.data_types import RuntimeParameter

import submit_kubeflow
from compiled_pipeline import PipelineError, typed_parameters
from kubeflow import compile_pipeline
from tfx_lr_finder import LearningRateFinder

RUN_ID = "0e2f"
PREFIX = "/apis/v2beta1"


class Kubeflow(http.server.ThreadingHTTPServer):
    """Kubeflow Pipelines' API: health, experiments and runs, in the shapes of kfp's own models.

    Attributes:
        states: States that a run goes through, one for each time that it is asked for.
        refusal: HTTP status and message with which a run is refused, or None.
        runs: Bodies of the runs that were created.
        experiments: Names of the experiments that were created.
    """

    def __init__(self):
        """Binds to a free port of this machine."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.states = ["SUCCEEDED"]
        self.refusal = None
        self.runs = []
        self.experiments = []

    @property
    def endpoint(self):
        """The address of the API."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        """Answers health, the experiment by its name, and the run with its next state."""
        url = urlsplit(self.path)
        if url.path == f"{PREFIX}/healthz":
            self.answer(api.V2beta1GetHealthzResponse(multi_user=False))
        elif url.path == f"{PREFIX}/experiments":
            wanted = json.loads(parse_qs(url.query)["filter"][0])["predicates"][0]["stringValue"]
            known = [self.experiment(n) for n in self.server.experiments if n == wanted]
            self.answer(api.V2beta1ListExperimentsResponse(experiments=known))
        elif url.path == f"{PREFIX}/runs/{RUN_ID}":
            states = self.server.states
            state = states.pop(0) if len(states) > 1 else states[0]
            tasks = [
                api.V2beta1PipelineTaskDetail(display_name="Trainer", state=state),
                api.V2beta1PipelineTaskDetail(display_name="Transform", state="SUCCEEDED"),
            ]
            details = api.V2beta1RunDetails(task_details=tasks)
            self.answer(api.V2beta1Run(run_id=RUN_ID, state=state, run_details=details))
        else:
            self.refuse(404, "Not Found")

    def do_POST(self):
        """Creates an experiment or a run."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == f"{PREFIX}/experiments":
            self.server.experiments.append(body["display_name"])
            self.answer(self.experiment(body["display_name"]))
        elif self.server.refusal:
            self.refuse(*self.server.refusal)
        else:
            self.server.runs.append(body)
            self.answer(api.V2beta1Run(run_id=RUN_ID, state="PENDING"))

    def experiment(self, name):
        """Returns an experiment."""
        return api.V2beta1Experiment(experiment_id=f"id of {name}", display_name=name)

    def answer(self, model):
        """Sends a model of kfp's client as JSON."""
        self.send(200, api.ApiClient().sanitize_for_serialization(model))

    def refuse(self, status, message):
        """Sends an error as the API does."""
        self.send(status, {"error": message, "code": 3, "message": message, "details": []})

    def send(self, status, content):
        """Sends JSON."""
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args):
        """Says nothing."""


@pytest.fixture
def kubeflow(monkeypatch):
    """A running server; its runs are asked for without delay."""
    monkeypatch.setattr(submit_kubeflow, "POLL_SECONDS", 0.01)
    with Kubeflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A compiled pipeline with parameters of every type."""
    examples = CsvExampleGen(input_base="/data")
    finder = LearningRateFinder(
        examples=examples.outputs["examples"],
        lr_finder_fn="user.lr_finder_fn",
        num_steps=RuntimeParameter("num_steps", ptype=int, default=100),
        min_learning_rate=RuntimeParameter("min_learning_rate", ptype=float, default=1e-6),
        rule=RuntimeParameter("rule", ptype=str, default="valley"),
    )
    file = tmp_path_factory.mktemp("compiled") / "small.yaml"
    compile_pipeline("small", [examples, finder], "compiled/image:1", file)
    return file


@pytest.fixture
def submit(kubeflow, compiled):
    """A function that runs the command against the server."""

    def submit_(*arguments):
        submit_kubeflow.main([str(compiled), "--endpoint", kubeflow.endpoint, *arguments])

    return submit_


def test_run_is_started_and_its_address_printed(submit, kubeflow, compiled, capsys):
    """What is sent is the compiled pipeline; nothing but the address is printed."""
    submit()

    [run] = kubeflow.runs
    assert run["pipeline_spec"] == yaml.safe_load(compiled.read_text())
    assert run["display_name"].startswith("small ")
    assert capsys.readouterr().out == f"Run: {kubeflow.endpoint}/#/runs/details/{RUN_ID}\n"


def test_parameters_are_sent_with_their_types(submit, kubeflow):
    """As the compiled pipeline declares them."""
    submit(
        *("--parameter", "num_steps=50"),
        *("--parameter", "min_learning_rate=1"),
        *("--parameter", "rule=a=b"),
    )

    parameters = kubeflow.runs[0]["runtime_config"]["parameters"]
    assert parameters == {"num_steps": 50, "min_learning_rate": 1.0, "rule": "a=b"}
    assert isinstance(parameters["num_steps"], int)
    assert isinstance(parameters["min_learning_rate"], float)


def test_pipeline_root_and_experiment_are_sent(submit, kubeflow):
    """The experiment is created where it does not exist, and found where it does."""
    for _ in range(2):
        submit("--pipeline-root", "gs://bucket/root", "--experiment", "rates")

    assert kubeflow.experiments == ["rates"]
    for run in kubeflow.runs:
        assert run["runtime_config"]["pipeline_root"] == "gs://bucket/root"
        assert run["experiment_id"] == "id of rates"


def test_image_of_every_task_can_be_replaced(submit, kubeflow, compiled):
    """The compiled file stays as it is."""
    before = compiled.read_text()

    submit("--image", "other/image:2")

    executors = kubeflow.runs[0]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"other/image:2"}
    assert compiled.read_text() == before


def test_success_is_waited_for(submit, kubeflow, capsys):
    """Until the run has ended, whatever states it goes through."""
    kubeflow.states = ["PENDING", "RUNNING", "PAUSED", "RUNNING", "SUCCEEDED"]

    submit("--wait")

    assert capsys.readouterr().out.endswith("Run SUCCEEDED\n")
    assert kubeflow.states == ["SUCCEEDED"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("FAILED", r"^Error: The run ended as FAILED; failed tasks: \['Trainer'\]\.$"),
        ("CANCELED", r"^Error: The run ended as CANCELED; failed tasks: \[\]\.$"),
    ],
)
def test_run_that_does_not_succeed_is_an_error(submit, kubeflow, state, message):
    """The message names the tasks that failed."""
    kubeflow.states = ["RUNNING", state]

    with pytest.raises(SystemExit, match=message):
        submit("--wait")


def test_refused_run_is_one_line(submit, kubeflow):
    """It has the server's own reason."""
    kubeflow.refusal = (400, "Invalid input error: unknown template format")

    with pytest.raises(
        SystemExit,
        match=r"^Error: .* did not take the request: Invalid input error: unknown template format$",
    ):
        submit()


def test_unreachable_endpoint_is_one_line(compiled):
    """Nobody listens on a port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(
        SystemExit, match=rf"^Error: No Kubeflow Pipelines API at {endpoint}: .*refused.*$"
    ):
        submit_kubeflow.main([str(compiled), "--endpoint", endpoint])


def test_wrong_address_is_one_line(compiled, kubeflow):
    """A server that answers, but has no such API."""
    with pytest.raises(
        SystemExit, match=r"^Error: No Kubeflow Pipelines API at .*/wrong: .*404.*$"
    ):
        submit_kubeflow.main([str(compiled), "--endpoint", f"{kubeflow.endpoint}/wrong"])


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("steps=50", r"unknown \['steps'\], missing \[\]"),
        ("num_steps=many", r"'num_steps' must be of type NUMBER_INTEGER. Received: 'many'"),
    ],
    ids=["unknown", "wrong_type"],
)
def test_wrong_parameter_is_refused_before_anything_is_sent(submit, kubeflow, parameter, message):
    """The message names what the pipeline takes."""
    with pytest.raises(SystemExit, match=f"^Error: .*{message}"):
        submit("--parameter", parameter)

    assert kubeflow.runs == []


def test_parameter_without_default_must_be_given():
    """The server would accept the run, and its first task would fail."""
    spec = {"root": {"inputDefinitions": {"parameters": {"n": {"parameterType": "STRING"}}}}}

    with pytest.raises(PipelineError, match=r"missing \['n'\]"):
        typed_parameters(spec, {})


def test_file_that_is_no_pipeline_is_refused(kubeflow, tmp_path):
    """Whether it is missing or something else."""
    other = tmp_path / "other.yaml"
    other.write_text("a: 1")

    for file in (other, tmp_path / "missing.yaml"):
        with pytest.raises(SystemExit, match=f"^Error: {file} is not a compiled pipeline"):
            submit_kubeflow.main([str(file), "--endpoint", kubeflow.endpoint])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "localhost:8080"], "must begin with http:// or https://"),
        (["--endpoint", "http://x", "--pipeline-root", "/data"], "must begin with one of"),
        (["--endpoint", "http://x", "--parameter", "num_steps"], "must be NAME=VALUE"),
    ],
    ids=["endpoint", "pipeline_root", "parameter"],
)
def test_malformed_argument_is_refused(compiled, capsys, arguments, message):
    """With the form that is wanted."""
    with pytest.raises(SystemExit, match="2"):
        submit_kubeflow.main([str(compiled), *arguments])

    assert message in capsys.readouterr().err
