"""Submitting to a local HTTP server that answers as Kubeflow Pipelines' API does."""

import email
import http.server
import json
import re
import socket
import threading
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api as api
import pytest
import yaml
from tfx.components import CsvExampleGen
from tfx.orchestration.data_types import RuntimeParameter

import submit_kubeflow
from compiled_pipeline import PipelineError, typed_parameters
from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.kubeflow import compile_pipeline

RUN_ID = "0e2f"
PREFIX = "/apis/v2beta1"


class Kubeflow(http.server.ThreadingHTTPServer):
    """Kubeflow Pipelines' API, as far as it is used, in the shapes of kfp's own models.

    Attributes:
        states: States that a run goes through, one for each time that it is asked for.
        refusal: HTTP status and message with which a run is refused, or None.
        token: The bearer token without which every request is refused, or None.
        pipelines: The versions that were uploaded, as pairs of name and file, by their pipeline.
        namespaces: The namespace of every pipeline that was uploaded.
        runs: Bodies of the runs that were created.
        experiments: Names of the experiments that were created.
    """

    def __init__(self):
        """Binds to a free port of this machine."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.states = ["SUCCEEDED"]
        self.refusal = None
        self.token = None
        self.pipelines = {}
        self.namespaces = {}
        self.runs = []
        self.experiments = []

    @property
    def endpoint(self):
        """The address of the API."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def last_file(self):
        """The pipeline that was uploaded last."""
        return yaml.safe_load(list(self.pipelines.values())[-1][-1][1])


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        """Answers health, pipelines and experiments by their name, and the run's next state."""
        if self.is_unauthorized():
            return
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix(PREFIX)
        if path == "/healthz":
            self.answer(api.V2beta1GetHealthzResponse(multi_user=False))
        elif path == "/pipelines":
            known = [self.pipeline(n) for n in self.wanted(query, self.server.pipelines)]
            known = [p for p in known if p.namespace == query.get("namespace")]
            self.answer(api.V2beta1ListPipelinesResponse(pipelines=known or None))
        elif path.startswith("/pipelines/") and path.endswith("/versions"):
            name = unquote(path.split("/")[2]).removeprefix("id of ")
            versions = [self.version(name, version) for version, _ in self.server.pipelines[name]]
            self.answer(api.V2beta1ListPipelineVersionsResponse(pipeline_versions=versions))
        elif path == "/experiments":
            known = [self.experiment(n) for n in self.wanted(query, self.server.experiments)]
            self.answer(api.V2beta1ListExperimentsResponse(experiments=known))
        elif path == f"/runs/{RUN_ID}":
            states = self.server.states
            state = states.pop(0) if len(states) > 1 else states[0]
            tasks = [
                api.V2beta1PipelineTaskDetail(display_name="Trainer", state=state),
                api.V2beta1PipelineTaskDetail(display_name="Transform", state="SUCCEEDED"),
            ]
            details = api.V2beta1RunDetails(task_details=tasks)
            self.answer(api.V2beta1Run(run_id=RUN_ID, state=state, run_details=details))
        elif path == "/login":
            self.send(200, "text/html", b"<html>Log in</html>")
        else:
            self.refuse(404, "Not Found")

    def do_POST(self):
        """Takes a pipeline, a version, an experiment or a run."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_unauthorized():
            return
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix(PREFIX)
        if path == "/pipelines/upload":
            name = query["name"]
            if name in self.server.pipelines:
                self.refuse(409, f"Already exist error: {name}")
                return
            self.server.pipelines[name] = [(name, self.uploaded(body))]
            self.server.namespaces[name] = query.get("namespace")
            self.answer(self.pipeline(name))
        elif path == "/pipelines/upload_version":
            pipeline = query["pipelineid"].removeprefix("id of ")
            self.server.pipelines[pipeline].append((query["name"], self.uploaded(body)))
            self.answer(self.version(pipeline, query["name"]))
        elif path == "/experiments":
            name = json.loads(body)["display_name"]
            self.server.experiments.append(name)
            self.answer(self.experiment(name))
        elif self.server.refusal:
            self.refuse(*self.server.refusal)
        else:
            self.server.runs.append(json.loads(body))
            self.answer(api.V2beta1Run(run_id=RUN_ID, state="PENDING"))

    def is_unauthorized(self):
        """Refuses a request without the token, as a proxy in front of the API does."""
        token = self.server.token
        if token is None or self.headers["Authorization"] == f"Bearer {token}":
            return False
        self.send(401, "text/plain", b"who are you?")
        return True

    def wanted(self, query, names):
        """Returns the name that a request's filter asks for, if it is there."""
        [predicate] = json.loads(query["filter"])["predicates"]
        assert (predicate["key"], predicate["operation"]) in {
            ("display_name", "EQUALS"),
            ("display_name", 1),
        }
        return [name for name in names if name == predicate["stringValue"]]

    def uploaded(self, body):
        """Returns the file in the body of an upload."""
        header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        [part] = email.message_from_bytes(header + body).get_payload()
        assert part.get_param("name", header="Content-Disposition") == "uploadfile"
        assert part.get_filename().endswith(".yaml")
        return part.get_payload(decode=True).decode()

    def pipeline(self, name):
        """Returns a pipeline."""
        namespace = self.server.namespaces[name]
        return api.V2beta1Pipeline(
            pipeline_id=f"id of {name}", display_name=name, namespace=namespace
        )

    def version(self, pipeline, name):
        """Returns a version of a pipeline."""
        return api.V2beta1PipelineVersion(
            pipeline_id=f"id of {pipeline}",
            pipeline_version_id=f"id of version {name}",
            display_name=name,
        )

    def experiment(self, name):
        """Returns an experiment."""
        return api.V2beta1Experiment(experiment_id=f"id of {name}", display_name=name)

    def answer(self, model):
        """Sends a model of kfp's client as JSON."""
        content = api.ApiClient().sanitize_for_serialization(model)
        self.send(200, "application/json", json.dumps(content).encode())

    def refuse(self, status, message):
        """Sends an error as the API does."""
        content = {"error": message, "code": 3, "message": message, "details": []}
        self.send(status, "application/json", json.dumps(content).encode())

    def send(self, status, content_type, payload):
        """Sends a response."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
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


def images(spec):
    """Returns the images of a compiled pipeline's tasks."""
    executors = spec["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors}


def test_pipeline_is_uploaded_and_run(submit, kubeflow, compiled, capsys):
    """The run is one of the uploaded file; nothing but its address is printed."""
    submit()

    [run] = kubeflow.runs
    assert kubeflow.pipelines == {"small": [("small", compiled.read_text())]}
    assert run["pipeline_version_reference"] == {
        "pipeline_id": "id of small",
        "pipeline_version_id": "id of version small",
    }
    assert re.fullmatch(r"small-\d{8}-\d{6}", run["display_name"])
    assert run["experiment_id"] == "id of Default"
    assert capsys.readouterr().out == f"Run: {kubeflow.endpoint}/#/runs/details/{RUN_ID}\n"


def test_known_pipeline_gets_a_version_of_the_runs_name(submit, kubeflow):
    """The second run is one of the second version."""
    submit()
    submit("--image", "other/image:2")

    [_, (version, _)] = kubeflow.pipelines["small"]
    assert images(kubeflow.last_file) == {"other/image:2"}
    assert kubeflow.runs[1]["display_name"] == version
    assert kubeflow.runs[1]["pipeline_version_reference"] == {
        "pipeline_id": "id of small",
        "pipeline_version_id": f"id of version {version}",
    }


def test_namespace_is_that_of_the_pipeline(submit, kubeflow):
    """It is created there, and found there again."""
    for _ in range(2):
        submit("--namespace", "team")

    assert kubeflow.namespaces == {"small": "team"}
    assert len(kubeflow.pipelines["small"]) == 2


def test_token_is_sent_with_every_request(submit, kubeflow, tmp_path):
    """It is read from a file, and its last line break is none of it."""
    kubeflow.token = "secret"
    file = tmp_path / "token"
    file.write_text("secret\n")

    submit("--token-file", str(file), "--wait")

    assert len(kubeflow.runs) == 1


@pytest.mark.parametrize("content", ["secret\nkind: Config", "s\u00e9cret", ""])
def test_file_with_more_than_a_token_is_refused_without_showing_it(
    submit, tmp_path, capsys, content
):
    """As it would not fit into a request, whose error would show it."""
    file = tmp_path / "token"
    file.write_text(content)

    with pytest.raises(SystemExit, match="2"):
        submit("--token-file", str(file))

    printed = capsys.readouterr().err
    assert "must be a file with one token and no more" in printed
    assert "cret" not in printed


def test_missing_token_is_one_line(submit, kubeflow):
    """The message says how to give one."""
    kubeflow.token = "secret"

    with pytest.raises(
        SystemExit,
        match=r"^Error: No Kubeflow Pipelines API at .*401: Unauthorized.* with --token-file .*$",
    ):
        submit()


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


def test_cache_can_be_left_out(submit, kubeflow, compiled):
    """For a run after a change behind the same names; the compiled file stays as it is."""
    before = compiled.read_text()

    submit("--no-cache")

    tasks = kubeflow.last_file["root"]["dag"]["tasks"]
    assert {task["cachingOptions"].get("enableCache", False) for task in tasks.values()} == {False}
    assert images(kubeflow.last_file) == {"compiled/image:1"}
    assert compiled.read_text() == before


def test_image_of_every_task_can_be_replaced(submit, kubeflow, compiled):
    """The compiled file stays as it is."""
    before = compiled.read_text()

    submit("--image", "other/image:2")

    assert images(kubeflow.last_file) == {"other/image:2"}
    assert compiled.read_text() == before


def test_text_that_looks_like_a_number_stays_a_text(kubeflow, tmp_path):
    """In the changed copy, too; Kubeflow reads more texts as numbers than Python's reader."""
    file = tmp_path / "numbers.yaml"
    compile_pipeline("numbers", [CsvExampleGen(input_base="1e-3")], "an/image:1", file)

    submit_kubeflow.main([str(file), "--endpoint", kubeflow.endpoint, "--no-cache"])

    [(_, uploaded)] = kubeflow.pipelines["numbers"]
    assert "constant: '1e-3'\n" in uploaded


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


def test_other_protocol_is_one_line(compiled):
    """Kubeflow's own port for gRPC, a database: whatever answers, but not as a web server."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"\x00\x00\x18\x04 whatever\r\n\r\n")
                connection.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        endpoint = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            SystemExit, match=rf"^Error: No Kubeflow Pipelines API at {endpoint}: [^\n]*$"
        ):
            submit_kubeflow.main([str(compiled), "--endpoint", endpoint])


@pytest.mark.parametrize("address", ["http://[", "http://host:port", "http://a b"])
def test_impossible_address_is_one_line(compiled, address):
    """It begins as one should, and goes wrong then."""
    with pytest.raises(
        SystemExit, match=rf"^Error: No Kubeflow Pipelines API at {re.escape(address)}.*: [^\n]*$"
    ):
        submit_kubeflow.main([str(compiled), "--endpoint", address])


def test_wrong_address_is_one_line(compiled, kubeflow):
    """A server that answers, but has no such API."""
    with pytest.raises(
        SystemExit, match=r"^Error: No Kubeflow Pipelines API at .*/wrong: .*404.*$"
    ):
        submit_kubeflow.main([str(compiled), "--endpoint", f"{kubeflow.endpoint}/wrong"])


def test_login_page_is_one_line(compiled, kubeflow):
    """A page for people in front of the API."""
    endpoint = f"{kubeflow.endpoint}{PREFIX}/login?"
    with pytest.raises(
        SystemExit, match=r"^Error: No Kubeflow Pipelines API .* no JSON, perhaps a login page.*$"
    ):
        submit_kubeflow.main([str(compiled), "--endpoint", endpoint])


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
    assert kubeflow.pipelines == {}


def test_parameter_without_default_must_be_given():
    """The server would accept the run, and its first task would fail."""
    spec = {"root": {"inputDefinitions": {"parameters": {"n": {"parameterType": "STRING"}}}}}

    with pytest.raises(PipelineError, match=r"missing \['n'\]"):
        typed_parameters(spec, {})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "it has no name or no tasks"),
        (b"a: 1", "it has no name or no tasks"),
        (b"root: {dag: {tasks: {}}}", "it has no name or no tasks"),
        (b"a: [1\nb: 2", "while parsing a flow sequence"),
        (b"\xff\xfe", "can't decode byte 0xff"),
    ],
    ids=["missing", "empty", "other_yaml", "nameless", "no_yaml", "no_text"],
)
def test_file_that_is_no_pipeline_is_refused_in_one_line(kubeflow, tmp_path, content, reason):
    """Whether it is missing or something else."""
    file = tmp_path / "other.yaml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(
        SystemExit, match=rf"^Error: {file} is not a compiled pipeline: [^\n]*{reason}[^\n]*$"
    ):
        submit_kubeflow.main([str(file), "--endpoint", kubeflow.endpoint])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "localhost:8080"], "must begin with http:// or https://"),
        (["--endpoint", "http://x", "--pipeline-root", "/data"], "must begin with one of"),
        (["--endpoint", "http://x", "--parameter", "num_steps"], "must be NAME=VALUE"),
        (["--endpoint", "http://x", "--token-file", "/none"], "must be a file with a token"),
    ],
    ids=["endpoint", "pipeline_root", "parameter", "token_file"],
)
def test_malformed_argument_is_refused(compiled, capsys, arguments, message):
    """With the form that is wanted."""
    with pytest.raises(SystemExit, match="2"):
        submit_kubeflow.main([str(compiled), *arguments])

    assert message in capsys.readouterr().err
