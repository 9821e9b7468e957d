"""What a component's executor is when the entrypoint runs it; see also the system's test."""

import json
import pickle

import pytest
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_executor import BaseExecutor

from tfx_lr_finder.kubeflow import entrypoint

DONE = []


class PlainExecutor(BaseExecutor):
    """Notes that it was run."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Takes no artifacts."""
        DONE.append((self, self._extra_flags))


class BeamExecutor(BaseBeamExecutor):
    """Notes that it was run."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Takes no artifacts."""
        DONE.append((self, self._beam_pipeline_args))


@pytest.mark.parametrize("executor_class", [PlainExecutor, BeamExecutor])
def test_executor_is_of_the_class_that_the_component_names(executor_class, tmp_path):
    """Beam's workers import it by the name of its class, and it has the arguments for Beam."""
    DONE.clear()
    path = f"{executor_class.__module__}.{executor_class.__name__}"
    output_file = tmp_path / "executor_output.json"
    invocation = json.dumps({"inputs": {}, "outputs": {"outputFile": str(output_file)}})
    options = ["--executor_class_path", path, "--json_serialized_invocation_args", invocation]

    entrypoint.main(entrypoint.parse_arguments(["", *options, "--direct_num_workers=1"]))

    ((executor, beam_arguments),) = DONE
    assert type(executor) is executor_class
    assert pickle.loads(pickle.dumps(type(executor))) is executor_class
    assert "--direct_num_workers=1" in beam_arguments
    assert output_file.exists()
