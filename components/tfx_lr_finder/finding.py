"""Finds the learning rate of a compiled Keras model, without a pipeline."""

import base64
import contextlib
import dataclasses
from typing import Any

from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.publishing.interval import Interval
from tfx_lr_finder.core.verdict import Verdict
from tfx_lr_finder.search.find import find, most_steps, trainings
from tfx_lr_finder.search.options import OPTION_TYPES, SweepOptions
from tfx_lr_finder.training.checks.applied_rate import swept_optimizers
from tfx_lr_finder.training.fit_arguments import made_by_fit
from tfx_lr_finder.training.lr_finder_fn_result import Make
from tfx_lr_finder.training.model.learning_rate import check_settable, set_learning_rate
from tfx_lr_finder.training.trainings import Trainings
from tfx_lr_finder.views.picture import Picture
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.summary import html_summary, one_line

_OPTIONS = OPTION_TYPES.keys() - {"learning_rate_name", "on_failure"}


@dataclasses.dataclass(frozen=True, repr=False)
class Finding:
    """The learning rate that `find_learning_rate` found, and what it rests on.

    It shows itself in a notebook: rate, interval, verdict, what to do next, and the picture. As
    text, it is one line.

    Attributes:
        evidence: The curves, trials and proofs behind the rate.
    """

    evidence: Evidence

    @property
    def learning_rate(self) -> float:
        """The rate, which the model's optimizer now has."""
        return self.evidence.published.learning_rate

    @property
    def interval(self) -> Interval | None:
        """Two rates: 9 of 10 repetitions with other seeds find theirs between them.

        None for a default rate, and where nothing was measured.
        """
        return self.evidence.published.interval

    @property
    def verdict(self) -> Verdict:
        """How far the rate can be trusted."""
        return self.evidence.published.verdict

    def plot(self) -> Picture:
        """Returns the picture of the losses over the rate, as a PNG that a notebook displays."""
        return Picture(plot(self.evidence))

    def __repr__(self) -> str:
        return one_line(self.evidence)

    def _repr_html_(self) -> str:
        """Returns what a notebook's cell shows. IPython looks for a method of this name."""
        picture = base64.b64encode(self.plot()).decode()
        image = f'<img style="max-width: 100%" src="data:image/png;base64,{picture}">'
        return html_summary(self.evidence) + image


def find_learning_rate(model: Any, x: Any = None, y: Any = None, **arguments: Any) -> Finding:
    """Finds the learning rate of a compiled model, and sets it on the model's optimizer.

    It takes what `model.fit` takes, and does what `LearningRateFinder` does in a pipeline: a sweep,
    trials if the training to come is long enough, and a proof. All of them train from the weights
    and the optimizer's state that the model has. At the end the model is as before, except for the
    optimizer's rate; data that shuffle themselves have moved on. If the optimizer has several
    rates, they keep their proportion.

    `epochs` says how long the training to come is: a training of fewer than 400 steps has a higher
    best rate, and before one of 5,200 steps or more the finder makes trials. Without `epochs`, the
    length counts as not known. See `range_test` for the kinds of data; of a generator, the batches
    of a sweep or of the longest proof are read, and longer trials start over on them.

    Args:
        model: A compiled Keras model, of Keras 3 or tf_keras, whose optimizer has a number as its
            rate.
        x: The data, or their features; the first argument of `fit`.
        y: The labels, or None (default) if `x` holds them; the second argument of `fit`.
        **arguments: Further arguments of `fit`, by name, such as `batch_size`, `epochs`,
            `validation_data` or `callbacks`; and options of the search, by name:
            `min_learning_rate`, `max_learning_rate`, `num_steps`, `smoothing`,
            `divergence_factor`, `rule`, `num_sweeps`, `search_budget`, `trial_steps`,
            `proof_steps`, `seed`. With `default_learning_rate`, this rate is set if no rate can be
            found.

    Returns:
        The finding. Look at its verdict: unless it is `ok`, there is a rate, but also a problem.

    Raises:
        NoLearningRateError: If no rate can be found, and no default rate is given. The model then
            keeps its rate.
        TypeError: If `fit` has no argument of a given name, or an option has the wrong type.
        ValueError: If an option is out of its range, the optimizer has a schedule, or the model or
            the data cannot be used, as for `range_test`.

    Example:
        ```
        finding = find_learning_rate(model, dataset, epochs=20)
        model.fit(dataset, epochs=20)  # at the rate that was found
        ```
    """
    given = {name: arguments.pop(name) for name in _OPTIONS & arguments.keys()}
    on_failure = "raise" if given.get("default_learning_rate") is None else "default"
    options = SweepOptions(**given, on_failure=on_failure)
    with made_by_fit(model, x, y, arguments, most_steps(options)) as make:
        check_settable(model.optimizer)
        evidence = find(_Search(make, options))
    set_learning_rate(swept_optimizers(model), evidence.published.learning_rate)
    return Finding(evidence)


@dataclasses.dataclass(frozen=True)
class _Search:
    make: Make
    options: SweepOptions

    def trainings(self) -> contextlib.AbstractContextManager[Trainings]:
        return trainings(self.make, self.options)
