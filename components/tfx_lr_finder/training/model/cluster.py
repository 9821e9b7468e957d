"""The processes that train together, as TF_CONFIG lists them."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Model
from tfx_lr_finder.training.model.replacement import replaced

_JOBS = {"chief", "worker"}
"""The jobs whose processes train under a MultiWorkerMirroredStrategy."""


def is_alone() -> bool:
    """Returns whether this process is in no cluster, or the only one in its cluster."""
    return _num_processes() <= 1


def is_chief() -> bool:
    """Returns whether this process is alone, or is the one that writes the cluster's results.

    The chief writes the results, or the first worker if there is no chief.
    """
    resolver = _resolver()
    has_chief = "chief" in resolver.cluster_spec().jobs
    chief = ("chief" if has_chief else "worker", 0)
    return is_alone() or (resolver.task_type, resolver.task_id) == chief


def check_cluster() -> None:
    """Checks that all processes of the cluster train, and each of them the whole model.

    Raises:
        ValueError: If TF_CONFIG has several processes, and jobs other than `chief` and `worker`.
    """
    resolver = _resolver()
    jobs = {*resolver.cluster_spec().jobs, resolver.task_type}
    if not is_alone() and not jobs <= _JOBS:
        raise ValueError(
            "Several processes that seek a learning rate together must be workers, one of which "
            f"may be the chief. Received: a TF_CONFIG with the jobs {sorted(map(str, jobs))}. "
            "Leave all but `chief` and `worker` out of it, or unset it for this component."
        )


def check_trained_together(model: Model) -> None:
    """Checks that several processes of a cluster, if there are any, train one model together.

    Raises:
        ValueError: If the model's strategy has fewer replicas than the cluster has processes.
    """
    num_processes = _num_processes()
    num_replicas = model.distribute_strategy.num_replicas_in_sync
    if num_processes > num_replicas:
        raise ValueError(
            "The processes of a cluster must train one model together. "
            f"Received: a TF_CONFIG with {num_processes} of them, and a model of {num_replicas} "
            "replica(s). Build and compile it in the scope of a "
            "`tf.distribute.MultiWorkerMirroredStrategy`, or unset TF_CONFIG for this component."
        )


@contextlib.contextmanager
def one_strategy() -> Iterator[None]:
    """Makes each `MultiWorkerMirroredStrategy()` of user code return the first instance.

    With each new strategy, TensorFlow restarts the server of this process. The other processes
    then lose the connection, and take this process for dead.
    """
    if is_alone():
        yield
        return
    with replaced(tf.distribute, "MultiWorkerMirroredStrategy", _OneStrategy):
        yield


class _OneStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    """A strategy of which a process has one instance."""

    _made: "_OneStrategy | None" = None

    def __new__(cls, *_: object, **__: object) -> "_OneStrategy":
        return cls._made or super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        if self is not _OneStrategy._made:
            super().__init__(*args, **kwargs)
            _OneStrategy._made = self


def _num_processes() -> int:
    return sum(map(len, _resolver().cluster_spec().as_dict().values()))


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()
