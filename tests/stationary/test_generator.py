import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from dynsim.errors import ArgumentError
from dynsim.stationary.generator import BadCell, generator, longest_reach

REFLECTING, PERIODIC, ABSORBING = ("reflecting",) * 2, ("periodic",) * 2, ("absorbing",) * 2


def constant(shape, drift, noise):
    m, d = int(np.prod(shape)), len(shape)
    return np.broadcast_to(np.asarray(drift, float), (m, d)), np.broadcast_to(np.asarray(noise, float), (m, d, d))


def bernoulli(z):
    return z / np.expm1(z) if z else 1.0


def inner_moments(rates, shape):
    """Mean displacement and second moment of the jumps out of the middle cell."""
    middle = np.ravel_multi_index([n // 2 for n in shape], shape)
    row = rates[[middle]].tocoo()
    steps = np.stack(np.unravel_index(row.coords[1], shape), -1) - [n // 2 for n in shape]
    return row.data @ steps, np.einsum("k,ki,kj->ij", row.data, steps, steps)


def tensors(d):
    entries = st.lists(st.floats(-3, 3, allow_subnormal=False), min_size=d * d, max_size=d * d)
    return entries.map(lambda v: (lambda s: s @ s.T + 0.05 * np.eye(d))(np.reshape(v, (d, d))))


# rows


def test_in_one_dimension_rates_are_scharfetter_and_gummels_with_the_coefficients_of_the_cell_one_leaves():
    rng = np.random.default_rng(0)
    drift, noise = rng.normal(size=(50, 1)) * 10, rng.uniform(0.01, 5, (50, 1, 1))
    rates, killing, report = generator(drift, noise, (50,), [REFLECTING], "exponential")
    for i, j in ((3, 4), (17, 16), (30, 31), (48, 47)):
        z = 2 * drift[i, 0] / noise[i, 0, 0]
        assert rates[i, j] == pytest.approx(noise[i, 0, 0] / 2 * bernoulli(-z if j > i else z), rel=1e-13)
    assert rates.nnz == 98
    assert not killing.any()
    assert report.reach == 1


@pytest.mark.parametrize("d", [2, 3])
def test_rows_have_the_drift_as_mean_displacement_and_the_noise_as_second_moment(d):
    shape = (101,) * 2 if d == 2 else (41,) * 3
    drift = np.array([0.4, -1.3, 0.2])[:d]

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(tensors(d))
    def check(noise):
        for scheme in ("exponential", "central"):
            coefficients = coefficients_of_the_middle_only(shape, drift, noise)
            rates, _, report = generator(*coefficients, shape, [REFLECTING] * d, scheme)
            mean, second = inner_moments(rates, shape)
            assert np.abs(mean - drift).max() < 1e-10 * (1 + np.trace(noise))
            excess = np.linalg.eigvalsh(second - noise)
            limit = 1e-12 * np.trace(noise)
            assert excess[0] > -limit
            if scheme == "central":  # no numerical diffusion but what the report tells
                assert excess.sum() <= report.added_noise * np.trace(noise) + limit

    check()


def coefficients_of_the_middle_only(shape, drift, noise):
    m, d = int(np.prod(shape)), len(shape)
    drifts, noises = np.zeros((m, d)), np.zeros((m, d, d))
    middle = np.ravel_multi_index([n // 2 for n in shape], shape)
    drifts[middle], noises[middle] = drift, noise
    return drifts, noises


def test_the_second_moment_is_that_of_the_fitted_exponentials():
    noise, drift, shape = np.array([[2.0, 0.7], [0.7, 1.1]]), np.array([0.9, -1.4]), (9, 9)
    vectors, weights = np.array([[1, 0], [0, 1], [1, 1]]), np.array([1.3, 0.4, 0.7])
    half = vectors @ np.linalg.solve(noise, drift)  # z/2
    exact = np.einsum("k,ki,kj->ij", weights * half / np.tanh(half), vectors, vectors)
    rates, _, _ = generator(*constant(shape, drift, noise), shape, [REFLECTING] * 2, "exponential")
    mean, second = inner_moments(rates, shape)
    assert np.abs(mean - drift).max() < 1e-14
    assert np.abs(second - exact).max() < 1e-14


@pytest.mark.parametrize(("scheme", "d"), [*itertools.product(["exponential", "hybrid"], [1, 2, 3])])
def test_rates_are_nonnegative_for_any_semidefinite_noise_and_drift(scheme, d):
    rng = np.random.default_rng(d)
    n = 9
    for rank in range(d + 1):
        root = rng.normal(size=(n**d, d, rank)) * np.exp(2 * rng.normal(size=(n**d, 1, 1)))
        drift = rng.normal(size=(n**d, d)) * np.exp(3 * rng.normal(size=(n**d, 1)))
        sides = [REFLECTING, PERIODIC, ("absorbing", "reflecting")][:d]
        rates, killing, report = generator(drift, root @ root.transpose(0, 2, 1), (n,) * d, sides, scheme)
        assert rates.data.min() > 0
        assert np.isfinite(rates.data).all()
        assert killing.min() >= 0
        assert report.reach <= longest_reach((n,) * d)
        assert rates.diagonal().max() == 0
        assert rates.indices.dtype == np.int32
        assert rates.has_sorted_indices


def test_the_central_scheme_tells_where_it_is_negative():
    shape = (8, 8)
    mild, strong = (constant(shape, [v, 0.0], np.eye(2)) for v in (0.9, 1.1))
    assert generator(*mild, shape, [PERIODIC] * 2, "central")[2].n_fallbacks == 0
    rates, _, report = generator(*strong, shape, [PERIODIC] * 2, "central")
    assert report.n_fallbacks == 64
    assert rates.data.min() == pytest.approx(-0.05)
    rates, _, report = generator(*strong, shape, [PERIODIC] * 2, "hybrid")
    assert report.n_fallbacks == 64
    assert rates.data.min() > 0


# degenerate noise


@pytest.mark.parametrize("direction", [(1, 1), (3, -2), (1, 2, -1)], ids=str)
def test_noise_along_one_rational_direction_is_one_vector_exactly(direction):
    e = np.array(direction)
    shape = (33,) * e.size
    drift = -0.3 * e / 7
    rates, _, report = generator(*constant(shape, drift, np.outer(e, e) / 7), shape, [REFLECTING] * e.size, "hybrid")
    middle = np.array(shape) // 2
    row = rates[[np.ravel_multi_index(middle, shape)]].tocoo()
    steps = np.stack(np.unravel_index(row.coords[1], shape), -1) - middle
    assert sorted(map(tuple, steps)) == sorted([direction, tuple(-e)])
    assert sorted(row.data) == pytest.approx([0.7 / 14, 1.3 / 14], rel=1e-12)
    assert report.added_noise == 0
    assert report.reach == np.abs(e).max()


def test_drift_without_noise_is_upwinded():
    rates, _, _ = generator(*constant((5, 5), [0.5, -2.0], np.zeros((2, 2))), (5, 5), [PERIODIC] * 2, "exponential")
    assert rates[12, 17] == 0.5
    assert rates[12, 11] == 2.0
    assert rates[[12]].nnz == 2


def test_kinetic_noise_acts_on_its_axis_and_the_drift_upwinds_the_other():
    noise = np.diag([0.0, 3.0])
    rates, _, _ = generator(*constant((5, 5), [0.5, -2.0], noise), (5, 5), [PERIODIC] * 2, "exponential")
    assert rates[12, 17] == pytest.approx(0.5, rel=1e-12)
    assert rates[12, 7] == 0
    assert rates[12, 13] == pytest.approx(1.5 * bernoulli(4 / 3), rel=1e-12)
    assert rates[12, 11] == pytest.approx(1.5 * bernoulli(-4 / 3), rel=1e-12)


def test_rates_are_continuous_where_the_noise_becomes_singular():
    e, across = np.array([1.0, 2.0]), np.array([2.0, -1.0])
    rows = []
    for small in [0.0, *np.logspace(-18, -6, 25)]:
        noise = np.outer(e, e) + small * np.outer(across, across)
        rates, _, _ = generator(*constant((41, 41), [0.3, 0.4], noise), (41, 41), [REFLECTING] * 2, "exponential")
        rows.append(rates[[41 * 20 + 20]].toarray())
        assert inner_moments(rates, (41, 41))[0] == pytest.approx([0.3, 0.4], rel=1e-9)
    assert max(np.abs(b - a).max() for a, b in itertools.pairwise(rows)) < 0.3  # of a drift of 0.5


def test_noise_along_an_irrational_direction_gains_little_and_never_loses():
    for angle in (0.01, 0.3, 1.0, 2.5):
        u = np.array([np.cos(angle), np.sin(angle)])
        added = []
        for n in (32, 128, 512):
            coefficients = coefficients_of_the_middle_only((n, n), np.zeros(2), np.outer(u, u))
            rates, _, report = generator(*coefficients, (n, n), [REFLECTING] * 2, "exponential")
            _, second = inner_moments(rates, (n, n))
            assert np.linalg.eigvalsh(second - np.outer(u, u))[0] > -1e-13
            assert np.trace(second) - 1 == pytest.approx(report.added_noise, rel=1e-9)
            added.append(report.added_noise)
            assert added[-1] <= 0.26 / longest_reach((n, n)) ** 2  # next to an axis, where ratios are sparsest
        assert added[-1] < added[0]


# sides


def test_reflecting_and_periodic_sides_keep_all_mass_and_constant_noise_keeps_it_uniform():
    noise = np.array([[1.0, 0.6], [0.6, 0.8]])
    rates, killing, _ = generator(*constant((12, 10), [0, 0], noise), (12, 10), [REFLECTING, PERIODIC], "exponential")
    assert not killing.any()
    assert abs(rates - rates.T).sum() < 1e-13
    long = np.array([[1.0, 0.66], [0.66, 0.44]])
    rates, _, report = generator(*constant((30, 30), [0, 0], long), (30, 30), [REFLECTING] * 2, "exponential")
    assert report.reach > 1
    assert sparse.csgraph.connected_components(rates, connection="strong")[0] == 1


# refusals


def test_cells_with_bad_coefficients_are_named():
    drift, noise = (a.copy() for a in constant((4, 5), [0.0, 0.0], np.eye(2)))
    drift[7, 1] = np.nan
    with pytest.raises(BadCell, match="not finite in cell 7") as caught:
        generator(drift, noise, (4, 5), [REFLECTING] * 2, "exponential")
    assert caught.value.cell == 7
    noise[3] = [[1.0, 1.1], [1.1, 1.0]]
    with pytest.raises(BadCell, match=r"eigenvalue -0\.1 in cell 3"):
        generator(drift, noise, (4, 5), [REFLECTING] * 2, "exponential")
    noise[3] = [[1.0, 1 + 1e-13], [1 + 1e-13, 1.0]]  # rounding is no reason
    generator(np.zeros((20, 2)), noise, (4, 5), [REFLECTING] * 2, "exponential")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "upwind"}, "scheme is not known"),
        ({"sides": [("periodic", "reflecting"), REFLECTING]}, "sides of axis 0 must both be periodic"),
        ({"sides": [REFLECTING]}, "sides must have a pair"),
        ({"sides": [("open", "open"), REFLECTING]}, "sides is not known"),
        ({"shape": (4, 6)}, r"drift must have shape \(24, 2\)"),
        ({"shape": (20,)}, r"drift must have shape \(20, 1\)"),
        ({"shape": (1, 1, 4, 5)}, "1 to 3 axes"),
    ],
    ids=["scheme", "half-periodic", "pairs", "side", "cells", "axes", "dimension"],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    drift, noise = constant((4, 5), [0.0, 0.0], np.eye(2))
    arguments = {"shape": (4, 5), "sides": [REFLECTING] * 2, "scheme": "hybrid"} | changes
    with pytest.raises(ArgumentError, match=message):
        generator(drift, noise, **arguments)
