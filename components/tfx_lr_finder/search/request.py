"""A search as data, and its sweeps and trials of the user's model on the user's data."""

import contextlib
import dataclasses
import json
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tfx.dsl.io import fileio
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.types.artifact import Artifact
from tfx.utils import json_utils, proto_utils

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.search import user_module
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.search.find import sweep, trainings
from tfx_lr_finder.search.hyperparameters import Config, with_any_rate
from tfx_lr_finder.search.options import CODE_KEYS, OPTION_TYPES, SweepOptions
from tfx_lr_finder.search.working_folder import working_folder
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult, Make
from tfx_lr_finder.training.model.cluster import one_strategy
from tfx_lr_finder.training.model.random_state import seeded
from tfx_lr_finder.training.trainings import Trainings
from tfx_lr_finder.training.trial import State


class TrialTask(NamedTuple):
    """A trial to run.

    Attributes:
        learning_rate: The rate.
        num_steps: Number of steps, counted from the initial state.
        start_file: The file with the state to go on from; empty for the initial state.
        end_file: The file that the state at the end is written to, by a trial from the initial
            state.
    """

    learning_rate: float
    num_steps: int
    start_file: str
    end_file: str


@dataclasses.dataclass(frozen=True)
class Search:
    """All that is needed to train the user's model. It can be sent to another machine as JSON.

    Attributes:
        inputs: The component's input artifacts.
        user_code: The parameters of the component that name the user's code, by name.
        options: The options of the search.
        hyperparameters: The upstream hyperparameters, or None.
        train_args: The Trainer's arguments of the training.
        eval_args: The Trainer's arguments of the evaluation.
        custom_config: The user's own arguments, or None.
    """

    inputs: dict[str, list[Artifact]]
    user_code: dict[str, str]
    options: SweepOptions
    hyperparameters: Config | None = None
    train_args: TrainArgs = dataclasses.field(default_factory=TrainArgs)
    eval_args: EvalArgs = dataclasses.field(default_factory=EvalArgs)
    custom_config: dict[str, Any] | None = None

    @classmethod
    def of_execution(
        cls,
        inputs: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
        hyperparameters: Config | None,
    ) -> "Search":
        """Returns the search of an execution of the component.

        Args:
            inputs: The component's input artifacts.
            exec_properties: The component's parameters, as TFX records them: protos and
                `custom_config` are JSON, and what is None is left out.
            hyperparameters: The upstream hyperparameters, or None.

        Raises:
            TypeError: If an option has the wrong type.
            ValueError: If an option is out of its range.
        """
        train_args, eval_args = TrainArgs(), EvalArgs()
        proto_utils.json_to_proto(exec_properties["train_args"], train_args)
        proto_utils.json_to_proto(exec_properties["eval_args"], eval_args)
        return cls(
            inputs,
            {name: exec_properties[name] for name in CODE_KEYS if exec_properties.get(name)},
            SweepOptions(**{n: exec_properties[n] for n in OPTION_TYPES if n in exec_properties}),
            hyperparameters,
            train_args,
            eval_args,
            json_utils.loads(exec_properties.get("custom_config", "null")),
        )

    @property
    def exec_properties(self) -> dict[str, Any]:
        """The parameters as TFX records them and as its own functions take them."""
        options = dataclasses.asdict(self.options)
        return {
            **self.user_code,
            **{name: value for name, value in options.items() if value is not None},
            "train_args": proto_utils.proto_to_json(self.train_args),
            "eval_args": proto_utils.proto_to_json(self.eval_args),
            "custom_config": json_utils.dumps(self.custom_config),
        }

    @property
    def origin(self) -> dict[str, str]:
        """The user's code and the examples, by names for human readers."""
        code = dict(self.user_code)
        code["module_path"] = code.get("module_path", "").partition("@")[0]  # without its wheel
        return {
            "Code": ", ".join(filter(None, code.values())),
            "Examples": ", ".join(examples.uri for examples in self.inputs["examples"]),
            "Training splits": ", ".join(self.train_args.splits) or "train",
        }

    @property
    def _given_hyperparameters(self) -> Config:
        """The hyperparameters for the user's code; they always include a learning rate."""
        options = self.options
        return with_any_rate(
            self.hyperparameters,
            options.learning_rate_name,
            options.min_learning_rate,
            options.max_learning_rate,
        )

    def to_json(self) -> str:
        """Returns the search as JSON."""
        # TFX's own JSON reader is not used: it imports any class that the text names.
        inputs = {name: [a.to_json_dict() for a in given] for name, given in self.inputs.items()}
        return json.dumps([inputs, self.exec_properties, self.hyperparameters])

    @classmethod
    def from_json(cls, text: str) -> "Search":
        """Returns the search that `to_json` wrote."""
        inputs, exec_properties, hyperparameters = json.loads(text)
        artifacts = {n: [Artifact.from_json_dict(a) for a in given] for n, given in inputs.items()}
        return cls.of_execution(artifacts, exec_properties, hyperparameters)

    def sweeps(self, seeds: Sequence[int]) -> Iterator[Curve]:
        """Runs one sweep per seed, on a model and data made for that seed, and yields its curve.

        Raises:
            TypeError: If the user's function returns anything but an LrFinderFnResult.
            ValueError: If the user's module or its data cannot be used.
        """
        with self.trainings() as trainings:
            for seed in seeds:
                yield sweep(trainings, seed, self.options)

    @contextlib.contextmanager
    def trainings(self) -> Iterator[Trainings]:
        """Loads the user's code, and yields trainings of its model, in one graph where possible."""
        with self._user_code() as made, trainings(made, self.options) as yielded:
            yield yielded

    def trials(self, tasks: Sequence[TrialTask]) -> Iterator[Trial]:
        """Trains at a rate for each task, always from the same weights, and yields the results.

        Raises:
            TypeError: As for `sweeps`.
            ValueError: As for `sweeps`.
        """
        with self.trainings() as trainings:
            for learning_rate, num_steps, start_file, end_file in tasks:
                start = _read_state(start_file) if start_file else None
                seed = self.options.seed
                trial, end = trainings.trial(seed, learning_rate, num_steps, start)
                if end is not None:
                    write_file(end_file, pickle.dumps(end))
                yield trial

    @contextlib.contextmanager
    def _user_code(self) -> Iterator[Make]:
        """Loads the user's code, and yields a function that calls it with a seed."""
        with one_strategy(), working_folder() as working_dir:
            function = user_module.load(self.user_code)
            fn_args = user_module.make_fn_args(
                self.inputs, self.exec_properties, self._given_hyperparameters, working_dir
            )

            def made(seed: int) -> LrFinderFnResult:
                with seeded(seed):
                    result = user_module.call(function, fn_args)
                if result.train_steps is None:
                    return result._replace(train_steps=fn_args.train_steps)
                return result

            yield made


def _read_state(file: str) -> State:
    with fileio.open(file, "rb") as stream:
        state: State = pickle.loads(stream.read())  # written by `trials` alone
    return state
