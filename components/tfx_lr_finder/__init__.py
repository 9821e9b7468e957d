"""Finds the learning rate of a Keras model in a TFX pipeline.

Importing this package is quick, because TensorFlow, Keras and TFX are loaded only when a name that
needs them is first used.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.core.verdict import Verdict

if TYPE_CHECKING:
    from tfx_lr_finder.artifacts import LearningRateSweep
    from tfx_lr_finder.component import LearningRateFinder
    from tfx_lr_finder.finding import Finding, find_learning_rate
    from tfx_lr_finder.schedules import OneCycle
    from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult
    from tfx_lr_finder.training.range_test import range_test
    from tfx_lr_finder.views.picture import plot_curve

__all__ = [
    "Curve",
    "Evidence",
    "Finding",
    "LearningRateFinder",
    "LearningRateSweep",
    "LrFinderFnResult",
    "NoLearningRateError",
    "OneCycle",
    "StopReason",
    "Suggestion",
    "Verdict",
    "find_learning_rate",
    "plot_curve",
    "range_test",
    "suggest",
]

__version__ = importlib.metadata.version("tfx-lr-finder")

_MODULES = {
    "Finding": "finding",
    "LearningRateFinder": "component",
    "LearningRateSweep": "artifacts",
    "LrFinderFnResult": "training.lr_finder_fn_result",
    "OneCycle": "schedules",
    "find_learning_rate": "finding",
    "plot_curve": "views.picture",
    "range_test": "training.range_test",
}


def __getattr__(name: str) -> object:
    """Loads a name that needs a large library on first access (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
