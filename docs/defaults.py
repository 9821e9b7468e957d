"""Shows an option's default on the API page as its value, not as where it is defined."""

import griffe

from tfx_lr_finder.search.options import SweepOptions


class Defaults(griffe.Extension):
    """Replaces `SweepOptions.num_steps` in a signature by `200`."""

    def on_function_instance(self, *, func: griffe.Function, **_: object) -> None:
        """Looks at the parameters of a function of the package."""
        for parameter in func.parameters:
            owner, _, name = str(parameter.default).partition(".")
            if owner == SweepOptions.__name__:
                parameter.default = repr(getattr(SweepOptions, name))
