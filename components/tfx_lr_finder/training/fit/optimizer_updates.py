"""Replaces the methods by which optimizers change weights, in every class that has them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tfx_lr_finder.training.model.replacement import replaced

_UPDATES = ("apply", "apply_gradients")


@contextlib.contextmanager
def updates_replaced(base: Any, update: Callable[..., None]) -> Iterator[None]:
    """Replaces the update methods of an optimizer class and its subclasses; restores them on exit.

    To replace them in the base class is not enough: a subclass that overrides them need not call
    them.

    Args:
        base: The class. Subclasses that are defined in the meantime are changed, too.
        update: The replacement for each update method.
    """
    with contextlib.ExitStack() as stack:
        done: set[tuple[type, str]] = set()

        def replace(optimizer: type) -> None:
            for owner in optimizer.__mro__:  # a mixin may define the update
                for name in _UPDATES:
                    if name in vars(owner) and (owner, name) not in done:
                        done.add((owner, name))
                        stack.enter_context(replaced(owner, name, update))

        def init_subclass(cls: type, /, **options: object) -> None:
            super(base, cls).__init_subclass__(**options)
            replace(cls)

        for optimizer in _family(base):
            replace(optimizer)
        stack.enter_context(replaced(base, "__init_subclass__", classmethod(init_subclass)))
        yield


def _family(base: type) -> Iterator[type]:
    yield base
    for child in base.__subclasses__():
        yield from _family(child)
