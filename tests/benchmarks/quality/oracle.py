"""The oracle: the validation loss that each constant rate ends with."""

import dataclasses
import json

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATES_PER_DECADE = 5
LOG_RATES = np.arange(-5 * RATES_PER_DECADE, RATES_PER_DECADE + 1) / RATES_PER_DECADE
"""Logarithms to base 10 of the rates, 1e-5 to 10.

Below 1e-5 no combination learns anything within its budget: a suggestion there is scored as at
1e-5, which is as good as no training.
"""
BUDGET_PARTS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Validation losses after constant rates.

    Attributes:
        losses: Shape `(seeds, rates, budgets)`, infinite where the training blew up.
        budgets: Steps at which the losses were read, increasing.
        constant_loss: The validation loss of the best constant predictor.
    """

    losses: Array
    budgets: tuple[int, ...]
    constant_loss: float

    @property
    def learns(self) -> bool:
        """Whether the best rate beats the constant predictor by 3%, but not a thousandfold.

        A combination that does not says nothing of rates, nor does one whose losses are nearly 0.
        """
        least = np.median(self.losses[:, :, -1], axis=0).min() / self.constant_loss
        return bool(1e-3 < least < 0.97)

    def to_json(self) -> str:
        """Returns the oracle as JSON."""
        return json.dumps({**dataclasses.asdict(self), "losses": self.losses.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Oracle":
        """Returns the oracle that `to_json` wrote."""
        values = json.loads(text)
        return cls(np.array(values["losses"]), tuple(values["budgets"]), values["constant_loss"])
