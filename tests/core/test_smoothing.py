"""Local linear regression with a Gaussian kernel."""

import numpy as np
import pytest

from tfx_lr_finder.core.smoothing import local_linear


def test_straight_line_stays_as_it_is_up_to_its_ends():
    """What is linear is not bent, at the ends neither: that is what it has over an average."""
    x = np.linspace(0, 7, 100)

    smoothed, _ = local_linear(x, 3 - 2 * x, bandwidth=0.25)

    assert smoothed == pytest.approx(3 - 2 * x)


@pytest.mark.parametrize("number", [30, 100])
def test_value_is_the_weighted_least_squares_line_at_its_place(number):
    """Each value is that of numpy's own weighted fit of a line, taken at the point."""
    generator = np.random.default_rng(0)
    x = np.sort(generator.uniform(0, 2, number))
    y = generator.normal(size=number)

    smoothed, _ = local_linear(x, y, bandwidth=0.5)

    for i in range(number):
        weights = np.exp(-0.25 * ((x - x[i]) / 0.5) ** 2)  # polyfit squares them
        assert smoothed[i] == pytest.approx(np.polyval(np.polyfit(x, y, 1, w=weights), x[i]))


def test_number_of_points_is_that_of_a_kernel_on_an_even_grid():
    """In the middle of an even grid it is `2 * sqrt(pi) * bandwidth / spacing`."""
    x = np.arange(1000) * 0.01

    _, num_points = local_linear(x, np.zeros(1000), bandwidth=0.25)

    assert num_points[500] == pytest.approx(2 * np.sqrt(np.pi) * 0.25 / 0.01, rel=1e-3)


def test_single_point_is_its_own_value():
    """There is no slope through one point."""
    smoothed, num_points = local_linear(np.array([1.0]), np.array([5.0]), bandwidth=0.25)

    assert smoothed.tolist() == [5.0]
    assert num_points.tolist() == [1.0]


def test_ten_thousand_points_take_little_memory():
    """No matrix of all points by all points is made: that would be 800 MB."""
    import tracemalloc

    x = np.linspace(0, 7, 10_000)
    tracemalloc.start()
    local_linear(x, np.cos(x), bandwidth=0.25)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10e6
