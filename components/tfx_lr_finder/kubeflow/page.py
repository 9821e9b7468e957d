"""What the finder shows on the page of a run: its rate as metrics, and its report.

Kubeflow's page renders artifacts of its own types alone: it lists the properties of a
`system.Metrics`, and shows the file of a `system.HTML`
(`frontend/src/components/viewers/MetricsVisualizations.tsx` in kubeflow/pipelines). Of an artifact
of a TFX type it shows the URI. So the finder has two outputs more on Kubeflow than elsewhere.
"""

import copy
import os
import shutil
from typing import Any

from tfx_lr_finder.kubeflow.invocation import Json

OUTPUT_TYPES = {"metrics": "system.Metrics", "report": "system.HTML"}
"""Type of each output for the page, by name."""

METRICS = (
    *("learning_rate", "learning_rate_text", "learning_rate_low", "learning_rate_high"),
    *("verdict", "spread"),
)
"""Properties of a sweep that are shown as metrics.

Only several sweeps have a `spread`, and not every rate has an interval.
"""


def define_outputs(component_spec: Json) -> None:
    """Adds the outputs for the page to the finder's component in a compiled pipeline."""
    for name, title in OUTPUT_TYPES.items():
        component_spec["outputDefinitions"]["artifacts"][name] = {
            "artifactType": {"schemaTitle": title, "schemaVersion": "0.0.1"}
        }


def fill_outputs(executor_output: Json, outputs: Json) -> Json:
    """Fills the outputs for the page, and returns the finder's `ExecutorOutput` with them.

    The output of another component is returned unchanged.

    Args:
        executor_output: What the task reports of its other outputs, with local paths as URIs.
        outputs: The `outputs` of the launcher's `ExecutorInput`, with local paths as URIs.
    """
    handed_in = outputs.get("artifacts", {})
    page = {name: handed_in[name]["artifacts"][0] for name in OUTPUT_TYPES if name in handed_in}
    types = {name: artifact.get("type", {}).get("schemaTitle") for name, artifact in page.items()}
    if types != OUTPUT_TYPES:
        return executor_output
    (sweep,) = executor_output["artifacts"]["sweep"]["artifacts"]
    copy_report(sweep["uri"], page["report"]["uri"])
    result = copy.deepcopy(executor_output)
    shown = {"metrics": {"metadata": metrics(sweep["metadata"])}, "report": {}}
    for name, artifact in page.items():
        result["artifacts"][name] = {"artifacts": [{**artifact, **shown[name]}]}
    return result


def copy_report(sweep: str, target: str) -> None:
    """Copies the report out of the folder of a sweep. Missing parent folders are created."""
    from tfx_lr_finder.artifacts import REPORT_FILE  # not loaded by the tasks of other components

    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(os.path.join(sweep, REPORT_FILE), target)


def metrics(properties: Json) -> dict[str, Any]:
    """Returns what the page lists, out of the custom properties of a sweep."""
    return {name: properties[name] for name in METRICS if name in properties}
