"""Labels as they are measured: far from 0, in large or in tiny units."""

import dataclasses

from quality.splits import Data

LABELS = {
    "friedman_offset": ("friedman", 0.7, 10.0),
    "series_kelvin": ("series", 8.0, 288.0),
    "diabetes_raw": ("diabetes", 77.0, 152.0),
    "body_mass_grams": ("body_mass", 800.0, 4200.0),
    "friedman_tiny": ("friedman", 1e-3, 0.0),
    "friedman_huge": ("friedman", 1e3, 0.0),
}
"""A data set with standardised labels, and the deviation and the mean that they get."""


def relabelled(data: Data, deviation: float, mean: float) -> Data:
    """Returns a regression with labels of another deviation and mean."""
    (x, y), (x_validation, y_validation) = data.train, data.validation
    return dataclasses.replace(
        data,
        train=(x, deviation * y + mean),
        validation=(x_validation, deviation * y_validation + mean),
    )
