"""Laws, exit times and solutions of Poisson's equation on grids: they converge with the orders that are stated."""

import itertools

import numpy as np
import pytest
from scipy import integrate, sparse
from scipy.linalg import solve_continuous_lyapunov
from scipy.sparse import linalg
from test_generator import ABSORBING, PERIODIC, REFLECTING

from dynsim.stationary.generator import generator


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


def is_of_order(order, errors):
    """Errors a h^q (1 + c h + …) have observed orders q + c h/(2 ln 2) + …, half as far from q on the next grid."""
    first, last = np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - order)
    return last < 0.01 or last < min(0.07, 0.6 * first)


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
    assert is_of_order(2, errors), errors
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
    assert is_of_order(2, errors), errors
    assert errors[-1] < 3e-3


@pytest.mark.parametrize("scheme", ["exponential", "hybrid"])
def test_current_and_bent_noise_along_reflecting_sides_keep_order_two(scheme):
    errors = IN_BOX.errors(BOX, [REFLECTING] * 2, scheme)
    assert is_of_order(2, errors), errors
    assert errors[-1] < 4e-5


def test_upwind_differences_instead_are_of_order_one_only():  # a negative control
    def upwinded(rates, n):
        x, h = grid(n, TORUS)
        drift, noise = ON_TORUS.drift(x) / h, ON_TORUS.noise(x) / np.multiply.outer(h, h)
        still, _, _ = generator(np.zeros_like(x), noise, (n, n), [PERIODIC] * 2, "exponential")
        carried, _, _ = generator(drift, np.zeros_like(noise), (n, n), [PERIODIC] * 2, "exponential")
        return (still + carried).tocsr()

    errors = ON_TORUS.errors(TORUS, [PERIODIC] * 2, "exponential", upwinded)
    assert is_of_order(1, errors), errors
    assert not is_of_order(2, errors)


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
        assert is_of_order(2, errors), errors
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
        found = np.abs(linalg.spsolve(matrix.tocsc(), source) - exact)
        errors.append(found.mean())  # the center nearest to the largest error is another one on each grid
    assert is_of_order(2, errors), errors
    assert found.max() < 1e-3
