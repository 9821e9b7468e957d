"""The workers that train together, as TF_CONFIG says it."""

import tensorflow as tf

_CHIEFS = {"chief", "master"}
"""Names of the chief's task; `master` is the older one."""


def is_chief() -> bool:
    """Returns whether this process is alone, or the one of its cluster that writes.

    That is the chief, or the first worker where there is none.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    jobs = resolver.cluster_spec().jobs
    if not jobs or resolver.task_type in _CHIEFS:
        return True
    return _CHIEFS.isdisjoint(jobs) and (resolver.task_type, resolver.task_id) == ("worker", 0)


def task() -> str:
    """Returns the name of this process's task in its cluster; `chief-0` where it is alone."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if not resolver.cluster_spec().jobs:
        return "chief-0"
    return f"{resolver.task_type}-{resolver.task_id}"
