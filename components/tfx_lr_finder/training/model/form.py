"""Tells models apart whose variables have the same shapes.

A traced graph holds more than variables. Functions, numbers and arrays in the attributes of the
model, its layers, losses and optimizer are constants in it, and so are the connections of layers.
"""

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import tensorflow as tf

from tfx_lr_finder.training.keras_types import Model, Variable
from tfx_lr_finder.training.model.kind import package
from tfx_lr_finder.training.model.optimizer_tree import rated_optimizers

_LIBRARIES = {"keras", "tf_keras", "tensorflow", "numpy", "builtins"}
_CLOSED = {"tensorflow", "numpy", "threading", "_thread", "weakref", "collections", "builtins"}
"""Packages whose objects are described by their class alone: caches, locks, bookkeeping."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, tf.DType, slice, range)
_LEFT_OUT = (
    *("name", "path", "seed", "_learning_rate", "_reference_counts", "_usage_count", "_ids"),
    *("_indices", "_index_dict", "_to_optimizer_idx"),
)
"""Parts of the names of ignored attributes: numbered by Keras, or set by each sweep."""


def form_of(model: Model) -> list[object]:
    """Returns a description of a model; models with equal descriptions can share a graph.

    Seeds, and names that Keras gives, do not count. Of a variable only shape and type count. The
    rates of several optimizers count with their values, since a sweep keeps their proportion.
    """
    optimizers: list[Any] = rated_optimizers(model.optimizer)  # the rate is private
    rates = [part._learning_rate for part in optimizers]
    numbers = [float(rate.numpy()) for rate in rates if _is_variable(rate)]
    return [numbers if len(rates) > 1 else None, *_Description(model).parts]


class _Description:
    """Describes objects one after another; a description refers to other objects by number."""

    def __init__(self, model: object) -> None:
        self._numbers: dict[int, int] = {}
        self._objects: list[object] = []  # keeps them alive, so that ids stay unique
        self.parts: list[object] = []
        self._told(model)
        described = 0
        while described < len(self._objects):
            self.parts.append(self._content(self._objects[described]))
            described += 1

    def _told(self, value: object) -> object:
        """Returns a description that is equal for equal values.

        An object is described by a number, in the order in which objects were first met.
        """
        if isinstance(value, _PLAIN):
            return type(value).__name__, value
        if _is_variable(value) or _is_symbolic(value):
            history = getattr(value, "_keras_history", None)  # names the layer
            return "tensor", str(value.shape), str(value.dtype), self._told(history)
        if isinstance(value, np.ndarray | tf.Tensor):
            array = np.asarray(value)
            # A hash, not the bytes themselves: they would hold an embedding's table twice.
            return array.shape, array.dtype, hashlib.sha256(array.tobytes()).digest()
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return "object", self._numbers[id(value)]

    def _content(self, value: object) -> object:
        if isinstance(value, Mapping):
            items = [(key, part) for key, part in value.items() if not _is_left_out(key)]
            return [(self._told(key), self._told(part)) for key, part in items]
        if isinstance(value, list | tuple):
            return [self._told(part) for part in value]
        if isinstance(value, set | frozenset):  # Keras's sets hold numbered names, in any order
            return len(value)
        if isinstance(value, type):
            return value.__module__, value.__qualname__, self._content(_own_attributes(value))
        if isinstance(value, types.MethodType):
            return self._told(value.__func__), self._told(value.__self__)
        if isinstance(value, functools.partial):
            return [self._told(part) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.CodeType):
            return value.co_code, [self._told(constant) for constant in value.co_consts]
        if isinstance(value, property):
            return self._told(value.fget)
        is_closed = package(type(value)) in _CLOSED
        return self._told(type(value)), not is_closed and self._content(_attributes(value))

    def _function(self, function: types.FunctionType) -> object:
        told = function.__module__, function.__qualname__
        if package(function) in _LIBRARIES and not function.__closure__:
            return told
        code, known = function.__code__, function.__globals__
        named = {name: known[name] for name in code.co_names if name in known}
        read = {n: v for n, v in named.items() if isinstance(v, (types.FunctionType, *_PLAIN))}
        free = zip(code.co_freevars, function.__closure__ or (), strict=True)
        cells = [_content_of(cell) for name, cell in free if not _is_left_out(name)]
        parts = (code, function.__defaults__, function.__kwdefaults__, read)
        return told, [self._told(part) for part in parts], list(map(self._captured, cells))

    def _captured(self, value: object) -> object:
        if isinstance(value, list | dict | set):
            return _Captured(value, self._content(value))
        return self._told(value)


class _Captured:
    """A container that a function captured: equal if it is the same object, or equal in content."""

    def __init__(self, value: object, content: object) -> None:
        self._value, self._content = value, content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Captured) and (
            self._value is other._value or self._content == other._content
        )

    __hash__ = None  # type: ignore[assignment]


def _is_left_out(key: object) -> bool:
    return isinstance(key, str) and any(part in key for part in _LEFT_OUT)


def _is_variable(value: object) -> TypeGuard[Variable]:
    return isinstance(value, tf.Variable) or (
        hasattr(value, "assign_add") and hasattr(value, "shape")
    )


def _is_symbolic(value: object) -> TypeGuard[tf.Tensor | tf.TensorSpec]:
    """Returns whether a value is a tensor without readable values, or a tensor's specification."""
    if isinstance(value, tf.Tensor):
        return tf.is_symbolic_tensor(value) or not value.dtype.is_numpy_compatible
    return type(value).__name__ in ("KerasTensor", "InputSpec", "TensorSpec")


def _attributes(value: object) -> dict[str, object]:
    return getattr(value, "__dict__", {})


def _own_attributes(kind: type) -> dict[str, object]:
    """Returns the functions and plain values that a class does not inherit from a library."""
    return {
        name: value
        for base in reversed(kind.__mro__)
        if package(base) not in _LIBRARIES
        for name, value in vars(base).items()
        if isinstance(value, types.FunctionType | property)
        or (isinstance(value, _PLAIN) and not name.startswith("__"))
    }


def _content_of(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # the captured name has no value yet
        return None
