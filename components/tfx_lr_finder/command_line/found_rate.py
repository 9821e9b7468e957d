"""What is told of a rate that a pipeline found: data, module, trainings."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True)
class Data:
    """An `Examples` artifact.

    Attributes:
        uri: URI of the artifact.
        splits: Names of the splits.
        span: Number of the span that an ExampleGen read; None if no ExampleGen wrote the artifact.
        version: Version of the span; None if it has none.
        fingerprint: Fingerprint of the input files that an ExampleGen recorded; None without one.
    """

    uri: str
    splits: tuple[str, ...]
    span: int | None = None
    version: int | None = None
    fingerprint: str | None = None


@dataclasses.dataclass(frozen=True)
class Module:
    """The user's code.

    Attributes:
        name: Name of the packaged module, dotted path of the function, or path of the file.
        version: Version of the wheel, which has a hash of the code; None if it is not packaged.
        wheel: Path of the wheel; None if the code is not packaged.
    """

    name: str
    version: str | None = None
    wheel: str | None = None


@dataclasses.dataclass(frozen=True)
class Training:
    """An execution that read the rate.

    Attributes:
        node: Name of the node, for example `Trainer`.
        run: Name of the pipeline run.
        state: State of the execution: `COMPLETE`, `FAILED`, `RUNNING` and so on.
        models: URIs of the models that it wrote.
    """

    node: str
    run: str
    state: str
    models: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FoundRate:
    """A learning rate that a pipeline found.

    Attributes:
        learning_rate: The rate as stored in the metadata: SQLite and MySQL keep six decimals.
        rule: Name of the rule, or `default`.
        verdict: Value of the verdict.
        interval: The least and the greatest rate that are expected; None if there is no interval,
            or if the metadata have rounded an end to 0.
        search_steps: Number of training steps that the search took.
        train_steps: Number of steps of the training to come; None if it was not known.
        sweep: URI of the sweep artifact, which holds the evidence.
        found_at: Time at which the sweep was written, in UTC.
        pipeline: Name of the pipeline.
        run: Name of the pipeline run.
        node: Name of the finder's node.
        module: The user's code.
        examples: The examples that the finder read.
        sources: The examples from which `examples` were made, over all generations.
        trainings: The executions that read the rate, except executions served from the cache.
    """

    learning_rate: float
    rule: str
    verdict: str
    interval: tuple[float, ...] | None
    search_steps: int
    train_steps: int | None
    sweep: str
    found_at: datetime.datetime
    pipeline: str
    run: str
    node: str
    module: Module
    examples: tuple[Data, ...]
    sources: tuple[Data, ...]
    trainings: tuple[Training, ...]
