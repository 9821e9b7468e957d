"""What Kubeflow Pipelines 2.17 does with one task after the other, without Kubernetes.

In our own words, after these files and functions in `backend/src/v2` of kubeflow/pipelines. Each
rule has a test in tests/kubeflow/test_simulated_launcher.py.

- Outputs have the types of the compiled pipeline: `provisionOutputs` in driver/driver.go. Inputs
  have an empty schema: `GetInputArtifactsByExecutionID` in metadata/client.go.
- A condition sees the metadata of inputs, and fails where a key is absent: `Condition` in
  expression/expression.go.
- Inputs in an object store are copied to a local path, and those that are not there are left out
  without an error: `downloadArtifacts` and `LocalPathForURI` in component/launcher_v2.go,
  `DownloadBlob` in objectstore/object_store.go.
- The folder around an output exists when the task starts: `prepareOutputFolders` in
  component/launcher_v2.go.
- `{{$}}` in an argument is the JSON of the executor input: `compileCmdAndArgs` there.
- The report of a task that succeeded is read strictly, and may be missing:
  `getExecutorOutputFile` there. Its URIs and properties replace what was handed out:
  `mergeRuntimeArtifacts` there.
- Outputs that exist are copied to the store. With a URI of no store they are left out without an
  error, and with one outside of the pipeline root the task fails: `uploadOutputArtifacts` there,
  `KeyFromURI` in objectstore/config.go. Empty folders are left out: `UploadBlob` in
  objectstore/object_store.go.
- Of properties, numbers keep six decimals (ML Metadata), a bool becomes a number, lists and dicts
  are wrapped, and null is an error: `StructValueToMLMDValue` in metadata/converter.go.
"""

import itertools
import json
import shutil
import sys
from types import SimpleNamespace

from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorOutput
from launcher_folders import LOCAL_ROOTS


class Launcher:
    """Runs the tasks of a compiled pipeline, with a folder for an object store.

    Attributes:
        output_files: Where each task reports, by its name.
        recorded: What the metadata have of each output, by task and key.
    """

    def __init__(self, spec, folder, bucket):
        """Takes a compiled pipeline, a folder for the object store, and the bucket's name."""
        self.spec = spec
        self.store = folder / "store"
        self.bucket = bucket
        self.output_files = {}
        self.recorded = {}
        self._ids = itertools.count(1)

    def run(self, task, scheme, execute):
        """Runs a task whose outputs go to a scheme's store.

        Args:
            task: Name of the task.
            scheme: For example `s3://`.
            execute: Runs a command line and returns its exit code.
        """
        root = f"{scheme}{self.bucket}/root"
        executor_input = self.executor_input(task, root)
        try:
            self._download(executor_input)
            self._prepare_output_folders(executor_input)
            exit_code = execute(self.command(task, executor_input))
            if exit_code == 0:
                self._publish(task, executor_input, root)
        finally:
            for root in LOCAL_ROOTS.values():  # a container's files end with it
                shutil.rmtree(root / self.bucket, ignore_errors=True)
        return exit_code

    def lets_run(self, task):
        """Evaluates a task's condition, as the driver does; CEL is almost Python."""
        task = self.spec["root"]["dag"]["tasks"][task]
        condition = task["triggerPolicy"]["condition"].replace(" && ", " and ")
        known = {
            name: SimpleNamespace(artifacts=[SimpleNamespace(**self._input(value, None))])
            for name, value in task["inputs"]["artifacts"].items()
        }
        return eval(condition, {"inputs": SimpleNamespace(artifacts=known)})

    def command(self, task, executor_input):
        """Returns a task's command line."""
        label = self.spec["components"][task]["executorLabel"]
        container = self.spec["deploymentSpec"]["executors"][label]["container"]
        text = json.dumps(executor_input)
        arguments = [argument.replace("{{$}}", text) for argument in container["args"]]
        return [sys.executable, *container["command"][1:], *arguments]

    def executor_input(self, task, root, input_type=None):
        """Returns what a task is handed; the real backend hands over inputs without a schema."""
        inputs = self.spec["root"]["dag"]["tasks"][task].get("inputs", {})
        parameters = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        outputs = self.spec["components"][task].get("outputDefinitions", {}).get("artifacts", {})
        logs = {"executor-logs": {"artifactType": {"schemaTitle": "system.Artifact"}}}
        self.output_files[task] = self.store.parent / task / "kfp_outputs/output_metadata.json"
        return {
            "inputs": {
                "parameterValues": {
                    name: value["runtimeValue"]["constant"]
                    if "runtimeValue" in value
                    else parameters[value["componentInputParameter"]]["defaultValue"]
                    for name, value in inputs.get("parameters", {}).items()
                },
                "artifacts": {
                    name: {"artifacts": [self._input(value, input_type)]}
                    for name, value in inputs.get("artifacts", {}).items()
                },
            },
            "outputs": {
                "artifacts": {
                    name: {
                        "artifacts": [
                            {"uri": f"{root}/{task}/{name}", "type": value["artifactType"]}
                        ]
                    }
                    for name, value in {**outputs, **logs}.items()
                },
                "outputFile": str(self.output_files[task]),
            },
        }

    def stored(self, uri):
        """Returns where an object lies in the store."""
        return self.store / uri.replace("://", "/")

    def _input(self, value, input_type):
        source = value["taskOutputArtifact"]
        recorded = self.recorded[source["producerTask"], source["outputArtifactKey"]]
        return {**recorded, "type": input_type or {"instanceSchema": ""}}

    def _download(self, executor_input):
        for artifact in artifacts(executor_input["inputs"]):
            copy(self.stored(artifact["uri"]), local_path(artifact["uri"]))

    def _prepare_output_folders(self, executor_input):
        for artifact in artifacts(executor_input["outputs"]):
            local_path(artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)

    def _publish(self, task, executor_input, root):
        report = ExecutorOutput()
        if self.output_files[task].exists():
            json_format.Parse(self.output_files[task].read_text(), report)
        report = json_format.MessageToDict(report)
        for name, values in executor_input["outputs"]["artifacts"].items():
            reported = report.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
            uri = reported.get("uri") or values["artifacts"][0]["uri"]
            path = local_path(uri)
            if path is not None:
                assert uri.startswith(f"{root}/"), f"URI {uri!r} has not the bucket prefix {root!r}"
                copy(path, self.stored(uri))
            self.recorded[task, name] = {
                "name": str(next(self._ids)),
                "uri": uri,
                "metadata": {
                    **{key: mlmd_value(v) for key, v in reported.get("metadata", {}).items()},
                    "display_name": name,
                    "store_session_info": "{}",
                },
            }


def artifacts(part):
    """Returns all artifacts of inputs or outputs."""
    return [artifact for values in part["artifacts"].values() for artifact in values["artifacts"]]


def local_path(uri):
    """Returns the launcher's local path of a URI; None where it has none."""
    for scheme, root in LOCAL_ROOTS.items():
        if uri.startswith(scheme):
            return root / uri.removeprefix(scheme)
    return None


def copy(source, target):
    """Copies a single file or a folder, as object stores have them: without empty folders."""
    files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file()]
    for file in files:
        destination = target / file.relative_to(source) if file != source else target
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, destination)


def mlmd_value(value):
    """Returns a property as it comes back from Kubeflow's metadata store."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | dict):
        return {"list" if isinstance(value, list) else "struct": value}
    assert value is not None, "the backend supports no null"
    return value
