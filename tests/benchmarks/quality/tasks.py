"""The combinations of data, model, optimizer and batch size, in two halves fixed here."""

import dataclasses
import enum

from quality.drawn import NUM_DRAWS, Network, draw


class Half(str, enum.Enum):
    """What the combinations of a half may be used for."""

    CHOICES = "choices"
    """Rules and their constants may be chosen on these."""
    REPORT = "report"
    """Only reported; nothing is ever chosen on these."""


@dataclasses.dataclass(frozen=True)
class Combination:
    """One training problem, with the budget of the training that a rate is sought for.

    Attributes:
        half: What it may be used for.
        data: Name of a data set in `DATA_SETS`.
        model: Name of a model in `MODELS`, or a network composed of parts.
        optimizer: Name of an optimizer in `OPTIMIZERS`.
        batch_size: Examples in a batch, 16 to 256.
        budget: Steps of the full training, 200 to 400.
        is_drawn: Whether chance composed it.
        pretrained_on: Name of a data set that the model was trained on before, if on any.
    """

    half: Half
    data: str
    model: str | Network
    optimizer: str
    batch_size: int
    budget: int = 400
    is_drawn: bool = False
    pretrained_on: str | None = None

    @property
    def name(self) -> str:
        """The combination in words that make a file name."""
        before = f"{self.pretrained_on}-" if self.pretrained_on else ""
        return f"{before}{self.data}-{self.model}-{self.optimizer}-{self.batch_size}"


def _half(half: Half, *rows: tuple[str, str, str, int, int]) -> tuple[Combination, ...]:
    return tuple(Combination(half, *row) for row in rows)


def _drawn(number: int) -> Combination:
    half = Half.REPORT if number % 2 else Half.CHOICES
    return Combination(half, *draw(number), is_drawn=True)


COMBINATIONS = (
    *_half(
        Half.CHOICES,
        ("iris", "logistic", "sgd", 16, 400),
        ("cancer", "mlp", "sgd", 32, 400),
        ("digits", "cnn", "sgd", 64, 300),
        ("wine", "mlp_dropout", "momentum", 16, 400),
        ("digits", "mlp", "momentum", 64, 400),
        ("mnist", "cnn_batch_norm", "momentum", 64, 200),
        ("diabetes", "linear_regression", "adam", 32, 400),
        ("penguins", "mlp", "adam", 16, 400),
        ("majority", "gru", "adam", 32, 200),
        ("docstrings", "bag_of_embeddings", "adam", 64, 400),
        ("digits_pixels", "autoencoder", "adam", 128, 400),
        ("taxi", "mlp_batch_norm", "adamw", 128, 400),
        ("next_character", "attention", "adamw", 64, 200),
        ("digits", "mlp_batch_norm", "rmsprop", 256, 300),
        ("diabetes", "mlp", "rmsprop", 32, 400),
        ("order", "lstm", "rmsprop", 32, 200),
        ("moons", "mlp", "sgd", 16, 400),
        ("series", "mlp", "sgd", 32, 400),
        ("docstrings", "sequence_cnn", "momentum", 32, 300),
        ("friedman", "residual_mlp", "adam", 32, 400),
        ("series", "lstm", "adam", 64, 300),
        ("digits", "attention", "adam", 64, 300),
        ("fare", "mlp_dropout", "adamw", 64, 400),
        ("mnist", "residual_mlp", "adamw", 256, 200),
        ("blobs", "mlp_dropout", "sgd", 64, 400),
        ("noisy_digits", "mlp", "sgd", 32, 400),
        ("photos", "cnn", "momentum", 64, 300),
        ("correlated", "linear_regression", "momentum", 64, 400),
        ("majority", "gru", "momentum", 32, 300),
        ("noisy_digits", "cnn", "adam", 64, 300),
        ("adding", "gru", "adam", 32, 300),
        ("rings", "deep_tanh", "adam", 32, 400),
        ("cancer", "mlp_layer_norm", "adam", 32, 400),
        ("photo_pixels", "autoencoder", "adamw", 64, 400),
        ("swiss", "mlp", "adamw", 64, 400),
        ("imbalanced", "mlp_batch_norm", "rmsprop", 64, 400),
    ),
    *_half(
        Half.REPORT,
        ("wine", "logistic", "sgd", 32, 400),
        ("diabetes", "mlp", "sgd", 32, 400),
        ("docstrings", "sequence_cnn", "sgd", 64, 300),
        ("cancer", "logistic", "momentum", 64, 400),
        ("mnist", "mlp", "momentum", 128, 300),
        ("body_mass", "mlp_batch_norm", "momentum", 32, 400),
        ("iris", "mlp", "adam", 16, 400),
        ("digits", "cnn", "adam", 32, 300),
        ("taxi", "mlp", "adam", 256, 400),
        ("order", "attention", "adam", 32, 200),
        ("next_character", "gru", "adam", 64, 200),
        ("digits_pixels", "deep_autoencoder", "adamw", 64, 400),
        ("cancer", "mlp_dropout", "adamw", 16, 400),
        ("majority", "simple_rnn", "rmsprop", 64, 200),
        ("mnist", "cnn_batch_norm", "rmsprop", 32, 200),
        ("taxi", "logistic", "rmsprop", 64, 400),
        ("fare", "mlp_batch_norm", "sgd", 128, 400),
        ("next_character", "bag_of_embeddings", "sgd", 32, 400),
        ("friedman", "mlp", "momentum", 64, 400),
        ("digits_pixels", "autoencoder", "momentum", 32, 400),
        ("moons", "residual_mlp", "adam", 64, 300),
        ("distinct", "gru", "adam", 32, 300),
        ("mnist", "attention", "adamw", 64, 200),
        ("series", "simple_rnn", "rmsprop", 32, 300),
        ("imbalanced", "logistic", "sgd", 32, 400),
        ("photos", "mlp", "sgd", 64, 400),
        ("swiss", "residual_mlp", "momentum", 64, 400),
        ("noisy_digits", "cnn_batch_norm", "momentum", 128, 300),
        ("majority", "sequence_cnn", "momentum", 32, 300),
        ("correlated", "mlp", "adam", 32, 400),
        ("photo_pixels", "deep_autoencoder", "adam", 32, 400),
        ("docstrings", "attention", "adam", 32, 200),
        ("blobs", "deep_tanh", "adam", 128, 400),
        ("adding", "lstm", "adamw", 64, 300),
        ("rings", "mlp", "adamw", 16, 400),
        ("noisy_digits", "mlp_dropout", "rmsprop", 32, 400),
    ),
    *(_drawn(number) for number in range(NUM_DRAWS)),
)
"""36 of each half made by hand, 80 drawn."""

SUBSET = tuple(
    combination
    for combination in COMBINATIONS
    if combination.name
    in {
        "iris-logistic-sgd-16",
        "digits-mlp-momentum-64",
        "penguins-mlp-adam-16",
        "wine-logistic-sgd-32",
        "cancer-mlp_dropout-adamw-16",
        "taxi-mlp-adam-256",
    }
)
"""Six fast ones, three of each half, for a first look in five minutes."""
