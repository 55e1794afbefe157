import itertools
import math

import numpy as np
import pytest
from scipy.stats import linregress

import dynsim as ds
from dynsim.stability import directions
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.linearized import terms

SGD, RR = ds.SGD(0.1), ds.RR(0.1)
HALF = ds.SGD(0.1, ds.sampling.Mixture(0.5))
PLAIN = np.eye(2)  # the form ‖u‖²: interpolation of f itself


def rows(n=6, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) * rng.exponential(size=(n, 1))


def dynamics(method, X=None):
    return Dynamics.of(terms(gradients=rows() if X is None else X), method)


def kronecker(dynamics, eta, batch=1):
    """log ρ of E[M ⊗ M], by enumeration of all batches."""
    a, p, r = dynamics.weights, dynamics.draws.proportions, dynamics.rank
    H = np.einsum("nj,nk->njk", dynamics.features, dynamics.features)
    total = np.zeros((r * r, r * r))
    for batch_ in itertools.product(range(a.size), repeat=batch):
        M = np.eye(r) - eta * sum(a[n] / p[n] * H[n] for n in batch_) / batch
        total += math.prod(p[n] for n in batch_) * np.kron(M, M)
    return math.log(np.abs(np.linalg.eigvals(total)).max())


def enumerated(dynamics, eta, u, k):
    """E‖w_k‖² over all nᵏ sequences of draws from w_0 = u, by the definition of p_n(u) ∝ a_n‖H_n u‖, and K^j 1 (u)."""
    w, chance, moments = u[None], np.ones(1), []
    X, a = dynamics.features, dynamics.weights
    for _ in range(k):
        pulls = (w @ X.T)[..., None] * X
        size = a * np.linalg.norm(pulls, axis=2)
        p = size / size.sum(axis=1, keepdims=True)
        after = w[:, None] - eta * np.divide(a, p, out=np.zeros_like(p), where=p > 0)[..., None] * pulls
        w, chance = after.reshape(-1, 2), (chance[:, None] * p).ravel()
        moments.append(chance @ (w**2).sum(axis=1))
    return np.array(moments)


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0])
def test_growth_for_fixed_proportions_is_the_kronecker_value(eta):
    d = dynamics(SGD)
    exact = kronecker(d, eta)
    value, error = directions.mean_square_growth(d, eta, 512)
    assert abs(value - exact) < 1e-6
    plain = directions.growth_on(d, eta, 512, PLAIN)[0]
    assert 1e-6 < abs(plain - exact) < 1e-4  # what the quadratic form spares
    assert abs(value - exact) < max(error, 1e-8)


@pytest.mark.parametrize("eta", [0.1, 0.5, 1.0])
def test_the_error_holds_the_exact_value_without_help_of_the_form(eta):
    d = dynamics(SGD)
    value, error = directions.with_error(lambda m: directions.growth_on(d, eta, m, PLAIN)[0], 512)
    assert abs(value - kronecker(d, eta)) < error < 1e-3


@pytest.mark.parametrize("batch", [2, 3])
def test_small_batches_are_enumerated(batch):
    d = dynamics(ds.SGD(0.1, batch_size=batch), rows(4))
    assert directions.growth_on(d, 0.8, 256)[0] == pytest.approx(kronecker(d, 0.8, batch), abs=1e-6)
    assert abs(kronecker(d, 0.8, batch) - kronecker(d, 0.8, 1)) > 1e-2


def test_order_of_convergence_is_two():
    d, eta, m = dynamics(RR), 1.5, 2 ** np.arange(6, 12)
    reference = directions.growth_on(d, eta, 8192)[0]
    errors = [abs(directions.growth_on(d, eta, int(k), PLAIN)[0] - reference) for k in m]
    fit = linregress(np.log(m), np.log(errors))
    assert abs(-fit.slope - 2) < 3 * fit.stderr + 0.05
    assert -fit.slope - 3 * fit.stderr > 1.2  # and not one, which the kinks alone would give


@pytest.mark.parametrize("eta", [0.7, 1.9])
def test_powers_of_the_operator_are_the_moments_over_all_sequences(eta):
    d, k, m = dynamics(RR, rows(3)), 9, 4096
    angle = (np.arange(m) + 0.5) * np.pi / m
    K, _ = directions.circle(d, eta, m, PLAIN, 2)
    start, by_grid = 1234, []
    f = np.ones(m)
    for _ in range(k):
        f = K @ f
        by_grid.append(f[start])
    moments = enumerated(d, eta, np.array([np.cos(angle[start]), np.sin(angle[start])]), k)
    np.testing.assert_allclose(by_grid, moments, rtol=k * (np.pi / m) ** 2 * 4)
    fixed = dynamics(SGD, rows(3))
    other, _ = directions.circle(fixed, eta, m, PLAIN, 2)
    assert abs((other @ np.ones(m))[start] - moments[0]) > 1e-3 * moments[0]


@pytest.mark.parametrize("eta", [0.7, 1.2])
def test_ratios_of_enumerated_moments_tend_to_the_growth(eta):
    d = dynamics(RR, rows(3))
    moments = enumerated(d, eta, np.array([0.6, 0.8]), 11)
    ratios = 0.5 * np.log(moments[2:] / moments[:-2])  # over two steps: the next eigenvalue is negative
    value, error = directions.mean_square_growth(d, eta)
    gaps = np.abs(ratios - value)
    assert gaps[-1] < 0.1 * gaps[0] + error
    assert error < 1e-5


@pytest.mark.parametrize("method", [RR, HALF], ids=["RR", "Mixture"])
def test_both_forms_give_the_same_growth_and_exponent(method):
    d, eta = dynamics(method), 0.9
    for rate in (lambda S: directions.growth_on(d, eta, 1024, S)[0], lambda S: directions.exponent_on(d, eta, 1024, S)):
        assert rate(PLAIN) == pytest.approx(rate(None), abs=2e-5)


@pytest.mark.parametrize("eta", [0.4, 0.9, 1.7])
def test_exponent_of_commuting_matrices_is_the_largest_of_the_axes(eta):
    X = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 1.5], [0.0, 0.7]])
    d = dynamics(SGD, X)
    c = d.features**2  # a_n/p_n = 1
    exact = np.log(np.abs(1 - eta * c)).mean(axis=0).max()
    value, error = directions.lyapunov(d, eta, 1024)
    assert abs(value - exact) < error < 0.02


def test_exponent_of_rotated_squeezes_is_that_of_herbert_jones_and_thouless():
    """Σ over isotropic draws: E log‖(I − η c x xᵀ) u‖ with x uniform on the circle does not depend on u."""
    n, eta = 400, 1.5
    angle = np.pi * np.arange(n) / n
    d = dynamics(SGD, np.stack([np.cos(angle), np.sin(angle)], axis=1))
    squeeze = abs(1 - 2 * eta)  # H = I/2 is scaled to I: M has the eigenvalues 1 and 1 − 2η
    exact = math.log((1 + squeeze) / 2)  # ∫ ½ log(cos² + s² sin²) = log((1 + s)/2)
    assert directions.lyapunov(d, eta, 512)[0] == pytest.approx(exact, abs=1e-6)


def test_exponent_is_that_of_a_long_simulation_by_hand():
    d, eta = dynamics(RR), 1.2
    rng, w, logs = np.random.default_rng(5), np.random.default_rng(6).normal(size=(400, 2)), []
    X, a = d.features, d.weights
    for _ in range(600):
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        size = a * np.abs(w @ X.T) * np.linalg.norm(X, axis=1)
        p = size / size.sum(axis=1, keepdims=True)
        n = (np.cumsum(p, axis=1) < rng.random((400, 1))).sum(axis=1)
        i = np.arange(400)
        w = w - eta * (a[n] / p[i, n] * (X[n] * w).sum(axis=1))[:, None] * X[n]
        logs.append(np.log(np.linalg.norm(w, axis=1)))
    paths = np.mean(logs[100:], axis=0)
    value, error = directions.lyapunov(d, eta)
    stderr = paths.std(ddof=1) / 20
    assert abs(value - paths.mean()) < 5 * stderr + error
    assert abs(0.5 * directions.mean_square_growth(d, eta)[0] - paths.mean()) > 5 * stderr


def test_a_small_gap_below_the_largest_eigenvalue_is_no_obstacle():
    size = 200
    walk = np.diag(np.full(size - 1, 0.5), 1) + np.diag(np.full(size - 1, 0.5), -1)
    walk[0, 0] = walk[-1, -1] = 0.5
    sparse = directions.sparse.csr_array(walk)
    start = np.random.default_rng(0).random(size)
    value, vector = directions.perron(sparse, start)
    assert value == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(vector / vector.mean(), 1, rtol=1e-6)


def test_memory_stays_bounded_for_thousands_of_terms():
    d = dynamics(RR, np.random.default_rng(0).normal(size=(3000, 2)))
    K, _ = directions.circle(d, 1.0, 512, PLAIN, 2)
    assert K.nnz <= 512**2
    assert directions._fitting(d, 8192) * 3000 <= directions._MOST_ENTRIES
