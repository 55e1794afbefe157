import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, sparse
from scipy.linalg import solve_continuous_lyapunov
from scipy.sparse import linalg

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


def grid(n, bounds):
    """Cell centers (n^d, d) of a uniform grid and its spacings."""
    bounds = np.asarray(bounds, float)
    h = (bounds[:, 1] - bounds[:, 0]) / n
    axes = [low + step * (np.arange(n) + 0.5) for (low, _), step in zip(bounds, h, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(h)), h


def on_grid(n, bounds, drift, noise, sides, scheme="exponential"):
    x, h = grid(n, bounds)
    d = len(h)
    return generator(drift(x) / h, noise(x) / np.multiply.outer(h, h), (n,) * d, sides, scheme)


def solve_stationary(rates):
    m = rates.shape[0]
    q = (sparse.csc_array(rates.T) - sparse.diags_array(rates.sum(axis=1))).tocsc()
    keep = np.delete(np.arange(m), m // 2)
    p = np.ones(m)
    p[keep] = linalg.spsolve(q[keep][:, keep], -q[keep][:, [m // 2]].toarray()[:, 0])
    return p / p.sum()


def mean_exit_times(rates, killing):
    return linalg.spsolve((sparse.diags_array(rates.sum(axis=1) + killing) - rates).tocsc(), np.ones(killing.size))


def observed_order(errors):
    return np.log2(errors[-2] / errors[-1])


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


def test_the_covariance_of_a_rotating_process_with_noise_along_one_irrational_direction_converges():
    u = np.array([np.cos(0.3), np.sin(0.3)])
    pull, noise = np.array([[1.0, 1.5], [-1.5, 1.0]]), np.outer(u, u)
    exact = solve_continuous_lyapunov(pull, noise)
    errors = []
    for n in (32, 64, 128):
        x, _ = grid(n, [(-3, 3)] * 2)
        rates, _, report = on_grid(
            n,
            [(-3, 3)] * 2,
            lambda x: -x @ pull.T,
            lambda x: np.broadcast_to(noise, (len(x), 2, 2)),
            [REFLECTING] * 2,
        )
        errors.append(np.abs(np.einsum("m,mi,mj->ij", solve_stationary(rates), x, x) - exact).max())
    assert report.reach > 1  # on which the drift across the noise must not ride: the covariance would triple
    assert errors[0] > 2.5 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.02


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


def truncated_gauss(n, scheme="exponential"):
    """An OU process in detailed balance, in a box that cuts it: the law is the normal law given the box."""
    noise, precision = np.array([[1.0, 0.6], [0.6, 0.8]]), np.linalg.inv([[0.7, -0.2], [-0.2, 0.5]])
    bounds = [(-1.0, 1.5), (-0.8, 1.2)]
    rates, _, _ = on_grid(
        n,
        bounds,
        lambda x: -0.5 * x @ precision @ noise,
        lambda x: np.broadcast_to(noise, (len(x), 2, 2)),
        [REFLECTING] * 2,
        scheme,
    )
    x, _ = grid(n, bounds)
    p = np.exp(-0.5 * np.einsum("mi,ij,mj->m", x, precision, x))
    return rates, p / p.sum()


@pytest.mark.parametrize("scheme", ["exponential", "hybrid"])
def test_a_box_that_cuts_a_gaussian_leaves_the_conditional_law_with_order_two(scheme):
    errors = []
    for n in (16, 32, 64):
        rates, p = truncated_gauss(n, scheme)
        errors.append(np.abs(solve_stationary(rates) - p).sum() / 2)
    assert observed_order(errors) == pytest.approx(2, abs=0.15)
    assert errors[-1] < 2e-4


def test_clamping_jumps_to_the_box_would_not_converge():  # the negative control of the test above
    errors = []
    for n in (16, 32, 64):
        rates, p = truncated_gauss(n)
        i = np.arange(n * n).reshape(n, n)
        noise, h = 0.6, np.array([2.5, 2.0]) / n
        top = sparse.coo_array((np.full(n - 1, noise / 2 / h.prod()), (i[-1, :-1], i[-1, 1:])), shape=rates.shape)
        low = sparse.coo_array((np.full(n - 1, noise / 2 / h.prod()), (i[0, 1:], i[0, :-1])), shape=rates.shape)
        errors.append(np.abs(solve_stationary((rates + top + low).tocsr()) - p).sum() / 2)
    assert errors[-1] > 0.05


class Manufactured:
    """p, D and a flux J = (∂ψ/∂y, −∂ψ/∂x) given; the drift is what makes them stationary, by complex steps."""

    def __init__(self, stream, density, noise):
        self.stream, self.density, self.noise_at = stream, density, noise

    def noise(self, x):
        a, b, c = self.noise_at(x[:, 0], x[:, 1])
        return np.stack([np.stack([a, b], -1), np.stack([b, c], -1)], -2)

    def drift(self, x):
        flux = [self._slope(1, lambda x, y: self.stream(x, y), x), -self._slope(0, lambda x, y: self.stream(x, y), x)]
        for i, j in itertools.product(range(2), range(2)):
            flux[i] += self._slope(j, lambda x, y, k=i + j: self.noise_at(x, y)[k] * self.density(x, y), x) / 2
        return np.stack(flux, -1) / self.density(x[:, 0], x[:, 1])[:, None]

    def _slope(self, axis, function, x):
        z = x.astype(complex)
        z[:, axis] += 1e-30j
        return function(z[:, 0], z[:, 1]).imag / 1e-30

    def errors(self, bounds, sides, scheme, change=lambda rates, n: rates, cells=(16, 32, 64)):
        result = []
        for n in cells:
            p = self.density(*grid(n, bounds)[0].T)
            rates, _, _ = on_grid(n, bounds, self.drift, self.noise, sides, scheme)
            result.append(np.abs(solve_stationary(change(rates, n)) - p / p.sum()).sum() / 2)
        return result


ON_TORUS = Manufactured(
    lambda x, y: np.sin(x) * np.cos(y),
    lambda x, y: np.exp(0.5 * np.sin(x + y) + 0.3 * np.cos(x)),
    lambda x, y: (1 + 0.4 * np.sin(x + y), 0.5 * np.cos(x - y), 0.9 + 0.2 * np.cos(2 * x)),
)
IN_BOX = Manufactured(
    lambda x, y: np.sin(np.pi * x) * np.sin(np.pi * y),
    lambda x, y: np.exp(0.5 * np.sin(2 * x + y) + 0.3 * x * y),
    lambda x, y: (1 + 0.3 * np.sin(x + y), 0.5 * np.cos(x - y), 0.9 + 0.2 * np.cos(2 * x)),
)
TORUS, BOX = [(0, 2 * np.pi)] * 2, [(0, 1)] * 2


@pytest.mark.parametrize("scheme", ["exponential", "hybrid", "central"])
def test_a_manufactured_law_with_current_and_full_tensor_noise_is_found_with_order_two(scheme):
    errors = ON_TORUS.errors(TORUS, [PERIODIC] * 2, scheme)
    assert observed_order(errors) == pytest.approx(2, abs=0.15)
    assert errors[-1] < 3e-3


@pytest.mark.parametrize("scheme", ["exponential", "hybrid"])
def test_current_and_bent_noise_along_reflecting_sides_keep_order_two(scheme):
    errors = IN_BOX.errors(BOX, [REFLECTING] * 2, scheme)
    assert observed_order(errors) == pytest.approx(2, abs=0.1)
    assert errors[-1] < 4e-5


def test_averaging_the_noise_over_faces_is_another_equation():  # a negative control: it is not Itô's
    def averaged(rates, n):
        x, h = grid(n, TORUS)
        noise = ON_TORUS.noise(x) / np.multiply.outer(h, h)
        still, _, _ = generator(np.zeros_like(x), noise, (n, n), [PERIODIC] * 2, "exponential")
        return (rates - still + 0.5 * (still + still.T)).tocsr()

    errors = ON_TORUS.errors(TORUS, [PERIODIC] * 2, "exponential", averaged)
    assert errors[-1] > 0.05


def test_the_hybrid_scheme_has_the_moments_of_a_rotating_gaussian_four_times_better():
    pull, noise = np.array([[1.0, 1.5], [-1.5, 1.0]]), np.array([[1.0, 0.3], [0.3, 0.6]])
    exact = solve_continuous_lyapunov(pull, noise)
    errors = {}
    bounds = [(-5, 5)] * 2
    for scheme in ("exponential", "hybrid"):
        rates, _, _ = on_grid(
            96,
            bounds,
            lambda x: -x @ pull.T,
            lambda x: np.broadcast_to(noise, (len(x), 2, 2)),
            [REFLECTING] * 2,
            scheme,
        )
        x, _ = grid(96, bounds)
        errors[scheme] = np.abs(np.einsum("m,mi,mj->ij", solve_stationary(rates), x, x) - exact).max()
    assert errors["hybrid"] < errors["exponential"] / 4
    assert errors["exponential"] < 0.03


def test_exit_times_of_brownian_motion_and_ou_have_order_two():
    low, high = -0.7, 1.3
    for pull, exact in ((0.0, lambda x: (x - low) * (high - x)), (2.0, lambda x: ou_exit_time(x, 2.0, low, high))):
        errors = []
        for n in (20, 40, 80):
            drift, noise = (lambda x, k=pull: -k * x), (lambda x: np.ones((len(x), 1, 1)))
            rates, killing, _ = on_grid(n, [(low, high)], drift, noise, [ABSORBING])
            x = grid(n, [(low, high)])[0][:, 0]
            errors.append(np.abs(mean_exit_times(rates, killing) - exact(x)).max())
        assert observed_order(errors) == pytest.approx(2, abs=0.1)
        assert errors[-1] < 1e-3


def ou_exit_time(x, pull, low, high):
    """T'' / 2 − pull x T' = −1 by quadrature: T = c S(x) − ∫ S'(y) ∫ 2 / S'."""
    fine = np.linspace(low, high, 20001)
    slope = np.exp(pull * fine**2)
    inner = integrate.cumulative_simpson(2 / slope, x=fine, initial=0)
    scale, part = (integrate.cumulative_simpson(f, x=fine, initial=0) for f in (slope, slope * inner))
    return np.interp(x, fine, scale * part[-1] / scale[-1] - part)


@pytest.mark.parametrize("noise", [[[1.0, 0.6], [0.6, 0.8]], [[1.0, 0.66], [0.66, 0.5]]], ids=["short", "long"])
def test_the_poisson_equation_with_full_noise_and_absorbing_sides_is_solved_with_order_two(noise):
    noise = np.array(noise)
    errors = []
    for n in (16, 32, 64):
        rates, killing, _report = on_grid(
            n, BOX, np.zeros_like, lambda x: np.broadcast_to(noise, (len(x), 2, 2)), [ABSORBING] * 2
        )
        sine, cosine = np.sin(np.pi * grid(n, BOX)[0]), np.cos(np.pi * grid(n, BOX)[0])
        exact = sine.prod(axis=1)
        source = np.pi**2 * (0.5 * np.trace(noise) * exact - noise[0, 1] * cosine.prod(axis=1))  # −½ D : ∇∇ exact
        matrix = sparse.diags_array(rates.sum(axis=1) + killing) - rates
        errors.append(np.abs(linalg.spsolve(matrix.tocsc(), source) - exact).max())
    assert observed_order(errors) == pytest.approx(2, abs=0.2)
    assert errors[-1] < 2e-3


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
