"""Draws the figures of these pages from real trainings: `python docs/figures/draw.py`.

The data are scikit-learn's digits, 1437 images of 8 by 8 pixels to train on and 360 to evaluate.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tfx_lr_finder import Curve, NoLearningRateError, plot_curve, range_test, suggest
from tfx_lr_finder.core.descent import course_of
from tfx_lr_finder.core.rules import RULES

FOLDER = Path(__file__).parent
BLUE, RED, GREY = "#2f86d1", "#d62728", "#808080"
RULE_COLORS = (RED, "#16967e", "#9467d6", "#b87a00", "#c2569b")
TRAIN_STEPS = 400
SEEDS = (0, 1, 2)


class Digits:
    """Batches and models for the digits.

    Attributes:
        batch_size: Number of images in a batch.
        scale: The greatest value of a pixel.
    """

    def __init__(self, batch_size: int = 32, scale: float = 1.0) -> None:
        self.batch_size = batch_size
        images, labels = load_digits(return_X_y=True)
        images = (images / 16 * scale).astype("float32")
        self._parts = train_test_split(
            images, labels, test_size=0.2, random_state=0, stratify=labels
        )

    def training(self) -> tf.data.Dataset:
        """Returns the training batches, shuffled."""
        images, _, labels, _ = self._parts
        examples = tf.data.Dataset.from_tensor_slices((images, labels))
        return examples.shuffle(len(images), seed=0).batch(self.batch_size, drop_remainder=True)

    def evaluation(self) -> tf.data.Dataset:
        """Returns the evaluation batches."""
        _, images, _, labels = self._parts
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(120)


def network(optimizer: str | keras.optimizers.Optimizer, seed: int = 0) -> keras.Model:
    """Returns a compiled network of one hidden layer."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def draw_sweep(curve: Curve) -> None:
    """Draws a sweep over its steps and over its rates."""
    figure = Figure(figsize=(10, 3.6), dpi=150, layout="constrained", facecolor="white")
    over_step, over_rate = figure.subplots(1, 2)
    steps = np.arange(len(curve))
    over_step.semilogy(steps, curve.learning_rates, color=GREY)
    over_step.set(xlabel="step", ylabel="learning rate (logarithmic)")
    loss = over_step.twinx()
    loss.plot(steps, curve.losses, color=BLUE, linewidth=1)
    loss.set_ylabel("loss of the batch", color=BLUE)
    show(over_rate, curve)
    over_rate.set_title("the same losses over the rate")
    over_step.set_title("rate and loss over the step")
    save(figure, "sweep.png")


def draw_result(curve: Curve) -> None:
    """Draws the picture that a search leaves."""
    (FOLDER / "result.png").write_bytes(plot_curve(curve))


def draw_landmarks(curve: Curve) -> None:
    """Draws what the rule `descent` looks at."""
    figure = Figure(figsize=(8, 4), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    course = course_of(curve)
    rates = curve.learning_rates
    axes.semilogx(rates, curve.losses, color=BLUE, alpha=0.3, linewidth=1)
    axes.semilogx(rates, course.smoothed, color=BLUE, linewidth=2, label="smoothed")
    axes.axhline(course.start, color=GREY, linewidth=1)
    axes.annotate("initial loss", (rates[0], course.start), (0, 4), textcoords="offset points")
    height = np.interp(course.landmark, course.log_rates, course.smoothed)
    point = (10**course.landmark, height)
    axes.plot(*point, "o", color="black")
    axes.annotate("landmark", point, (-58, -10), textcoords="offset points")
    lowest = (10 ** course.log_rates[course.lowest], course.smoothed[course.lowest])
    axes.plot(*lowest, "o", color=GREY)
    axes.annotate("lowest loss", lowest, (-2, -16), textcoords="offset points")
    rate = suggest(curve).learning_rate
    axes.axvline(rate, color=RED, linewidth=2, label=f"learning rate {rate:.2g}")
    limit(axes, curve)
    axes.legend(loc="lower left")
    save(figure, "descent.png")


def draw_rules(curve: Curve) -> None:
    """Draws the rates of all rules on one curve."""
    figure = Figure(figsize=(8, 4), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    show(axes, curve)
    for number, rule in enumerate(RULES):
        rate = suggest(curve, rule).learning_rate
        axes.axvline(rate, color=RULE_COLORS[number], label=f"{rule}: {rate:.2g}")
    axes.legend(loc="lower left")
    save(figure, "rules.png")


def draw_verdicts(curves: dict[str, Curve]) -> None:
    """Draws curves with different verdicts side by side."""
    figure = Figure(figsize=(11, 5.6), dpi=150, layout="constrained", facecolor="white")
    for axes, (description, curve) in zip(figure.subplots(2, 3).flat, curves.items(), strict=True):
        show(axes, curve)
        axes.set_xlim(curve.learning_rates[0] / 1.5, curve.planned_end * 1.5)
        try:
            suggestion = suggest(curve)
            verdict = suggestion.verdict
            axes.axvline(suggestion.learning_rate, color=RED)
        except NoLearningRateError as error:
            verdict = error.verdict
        axes.set_title(f"{verdict.value}: {description}", fontsize="medium")
    save(figure, "verdicts.png")


def draw_constant_rates(digits: Digits, curve: Curve) -> None:
    """Draws the loss after a whole training at each of several constant rates."""
    rates = 10 ** np.arange(-5, 0.6, 0.5)
    losses = np.array([[final_loss(digits, rate, seed) for seed in SEEDS] for rate in rates])
    figure = Figure(figsize=(8, 4), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.semilogx(rates, np.exp(np.log(losses).mean(1)), "o-", color=BLUE, label="mean of 3 seeds")
    axes.semilogx(rates, losses, ".", color=BLUE, alpha=0.4)
    rate = suggest(curve).learning_rate
    axes.axvline(rate, color=RED, linewidth=2, label=f"learning rate {rate:.2g}")
    axes.set_yscale("log")
    axes.set(
        xlabel="constant learning rate (logarithmic)",
        ylabel=f"evaluation loss after {TRAIN_STEPS} steps",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, "constant_rates.png")


def final_loss(digits: Digits, learning_rate: float, seed: int) -> float:
    """Returns the evaluation loss of a whole training."""
    model = network(keras.optimizers.Adam(learning_rate), seed)
    model.fit(digits.training().repeat(), steps_per_epoch=TRAIN_STEPS, verbose=0)
    return float(model.evaluate(digits.evaluation(), verbose=0))


def regression() -> keras.Model:
    """Returns a compiled network that guesses the digit as a number."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(128, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


def verdict_curves() -> dict[str, Curve]:
    """Returns a curve for each verdict, by what was done."""
    digits = Digits()
    return {
        "the defaults": range_test(network("adam"), digits.training()),
        "60 steps, batches of 1": range_test(
            network("adam"), Digits(batch_size=1).training(), num_steps=60
        ),
        "max_learning_rate=1e-3": range_test(
            network("adam"), digits.training(), max_learning_rate=1e-3
        ),
        "max_learning_rate=1e-5": range_test(
            network("adam"), digits.training(), max_learning_rate=1e-5
        ),
        "pixels from 0 to 10,000": range_test(regression(), Digits(scale=1e4).training()),
        "num_steps=12": range_test(regression(), Digits(scale=255).training(), num_steps=12),
    }


def draw_batch_sizes() -> None:
    """Draws the rate that is found for batches of different sizes."""
    figure = Figure(figsize=(8, 4), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    sizes = (4, 8, 16, 32, 64, 128)
    for optimizer, marker in (("sgd", "s-"), ("adam", "o-")):
        rates = [
            suggest(range_test(network(optimizer), Digits(size).training())).learning_rate
            for size in sizes
        ]
        axes.loglog(sizes, rates, marker, label=optimizer)
    axes.set(xlabel="batch size", ylabel="learning rate found", xticks=sizes)
    axes.set_xticklabels(map(str, sizes))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, "batch_sizes.png")


def show(axes: Axes, curve: Curve) -> None:
    """Draws the losses of a curve, those of the batches and their smoothed course."""
    axes.semilogx(curve.learning_rates, curve.losses, color=BLUE, alpha=0.3, linewidth=1)
    axes.semilogx(curve.learning_rates, curve.smoothed_losses, color=BLUE, linewidth=2)
    limit(axes, curve)


def limit(axes: Axes, curve: Curve) -> None:
    """Labels the axes, and cuts off a blow-up of the loss."""
    start = float(np.median(curve.losses[: max(3, len(curve) // 10)]))
    lowest, highest = float(curve.losses.min()), float(curve.losses.max())
    axes.set_ylim(lowest - 0.1 * start, min(highest, 1.6 * start) + 0.1 * start)
    axes.set(xlabel="learning rate (logarithmic)", ylabel="training loss")
    axes.grid(alpha=0.3)


def save(figure: Figure, name: str) -> None:
    """Writes a figure beside this script."""
    figure.savefig(FOLDER / name, metadata={"Software": None})


def main() -> None:
    """Draws every figure."""
    digits = Digits()
    curve = range_test(network("adam"), digits.training(), epochs=1, steps_per_epoch=TRAIN_STEPS)
    draw_sweep(curve)
    draw_result(curve)
    draw_landmarks(curve)
    draw_rules(curve)
    draw_verdicts(verdict_curves())
    draw_batch_sizes()
    draw_constant_rates(digits, curve)


if __name__ == "__main__":
    main()
