"""The figure: the mean regret of every rule, with its interval."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from quality.results import Results


def draw(file: pathlib.Path, results: Results) -> None:
    """Writes a PNG of the rules, the best at the top; candidates are left out."""
    shown = {contender.name for contender in results.contenders if not contender.is_candidate}
    scores = [(name, score) for name, score in results.scores.items() if name in shown]
    scores.sort(key=lambda item: -item[1].mean_regret)
    means = np.array([score.mean_regret for _, score in scores])
    intervals = np.array([score.mean_interval for _, score in scores])
    figure, axes = plt.subplots(figsize=(9, 0.26 * len(scores) + 1.2), layout="constrained")
    rows = np.arange(len(scores))
    axes.barh(rows, means, color="#8fb3d9")
    lengths = np.abs(intervals - means[:, np.newaxis]).T
    axes.errorbar(means, rows, xerr=lengths, fmt="none", ecolor="#333333", capsize=2)
    axes.set_yticks(rows, [name for name, _ in scores], fontsize=8)
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.set_xlabel("mean regret, log(loss / least loss), with its 90% interval")
    number = len(results.measurements)
    axes.set_title(f"{number} combinations: {results.title}", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)
