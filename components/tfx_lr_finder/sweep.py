"""The learning-rate range test of a compiled Keras model, in one TensorFlow graph."""

import contextlib
import gc
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfx_lr_finder.cluster import check_trained_together
from tfx_lr_finder.curve import (
    Array,
    Curve,
    exponential_learning_rates,
    exponential_moving_average,
)
from tfx_lr_finder.sweep_loop import Loop, Record, TrainStepError, build_loop
from tfx_lr_finder.training_state import (
    accumulation_steps,
    constants,
    global_generators,
    inner_optimizer,
    is_adapted,
    kept_random_state,
    kept_variables,
    not_among,
    seed_everything,
    settable_learning_rate,
    training_variables,
)
from tfx_lr_finder.validation import ValidationBatches, ValidationError, validation_batches


def range_test(
    model: Any,
    dataset: tf.data.Dataset,
    *,
    validation_dataset: tf.data.Dataset | None = None,
    train_steps: int | None = None,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 200,
    smoothing: float = 0.98,
    divergence_factor: float = 4.0,
    seed: int = 0,
) -> Curve:
    """Trains a model while the learning rate grows exponentially, and records each step's loss.

    Every step is the model's own `train_step`, with its loss scaling, clipping, regularisation
    and dropout, run in one graph even if the model was compiled with `run_eagerly=True`. The loss
    of a step is that of its batch alone, before the update. Where the optimizer accumulates
    gradients, a step is one update: it takes so many batches, and its loss is their mean.

    With validation data, the loss of their first batches (256 examples, but at most 8 batches)
    is recorded after each update, in training mode but without a trace in the model: no noise of
    the batches is in it, and it sees over-fitting. A model with a `train_step` of its own goes
    without.

    The sweep ends after `num_steps`; at the first loss that is not finite, which is not part of
    the curve; or when the smoothed loss exceeds `best + (divergence_factor - 1) * scale`. The
    scale is `best`, the least smoothed loss so far, hence `divergence_factor * best`; where
    `best <= 0` it is the greater of `|best|` and the fall since the first step.

    The model's weights, its optimizer, its metrics, and the random state of Python, NumPy and
    TensorFlow are afterwards as they were, also when an error is raised.

    The same model, data and seed give the same curve, bit for bit on a CPU, unless the model is
    compiled by XLA and draws random numbers without a seed of their own. A shuffled data set
    must be made anew with the same seed for that: each pass over it draws a new order.

    Args:
        model: A compiled Keras model.
        dataset: Batches as `model.fit` takes them. It may be endless. If it has fewer batches
            than the sweep takes it starts over, and what it shuffles is shuffled anew.
        validation_dataset: Batches as `model.evaluate` takes them, or None (default).
        train_steps: Number of steps that the model will be trained for, or None (default) if not
            known: it is recorded with the curve.
        min_learning_rate: The first rate, greater than 0; default 1e-6.
        max_learning_rate: The last rate, greater than the first; default 10.
        num_steps: Number of training steps, at least 2; default 200.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98.
        divergence_factor: Greater than 1; default 4. `float("inf")` never stops.
        seed: Seed of the random operations that have none of their own; default 0.

    Returns:
        The curve of the sweep.

    Raises:
        ValueError: If an argument is out of its range, the model is not compiled or trains by
            another optimizer than its own, the data set runs out of batches, a training step
            cannot be built, or the first loss is not finite.

    Reference:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186.
    """
    (curve,) = range_tests(
        lambda _: (model, dataset, validation_dataset, train_steps),
        [seed],
        min_learning_rate=min_learning_rate,
        max_learning_rate=max_learning_rate,
        num_steps=num_steps,
        smoothing=smoothing,
        divergence_factor=divergence_factor,
        graph_seed=operator.index(seed),
    )
    return curve


def range_tests(
    make: Callable[[int], tuple[Any, Any, Any, int | None]],
    seeds: Sequence[int],
    *,
    min_learning_rate: float,
    max_learning_rate: float,
    num_steps: int,
    smoothing: float,
    divergence_factor: float,
    graph_seed: int,
) -> Iterator[Curve]:
    """Yields the curve of one range test a seed, each on a model and data set made for it.

    The graph is traced once: a later model hands its initial values to the first one's variables
    and is dropped. One whose variables, optimizer or batches are of another form gets a graph of
    its own; so does one that is not built yet, was adapted to data, has other arrays among the
    attributes of its layers, or changes variables that Keras does not list, as a second optimizer
    does. Each curve depends on its seed alone, not on those before.

    Args:
        make: Returns for a seed the compiled model, the batches, the validation data or None, and
            the number of steps that the model will be trained for or None.
        seeds: The seeds, each from 0 to 2**31 - 1.
        min_learning_rate: The first rate; as for `range_test`, likewise the next four.
        max_learning_rate: The last rate.
        num_steps: Number of training steps.
        smoothing: Weight of the past in the smoothed loss.
        divergence_factor: When a sweep stops.
        graph_seed: Seed of TensorFlow's own random operations, which keep the one that their
            graph was traced with.

    Raises:
        ValueError: As `range_test` does.
    """
    num_steps = operator.index(num_steps)  # NumPy's integers too
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    exponential_moving_average((), smoothing)
    if not divergence_factor > 1:
        raise ValueError(
            "Argument `divergence_factor` must be greater than 1. "
            f"Received: divergence_factor={divergence_factor}. Choose for example 4."
        )
    remaining = [operator.index(seed) for seed in seeds]
    subject = _made(make, remaining[0], num_steps)
    while remaining:
        with _traced(subject, rates, graph_seed, remaining[0]) as sweep:
            while remaining and sweep.takes(subject):
                seed = remaining.pop(0)
                record = sweep.run(subject, seed, smoothing, divergence_factor)
                if not record.losses.size:
                    of_training = not np.isfinite(sweep.loop.columns()[0][0])
                    raise _no_finite_loss(rates[0], "training" if of_training else "validation")
                yield Curve(
                    learning_rates=rates[: record.losses.size],
                    **record._asdict(),
                    smoothing=smoothing,
                    num_steps=num_steps,
                    seed=seed,
                    train_steps=subject.train_steps,
                    model=_description(sweep.subject.model),
                    num_replicas=subject.model.distribute_strategy.num_replicas_in_sync,
                    **_optimizer_facts(subject.model.optimizer),
                )
                if remaining:
                    del subject
                    gc.collect()  # a Keras model is full of cycles: one a sweep would pile up
                    subject = _made(make, remaining[0], num_steps)


class _Subject(NamedTuple):
    """What a sweep is made of.

    Attributes:
        model: A compiled model.
        batches: An iterator over its batches.
        validation: Batches whose loss is recorded, too, or None.
        train_steps: Number of steps that the model will be trained for, or None.
    """

    model: Any
    batches: Any
    validation: ValidationBatches | None
    train_steps: int | None

    @property
    def form(self) -> Any:
        """What has to be equal for the values of one model to make another that model.

        None if nothing does: it is not built yet, or was adapted to data.
        """
        if not self.model.built or is_adapted(self.model):
            return None
        return (
            [(variable.shape, variable.dtype) for variable in training_variables(self.model)],
            constants(self.model),
            _optimizer_facts(self.model.optimizer),
            self.batches.element_spec,
            self.validation and (self.validation.iterator.element_spec, self.validation.number),
        )


def _made(make: Callable[[int], tuple[Any, ...]], seed: int, num_steps: int) -> _Subject:
    """Returns what the user's code makes for a seed."""
    model, dataset, validation_dataset, train_steps = make(seed)
    if train_steps is not None and (train_steps := operator.index(train_steps)) < 1:
        raise ValueError(
            "Argument `train_steps` must be at least 1, or None if not known. "
            f"Received: train_steps={train_steps}."
        )
    _check_compiled(model)
    check_trained_together(model)
    batches = iter(_batches(model, dataset, num_steps))
    with kept_random_state(seed):  # reading them may draw random numbers
        validation = validation_batches(model, validation_dataset)
    return _Subject(model, batches, validation, train_steps)


def _description(model: Any) -> str:
    # Not its name, which Keras numbers: the same model would be another one the next time.
    num_parameters = sum(math.prod(weight.shape) for weight in model.weights)
    return f"{type(model).__name__} of {num_parameters:,} parameters"


def _optimizer_facts(optimizer: Any) -> dict[str, Any]:
    optimizer = inner_optimizer(optimizer)
    name = type(optimizer).__name__
    return {
        "optimizer": name,
        "is_plain_sgd": name == "SGD" and not optimizer.momentum,
        "gradient_accumulation_steps": accumulation_steps(optimizer),
    }


class _Sweep(NamedTuple):
    """A range test that is traced, for subjects of the form of the first.

    Attributes:
        subject: The first one, whose model's variables the graph trains.
        form: Its form before the first step; None if it is one of a kind.
        given: Its model's variables then, none if it is one of a kind.
        variables: Everything that a run changes.
        generators: What the graph may draw random numbers from.
        num_steps: Number of training steps.
        loop: The graph.
    """

    subject: _Subject
    form: Any
    given: list[Any]
    variables: list[Any]
    generators: list[Any]
    num_steps: int
    loop: Loop

    def takes(self, subject: _Subject) -> bool:
        """Returns whether a subject has the form that was traced."""
        form = subject.form
        return subject.model is self.subject.model or (form is not None and form == self.form)

    def run(
        self, subject: _Subject, seed: int, smoothing: float, divergence_factor: float
    ) -> Record:
        """Returns what a sweep records that starts from a model's values.

        Every variable has its former value afterwards.
        """
        own = self.subject.model
        with kept_variables(self.variables), _explained(own, subject.batches, self.num_steps):
            if subject.model is not own:
                for variable, value in zip(
                    self.given, training_variables(subject.model), strict=True
                ):
                    variable.assign(value)
            seed_everything(seed, self.generators)
            own.reset_metrics()
            validation = subject.validation and subject.validation.iterator
            updates = own.optimizer.iterations.numpy()
            record = self.loop.run(subject.batches, smoothing, divergence_factor, validation)
            if record.losses.size and own.optimizer.iterations.numpy() == updates:
                raise _no_update(own, record.losses.size)
            return record


@contextlib.contextmanager
def _traced(subject: _Subject, rates: Array, graph_seed: int, own_seed: int) -> Iterator[_Sweep]:
    """Traces a range test; model and random state are at the end as they were."""
    model, batches, form = subject.model, subject.batches, subject.form
    given = [] if form is None else training_variables(model)
    # Weights may come into being in a graph for one model alone: they are of the sweep's own seed.
    seed = own_seed if form is None else graph_seed
    with kept_random_state(seed), settable_learning_rate(model.optimizer) as learning_rate:
        with _explained(model, batches, rates.size):
            loop = build_loop(model, batches, learning_rate, rates, subject.validation)
        generators = global_generators()
        states = [generator.state for generator in generators]
        known = [*training_variables(model), *states, learning_rate]
        # What Keras does not list: a second optimizer's slots, a memory, a layer's tf.Variable.
        others = not_among(loop.variables, known)
        yield _Sweep(
            subject,
            None if others else form,
            given,
            [*known, *others],
            generators,
            rates.size,
            loop,
        )


@contextlib.contextmanager
def _explained(model: Any, batches: Any, num_steps: int) -> Iterator[None]:
    """Turns what TensorFlow and Keras raise in a training step into an error with a remedy."""
    try:
        yield
    except (TrainStepError, ValidationError):
        raise
    except tf.errors.UnavailableError:  # another worker, or the storage: not of the model
        raise
    except tf.errors.OutOfRangeError as error:
        raise out_of_batches(num_steps) from error
    except Exception as error:
        raise _impossible_step(model, batches, error) from error


def _check_compiled(model: Any) -> None:
    if not callable(getattr(model, "train_step", None)):
        raise ValueError(
            "Argument `model` must be a Keras model. "
            f"Received: {str(model)[:200]} of type {type(model).__name__}."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "The model must be compiled: its own optimizer and loss are what is tested. "
            f"Received: model {model.name!r} without an optimizer. Call `model.compile(...)` first."
        )
    optimizer = inner_optimizer(model.optimizer)
    if not hasattr(optimizer, "_learning_rate"):
        kind = type(optimizer)
        raise ValueError(
            "The optimizer must be of Keras 3 or of `tf_keras.optimizers`, not of its `legacy`. "
            f"Received: model {model.name!r} with {kind.__module__}.{kind.__name__}. "
            f"Compile it for example with `tf_keras.optimizers.{kind.__name__}`."
        )
    if getattr(optimizer, "relative_step", False):
        raise ValueError(
            "The optimizer must apply the rate that it is given. "
            f"Received: model {model.name!r} with {type(optimizer).__name__}(relative_step=True), "
            "which applies no more than 1 / sqrt(step). Build it with relative_step=False."
        )
    if model.built and not model.trainable_variables:
        raise ValueError(
            "The model must have trainable weights. "
            f"Received: model {model.name!r} with {len(model.weights)} weights, all of them "
            "frozen. Set `trainable = True` for those that are to be trained, and compile again."
        )


def _batches(model: Any, dataset: tf.data.Dataset, num_steps: int) -> Any:
    """Returns a data set of the batches that the sweep needs and no more."""
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "Argument `dataset` must be a tf.data.Dataset of batches as `model.fit` takes them. "
            f"Received: {str(dataset)[:200]} of type {type(dataset).__name__}."
        )
    num_batches = num_steps * accumulation_steps(model.optimizer)
    # `take` comes before `prefetch`: nothing beyond the last step is ever read.
    batches = dataset.repeat().take(num_batches).prefetch(tf.data.AUTOTUNE)
    return model.distribute_strategy.experimental_distribute_dataset(batches)


def out_of_batches(num_steps: int) -> ValueError:
    """Returns the error of a training that ends before its steps are done."""
    return ValueError(
        f"The data set must yield the batches of {num_steps} steps, if need be by starting over. "
        "Received: a data set that is empty, or that is used up after one pass. "
        "Check the split, the file pattern and `drop_remainder`; of a generator, pass a new one "
        "for each pass."
    )


def _no_finite_loss(learning_rate: float, data: str) -> ValueError:
    return ValueError(
        "The loss of the first batch must be finite. Received: a NaN or infinite loss of the "
        f"{data} data at learning_rate={learning_rate:g}, in the first step. "
        "Look for NaN in features and labels, and for a loss function that does not fit them."
    )


def _no_update(model: Any, num_steps: int) -> TrainStepError:
    return TrainStepError(
        "The training step must apply gradients by `model.optimizer`, whose rate is swept. "
        f"Received: model {model.name!r}, in {num_steps} steps no update by its "
        f"{type(model.optimizer).__name__}. If the model has optimizers of its own, give the one "
        "that is to be swept to `super().compile(optimizer=...)` and use it as `self.optimizer`."
    )


def _impossible_step(model: Any, batches: Any, error: Exception) -> ValueError:
    return ValueError(
        "The model must be trainable on the batches of the data set. "
        f"Received: model {model.name!r}, batches of {batches.element_spec}, and from the training "
        f"step {type(error).__name__}: {error}. "
        "Yield batches as `model.fit` takes them: (x, y) or (x, y, sample_weight)."
    )
