"""A pipeline of the KFP SDK, without TFX's DSL. Tasks and conditions receive the rate as a number.

`python -m plain_kfp.pipeline --image IMAGE --output plain.yaml` compiles it.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from tfx_lr_finder.kfp import learning_rate_finder

MODULE = Path(__file__).parent / "model.py"
GREATEST_LEARNING_RATE = 1.0


def make_examples(examples: dsl.Output[dsl.Dataset]) -> None:
    """Writes 512 examples of a linear relation for training, and 128 for evaluation."""
    from pathlib import Path

    import tensorflow as tf

    for seed, (split, size) in enumerate({"train": 512, "eval": 128}.items()):
        features = tf.random.stateless_normal((size, 4), seed=(seed, 0))
        targets = features @ tf.constant([[1.0], [-2.0], [0.5], [3.0]])
        folder = Path(examples.path, f"Split-{split}")
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "data.tfrecord")) as writer:
            for row in tf.concat([features, targets], 1):
                writer.write(tf.io.serialize_tensor(row).numpy())


def train(
    examples: dsl.Input[dsl.Dataset], learning_rate: float, model: dsl.Output[dsl.Model]
) -> None:
    """Trains with the rate that was found, and saves the model."""
    from pathlib import Path

    import keras
    import tensorflow as tf

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row = tf.ensure_shape(tf.io.parse_tensor(record, tf.float32), [5])
        return row[:4], row[4:]

    regression = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    regression.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="mse")
    records = tf.data.TFRecordDataset(f"{examples.path}/Split-train/data.tfrecord")
    loss = regression.fit(records.map(parse).batch(32), epochs=3, verbose=2).history["loss"][-1]
    Path(model.path).mkdir(parents=True)
    regression.save(f"{model.path}/model.keras")
    model.metadata["loss"] = loss


def create_pipeline(image: str, *, gate: bool = True) -> Any:
    """Returns the pipeline.

    Args:
        image: Image of every task.
        gate: Whether to train only with a rate below GREATEST_LEARNING_RATE. kfp.local cannot
            decide such a condition: pass False for it.
    """

    def component(function: Callable[..., None]) -> Any:
        return dsl.component(function, base_image=image, install_kfp_package=False)

    find_learning_rate = learning_rate_finder(image)

    @dsl.pipeline(name="plain-kfp")
    def pipeline(num_steps: int = 200) -> None:
        examples = component(make_examples)().outputs["examples"]
        finder = find_learning_rate(
            examples=examples, module=MODULE.read_text(), num_steps=num_steps
        )
        learning_rate = finder.outputs["learning_rate"]
        trusted = dsl.If(learning_rate < GREATEST_LEARNING_RATE) if gate else nullcontext()
        with trusted:
            component(train)(examples=examples, learning_rate=learning_rate)

    return pipeline


def main(argv: Sequence[str] | None = None) -> None:
    """Compiles the pipeline.

    Args:
        argv: Command-line arguments; by default those of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m plain_kfp.pipeline")
    parser.add_argument("--image", required=True, help="image of every task")
    parser.add_argument("--output", required=True, type=Path, help="the YAML file to write")
    parser.add_argument("--no-gate", action="store_true", help="train always: for kfp.local")
    arguments = parser.parse_args(argv)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pipeline = create_pipeline(arguments.image, gate=not arguments.no_gate)
    compiler.Compiler().compile(pipeline, str(arguments.output))


if __name__ == "__main__":
    main()
