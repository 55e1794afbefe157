"""Correlation dimensions against exact laws of distances."""

import math

import numpy as np
import pytest

from dynsim.dynamics import correlation_dimension
from dynsim.errors import ArgumentError, TooShort

N = 5000


def uniform(dim, n=N, seed=0):
    return np.random.default_rng(seed).random((n, dim))


def on_circle(n=N):
    angle = np.random.default_rng(1).uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


# P(distance of two uniform points <= r), r <= 1
LAWS = {
    "segment": (uniform(1), 1, lambda r: 2 * r - r**2),
    "square": (uniform(2), 2, lambda r: np.pi * r**2 - 8 / 3 * r**3 + r**4 / 2),
    "cube": (uniform(3), 3, lambda r: 4 / 3 * np.pi * r**3 - 1.5 * np.pi * r**4 + 1.6 * r**5 - r**6 / 6),
    "circle": (on_circle(), 1, lambda r: 2 / np.pi * np.arcsin(r / 2)),
}


@pytest.fixture(scope="module", params=LAWS)
def known(request):
    points, dim, law = LAWS[request.param]
    return correlation_dimension(points), dim, law


def fitted(found):
    """Where the slope was fitted."""
    low, high = found.scaling_range
    return found.radii[(found.radii >= low) & (found.radii <= high)]


def test_shares_of_pairs_follow_the_law_of_the_distance(known):
    found, _, law = known
    r = fitted(found)
    C = found.correlation[np.isin(found.radii, r)]
    assert (np.abs(C - law(r)) < 5 * found.correlation_stderr[np.isin(found.radii, r)]).all()


def test_slopes_are_those_of_the_law_over_the_scaling_range(known):
    found, dim, law = known
    r = fitted(found)
    exact = np.polyfit(np.log(r), np.log(law(r)), 1)[0]
    assert abs(found.value - exact) < 5 * found.stderr < 0.3
    assert abs(exact - dim) < 0.04 * dim  # edges
    assert abs(found.value - dim - 1) > 5 * found.stderr  # the negative control: another dimension


def takens(law, top):
    """C(r)/∫ C d(log r) up to r, of a law C."""
    r = np.geomspace(top * 1e-12, top, 20001)
    return law(top) / np.trapezoid(law(r), np.log(r))


def test_takens_estimate_is_that_of_the_law_below_the_upper_end(known):
    found, dim, law = known
    assert abs(found.takens - takens(law, found.scaling_range[1])) < 5 * found.takens_stderr + 1e-3 * dim


@pytest.mark.parametrize(
    ("scaling_range", "expected"), [((0.04, 0.16), math.sqrt(0.5)), ((0.3, 0.9), 1.0)], ids=["few pairs", "many pairs"]
)
def test_the_standard_error_is_the_scatter_between_samples_or_root_2_times_that(scaling_range, expected):
    """Of few close pairs it is √2 times too large (Efron and Stein 1981), of many it is right."""
    found = [correlation_dimension(uniform(2, 160, seed), scaling_range=scaling_range) for seed in range(120)]
    values = np.array([each.value for each in found])
    ratio = values.std(ddof=1) / math.sqrt(np.mean([each.stderr**2 for each in found]))
    kurtosis = ((values - values.mean()) ** 4).mean() / values.var() ** 2
    bound = 5 * math.sqrt((kurtosis - 1) / 4 / 120)
    assert abs(ratio / expected - 1) < bound
    assert abs(ratio / expected / 2 - 1) > bound  # the negative control: an error that is too large


def test_the_cantor_set_has_log_2_over_log_3():
    digits = np.random.default_rng(2).integers(0, 2, (N, 30))
    found = correlation_dimension((2 * digits * 3.0 ** -np.arange(1, 31)).sum(axis=1)[:, None])
    assert abs(found.value - math.log(2) / math.log(3)) < 5 * found.stderr + found.spread
    assert found.stderr + found.spread < 0.03


def test_henon_has_about_1_22():
    x = np.full((40, 2), 0.1) + np.random.default_rng(3).uniform(-0.05, 0.05, (40, 2))
    path = []
    for _ in range(450):
        x = np.stack([1 - 1.4 * x[:, 0] ** 2 + x[:, 1], 0.3 * x[:, 0]], axis=-1)
        path.append(x)
    found = correlation_dimension(np.swapaxes(path[200:], 0, 1))
    assert abs(found.value - 1.22) < 0.02 + 5 * found.stderr
    assert found.stderr < 0.03
    assert abs(found.value - 1.0) > 5 * found.stderr


@pytest.mark.parametrize("period", [1, 2, 7])
def test_a_cycle_is_called_a_finite_set(period):
    angle = 2 * np.pi * (np.arange(700) % period) / period + 1e-15 * np.random.default_rng(6).normal(size=700)
    found = correlation_dimension(np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    assert found.value == found.stderr == 0
    assert found.n_points == period
    assert f"a finite set of {period} point" in repr(found)


def test_a_cycle_with_noise_is_not():
    rng = np.random.default_rng(4)
    found = correlation_dimension(np.tile([[0.0, 1.0], [2.0, 0.0]], (1000, 1)) + 1e-3 * rng.normal(size=(2000, 2)))
    assert found.n_points == 0
    assert abs(found.value - 2) < 5 * found.stderr + 0.05


@pytest.mark.parametrize("theiler", [0, 3])
def test_pairs_are_counted_as_one_by_one(theiler):
    """Two paths, all pairs but those close in time on one of them."""
    x = uniform(2, 150).reshape(2, 75, 2)
    found = correlation_dimension(x, theiler=theiler, scaling_range=(0.1, 0.8))
    flat, path, time = x.reshape(-1, 2), np.repeat([0, 1], 75), np.tile(np.arange(75), 2)
    first, second = np.triu_indices(150, 1)
    counts = (path[first] != path[second]) | (np.abs(time[first] - time[second]) > theiler)
    distance = np.linalg.norm(flat[first] - flat[second], axis=1)[counts]
    assert found.n_pairs == counts.sum()
    expected = (distance[:, None] <= found.radii).mean(axis=0)
    np.testing.assert_allclose(found.correlation, expected, atol=1e-15)


def test_leaving_out_a_block_is_counting_without_it():
    from dynsim.dynamics.dimension import _leaving_out, _pair_counts

    x, radii = uniform(2, 160), np.array([0.1, 0.3, np.inf])
    counts = _leaving_out(*_pair_counts(x[None], radii, 2))
    index = np.arange(160)
    first, second = np.triu_indices(160, 3)
    distance = np.linalg.norm(x[first] - x[second], axis=1)
    for b in range(16):
        kept = (index[first] // 10 != b) & (index[second] // 10 != b)
        np.testing.assert_array_equal(counts[1 + b], (distance[kept, None] <= radii).sum(axis=0))


def test_paths_sampled_densely_need_the_theiler_window():
    """Short straight paths from uniform points: pairs on one path lie on a line, the others in the square."""
    rng = np.random.default_rng(5)
    angle, start = rng.uniform(0, 2 * np.pi, (150, 1)), rng.random((150, 1, 2))
    x = start + 5e-4 * np.arange(14)[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    plain, windowed = (correlation_dimension(x, theiler=theiler, scaling_range=(0.02, 0.2)) for theiler in (0, 12))
    expected = takens(LAWS["square"][2], windowed.scaling_range[1])
    assert abs(windowed.takens - expected) < 5 * windowed.takens_stderr
    assert abs(plain.takens - expected) > 5 * plain.takens_stderr


def test_too_few_points_are_refused_with_what_is_needed():
    with pytest.raises(TooShort, match="500 points do not resolve a scaling range"):
        correlation_dimension(uniform(2, 500))
    assert correlation_dimension(uniform(2, 1500)).value == pytest.approx(2, abs=0.2)
    with pytest.raises(TooShort, match="scaling_range must hold at least 4 radii"):
        correlation_dimension(uniform(2, 500), scaling_range=(0.1, 0.11))


@pytest.mark.parametrize(
    ("points", "arguments", "message"),
    [
        (np.ones(500), {}, "points must have 2 axes"),
        (np.ones((50, 2)), {}, "points must be at least 100"),
        (np.full((500, 2), np.nan), {}, "points must be finite"),
        (uniform(2, 200), {"theiler": 200}, "theiler must leave pairs"),
        (uniform(2, 200), {"theiler": -1}, "theiler must be"),
        (uniform(2, 200), {"scaling_range": (0.2, 0.1)}, "scaling_range must be finite with low < high"),
        (uniform(2, 200), {"scaling_range": (0.0, 0.1)}, "scaling_range must be positive"),
    ],
)
def test_wrong_arguments_are_refused(points, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        correlation_dimension(points, **arguments)


def test_the_drawing_shows_the_fitted_slope():
    found = correlation_dimension(uniform(2, 1600))
    x, y = found.plot().get_lines()[-1].get_data()
    assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(found.value)
    assert "finite set of 1 point" in correlation_dimension(np.ones((200, 2))).plot().get_title()
