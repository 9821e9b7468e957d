"""Submitting to a local HTTP server that answers as Kubeflow Pipelines' API does.

Its ML Metadata are a real store, and its runs have the nodes that Argo's workflows have.
"""

import datetime
import email
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api as api
import pytest
import yaml
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from ml_metadata.proto import metadata_store_service_pb2 as service
from tfx.components import CsvExampleGen
from tfx.orchestration.data_types import RuntimeParameter

from plain_kfp.pipeline import main as compile_plain_kfp
from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.command_line import main
from tfx_lr_finder.kubeflow import compile_pipeline
from tfx_lr_finder.kubeflow.runs import following
from tfx_lr_finder.kubeflow.runs.compiled import (
    PipelineError,
    has_finder,
    task_names,
    typed_parameters,
)

RUN_ID = "0e2f"
PAGE = "/pipeline"
PREFIX = "/apis/v2beta1"

WORKFLOW = "small-x7k2p"
FINDER = "LearningRateFinder"
LOG = "".join(f"line {number}\n" for number in range(40)) + "ValueError: Broken on purpose.\n"


def node(name, state, number, children=(), seconds=None):
    """Returns a node of Argo's workflow as the API shows it.

    As in backend/src/common/util/workflow.go: the node's own name is that of a pod, the names of
    its children are Argo's ids. What they have in common is the number at their end.
    """
    times = {}
    if seconds is not None:
        start, end = Timestamp(), Timestamp()
        start.FromSeconds(1_700_000_000 + number)
        end.FromSeconds(1_700_000_000 + number + seconds)
        utc = datetime.timezone.utc
        times = {"start_time": start.ToDatetime(utc), "end_time": end.ToDatetime(utc)}
    return api.V2beta1PipelineTaskDetail(
        task_id=f"task-{number}",
        display_name=name,
        state=state,
        pod_name=f"{WORKFLOW}-template-{number}",
        child_tasks=[
            api.PipelineTaskDetailChildTask(pod_name=f"{WORKFLOW}-{child}") for child in children
        ],
        **times,
    )


def nodes(finder_state="SUCCEEDED"):
    """Returns the nodes of a run of the small pipeline whose first task has succeeded."""
    ended = finder_state not in ("RUNNING", "PENDING")
    return [
        node(WORKFLOW, "RUNNING", 1, [2]),
        node("root", "RUNNING", 2, [3]),
        node("CsvExampleGen-driver", "SUCCEEDED", 3, [4], 5),
        node("CsvExampleGen", "SUCCEEDED", 4, [5], 31),
        node("executor", "SUCCEEDED", 5, [6], 30),
        node(f"{FINDER}-driver", "SUCCEEDED", 6, [7], 5),
        node(FINDER, finder_state, 7, [8], 42 if ended else None),
        node(f"{FINDER}(0)", finder_state, 8, [9], 42 if ended else None),
        node("executor", finder_state, 9, [], 41 if ended else None),
    ]


class Kubeflow(http.server.ThreadingHTTPServer):
    """Kubeflow Pipelines' API, as far as it is used, in the shapes of kfp's own models.

    Attributes:
        states: States that a run goes through, one for each time that it is asked for.
        nodes: The nodes of the run.
        hiccups: How many of the next questions for the run are not answered as the API does.
        hiccup: The HTTP status of these answers; None closes the connection.
        refusal: HTTP status and message with which a run is refused, or None.
        run_refusal: HTTP status and message of every answer to a question for the run, or None.
        end_refusal: HTTP status and message with which it refuses to end the run, or None.
        upload_refusal: HTTP status and body with which a file is refused, or None.
        token: The bearer token without which every request is refused, or None.
        logs: Text of the logs, by path.
        metadata: ML Metadata's store, or None where its server is not under the same address.
        pipelines: The versions that were uploaded, as pairs of name and file, by their pipeline.
        namespaces: The namespace of every pipeline that was uploaded.
        runs: Bodies of the runs that were created.
        ended: Ids of the runs that were to be ended.
        experiments: Names of the experiments that were created.
        has_rival: Whether another submission comes between two requests of ours: it creates the
            same experiment, and uploads a version.
        hidden: Whether pipelines are not found at first, as if they were just being uploaded.
    """

    def __init__(self):
        """Binds to a free port of this machine."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.states = ["SUCCEEDED"]
        self.nodes = nodes()
        self.hiccups = 0
        self.hiccup = 503
        self.refusal = None
        self.run_refusal = None
        self.end_refusal = None
        self.upload_refusal = None
        self.token = None
        self.logs = {}
        self.metadata = None
        self.pipelines = {}
        self.namespaces = {}
        self.runs = []
        self.ended = []
        self.experiments = []
        self.has_rival = False
        self.hidden = False

    @property
    def endpoint(self):
        """The address of the page, under which the API is, too."""
        return f"{self.host}{PAGE}"

    @property
    def host(self):
        """The root, where ML Metadata are."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def last_file(self):
        """The pipeline that was uploaded last."""
        return yaml.safe_load(list(self.pipelines.values())[-1][-1][1])

    def handle_error(self, request, client_address):
        """Says nothing: a client that is interrupted goes away."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        """Answers health, pipelines and experiments by their name, and the run's next state."""
        if self.is_unauthorized():
            return
        url = urlsplit(self.path.removeprefix(PAGE))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix(PREFIX)
        if path == "/healthz":
            self.answer(api.V2beta1GetHealthzResponse(multi_user=False))
        elif path == "/pipelines":
            known = [self.pipeline(n) for n in self.wanted(query, self.server.pipelines)]
            known = [p for p in known if p.namespace == query.get("namespace")]
            if self.server.hidden:
                known, self.server.hidden = [], False
            self.answer(api.V2beta1ListPipelinesResponse(pipelines=known or None))
        elif path.startswith("/pipelines/") and path.endswith("/versions"):
            name = unquote(path.split("/")[2]).removeprefix("id of ")
            versions = [self.version(name, version) for version, _ in self.server.pipelines[name]]
            self.answer(api.V2beta1ListPipelineVersionsResponse(pipeline_versions=versions))
        elif path == "/experiments":
            known = [self.experiment(n) for n in self.wanted(query, self.server.experiments)]
            self.answer(api.V2beta1ListExperimentsResponse(experiments=known))
        elif path == f"/runs/{RUN_ID}":
            if self.server.run_refusal:
                self.refuse(*self.server.run_refusal)
                return
            if self.server.hiccups:
                self.server.hiccups -= 1
                self.hiccup(self.server.hiccup)
                return
            states = self.server.states
            state = states.pop(0) if len(states) > 1 else states[0]
            details = api.V2beta1RunDetails(task_details=self.server.nodes)
            self.answer(api.V2beta1Run(run_id=RUN_ID, state=state, run_details=details))
        elif (text := self.server.logs.get(url.geturl())) is not None:
            self.send(200, "text/plain", text.encode())
        elif path == "/login":
            self.send(200, "text/html", b"<html>Log in</html>")
        else:
            self.send(404, "text/html", b"<pre>Cannot GET</pre>")

    def do_POST(self):
        """Takes a pipeline, a version, an experiment or a run."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_unauthorized():
            return
        url = urlsplit(self.path.removeprefix(PAGE))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix(PREFIX)
        if path.startswith("/pipelines/upload") and self.server.upload_refusal:
            status, content = self.server.upload_refusal
            self.send(status, "application/json", json.dumps(content).encode())
        elif path == "/pipelines/upload":
            name = query["name"]
            if name in self.server.pipelines:
                self.refuse_file(409, "Failed to create a pipeline and a pipeline version")
                return
            self.server.pipelines[name] = [(name, self.uploaded(body))]
            self.server.namespaces[name] = query.get("namespace")
            if self.server.has_rival:
                self.server.pipelines[name].insert(0, ("version of the rival", ""))
            self.answer(self.pipeline(name))
        elif path == "/pipelines/upload_version":
            pipeline = query["pipelineid"].removeprefix("id of ")
            if query["name"] in dict(self.server.pipelines[pipeline]):
                self.refuse_file(409, "Failed to create a pipeline version")
                return
            self.server.pipelines[pipeline].append((query["name"], self.uploaded(body)))
            self.answer(self.version(pipeline, query["name"]))
        elif path == "/experiments":
            name = json.loads(body)["display_name"]
            self.server.experiments.append(name)
            if self.server.has_rival:
                self.refuse(409, f"Already exist error: Experiment {name} already exists")
                return
            self.answer(self.experiment(name))
        elif path == f"/runs/{RUN_ID}:terminate" and self.server.end_refusal:
            self.refuse(*self.server.end_refusal)
        elif path == f"/runs/{RUN_ID}:terminate":
            self.server.ended.append(RUN_ID)
            self.send(200, "application/json", b"{}")
        elif self.path.startswith("/ml_metadata.MetadataStoreService/") and self.server.metadata:
            self.answer_metadata(path.rpartition("/")[2], body)
        elif path != "/runs":
            self.send(404, "text/html", b"<pre>Cannot POST</pre>")
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

    def refuse_file(self, status, message):
        """Sends an error as the endpoint for files does, with Go's stack trace beside it."""
        trace = f"{message}\ngithub.com/kubeflow/pipelines/backend/src/common/util.Wrap\n\t/go/src"
        content = {"error_message": message, "error_details": trace}
        self.send(status, "application/json", json.dumps(content).encode())

    def hiccup(self, status):
        """Answers as a proxy does while the API is away, or not at all, or breaks off."""
        if status is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif status == 502:
            self.wfile.write(b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 100\r\n\r\n<html>")
            self.close_connection = True
        else:
            self.send(status, "text/html", b"<html>upstream connect error</html>")

    def answer_metadata(self, method, body):
        """Answers a call by gRPC-web, as Envoy does in front of ML Metadata's server."""
        request = getattr(service, f"{method}Request").FromString(body[5:])
        store = self.server.metadata
        if method == "GetContextByTypeAndName":
            found = store.get_context_by_type_and_name(request.type_name, request.context_name)
            answer = service.GetContextByTypeAndNameResponse(context=found)
        else:
            artifacts = store.get_artifacts_by_context(request.context_id)
            answer = service.GetArtifactsByContextResponse(artifacts=artifacts)
        message, trailer = answer.SerializeToString(), b"grpc-status:0\r\n"
        frames = [(b"\0", message), (b"\x80", trailer)]
        payload = b"".join(mark + len(c).to_bytes(4, "big") + c for mark, c in frames)
        self.send(200, "application/grpc-web+proto", payload)

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
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)
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

    def submit_(*arguments, endpoint=kubeflow.endpoint, file=compiled):
        return CliRunner().invoke(
            main, ["submit", str(file), "--endpoint", endpoint, *arguments], catch_exceptions=False
        )

    return submit_


@pytest.fixture
def metadata(kubeflow):
    """ML Metadata in which a run has published a rate, as Kubeflow's launcher records it."""
    store = MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
    run_type = store.put_context_type(mlmd.ContextType(name="system.PipelineRun"))
    metrics_type = store.put_artifact_type(mlmd.ArtifactType(name="system.Metrics"))
    sweep_type = store.put_artifact_type(mlmd.ArtifactType(name=f"tfx_lr_finder.{FINDER}"))
    (context,) = store.put_contexts([mlmd.Context(type_id=run_type, name=RUN_ID)])
    root = f"minio://mlpipeline/v2/artifacts/small/earlier-run/{FINDER}/0f3c"
    artifacts = [
        mlmd.Artifact(type_id=metrics_type, uri=f"{root}/metrics"),
        mlmd.Artifact(type_id=sweep_type, uri=f"{root}/sweep"),
    ]
    for artifact, name in zip(artifacts, ("metrics", "sweep"), strict=True):
        properties = artifact.custom_properties
        properties["display_name"].string_value = name
        properties["learning_rate"].double_value = 0.025119  # six decimals
        properties["learning_rate_text"].string_value = "0.0251188643150958"
        properties["learning_rate_low"].double_value = 0.0126
        properties["learning_rate_high"].double_value = 0.0501
        properties["verdict"].string_value = "ok"
    ids = store.put_artifacts(artifacts)
    store.put_attributions_and_associations(
        [mlmd.Attribution(artifact_id=id_, context_id=context) for id_ in ids], []
    )
    kubeflow.metadata = store
    return store


def images(spec):
    """Returns the images of a compiled pipeline's tasks."""
    executors = spec["deploymentSpec"]["executors"].values()
    return {executor["container"]["image"] for executor in executors}


def test_pipeline_is_uploaded_and_run(submit, kubeflow, compiled):
    """The run is one of the uploaded file; nothing but its address is printed."""
    result = submit()

    [run] = kubeflow.runs
    assert kubeflow.pipelines == {"small": [("small", compiled.read_text())]}
    assert run["pipeline_version_reference"] == {
        "pipeline_id": "id of small",
        "pipeline_version_id": "id of version small",
    }
    assert re.fullmatch(r"small-\d{8}-\d{6}-[0-9a-f]{4}", run["display_name"])
    assert run["experiment_id"] == "id of Default"
    assert (result.exit_code, result.output) == (
        0,
        f"Run: {kubeflow.endpoint}/#/runs/details/{RUN_ID}\n",
    )


def test_address_may_be_pasted_from_the_browser(submit, kubeflow):
    """With what the page shows at the moment."""
    result = submit(endpoint=f"{kubeflow.endpoint}/#/pipelines")

    assert result.output == f"Run: {kubeflow.endpoint}/#/runs/details/{RUN_ID}\n"


def test_run_has_the_name_that_is_given(submit, kubeflow):
    """Also twice: the names of the versions differ."""
    for _ in range(2):
        assert submit("--run-name", "nightly").exit_code == 0

    assert [run["display_name"] for run in kubeflow.runs] == ["nightly", "nightly"]


def test_submissions_in_one_second_all_go_through(submit, kubeflow):
    """Of three at once, one creates the pipeline, and each has a version of its own."""
    kubeflow.hidden = True  # the second does not see what the first has just created
    submit()
    kubeflow.hidden = True
    results = [submit() for _ in range(2)]

    assert [result.exit_code for result in results] == [0, 0]
    versions = [name for name, _ in kubeflow.pipelines["small"]]
    assert len(set(versions)) == len(versions) == len(kubeflow.runs) == 3


def test_submission_that_comes_in_between_changes_nothing(submit, kubeflow):
    """Of two at once, this one creates the pipeline, and the other the experiment."""
    kubeflow.has_rival = True

    assert submit().exit_code == 0
    [run] = kubeflow.runs
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "id of version small"
    assert run["experiment_id"] == "id of Default"


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

    result = submit("--token-file", str(file), "--follow")

    assert result.exit_code == 0
    assert len(kubeflow.runs) == 1


@pytest.mark.parametrize("content", ["secret\nkind: Config", "s\u00e9cret", ""])
def test_file_with_more_than_a_token_is_refused_without_showing_it(submit, tmp_path, content):
    """As it would not fit into a request, whose error would show it."""
    file = tmp_path / "token"
    file.write_text(content)

    result = submit("--token-file", str(file))

    assert result.exit_code == 2
    assert "must be a file with one token and no more" in result.output
    assert "cret" not in result.output


@pytest.mark.parametrize(
    ("given", "does"), [(None, "asks for a token"), ("stale", "refuses the token")]
)
def test_token_that_is_missing_or_refused_is_one_sentence(submit, kubeflow, tmp_path, given, does):
    """The message says how to give one."""
    kubeflow.token = "secret"
    (tmp_path / "token").write_text(given or "")

    result = submit(*(["--token-file", str(tmp_path / "token")] if given else []))

    assert (result.exit_code, result.output) == (
        1,
        f"Error: Kubeflow Pipelines at {kubeflow.endpoint} {does} (401 Unauthorized): "
        "give a valid one with --token-file.\n",
    )


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


def test_text_that_looks_like_a_number_stays_a_text(submit, kubeflow, tmp_path):
    """In the changed copy, too; Kubeflow reads more texts as numbers than Python's reader."""
    file = tmp_path / "numbers.yaml"
    compile_pipeline("numbers", [CsvExampleGen(input_base="1e-3")], "an/image:1", file)

    submit("--no-cache", file=file)

    [(_, uploaded)] = kubeflow.pipelines["numbers"]
    assert "constant: '1e-3'\n" in uploaded


def test_changed_copy_keeps_the_volume(submit, kubeflow, tmp_path):
    """A second document names it."""
    file = tmp_path / "volume.yaml"
    root = str(tmp_path / "root")
    examples = CsvExampleGen(input_base="/data")
    compile_pipeline(
        "volume", [examples], "an/image:1", file, pipeline_root=root, volume_claim="team"
    )

    submit("--image", "other/image:2", "--no-cache", file=file)

    [(_, uploaded)] = kubeflow.pipelines["volume"]
    spec, platform = yaml.safe_load_all(uploaded)
    assert images(spec) == {"other/image:2"}
    assert platform == list(yaml.safe_load_all(file.read_text()))[1]


def test_run_is_followed_with_a_line_for_each_task(submit, kubeflow, metadata):
    """By its name in the pipeline, and no node of Argo's; at the end comes the rate."""
    kubeflow.states = ["PENDING", "RUNNING", "PAUSED", "RUNNING", "SUCCEEDED"]

    result = submit("--follow")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"Run: {kubeflow.endpoint}/#/runs/details/{RUN_ID}",
        "[1/2] CsvExampleGen ............ 31.0 s",
        "[2/2] LearningRateFinder ....... 42.0 s",
        "Run SUCCEEDED",
        "Learning rate    0.0251 (verdict: ok; 0.0126 to 0.0501 in 9 of 10 repetitions) "
        "by LearningRateFinder",
    ]
    assert kubeflow.states == ["SUCCEEDED"]


def test_result_is_json_where_that_is_asked_for(submit, kubeflow, metadata):
    """The lines go to the standard error; the rate has all its digits."""
    result = submit("--follow", "--json")

    assert "[2/2] LearningRateFinder" in result.stderr
    assert json.loads(result.stdout) == {
        "run_id": RUN_ID,
        "url": f"{kubeflow.endpoint}/#/runs/details/{RUN_ID}",
        "state": "SUCCEEDED",
        "failed_tasks": [],
        "rates": [
            {
                "task": FINDER,
                "learning_rate": 0.0251188643150958,
                "verdict": "ok",
                "interval": [0.0126, 0.0501],
            }
        ],
    }


def test_rate_that_cannot_be_read_is_on_the_page(submit, kubeflow):
    """Under the address of the API alone there is no ML Metadata."""
    result = submit("--follow")

    assert result.exit_code == 0
    assert result.output.endswith(
        "\nThe rate is shown on the page of the run, but cannot be read here. "
        f"No answer from Kubeflow Pipelines at {kubeflow.host}: 404 Not Found.\n"
    )
    assert json.loads(submit("--follow", "--json").stdout)["rates"] is None


@pytest.mark.parametrize("hiccup", [503, 502, 404, 429, 200, None])
def test_hiccup_of_the_api_does_not_end_it(submit, kubeflow, hiccup):
    """Whether a proxy answers in its place, with whatever, or nobody; it is told once."""
    kubeflow.states = ["RUNNING", "SUCCEEDED"]
    kubeflow.hiccups = 5
    kubeflow.hiccup = hiccup

    result = submit("--follow")

    assert result.exit_code == 0
    assert result.output.count("Asking again; the run goes on.\n") == 1
    assert "Run SUCCEEDED" in result.output


def test_token_that_expires_leaves_the_run(submit, kubeflow):
    """It would be refused again."""
    kubeflow.states = ["RUNNING"]
    kubeflow.hiccups = 1
    kubeflow.hiccup = 401

    result = submit("--follow")

    assert result.exit_code == 1
    assert result.output.endswith("give a valid one with --token-file. The run goes on.\n")


def test_run_that_was_deleted_is_followed_no_longer(submit, kubeflow):
    """The API says so itself; a proxy's 404 is another."""
    kubeflow.run_refusal = (404, f"Failed to get a run: Run {RUN_ID} not found.")

    result = submit("--follow")

    assert result.exit_code == 1
    assert result.output.endswith(
        f"Error: Kubeflow Pipelines at {kubeflow.endpoint} answers: "
        f"404 Failed to get a run: Run {RUN_ID} not found.\n"
    )
    assert "Asking again" not in result.output


def test_error_of_the_api_is_told_with_its_reason(submit, kubeflow, monkeypatch):
    """While the run is followed, it is asked again."""
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.05)
    kubeflow.run_refusal = (500, "Failed to get a run: database is locked")

    result = submit("--follow")

    says = f"Kubeflow Pipelines at {kubeflow.endpoint} answers: 500 Failed to get a run: database"
    assert result.exit_code == 1
    assert f"{says} is locked. Asking again; the run goes on.\n" in result.output
    assert result.output.endswith(f"Error: {says} is locked. The run may go on.\n")


def test_result_is_json_also_where_following_breaks_off(submit, kubeflow):
    """A script needs the run's id then; how the run ends is not known."""
    kubeflow.run_refusal = (404, "gone")

    result = submit("--follow", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "run_id": RUN_ID,
        "url": f"{kubeflow.endpoint}/#/runs/details/{RUN_ID}",
    }
    assert "answers: 404 gone." in result.stderr


def test_api_that_stays_away_ends_it(submit, kubeflow, monkeypatch):
    """After some minutes; the run itself may go on."""
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.05)
    kubeflow.hiccups = 1000

    result = submit("--follow")

    assert result.exit_code == 1
    assert re.search(r"Error: No answer .*: 503 .*\. The run may go on\.\n$", result.output)


@pytest.mark.parametrize(
    "path",
    [
        f"/apis/v1alpha1/runs/{RUN_ID}/nodes/{WORKFLOW}-template-9/log",
        f"/k8s/pod/logs?podname={WORKFLOW}-template-9&runid={RUN_ID}&podnamespace=team",
    ],
    ids=["api", "page"],
)
def test_end_of_the_log_of_a_failed_task_is_shown(submit, kubeflow, path):
    """Of the pod in which the container ran, from the API or the server of the page."""
    kubeflow.states = ["RUNNING", "FAILED"]
    kubeflow.nodes = nodes("FAILED")
    kubeflow.logs[path] = LOG

    result = submit("--follow", "--namespace", "team")

    assert result.exit_code == 1
    assert "[2/2] LearningRateFinder ....... failed\n" in result.output
    assert "LearningRateFinder failed. The end of its log:\nline 21\n" in result.output
    assert "line 39\nValueError: Broken on purpose.\n" in result.output
    assert result.output.endswith(
        "Error: The run ended as FAILED. Failed tasks: LearningRateFinder.\n"
    )


@pytest.mark.parametrize(("options", "ends"), [([], ""), (["--namespace", "team"], " -n team")])
def test_log_that_cannot_be_read_is_named(submit, kubeflow, options, ends):
    """By its pod, and the command that prints it."""
    kubeflow.states = ["FAILED"]
    kubeflow.nodes = nodes("FAILED")

    result = submit("--follow", *options)

    pod = f"{WORKFLOW}-template-9"
    assert (
        f"failed. Its log is that of pod {pod}: `kubectl logs {pod} -c main{ends}`" in result.output
    )


def test_task_whose_driver_fails_has_failed(submit, kubeflow):
    """The task itself is never run then."""
    kubeflow.states = ["FAILED"]
    driver = node(f"{FINDER}-driver", "FAILED", 60, [], 5)
    kubeflow.nodes = [*nodes()[:5], driver, node(FINDER, "RUNTIME_STATE_UNSPECIFIED", 7)]
    kubeflow.logs[f"/k8s/pod/logs?podname={driver.pod_name}&runid={RUN_ID}"] = "rpc error\n"

    result = submit("--follow")

    assert "[2/2] LearningRateFinder ....... failed\n" in result.output
    assert "LearningRateFinder failed. The end of its log:\nrpc error\n" in result.output


@pytest.mark.parametrize("state", ["CANCELED", "SKIPPED"])
def test_run_that_does_not_succeed_is_an_error(submit, kubeflow, state):
    """Whatever its tasks did."""
    kubeflow.states = ["RUNNING", state]

    result = submit("--follow")

    assert result.exit_code == 1
    assert result.output.endswith(
        f"\nRun {state}\nError: The run ended as {state}. Failed tasks: none.\n"
    )


@pytest.mark.parametrize(
    ("ends", "token", "refusal"),
    [(False, None, None), (False, "secret", None), (True, None, None), (True, None, "locked")],
    ids=["leaves", "leaves_with_token", "ends", "cannot_end"],
)
def test_ctrl_c_leaves_the_run_or_ends_it_if_asked(
    kubeflow, compiled, tmp_path, ends, token, refusal
):
    """In a process of its own, by the signal itself."""
    kubeflow.states = ["RUNNING"]
    kubeflow.token = token
    kubeflow.end_refusal = refusal and (500, refusal)
    kubeflow.nodes = nodes("RUNNING")
    program = [sys.executable, "-c", "from tfx_lr_finder.command_line import main; main()"]
    options = ["--follow", *(["--end-on-interrupt"] if ends else [])]
    if token:
        (tmp_path / "token").write_text(token)
        options += ["--token-file", str(tmp_path / "token")]
    process = subprocess.Popen(
        [*program, "submit", str(compiled), "--endpoint", kubeflow.endpoint, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[1] == "[1/2] CsvExampleGen ............ 31.0 s\n"
    time.sleep(0.5)  # it waits until it may ask again
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 130
    assert kubeflow.ended == ([RUN_ID] if ends and not refusal else [])
    header = '-H "Authorization: Bearer $(cat FILE)" ' if token else ""
    url = f"{kubeflow.endpoint}{PREFIX}/runs/{RUN_ID}:terminate"
    goes_on = f"The run goes on. To end it, use its page, or `curl -X POST {header}{url}`.\n"
    if refusal:
        assert said == f"Kubeflow Pipelines at {kubeflow.endpoint} answers: 500 locked. {goes_on}"
    else:
        assert said == ("Kubeflow was asked to end the run.\n" if ends else goes_on)


def test_plain_kfp_pipeline_is_submitted_alike(submit, kubeflow, tmp_path):
    """The tasks within its conditions are known, and that one of them is the finder."""
    file = tmp_path / "plain.yaml"
    compile_plain_kfp(["--image", "an/image:1", "--output", str(file)])
    kubeflow.nodes = [node("learning-rate-finder", "SUCCEEDED", 3, [], 42)]

    result = submit("--follow", file=file)

    assert "\n[1/4] learning-rate-finder ..... 42.0 s\nRun SUCCEEDED\n" in result.output
    assert "\nThe rate is shown on the page of the run, " in result.output


def test_names_of_tasks_are_those_of_their_author():
    """Within conditions as well; plain KFP may give a task another name than its key."""
    plain = {
        "root": {
            "dag": {
                "tasks": {
                    "train": {"taskInfo": {"name": "Train the model"}},
                    "condition-1": {"taskInfo": {"name": "condition-1"}},
                }
            }
        },
        "components": {"comp-condition-1": {"dag": {"tasks": {"push": {}}}}},
    }

    names = {"train": "Train the model", "condition-1": "condition-1", "push": "push"}
    assert task_names(plain) == names
    assert not has_finder(plain)


def test_refused_run_is_one_line(submit, kubeflow):
    """It has the server's own reason."""
    kubeflow.refusal = (400, "Invalid input error: unknown template format")

    result = submit()

    assert (result.exit_code, result.output) == (
        1,
        f"Error: Kubeflow Pipelines at {kubeflow.endpoint} refuses the request: "
        "Invalid input error: unknown template format\n",
    )


def test_refused_file_is_one_line_without_a_stack_trace(submit, kubeflow):
    """The endpoint for files has its reason under another name."""
    trace = "goroutine 1\ngithub.com/kubeflow/pipelines/backend/src/apiserver/server.UploadPipeline"
    message = "Failed to create a pipeline and a pipeline version"
    content = {"error_message": f"{message}\n{trace}", "error_details": f"{message}\n{trace}"}
    kubeflow.upload_refusal = (400, content)

    result = submit()

    assert (result.exit_code, result.output) == (
        1,
        f"Error: Kubeflow Pipelines at {kubeflow.endpoint} refuses the request: {message}\n",
    )


def refused(endpoint):
    """Returns the beginning of the error of an endpoint at which there is no API."""
    return f"Error: No answer from Kubeflow Pipelines at {endpoint}: "


def test_endpoint_that_is_down_is_one_line(submit):
    """The port is taken, but nobody listens on it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"

        result = submit(endpoint=endpoint)

    assert result.exit_code == 1
    assert result.output == (
        f"{refused(endpoint)}[Errno 111] Connection refused. "
        "Give the address under which a browser shows its page.\n"
    )


def test_other_protocol_is_one_line(submit):
    """Kubeflow's own port for gRPC, a database: whatever answers, but not as a web server."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"\x00\x00\x18\x04 whatever\r\n\r\n")
                connection.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        endpoint = f"http://127.0.0.1:{other.getsockname()[1]}"
        result = submit(endpoint=endpoint)

    assert result.exit_code == 1
    assert re.fullmatch(rf"{re.escape(refused(endpoint))}[^\n]*\n", result.output)


@pytest.mark.parametrize("address", ["http://[", "http://host:port", "http://a b"])
def test_impossible_address_is_one_line(submit, address):
    """It begins as one should, and goes wrong then."""
    result = submit(endpoint=address)

    assert result.exit_code == 1
    assert re.fullmatch(rf"{re.escape(refused(address))}[^\n]*\n", result.output)


def test_wrong_address_is_one_line(submit, kubeflow):
    """A server that answers, but has no such API."""
    endpoint = f"{kubeflow.endpoint}/wrong"

    result = submit(endpoint=endpoint)

    assert result.exit_code == 1
    assert result.output.startswith(f"{refused(endpoint)}404 Not Found. Give the address")


def test_login_page_is_one_line(submit, kubeflow):
    """A page for people in front of the API."""
    endpoint = f"{kubeflow.endpoint}{PREFIX}/login?"

    result = submit(endpoint=endpoint)

    assert result.exit_code == 1
    assert f"{refused(endpoint)}it sends no JSON, perhaps a login page. " in result.output


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("steps=50", r"unknown \['steps'\], missing \[\]"),
        ("num_steps=many", r"'num_steps' must be of type NUMBER_INTEGER. Received: 'many'"),
        ("min_learning_rate=nan", r"must be of type NUMBER_DOUBLE. Received: 'nan'"),
    ],
    ids=["unknown", "wrong_type", "not_finite"],
)
def test_wrong_parameter_is_refused_before_anything_is_sent(submit, kubeflow, parameter, message):
    """The message names what the pipeline takes."""
    result = submit("--parameter", parameter)

    assert result.exit_code == 1
    assert re.search(f"^Error: .*{message}", result.output)
    assert kubeflow.runs == []
    assert kubeflow.pipelines == {}


def test_parameter_without_default_must_be_given():
    """The server would accept the run, and its first task would fail."""
    spec = {"root": {"inputDefinitions": {"parameters": {"n": {"parameterType": "STRING"}}}}}

    with pytest.raises(PipelineError, match=r"missing \['n'\]"):
        typed_parameters(spec, {})


@pytest.mark.parametrize(
    ("parameter_type", "text", "value"),
    [
        ("BOOLEAN", "true", True),
        ("LIST", "[1]", [1]),
        ("STRUCT", '{"a": 1}', {"a": 1}),
        ("BOOLEAN", "5", None),
        ("LIST", '{"a": 1}', None),
        ("STRUCT", "[1]", None),
        ("NUMBER_DOUBLE", "inf", None),
    ],
)
def test_parameter_has_the_type_that_the_pipeline_declares(parameter_type, text, value):
    """As plain KFP declares more of them than TFX; None is refused here."""
    declared = {"p": {"parameterType": parameter_type}}
    spec = {"root": {"inputDefinitions": {"parameters": declared}}}

    if value is not None:
        assert typed_parameters(spec, {"p": text}) == {"p": value}
        return
    with pytest.raises(PipelineError, match=f"must be of type {parameter_type}. Received: '"):
        typed_parameters(spec, {"p": text})


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
def test_file_that_is_no_pipeline_is_refused_in_one_line(submit, tmp_path, content, reason):
    """Whether it is missing or something else."""
    file = tmp_path / "other.yaml"
    if content is not None:
        file.write_bytes(content)

    result = submit(file=file)

    assert result.exit_code == 1
    assert re.fullmatch(
        rf"Error: {file} is not a compiled pipeline: [^\n]*{reason}[^\n]*\n", result.output
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--endpoint", "localhost:8080"], "must begin with http:// or https://"),
        (["--pipeline-root", "/data"], "must begin with one of gs://, minio://, s3://"),
        (["--parameter", "num_steps"], "must be NAME=VALUE"),
        (["--token-file", "/none"], "must be a file with a token"),
        (["--end-on-interrupt"], "--end-on-interrupt needs --follow"),
    ],
    ids=["endpoint", "pipeline_root", "parameter", "token_file", "end_on_interrupt"],
)
def test_malformed_argument_is_refused(submit, arguments, message):
    """With the form that is wanted."""
    result = submit(*arguments)

    assert result.exit_code == 2
    assert message in result.output
