"""The learning-rate range test of a compiled Keras model, in one TensorFlow graph."""

import contextlib
import functools
import gc
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from tfx_lr_finder.core.curve import Array, Curve, exponential_learning_rates
from tfx_lr_finder.core.proof import JudgedOn, Proof
from tfx_lr_finder.core.stopping import check_ends, end_of_sweep
from tfx_lr_finder.training.applied_rate import check_applied, check_holds, swept_optimizers
from tfx_lr_finder.training.batch_loss import BatchLossError, check_batch_loss, with_tried_batches
from tfx_lr_finder.training.constant import BestConstant, NoConstantError
from tfx_lr_finder.training.held_out import HeldOut
from tfx_lr_finder.training.loop import Loop, Record, TrainStepError, build_loop
from tfx_lr_finder.training.model.built import build_model, build_optimizer
from tfx_lr_finder.training.model.cluster import check_trained_together
from tfx_lr_finder.training.model.form import form_of
from tfx_lr_finder.training.model.optimizer_tree import (
    accumulation_steps,
    num_updates,
    optimizers_within,
)
from tfx_lr_finder.training.model.training_state import (
    LearningRate,
    changed_by_inference,
    global_generators,
    has_own_train_step,
    inner_optimizer,
    is_adapted,
    kept_random_state,
    kept_variables,
    not_among,
    seed_everything,
    settable_learning_rate,
    training_variables,
)
from tfx_lr_finder.training.validation import (
    ValidationBatches,
    ValidationError,
    inference_loss,
    validation_batches,
)


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

    The optimizer is tried out first: the weights must follow the rate that is set. Where it has
    several rates, as a `MultiOptimizer`, the recorded one is the greatest of them, and the others
    keep their proportion to it: `rate / max(own.learning_rate for own in optimizer.optimizers)` is
    what each of them is to be multiplied by.

    With validation data, the loss of their first batches (256 examples, but at most 8 batches)
    is recorded after each update, in training mode but without a trace in the model: no noise of
    the batches is in it, and it sees over-fitting. A model with a `train_step` of its own goes
    without.

    The sweep ends after `num_steps`; at the first loss that is not finite, which is not part of
    the curve; where a weight is not finite, which a ReLU can hide from the loss; or when the
    smoothed loss, from a tenth of the steps on, exceeds `best + (divergence_factor - 1) * scale`.
    The scale is `best`, the least smoothed loss since then, hence `divergence_factor * best`; where
    `best <= 0` it is the greater of `|best|` and the fall since then.

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
        num_steps: Number of training steps, from 2 to 10,000; default 200.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98.
        divergence_factor: Greater than 1; default 4. `float("inf")` never stops.
        seed: Seed of the random operations that have none of their own; default 0.

    Returns:
        The curve of the sweep.

    Raises:
        ValueError: If an argument is out of its range, the model is not compiled or trains by
            another optimizer than its own, the optimizer does not apply the rate that it is given,
            the data set runs out of batches, a training step cannot be built or returns another
            loss than that of its batch, or the first loss is not finite.

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

    Args:
        make: As for `Trainings`.
        seeds: The seeds, each from 0 to 2**31 - 1.
        min_learning_rate: The first rate; as for `range_test`, likewise the next four.
        max_learning_rate: The last rate.
        num_steps: Number of training steps.
        smoothing: Weight of the past in the smoothed loss.
        divergence_factor: When a sweep stops.
        graph_seed: As for `Trainings`.

    Raises:
        ValueError: As `range_test` does.
    """
    num_steps = operator.index(num_steps)  # NumPy's integers too
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    check_ends(smoothing, divergence_factor)
    with Trainings(make, num_steps, graph_seed) as trainings:
        for seed in seeds:
            yield trainings.sweep(operator.index(seed), rates, smoothing, divergence_factor)


class Trainings(contextlib.AbstractContextManager["Trainings"]):
    """Trainings of a model from its initial state, at any rates, in one graph.

    The graph is traced once: a later model hands its initial values to the first one's variables
    and is dropped. One whose variables, optimizer or batches are of another form gets a graph of
    its own; so does one that is not built yet, was adapted to data, differs in anything but its
    values, as an activation or a loss, or changes variables that Keras does not list, as a second
    optimizer does. Each training depends on its seed alone, not on those before.
    """

    def __init__(
        self,
        make: Callable[[int], tuple[Any, Any, Any, int | None]],
        most_steps: int,
        graph_seed: int,
    ) -> None:
        """Keeps what the trainings need; nothing is made yet.

        Args:
            make: Returns for a seed the compiled model, the batches, the validation data or None,
                and the number of steps that the model will be trained for or None.
            most_steps: The greatest number of steps of a training.
            graph_seed: Seed of TensorFlow's own random operations, which keep the one that their
                graph was traced with.
        """
        self._make = make
        self._most_steps = most_steps
        self._graph_seed = graph_seed
        self._open = contextlib.ExitStack()
        self._objects = contextlib.ExitStack()
        self._graph: _Graph | None = None
        self._constants: dict[int, BestConstant | None] = {}
        self._held_out: dict[int, HeldOut | None] = {}

    def __enter__(self) -> "Trainings":
        """Begins the trainings."""
        self._objects.enter_context(_earlier_objects_uncollected())
        return self

    def __exit__(self, *error: object) -> None:
        """Leaves the first model and the random state as they were."""
        self._open.close()
        self._objects.close()

    def sweep(self, seed: int, rates: Array, smoothing: float, divergence_factor: float) -> Curve:
        """Returns the curve of a range test, on a model and data made for a seed.

        Raises:
            ValueError: As `range_test` does.
        """
        subject = self._subject(seed, rates.size)
        graph = self._graph_for(subject, seed, rates.max())
        record = graph.run(
            subject, seed, rates, smoothing, divergence_factor, "Learning-rate sweep"
        )
        if not record.losses.size:
            raise _no_finite_loss(rates[0], graph.loop)
        return Curve(
            learning_rates=rates[: record.losses.size],
            losses=record.losses,
            validation_losses=record.validation_losses,
            stop_reason=record.stop_reason,
            batch_size=record.batch_size,
            smoothing=smoothing,
            num_steps=rates.size,
            seed=seed,
            train_steps=subject.train_steps,
            constant_loss=self._constant_loss(graph, seed, subject.validation),
            model=_description(subject.model),
            num_replicas=subject.model.distribute_strategy.num_replicas_in_sync,
            **_optimizer_facts(subject.model.optimizer),
        )

    def proof(self, seed: int, learning_rate: float, num_steps: int) -> Proof:
        """Returns what a short training at a constant rate comes to.

        It is judged by the validation data or, where there are none, by examples that are kept
        from the training. A first step at the rate 0 tells the loss at the start.

        Raises:
            ValueError: As `range_test` does.
        """
        subject = self._subject(seed, num_steps + 1, holds_out=True)
        rates = np.array([0.0, *[learning_rate] * num_steps])
        graph = self._graph_for(subject, seed, rates.max())
        final_loss: float | None = None

        def judge() -> None:
            nonlocal final_loss
            if subject.validation is not None:
                loss = inference_loss(graph.subject.model, subject.validation.batches)
                final_loss = graph.loop.workers_mean(loss)

        description = f"Proof at {learning_rate:.3g}"
        record = graph.run(subject, seed, rates, 0.0, math.inf, description, judge)
        constant_loss = self._constant_loss(graph, seed, subject.validation)
        constant = self._constant(graph.subject.model, seed)
        return Proof.of(
            learning_rate,
            record.steady_losses,
            final_loss,
            num_steps=num_steps,
            seed=seed,
            constant_loss=constant_loss,
            constant=() if constant is None else constant.numbers,
            judged_on=subject.judged_on,
        )

    def _subject(self, seed: int, num_steps: int, holds_out: bool = False) -> "_Subject":
        """Returns what the user's code makes for a seed, on request without held-out examples."""
        if self._graph is not None:
            gc.collect()  # a Keras model is full of cycles: one a training would pile up
        held_out = functools.partial(self._held_out_of, seed) if holds_out else lambda: None
        return _made(self._make, seed, num_steps, held_out)

    def _unread_dataset(self, seed: int) -> tf.data.Dataset:
        """Returns batches of which no training reads, and which read nothing away from one.

        A data set that shuffles draws its order anew for each pass, and passes are begun in
        advance, at a time that nobody knows: only the first is always the same.
        """
        gc.collect()
        dataset: tf.data.Dataset = self._make(seed)[1]
        return dataset

    def _held_out_of(self, seed: int) -> HeldOut | None:
        """Returns what a proof is judged by where there are no validation data."""
        if seed not in self._held_out:
            self._held_out[seed] = HeldOut.of(self._unread_dataset(seed))
        return self._held_out[seed]

    def _constant(self, model: Any, seed: int) -> BestConstant | None:
        """Returns the best constant output for a seed's data; None if its loss cannot be had."""
        if seed not in self._constants:
            # No more batches than a training reads.
            num_batches = self._most_steps * accumulation_steps(model.optimizer)
            try:
                batches = self._unread_dataset(seed).take(num_batches)
                self._constants[seed] = BestConstant(model, batches)
            except NoConstantError as error:
                self._constants[seed] = None
                logging.info("The loss of the best constant output is not known: %s", error)
        return self._constants[seed]

    def _constant_loss(
        self, graph: "_Graph", seed: int, validation: ValidationBatches | None
    ) -> float | None:
        """Returns the loss of the best constant output on what a training is judged by."""
        model = graph.subject.model
        with kept_variables(changed_by_inference(model)):
            constant = self._constant(model, seed)
            if constant is None:
                return None
            if validation is None:
                loss = constant.fitted_loss
            else:
                loss = constant.loss(model, validation.batches)
        return graph.loop.workers_mean(loss)

    def _graph_for(self, subject: "_Subject", seed: int, greatest: float) -> "_Graph":
        """Returns the graph that trains a subject: the last one if it can."""
        if self._graph is None or not self._graph.takes(subject):
            self._graph = None
            self._open.close()
            traced = _traced(subject, self._most_steps, greatest, self._graph_seed, seed)
            self._graph = self._open.enter_context(traced)
        return self._graph


@contextlib.contextmanager
def _earlier_objects_uncollected() -> Iterator[None]:
    """Has garbage collections leave out what there is by now.

    Beside TensorFlow and TFX one takes half a second, longer than a short training.
    """
    if gc.get_freeze_count():  # somebody else's, who would miss it afterwards
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Subject(NamedTuple):
    """What a training is made of.

    Attributes:
        model: A compiled model.
        batches: An iterator over the batches of the training.
        validation: Batches whose loss is recorded, too, or None.
        train_steps: Number of steps that the model will be trained for, or None.
        judged_on: What a proof is judged by.
    """

    model: Any
    batches: Any
    validation: ValidationBatches | None
    train_steps: int | None
    judged_on: JudgedOn

    @property
    def form(self) -> Any:
        """What has to be equal for the values of one model to make another that model.

        None if nothing does: it is not built yet, or was adapted to data.
        """
        if not self.model.built or is_adapted(self.model):
            return None
        return (
            [(variable.shape, variable.dtype) for variable in training_variables(self.model)],
            form_of(self.model),
            self.data_form,
        )

    @property
    def data_form(self) -> Any:
        """What has to be equal for the data of one graph to be fed to another."""
        validation = self.validation and (
            self.validation.iterator.element_spec,
            self.validation.number,
        )
        return self.batches.element_spec, validation


def _made(
    make: Callable[[int], tuple[Any, ...]],
    seed: int,
    num_steps: int,
    held_out: Callable[[], HeldOut | None],
) -> _Subject:
    """Returns what the user's code makes for a seed.

    Where there are no validation data, held-out examples take their place, if there are any.
    """
    model, dataset, validation_dataset, train_steps = make(seed)
    if train_steps is not None and (train_steps := operator.index(train_steps)) < 1:
        raise ValueError(
            "Argument `train_steps` must be at least 1, or None if not known. "
            f"Received: train_steps={train_steps}."
        )
    _check_compiled(model)
    check_trained_together(model)
    build_optimizer(model)
    _check_dataset(dataset)
    judged_on = JudgedOn.VALIDATION_DATA
    if validation_dataset is None or has_own_train_step(model):
        judged_on = JudgedOn.TRAINING_DATA
        if not has_own_train_step(model) and (held := held_out()) is not None:
            dataset, validation_dataset = held.taken_from(dataset), held.batches
            judged_on = JudgedOn.HELD_OUT_EXAMPLES
    batches = iter(_batches(model, dataset, num_steps))
    with kept_random_state(seed):  # reading them may draw random numbers
        validation = validation_batches(model, validation_dataset)
    return _Subject(model, batches, validation, train_steps, judged_on)


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


class _Graph(NamedTuple):
    """A training that is traced, for subjects of the form of the first.

    Attributes:
        subject: The first one, whose model's variables the graph trains.
        form: Its form before the first step; None if it is one of a kind.
        given: Its model's variables then, none if it is one of a kind.
        variables: Everything that a run changes.
        generators: What the graph may draw random numbers from.
        learning_rate: What the graph sets the rate by.
        loop: The graph.
    """

    subject: _Subject
    form: Any
    given: list[Any]
    variables: list[Any]
    generators: list[Any]
    learning_rate: LearningRate
    loop: Loop

    def takes(self, subject: _Subject) -> bool:
        """Returns whether a subject has the form that was traced."""
        if subject.model is self.subject.model:
            return bool(subject.data_form == self.subject.data_form)
        form = subject.form
        return form is not None and form == self.form

    def run(
        self,
        subject: _Subject,
        seed: int,
        rates: Array,
        smoothing: float,
        divergence_factor: float,
        description: str,
        at_end: Callable[[], None] = lambda: None,
    ) -> Record:
        """Returns what a training records that starts from a model's values.

        At its end a function is called, and then every variable has its former value.
        """
        ended = functools.partial(
            end_of_sweep,
            num_steps=rates.size,
            smoothing=smoothing,
            divergence_factor=divergence_factor,
        )
        own = self.subject.model
        with kept_variables(self.variables), _explained(own, subject.batches, rates.size):
            if subject.model is not own:
                for variable, value in zip(
                    self.given, training_variables(subject.model), strict=True
                ):
                    variable.assign(value)
            own.reset_metrics()
            validation = subject.validation and subject.validation.iterator
            check_holds(own, self.learning_rate, rates)
            reseed = functools.partial(seed_everything, seed, self.generators)
            iterators = subject.batches, validation
            check_batch_loss(own, self.loop, iterators, rates.max(), self.variables, reseed)
            reseed()
            updates = num_updates(own.optimizer)
            record = self.loop.run(subject.batches, rates, ended, validation, description)
            if record.losses.size and num_updates(own.optimizer) == updates:
                raise _no_update(own, record.losses.size)
            at_end()
            return record


@contextlib.contextmanager
def _traced(
    subject: _Subject, most_steps: int, greatest: float, graph_seed: int, own_seed: int
) -> Iterator[_Graph]:
    """Traces a training; model and random state are at the end as they were."""
    model, batches, form = subject.model, subject.batches, subject.form
    given = [] if form is None else training_variables(model)
    # Weights may come into being in a graph for one model alone: they are of the sweep's own seed.
    seed = own_seed if form is None else graph_seed
    with kept_random_state(seed), contextlib.ExitStack() as stack:
        with _explained(model, batches, most_steps):
            build_model(model, batches)
        swept = swept_optimizers(model)
        learning_rate = stack.enter_context(settable_learning_rate(model.optimizer, swept))
        with _explained(model, batches, most_steps):
            loop = build_loop(model, batches, learning_rate, most_steps, subject.validation)
        check_applied(model, learning_rate, greatest)
        generators = global_generators()
        states = [generator.state for generator in generators]
        known = [*training_variables(model), *states, *learning_rate.variables]
        # What Keras does not list: a second optimizer's slots, a memory, a layer's tf.Variable.
        others = not_among(loop.variables, known)
        form = None if others else form
        yield _Graph(subject, form, given, [*known, *others], generators, learning_rate, loop)


@contextlib.contextmanager
def _explained(model: Any, batches: Any, num_steps: int) -> Iterator[None]:
    """Turns what TensorFlow and Keras raise in a training step into an error with a remedy."""
    try:
        yield
    except (TrainStepError, ValidationError, BatchLossError):
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
    for part in optimizers_within(model.optimizer):
        if getattr(part, "warmup_steps", 0):
            raise ValueError(
                "The optimizer must apply the rate that it is given. Received: model "
                f"{model.name!r} with {type(part).__name__}(warmup_steps={part.warmup_steps}), "
                "which applies a part of it in its first steps. Build it with warmup_steps=0, and "
                "give it a `LearningRateSchedule` that warms up, in whose place the sweep sets "
                "the rate."
            )
    if model.built and not model.trainable_variables:
        raise ValueError(
            "The model must have trainable weights. "
            f"Received: model {model.name!r} with {len(model.weights)} weights, all of them "
            "frozen. Set `trainable = True` for those that are to be trained, and compile again."
        )


def _check_dataset(dataset: Any) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "Argument `dataset` must be a tf.data.Dataset of batches as `model.fit` takes them. "
            f"Received: {str(dataset)[:200]} of type {type(dataset).__name__}."
        )


def _batches(model: Any, dataset: tf.data.Dataset, num_steps: int) -> Any:
    """Returns a data set of the batches that the training needs and no more."""
    num_batches = num_steps * accumulation_steps(model.optimizer)
    # `take` comes before `prefetch`: nothing beyond the last step is ever read.
    batches = dataset.repeat().take(num_batches)
    tried = with_tried_batches(model, batches, accumulation_steps(model.optimizer))
    return model.distribute_strategy.experimental_distribute_dataset(
        tried.prefetch(tf.data.AUTOTUNE)
    )


def out_of_batches(num_steps: int) -> ValueError:
    """Returns the error of a training that ends before its steps are done."""
    return ValueError(
        f"The data set must yield the batches of {num_steps} steps, if need be by starting over. "
        "Received: a data set that is empty, or that is used up after one pass. "
        "Check the split, the file pattern and `drop_remainder`; of a generator, pass a new one "
        "for each pass."
    )


def _no_finite_loss(learning_rate: float, loop: Loop) -> ValueError:
    data = "validation" if np.isfinite(loop.columns()[0][0]) else "training"
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
