"""Files of tf.Example, as ExampleGen and Transform write them."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def write_examples(file: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a TFRecord file, compressed if its name ends in .gz, and the folders above it.

    Args:
        file: Its path or URI.
        rows: The examples: for each feature's name a number, or an array of them.
    """
    path = os.fspath(file)
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.TFRecordWriter(path, "GZIP" if path.endswith(".gz") else "") as writer:
        for row in rows:
            feature = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))
                for name, values in row.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            # Or else the order of the features is another one in each process.
            writer.write(example.SerializeToString(deterministic=True))
