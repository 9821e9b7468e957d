"""The processes that train together, as TF_CONFIG says it."""

import tensorflow as tf


def check_alone() -> None:
    """Checks that this process is the only one of its cluster.

    Raises:
        ValueError: If TF_CONFIG names several.
    """
    jobs = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec().as_dict()
    num_processes = sum(map(len, jobs.values()))
    if num_processes > 1:
        raise ValueError(
            "A learning rate is sought by one process. "
            f"Received: a TF_CONFIG with {num_processes} of them. Unset it for this component; "
            "`gradient_accumulation_steps` makes a batch as large as that of all workers."
        )
