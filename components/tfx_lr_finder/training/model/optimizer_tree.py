"""The optimizers within an optimizer, which passes gradients on to them."""

from collections.abc import Mapping
from typing import Any

from tfx_lr_finder.training.keras_types import Optimizer

_HANDING_ON = {"LossScaleOptimizer", "LossScaleOptimizerV3", "MultiOptimizer"}
"""Keras's optimizers that wrap other optimizers; nothing reads the wrapper's own rate."""


def optimizers_within(optimizer: Optimizer) -> list[Optimizer]:
    """Returns an optimizer and all optimizers inside it, each once, outer ones first."""
    found: dict[int, Optimizer] = {}

    def visit(part: Any) -> None:
        if isinstance(part, Mapping):
            visit(list(part.values()))
        elif isinstance(part, list | tuple | set):
            for each in part:
                visit(each)
        elif hasattr(type(part), "apply_gradients") and id(part) not in found:
            found[id(part)] = part
            visit(list(vars(part).values()))

    visit(optimizer)
    return list(found.values())


def rated_optimizers(optimizer: Optimizer) -> list[Optimizer]:
    """Returns the optimizers within an optimizer that have a rate of their own and may use it."""
    return [
        part
        for part in optimizers_within(optimizer)
        if "_learning_rate" in vars(part) and type(part).__name__ not in _HANDING_ON
    ]


def num_updates(optimizer: Optimizer) -> int:
    """Returns the number of updates by an optimizer and all optimizers inside it, added up."""
    return sum(int(part.iterations.numpy()) for part in optimizers_within(optimizer))


def accumulation_steps(optimizer: Optimizer) -> int:
    """Returns the number of batches whose gradients an optimizer accumulates for one update.

    Raises:
        ValueError: If optimizers inside it accumulate different numbers of batches.
    """
    numbers = [(part, _own_accumulation(part)) for part in optimizers_within(optimizer)]
    innermost = {number for part, number in numbers if len(optimizers_within(part)) == 1}
    if len(innermost) > 1:
        raise ValueError(
            "The optimizers within an optimizer must update at the same steps. "
            f"Received: {type(optimizer).__name__} around optimizers that accumulate the "
            f"gradients of {sorted(innermost)} batches. "
            "Give them the same `gradient_accumulation_steps`."
        )
    return max(number for _, number in numbers)


def _own_accumulation(optimizer: Optimizer) -> int:
    return getattr(optimizer, "gradient_accumulation_steps", None) or 1
