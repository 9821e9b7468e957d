"""The methods by which optimizers change weights, of every class that has its own."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tfx_lr_finder.training.model.replacement import replaced

_UPDATES = ("apply", "apply_gradients")


@contextlib.contextmanager
def updates_replaced(base: Any, update: Callable[..., Any]) -> Iterator[None]:
    """Gives a class of optimizers and all that inherit from it another update, for a while.

    To replace it in the base class is not enough: one that overrides it need not call it.

    Args:
        base: The class; those that are made of it meanwhile get the update, too.
        update: What stands for each of their updates.
    """
    with contextlib.ExitStack() as stack:
        done: set[tuple[Any, str]] = set()

        def replace(optimizer: Any) -> None:
            for owner in optimizer.__mro__:  # which may have taken it from a class beside
                for name in _UPDATES:
                    if name in vars(owner) and (owner, name) not in done:
                        done.add((owner, name))
                        stack.enter_context(replaced(owner, name, update))

        def init_subclass(cls: Any, /, **options: Any) -> None:
            super(base, cls).__init_subclass__(**options)
            replace(cls)

        for optimizer in _family(base):
            replace(optimizer)
        stack.enter_context(replaced(base, "__init_subclass__", classmethod(init_subclass)))
        yield


def _family(base: Any) -> Iterator[Any]:
    yield base
    for child in base.__subclasses__():
        yield from _family(child)
