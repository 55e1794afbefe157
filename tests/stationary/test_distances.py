"""Distances of measures against their closed forms, and that they are metrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid
from dynsim.results import Density
from dynsim.stationary.distances import (
    directions,
    kullback_leibler,
    log_on_bins,
    total_variation,
    wasserstein,
)


def law(grid, mass):
    with np.errstate(divide="ignore"):
        return Density(grid.x, np.log(np.ravel(mass)), grid, 0.0, 0.0, 0.0, "a law", {})


def states(x, mass):
    x = np.asarray(x, dtype=float)
    x = x[:, None] if x.ndim == 1 else x
    return Density(x, np.log(mass), None, 0.0, 0.0, 0.0, "states", {})


def gaussian(mean, sigma, n_cells, bounds=(-9.0, 9.0)):
    """On cells, by the logarithm of the survival function on the far side: right to relative accuracy in the tails."""
    mean, sigma = np.atleast_1d(mean), np.atleast_1d(sigma)
    grid = Grid.make(bounds, n_cells, dim=mean.size)
    mass = np.ones(1)
    for edges, m, s in zip(grid.edges, mean, sigma, strict=True):
        z = (edges - m) / s
        part = np.where(z[1:] > 0, norm.sf(z[:-1]) - norm.sf(z[1:]), norm.cdf(z[1:]) - norm.cdf(z[:-1]))
        mass = np.multiply.outer(mass, part)
    return law(grid, mass / mass.sum())


def uniform(low, high, n_cells):
    return law(Grid.make((low, high), n_cells, dim=1), np.full(n_cells, 1 / n_cells))


def test_w1_of_two_uniforms():
    # quantile functions a + u w: W1 = ∫ |Δa + u Δw| du, the cells of both cut by those of the other
    a, b, c = uniform(0, 1, 7), uniform(0.3, 1.3, 11), uniform(-1, 3, 13)
    assert wasserstein(a, b) == pytest.approx(0.3, abs=1e-14)
    # 1 − 3u changes sign at 1/3: ∫ = 1/6 + 2/3·2/2
    assert wasserstein(a, c) == pytest.approx(1 / 6 + 2 / 3, abs=1e-14)


def test_w1_of_gaussians_of_one_variance_is_the_distance_of_their_means():
    assert wasserstein(gaussian(0.0, 1.0, 500), gaussian(0.3, 1.0, 700, (-10, 11))) == pytest.approx(0.3, abs=1e-9)


def test_w1_of_gaussians_of_one_mean_is_the_mean_modulus_of_their_difference():
    # the cells add the variance h²/12
    exact = 0.05 * np.sqrt(2 / np.pi)
    assert wasserstein(gaussian(0.0, 1.0, 3000), gaussian(0.0, 1.05, 3000)) == pytest.approx(exact, rel=1e-5)


def test_w1_of_atoms_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y, p, q = rng.normal(size=9), rng.normal(size=5), rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(5))
    assert wasserstein(states(x, p), states(y, q)) == pytest.approx(wasserstein_distance(x, y, p, q), abs=1e-14)


def test_w1_of_an_atom_and_a_uniform():
    assert wasserstein(states([0.25], [1.0]), uniform(0, 1, 8)) == pytest.approx((0.25**2 + 0.75**2) / 2, abs=1e-14)


def test_w1_on_an_axis_that_is_scaled_and_points_down():
    plain, down = uniform(-2.0, 0.0, 4), Grid((np.linspace(0.0, 1.0, 5),), axes=np.array([[-2.0]]))
    assert wasserstein(plain, law(down, np.full(4, 0.25))) == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("n_cells", [(64, 64), (64, 48)])
def test_sliced_w1_of_shifted_gaussians_in_two_dimensions(n_cells):
    a, b = gaussian((0, 0), (1, 1), n_cells[0], (-8, 8)), gaussian((0.3, 0.4), (1, 1), n_cells[1], (-8, 8))
    # E|cos| = 2/π; half a turn in 64 equal parts is wrong by about (π/64)²/24; unequal cells differ in their variance
    tolerance = 2e-4 if n_cells[0] == n_cells[1] else 5e-3
    assert wasserstein(a, b) == pytest.approx(0.5 * 2 / np.pi, rel=tolerance)


def test_sliced_w1_of_shifted_gaussians_in_three_dimensions():
    shift = np.array([0.3, 0.4, -0.2])
    a, b = gaussian((0, 0, 0), (1, 1, 1), 20, (-7, 7)), gaussian(shift, (1, 1, 1), 20, (-7, 7))
    assert wasserstein(a, b) == pytest.approx(np.linalg.norm(shift) / 2, rel=0.01)


def test_sliced_w1_of_atoms_in_two_dimensions():
    a, b = states([[0.0, 0.0]], [1.0]), states([[3.0, 4.0]], [1.0])
    assert wasserstein(a, b) == pytest.approx(5 * 2 / np.pi, rel=3e-4)
    assert wasserstein(a, a) == 0.0


def test_sliced_w1_does_not_care_how_a_grid_is_turned():
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    faces = np.linspace(-7, 7, 65)
    mass, moved = np.diff(norm.cdf(faces)), np.diff(norm.cdf(faces - 1.0))
    straight, turned = (
        law(Grid((faces, faces)), np.outer(mass, mass)),
        law(Grid((faces, faces), axes=turn), np.outer(mass, mass)),
    )
    within_cells = (faces[1] - faces[0]) ** 2 / 8 * 2 * norm.pdf(0)  # h²/8 ∫|p'|
    assert wasserstein(straight, turned) < within_cells  # of a round law
    beside = law(turned.grid, np.outer(moved, mass))
    assert wasserstein(straight, beside) == pytest.approx(2 / np.pi, abs=within_cells)
    with pytest.raises(NotApplicable, match="turned by axes"):
        total_variation(straight, turned)
    assert total_variation(turned, turned) == 0.0


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_directions_are_unit_vectors_that_lie_evenly(dim):
    n = directions(dim)
    assert np.linalg.norm(n, axis=1) == pytest.approx(1.0)
    spread = np.linalg.eigvalsh(n.T @ n / len(n)) * dim
    assert spread == pytest.approx(1.0, abs={2: 1e-12, 3: 0.02, 4: 0.5}[dim])


def test_total_variation_of_normals():
    d = total_variation(gaussian(0.0, 1.0, 2000), gaussian(0.5, 1.0, 2000))
    assert d == pytest.approx(2 * norm.cdf(0.25) - 1, abs=1e-5)


def test_total_variation_on_different_grids_is_on_the_wider_cells():
    fine, wide = uniform(0.0, 1.0, 1000), uniform(0.5, 1.5, 10)
    assert total_variation(fine, wide) == pytest.approx(0.5, abs=1e-12)
    assert total_variation(wide, fine) == pytest.approx(0.5, abs=1e-12)


def test_kullback_leibler_of_normals():
    a, b = gaussian(0.0, 1.0, 3000), gaussian(0.5, 1.2, 3000)
    exact = np.log(1.2) + (1 + 0.25) / (2 * 1.44) - 0.5
    assert kullback_leibler(a, b) == pytest.approx(exact, rel=1e-5)


def test_kullback_leibler_where_masses_underflow():
    grid, wider = Grid.make((0.0, 1.0), 8, dim=1), Grid.make((0.0, 1.0), 4, dim=1)
    log_p = np.log(np.full(8, 1 / 8))
    log_q = np.append(np.full(7, np.log(1 / 7)), -2000.0)
    p, q = (Density(grid.x, v, grid, 0.0, 0.0, 0.0, "law", {}) for v in (log_p, log_q))
    exact = 7 / 8 * np.log(7 / 8) + (np.log(1 / 8) + 2000) / 8
    assert kullback_leibler(p, q) == pytest.approx(exact)
    assert log_on_bins(q, wider.edges)[-2] == pytest.approx(np.log(1 / 7), abs=1e-12)
    assert log_on_bins(q, [[0.9, 1.0]])[0] == pytest.approx(-2000.0 + np.log(0.8))
    assert kullback_leibler(p, q, [[0.0, 7 / 8, 1.0]]) == pytest.approx(exact)


def test_kullback_leibler_is_inf_without_common_support_and_total_variation_is_one():
    a, b = uniform(0.0, 1.0, 8), uniform(2.0, 3.0, 8)
    assert kullback_leibler(a, b) == np.inf
    assert total_variation(a, b) == pytest.approx(1.0, abs=1e-15)


def test_atoms_are_matched_but_for_rounding():
    a, b = states([0.1, 0.2, 0.3], [0.5, 0.3, 0.2]), states([0.1 + 0.2, 0.1, 5.0], [0.4, 0.5, 0.1])
    assert total_variation(a, b) == pytest.approx(0.3)
    assert kullback_leibler(a, b) == np.inf


def test_bins_cut_cells_in_proportion_and_keep_what_is_outside():
    result = np.exp(log_on_bins(uniform(0.0, 1.0, 4), [[-1.0, 0.1, 0.6]]))
    assert result == pytest.approx([0.1, 0.5, 0.4])
    two = law(Grid.make(((0, 1), (0, 2)), (4, 4), dim=2), np.full((4, 4), 1 / 16))
    result = np.exp(log_on_bins(two, [[0.0, 0.3], [0.5, 1.0, 9.0]]))
    assert result == pytest.approx([0.3 / 4, 0.3 / 2, 1 - 0.3 * 0.75])
    assert np.exp(log_on_bins(states([0.0, 1.0, 2.0], [0.2, 0.3, 0.5]), [[0.0, 1.0]])) == pytest.approx([0.5, 0.5])


def test_dimensions_must_agree():
    with pytest.raises(ArgumentError, match="same dimension, got 1 and 2"):
        wasserstein(gaussian(0.0, 1.0, 8), gaussian((0.0, 0.0), (1, 1), 8))
    with pytest.raises(ArgumentError, match="b must be a Density, got list"):
        total_variation(gaussian(0.0, 1.0, 8), [1.0])
    with pytest.raises(ArgumentError, match="increasing"):
        total_variation(gaussian(0.0, 1.0, 8), gaussian(0.0, 2.0, 8), [[1.0, 0.0]])


masses = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=24)
lows = st.floats(-3.0, 3.0)


def _any_law(low, mass, on_grid):
    mass = np.array(mass) / np.sum(mass)
    edges = low + np.linspace(0.0, 2.0, mass.size + 1)
    return law(Grid((edges,)), mass) if on_grid else states(edges[:-1], mass)


any_law = st.builds(_any_law, lows, masses, st.booleans())


@settings(max_examples=60, deadline=None)
@given(any_law, any_law, any_law)
def test_w1_is_a_metric_and_bounded_by_diameter_and_total_variation(a, b, c):
    assert wasserstein(a, a) == 0.0
    assert wasserstein(a, b) == pytest.approx(wasserstein(b, a), abs=1e-13)
    assert wasserstein(a, c) <= wasserstein(a, b) + wasserstein(b, c) + 1e-12
    centroids = [m @ (0.5 * (e[1:] + e[:-1])) if e is not None else m @ x for m, e, x in _parts(a, b)]
    assert wasserstein(a, b) >= abs(centroids[0] - centroids[1]) - 1e-12


def _parts(*laws):
    for d in laws:
        yield d.mass, None if d.grid is None else d.grid.edges[0], d.x[:, 0]


@settings(max_examples=60, deadline=None)
@given(masses, masses, masses)
def test_total_variation_is_a_metric_and_obeys_pinsker(p, q, r):
    n = min(len(p), len(q), len(r))
    grid = Grid.make((0.0, 1.0), n, dim=1)
    a, b, c = (law(grid, np.array(m[:n]) / np.sum(m[:n])) for m in (p, q, r))
    assert total_variation(a, c) <= total_variation(a, b) + total_variation(b, c) + 1e-14
    assert total_variation(a, b) == total_variation(b, a)
    assert total_variation(a, b) <= np.sqrt(0.5 * kullback_leibler(a, b)) + 1e-14
