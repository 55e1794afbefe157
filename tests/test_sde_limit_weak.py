"""Weak errors of the limits of chains, against exact laws of the chains.

With affine drift and a covariance of second degree, moments up to the second obey a linear ODE.
"""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy.linalg import expm
from test_sde_limit import MOMENTUM, model

import dynsim as ds
from dynsim import sampling


def monomials(dim):
    """Exponents of 1, x_j and x_j x_k."""
    return [e for e in itertools.product(range(3), repeat=dim) if sum(e) <= 2]


def fitted(function, dim):
    """Coefficients, in the monomials, of functions that are polynomials of second degree: (6 or so, ...)."""
    powers = np.array(monomials(dim))
    points = np.random.default_rng(0).normal(size=(4 * len(powers), dim))
    basis = np.prod(points[:, None, :] ** powers, axis=-1)
    values = function(points)
    coefficients, *_ = np.linalg.lstsq(basis, values.reshape(len(points), -1), rcond=None)
    assert np.abs(basis @ coefficients - values.reshape(len(points), -1)).max() < 1e-8 * (1 + np.abs(values).max())
    return coefficients.reshape(len(powers), *values.shape[1:])


def sde_moments(drift, covariance, x0, t):
    """E of all monomials at time t."""
    dim, powers = len(x0), monomials(len(x0))
    index = {e: n for n, e in enumerate(powers)}
    b, d = fitted(drift, dim), fitted(covariance, dim)
    generator = np.zeros((len(powers), len(powers)))  # d/dt E f_n = Σ generator[n, m] E f_m

    def add(n, factor, exponents, coefficients):
        for m, e in enumerate(powers):
            total = tuple(np.add(exponents, e))
            if total in index:
                generator[n, index[total]] += factor * coefficients[m]

    unit = np.eye(dim, dtype=int)
    for n, e in enumerate(powers):
        for j in range(dim):
            if e[j]:
                add(n, e[j], e - unit[j], b[:, j])
            for k in range(dim):
                rest = e - unit[j] - unit[k]
                if (rest >= 0).all():
                    add(n, 0.5 * e[j] * (e[k] - (j == k)), rest, d[:, j, k])
    start = np.prod(np.asarray(x0, dtype=float) ** np.array(powers), axis=-1)
    return dict(zip(powers, expm(t * generator) @ start, strict=True))


def chain_moments(steps, probabilities, x0, n_steps):
    """The same after n steps x ← S_n (x, 1), S_n drawn with p_n."""
    dim = len(x0)
    maps = [np.vstack([s, np.eye(dim + 1)[-1]]) for s in steps]
    z = np.append(x0, 1.0)
    second = np.outer(z, z)
    for _ in range(n_steps):
        second = sum(p * m @ second @ m.T for p, m in zip(probabilities, maps, strict=True))
    result = {}
    for e in monomials(dim):
        places = [j for j in range(dim) for _ in range(e[j])] + [dim, dim]
        result[e] = second[places[0], places[1]]
    return result


def sgd_steps(problem, eta, weights):
    """θ − η w_n x_n (x_n·θ − y_n) as matrices (dim, dim + 1)."""
    eye = np.eye(problem.dim, problem.dim + 1)
    rows = np.column_stack([problem.X, -problem.y])
    return [eye - eta * w * np.outer(x, row) for w, x, row in zip(weights, problem.X, rows, strict=True)]


def difference(one, other, keep=lambda e: True):
    return max(abs(one[e] - other[e]) for e in one if keep(e))


def slopes(errors, ratio=2.0):
    """log_ratio of the error's decrease, for each pair of neighbors."""
    return np.log(np.array(errors[:-1]) / errors[1:]) / np.log(ratio)


PLAIN = sampling.Proportions([0.1, 0.2, 0.3, 0.15, 0.25])
X0, T, N_STEPS = [1.5, -1.0], 1.0, (32, 64, 128, 256)


def sgd_errors(change=lambda sde, eta: (sde.drift, sde.covariance), order=1):
    problem, errors = model(), []
    for n in N_STEPS:
        eta = T / n
        sde = ds.sde_limit(problem, ds.SGD(eta, PLAIN), order=order)
        drift, covariance = change(sde, eta)
        limit = sde_moments(partial(drift, 0.0), partial(covariance, 0.0), X0, T)
        weights = problem.weights / np.array(PLAIN.f)
        errors.append(difference(limit, chain_moments(sgd_steps(problem, eta, weights), PLAIN.f, X0, n)))
    return errors


@pytest.mark.parametrize("order", [1, 2])
def test_the_weak_order_of_sgd_is_exactly_one_and_two(order):
    found = slopes(sgd_errors(order=order))
    assert abs(found[-1] - order) < 0.02
    assert (np.abs(found - order) < 0.1).all()


def test_the_limit_of_second_order_is_far_closer():
    assert sgd_errors(order=2)[0] < 0.05 * sgd_errors(order=1)[0]


WRONG = {
    "no noise": (lambda sde, eta: (sde.drift, lambda t, x: 0 * sde.covariance(t, x)), 1),
    "half the noise": (lambda sde, eta: (sde.drift, lambda t, x: 0.5 * sde.covariance(t, x)), 1),
    "noise of √η": (lambda sde, eta: (sde.drift, lambda t, x: sde.covariance(t, x) / np.sqrt(eta)), 0.5),
    "correction doubled": (
        lambda sde, eta: (
            lambda t, x: 2 * sde.drift(t, x) + model().gradient(x),
            sde.covariance,
        ),
        1,
    ),
    "no correction": (lambda sde, eta: (lambda t, x: -model().gradient(x), sde.covariance), 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_term_in_the_limit_of_second_order_costs_the_order(name):
    change, order = WRONG[name]
    assert abs(slopes(sgd_errors(change, order=2))[-1] - order) < 0.1


chebyshev = np.polynomial.chebyshev
NODES = chebyshev.chebpts1(161)
TO_COEFFICIENTS = np.linalg.inv(chebyshev.chebvander(NODES, 160))
STARTS = np.linspace(-2.0, 3.0, 21)


def interpolant(function):
    """Of degree 160 on (−6, 6)."""
    return chebyshev.Chebyshev(TO_COEFFICIENTS @ function(6 * NODES), (-6.0, 6.0))


def flow(field, x, h):
    k1 = field(x)
    k2 = field(x + h / 2 * k1)
    k3 = field(x + h / 2 * k2)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(x + h * k3))


def mean_cosine_of_sde(sde, n):
    """E cos Θ_1 from STARTS by n pushes of Ninomiya and Victoir, of error O(η/n²), and Gauss–Hermite's noise."""
    b = interpolant(lambda x: sde.drift(0.0, x[:, None])[:, 0])
    d = interpolant(lambda x: sde.covariance(0.0, x[:, None])[:, 0, 0])
    stratonovich = b - d.deriv() / 4
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)

    def push(x):
        x = flow(stratonovich, x, 0.5 / n)[:, None]
        x = flow(lambda y: np.sqrt(d(y)), x, np.sqrt(1 / n) * nodes)
        return flow(stratonovich, x, 0.5 / n)

    u = np.cos
    for _ in range(n):
        u = interpolant(lambda x, u=u: u(push(x)) @ (weights / weights.sum()))
    return u(STARTS)


def mean_cosine_of_chain(problem, n):
    """The same for the chain of step size 1/n, whose steps stay in (−6, 6)."""
    u = np.cos
    for _ in range(n):
        u = interpolant(lambda x, u=u: u(x[:, None] - problem.term_gradients(x[:, None])[..., 0] / n).mean(axis=1))
    return u(STARTS)


def test_in_one_dimension_the_weak_orders_hold_for_a_loss_that_is_not_quadratic():
    problem = ds.problems.linear_model(np.ones((3, 1)), [1.0, -0.5, 2.0], loss="barron", alpha=1.0)
    steps = (8, 16, 32)
    exact = [mean_cosine_of_chain(problem, n) for n in steps]
    for order in (1, 2):
        limits = [mean_cosine_of_sde(ds.sde_limit(problem, ds.SGD(1 / n), order=order), n) for n in steps]
        found = slopes([np.abs(limit - e).max() for limit, e in zip(limits, exact, strict=True)])
        assert (np.abs(found - order) < 0.12).all()


def momentum_steps(problem, eta, mu, ahead):
    """(θ, v) ← (θ − η v', v'), v' = μ v + g(θ − ahead η μ v), as matrices."""
    result = []
    for x, y in zip(problem.X[:, 0], problem.y, strict=True):
        v = np.array([x * x, mu - ahead * eta * mu * x * x, -x * y])
        result.append(np.array([[1.0, 0.0, 0.0] - eta * v, v]))
    return result


def scaled(factor, function):
    return lambda x: factor * function(x)


def momentum_errors(name, mu_of, n_steps, keep, noise=1.0):
    make, ahead = MOMENTUM[name]
    problem = ds.problems.linear_model([[1.0], [2.0], [-1.5]], [1.0, -1.0, 2.0])
    found = []
    for n, eta in n_steps:
        sde = ds.sde_limit(problem, make(eta, momentum=mu_of(eta)))
        noises = scaled(noise, partial(sde.covariance, 0.0))
        limit = sde_moments(partial(sde.drift, 0.0), noises, [1.5, 0.0], n * eta)
        chain = chain_moments(momentum_steps(problem, eta, mu_of(eta), ahead), [1 / 3] * 3, [1.5, 0.0], n)
        found.append(keep(limit, chain))
    return found


def theta_moments(limit, chain):
    return difference(limit, chain, lambda e: e[1] == 0)


def variance_of_theta(limit, chain):
    one, other = (m[2, 0] - m[1, 0] ** 2 for m in (limit, chain))
    return abs(one - other)


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_weak_order_of_momentum_is_one_in_eta_if_mu_is_fixed(name):
    steps = [(n, 1 / n) for n in (64, 128, 256, 512)]
    found = slopes(momentum_errors(name, lambda eta: 0.5, steps, theta_moments))
    assert (np.abs(found - 1) < 0.1).all()
    # the variance, itself O(η), is right to O(η²), and with half the noise it is not
    found = slopes(momentum_errors(name, lambda eta: 0.5, steps, variance_of_theta))
    assert abs(found[-1] - 2) < 0.1
    found = slopes(momentum_errors(name, lambda eta: 0.5, steps, variance_of_theta, noise=0.5))
    assert abs(found[-1] - 1) < 0.1


@pytest.mark.parametrize("name", MOMENTUM)
def test_the_weak_order_of_momentum_is_one_in_the_root_of_eta_if_mu_approaches_one_as_it(name):
    """μ = 1 − 2√η over the time 1 = k√η; the step √η is halved, and η v² is of order one."""
    steps = [(n, 1 / n**2) for n in (128, 256, 512, 1024)]

    def mu(eta):
        return 1 - 2 * np.sqrt(eta)

    found = slopes(momentum_errors(name, mu, steps, theta_moments))
    assert (np.abs(found - 1) < 0.1).all()
    # the variance, itself O(√η), is right to O(η), and with half the noise it is not
    found = slopes(momentum_errors(name, mu, steps, variance_of_theta))
    assert abs(found[-1] - 2) < 0.1
    found = slopes(momentum_errors(name, mu, steps, variance_of_theta, noise=0.5))
    assert abs(found[-1] - 1) < 0.1


def test_rmsprop_and_adam_without_noise_follow_their_flow_with_an_error_of_first_order():
    """1 − α, 1 − β in proportion to η, as Ma, Wu & E have it; Adam from its own start, RMSProp from v = 1."""
    problem = ds.problems.quadratic([1.0, 3.0])
    errors = {"rmsprop": [], "adam": []}
    for n in (50, 100, 200):
        eta = 1 / n
        theta, v = np.array([1.0, -1.0]), np.ones(2)
        for _ in range(n):
            g = problem.gradient(theta)
            v = (1 - eta) * v + eta * g * g
            theta = theta - eta * g / (0.1 + np.sqrt(v))
        method = ds.RMSProp(eta, alpha=1 - eta, eps=0.1, batch_size="full")
        end = flow_end(ds.sde_limit(problem, method), [1.0, -1.0, 1.0, 1.0])
        errors["rmsprop"].append(np.abs(end - [*theta, *v]).max())
        method = ds.Adam(eta, beta1=1 - 4 * eta, beta2=1 - eta, eps=0.1, batch_size="full")
        chain = ds.iterate(problem, method, [1.0, -1.0], n_steps=n).x[0, -1]
        end = flow_end(ds.sde_limit(problem, method), [1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
        errors["adam"].append(np.abs(end[:2] - chain).max())
    for found in errors.values():
        assert abs(slopes(found)[-1] - 1) < 0.1


def flow_end(sde, start):
    """At time 1, by Runge and Kutta."""
    x, h = np.array([start]), 1 / 400
    for k in range(400):
        t = k * h
        k1 = sde.drift(t, x)
        k2 = sde.drift(t + h / 2, x + h / 2 * k1)
        k3 = sde.drift(t + h / 2, x + h / 2 * k2)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + sde.drift(t + h, x + h * k3))
    return x[0]


@pytest.mark.parametrize("name", ["RMSProp", "Adam"])
def test_where_noise_dominates_rmsprop_and_adam_have_the_mean_square_of_their_limit(name):
    """Malladi et al.'s regime: noise of size 1/η, 1 − α and 1 − β ~ η², η² k = 1. The gap falls as η²."""
    gaps, errors = [], []
    for eta in (0.25, 0.125):
        n, scale = round(1 / eta**2), 1 / eta
        start = {"RMSProp": [1.0, 2 * scale**2], "Adam": [1.0, 0.0, 0.0]}[name]
        noise, decay = ds.noise.Gaussian(scale), 1 - eta**2
        if name == "RMSProp":
            method = ds.RMSProp(eta, alpha=decay, noise=noise, batch_size="full")
        else:
            method = ds.Adam(eta, beta1=1 - 2 * eta**2, beta2=decay, noise=noise, batch_size="full")
        sde = ds.sde_limit(ds.problems.quadratic([1.0]), method)
        chain = adaptive_chain(name, eta, n, scale, start, 200_000)
        run = ds.integrate(
            sde, start, n * eta, dt=n * eta / 32, n_paths=200_000, rng=1, save_every=None, scheme="platen"
        )
        theta = run.x[:, -1, 0]
        gaps.append(abs((chain**2).mean() - (theta**2).mean()))
        errors.append(np.sqrt((chain**2).var() / chain.size + (theta**2).var() / theta.size))
        half = theta.mean() ** 2 + 0.5 * theta.var()
        assert abs((chain**2).mean() - half) > 10 * errors[-1]  # with half the noise it is another one
    assert gaps[1] < 0.5 * gaps[0] + 5 * errors[1]
    assert gaps[1] < 0.01 + 5 * errors[1]


def adaptive_chain(name, eta, n_steps, scale, start, n_paths):
    rng = np.random.default_rng(8)
    theta, v = np.full(n_paths, start[0]), np.full(n_paths, start[-1])
    m = np.zeros(n_paths)
    beta1, beta2 = 1 - 2 * eta**2, 1 - eta**2
    for k in range(1, n_steps + 1):
        g = theta + scale * rng.standard_normal(n_paths)
        v = beta2 * v + (1 - beta2) * g * g
        if name == "RMSProp":
            theta = theta - eta * g / np.sqrt(v)
        else:
            m = beta1 * m + (1 - beta1) * g
            theta = theta - eta * m / (1 - beta1**k) / np.sqrt(v / (1 - beta2**k))
    return theta
