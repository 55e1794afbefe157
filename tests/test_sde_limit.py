"""Limits of chains: their fields against sums over terms, their weak errors against exact laws of chains."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy.linalg import expm

import dynsim as ds
from dynsim import sampling
from dynsim.errors import ArgumentError, NotApplicable

X = np.array([[1.0, 0.3], [-0.4, 1.2], [0.8, -0.9], [0.2, 0.7], [-1.1, 0.5]])
Y = np.array([0.5, -0.2, 1.0, 0.3, -0.6])
THETA = np.random.default_rng(3).normal(size=(6, 2))


def model(rows=5, loss="square", **options):
    return ds.problems.linear_model(X[:rows], Y[:rows], loss=loss, **options)


def covariance_by_terms(problem, p, theta, move=lambda g: g):
    """Mean and covariance of φ(a_n/p_n ∇l_n), n drawn by p: the definition, in long double."""
    g = problem.term_gradients(theta).astype(np.longdouble)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = move(np.where(p[..., None] > 0, (problem.weights / p)[..., None] * g, 0))
    mean = np.einsum("...n,...nj->...j", p, v)
    v = v - mean[..., None, :]
    return mean, np.einsum("...n,...nj,...nk->...jk", p, v, v)


def close(actual, expected, tolerance=1e-12):
    scale = np.abs(expected).max()
    assert np.abs(actual - expected).max() <= tolerance * scale


SCHEMES = {
    "uniform": sampling.Uniform(),
    "proportions": sampling.Proportions([0.1, 0.2, 0.3, 0.15, 0.25]),
    "lipschitz": sampling.Lipschitz(),
    "gradient norm": sampling.GradientNorm(),
    "mixture": sampling.Mixture(0.3),
    "exact rejection": sampling.Rejection(50.0, weight="exact"),
    "balanced": sampling.Balanced(at=[[0.1, 0.2], [1.0, -1.0]]),
    "custom": sampling.Custom(lambda theta, n: 1.0 + n + theta[0] ** 2, floor=0.2),
}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("rows", [5, 2])
def test_sgd_has_minus_the_gradient_as_drift_and_eta_sigma_over_b_as_covariance(name, rows):
    """With five terms by a Cholesky factor, with two by terms."""
    scheme, problem = SCHEMES[name], model(rows)
    if name == "proportions":
        scheme = sampling.Proportions(np.full(rows, 1 / rows))
    sde = ds.sde_limit(problem, ds.SGD(0.3, scheme, batch_size=4))
    mean, covariance = covariance_by_terms(problem, scheme.probabilities(problem, THETA), THETA)
    close(sde.drift(0.0, THETA), -mean)
    close(sde.covariance(0.0, THETA), 0.3 / 4 * covariance)
    assert (sde.dim, sde.noise_dim) == (2, 2)


def test_group_norm_and_rejection_with_estimated_weights_have_their_covariance():
    problem = model()
    for scheme in (sampling.GroupNorm([0, 1, 0, 1, 2]), sampling.Rejection(50.0, n_proposals=3)):
        sde = ds.sde_limit(problem, ds.SGD(0.3, scheme))
        close(sde.covariance(0.0, THETA), 0.3 * scheme.covariance(problem, THETA))


def test_batches_without_replacement_have_the_covariance_over_all_of_them():
    problem = model()
    g = problem.term_gradients(THETA)
    means = np.stack([g[:, list(s)].mean(axis=1) for s in itertools.combinations(range(5), 3)], axis=1)
    centered = means - means.mean(axis=1, keepdims=True)
    expected = np.einsum("pnj,pnk->pjk", centered, centered) / means.shape[1]
    sde = ds.sde_limit(problem, ds.SGD(0.3, sampling.WithoutReplacement(), batch_size=3))
    close(sde.covariance(0.0, THETA), 0.3 * expected)
    whole = ds.sde_limit(problem, ds.SGD(0.3, sampling.WithoutReplacement(), batch_size=5))
    assert (whole.covariance(0.0, THETA) == 0).all()


@pytest.mark.parametrize("rows", [5, 2])
def test_noise_added_to_the_gradient_adds_eta_times_its_variance(rows):
    noise = ds.noise.StudentT(df=3.0, scale=(0.5, 2.0))  # variance 3 s²
    problem = model(rows)
    _, covariance = covariance_by_terms(problem, np.full((6, rows), 1 / rows), THETA)
    added = np.diag([0.75, 12.0])
    for batch_size, own in ((1, covariance), (2, covariance / 2), ("full", 0 * covariance)):
        sde = ds.sde_limit(problem, ds.SGD(0.3, batch_size=batch_size, noise=noise))
        close(sde.covariance(0.0, THETA), 0.3 * (own + added))


def test_the_whole_gradient_leaves_gradient_flow():
    sde = ds.sde_limit(model(), ds.SGD(0.3, batch_size="full"))
    assert (sde.diffusion(0.0, THETA) == 0).all()
    close(sde.drift(0.0, THETA), -model().gradient(THETA))


def test_two_valleys_has_the_same_limit_by_regions_as_by_terms(valleys):
    theta = np.concatenate([np.linspace(-2, 1, 31), valleys.kinks])[:, None]
    for batch_size in (3, "full"):
        sde = ds.sde_limit(valleys, ds.SGD(0.04, batch_size=batch_size))
        expected = 0.04 * ds.SGD(0.04, batch_size=batch_size).gradient_covariance(valleys, theta)
        np.testing.assert_allclose(sde.covariance(0.0, theta), expected, rtol=1e-12, atol=1e-18)
    own = sampling.Custom(lambda theta, n: 1.0 + theta[0] ** 2 * n)
    sde = ds.sde_limit(valleys, ds.SGD(0.04, own))
    np.testing.assert_allclose(sde.covariance(0.0, theta), 0.04 * own.covariance(valleys, theta), rtol=1e-12)


def test_far_from_the_minima_the_covariance_is_right_though_all_gradients_are_nearly_alike():
    """A difference of second moments has lost all digits here."""
    problem = ds.problems.linear_model(np.ones((5, 1)), Y)
    theta = np.array([[1e9]])
    for scheme in (sampling.Uniform(), sampling.GradientNorm()):
        _, expected = covariance_by_terms(problem, scheme.probabilities(problem, theta), theta)
        sde = ds.sde_limit(problem, ds.SGD(1.0, scheme))
        if isinstance(scheme, sampling.Uniform):
            close(sde.covariance(0.0, theta), expected, 1e-6)
            naive = np.mean(problem.term_gradients(theta) ** 2) - problem.gradient(theta)[0, 0] ** 2
            assert abs(naive / expected[0, 0, 0] - 1) > 1e-3
        else:  # all drawn gradients are the same
            assert sde.covariance(0.0, theta)[0, 0, 0] < 1e-12


def test_where_no_term_has_a_gradient_there_is_no_noise():
    problem = ds.problems.linear_model(X, X @ [1.0, 2.0])
    for scheme in (
        sampling.Uniform(),
        sampling.GradientNorm(),
        sampling.Mixture(0.5),
        sampling.GroupNorm([0, 0, 1, 1, 1]),
    ):
        sde = ds.sde_limit(problem, ds.SGD(0.1, scheme))
        assert np.abs(sde.covariance(0.0, [[1.0, 2.0]])).max() < 1e-30


def test_a_nan_stays_one():
    for rows in (5, 2):
        sde = ds.sde_limit(model(rows), ds.RR(0.1))
        assert np.isnan(sde.diffusion(0.0, [[np.nan, 1.0]])).any()


@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_the_drift_of_second_order_is_that_of_li_tai_and_e(loss):
    problem = model(loss=loss)
    sde = ds.sde_limit(problem, ds.RR(0.3), order=2)
    g, hessian = problem.gradient(THETA), problem.hessian(THETA)
    close(sde.drift(0.0, THETA), -g - 0.15 * np.einsum("pjk,pk->pj", hessian, g), 1e-10)
    close(sde.covariance(0.0, THETA), ds.sde_limit(problem, ds.RR(0.3)).covariance(0.0, THETA), 1e-15)
    at_minimum = ds.sde_limit(ds.problems.quadratic([1.0, 3.0]), ds.SGD(0.3), order=2).drift(0.0, [0.0, 0.0])
    assert (at_minimum == 0).all()


MOVES = {
    "GClip": (lambda s: ds.GClip(0.3, s, threshold=0.5), lambda g: g * np.minimum(1, 0.5 / norm(g))),
    "Clipped": (lambda s: ds.Clipped(0.3, s, gamma=0.5), lambda g: g * np.minimum(1, 0.5 / norm(g))),
    "Normalized": (lambda s: ds.Normalized(0.3, s, beta=0.2), lambda g: g / (norm(g) + 0.2)),
    "CClip": (
        lambda s: ds.CClip(0.3, s, threshold=0.5, scales=(1.0, 0.4)),
        lambda g: np.clip(g, (-0.5, -0.2), (0.5, 0.2)),
    ),
}


def norm(g):
    return np.sqrt((g**2).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(("name", "rows"), [("GClip", 5), ("Clipped", 2), ("Normalized", 5), ("CClip", 5)])
def test_clipped_methods_have_mean_and_covariance_of_the_clipped_gradient(name, rows):
    make, move = MOVES[name]
    problem = model(rows)
    scheme = sampling.GradientNorm() if name == "Clipped" else sampling.Uniform()
    sde = ds.sde_limit(problem, make(scheme))
    mean, covariance = covariance_by_terms(problem, scheme.probabilities(problem, THETA), THETA, move)
    close(sde.drift(0.0, THETA), -mean)
    close(sde.covariance(0.0, THETA), 0.3 * covariance)
    assert np.abs(mean - problem.gradient(THETA)).max() > 0.1  # it is clipped


# Exact weak errors. With affine drift and a covariance of second degree, moments up to the second obey a linear ODE.


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


MOMENTUM = {"HeavyBall": (ds.HeavyBall, 0.0), "Nesterov": (ds.Nesterov, 1.0)}


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


def test_nesterov_takes_gradient_and_noise_where_the_method_does():
    problem = model()
    x = np.random.default_rng(5).normal(size=(6, 4))
    eta, mu = 0.3, 0.6
    for rows in (5, 2):
        problem = model(rows)
        for make, ahead in MOMENTUM.values():
            sde = ds.sde_limit(problem, make(eta, sampling.GradientNorm(), momentum=mu, batch_size=2))
            q = x[:, :2] - ahead * eta * mu * x[:, 2:]
            p = sampling.GradientNorm().probabilities(problem, q)
            mean, covariance = covariance_by_terms(problem, p, q)
            close(sde.drift(0.0, x), np.hstack([-x[:, 2:], (mean - (1 - mu) * x[:, 2:]) / eta]))
            close(sde.covariance(0.0, x)[:, 2:, 2:], covariance / 2 / eta)
            assert (sde.diffusion(0.0, x)[:, :2] == 0).all()


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize("rows", [5, 2])
def test_rmsprop_and_adam_have_the_fields_of_malladi_et_al(elementwise, rows):
    problem, eta, eps, t = model(rows), 0.3, 0.1, 0.9
    rng = np.random.default_rng(5)
    m, v = rng.normal(size=(6, 2)), rng.uniform(0.5, 2.0, size=(6, 2 if elementwise else 1))
    mean, covariance = covariance_by_terms(problem, np.full((6, rows), 1 / rows), THETA)
    covariance = covariance / 2 + np.diag([0.25, 4.0])
    second = np.einsum("pjj->pj", covariance) + mean**2
    second = second if elementwise else second.sum(axis=1, keepdims=True)
    options = {"batch_size": 2, "noise": ds.noise.Gaussian((0.5, 2.0)), "eps": eps, "elementwise": elementwise}

    sde = ds.sde_limit(problem, ds.RMSProp(eta, alpha=0.8, **options))
    x, scale = np.hstack([THETA, v]), 1 / (eps + np.sqrt(v))
    close(sde.drift(t, x), np.hstack([-mean * scale, 0.2 / eta * (second - v)]))
    scale = np.broadcast_to(scale, (6, 2))
    close(sde.covariance(t, x)[:, :2, :2], eta * covariance * scale[:, :, None] * scale[:, None, :])
    assert (sde.diffusion(t, x)[:, 2:] == 0).all()

    sde = ds.sde_limit(problem, ds.Adam(eta, beta1=0.7, beta2=0.8, **options))
    x, scale = np.hstack([THETA, m, v]), 1 / (eps + np.sqrt(v / (1 - np.exp(-0.2 * 3))))
    drift = [-m / (1 - np.exp(-0.3 * 3)) * scale, 0.3 / eta * (mean - m), 0.2 / eta * (second - v)]
    close(sde.drift(t, x), np.hstack(drift))
    close(sde.covariance(t, x)[:, 2:4, 2:4], 0.3**2 / eta * covariance)
    assert (sde.diffusion(t, x)[:, :2] == 0).all()
    assert (sde.diffusion(t, x)[:, 4:] == 0).all()


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


VALLEYS = ds.problems.two_valleys()
SMOOTH = model()


@pytest.mark.parametrize(
    ("problem", "method", "order", "error", "message"),
    [
        (SMOOTH, ds.SGD(0.1), 3, ArgumentError, "order must be 1 or 2, got 3"),
        (SMOOTH, ds.SGD(0.1), True, ArgumentError, "order must be 1 or 2, got True"),
        (SMOOTH, ds.SGD(0.1), "2", ArgumentError, "order must be 1 or 2, got '2'"),
        (SMOOTH, ds.HeavyBall(0.1), 2, NotApplicable, "the limit of HeavyBall is known to order=1 only"),
        (SMOOTH, ds.Adam(0.1), 2, NotApplicable, "the limit of Adam is known to order=1 only"),
        (SMOOTH, ds.GClip(0.1, threshold=1.0), 2, NotApplicable, "the limit of GClip is known to order=1 only"),
        (
            VALLEYS,
            ds.SGD(0.1),
            2,
            NotApplicable,
            "order=2 is for smooth losses, and the gradient of two_valleys.* jumps",
        ),
        (
            SMOOTH,
            ds.SGD(ds.schedules.Geometric(0.1, 0.9)),
            1,
            NotApplicable,
            "needs a constant step size, got Geometric",
        ),
        (
            SMOOTH,
            ds.Nesterov(0.1, momentum=lambda k: (k + 1) / (k + 4)),
            1,
            NotApplicable,
            "Nesterov needs a constant momentum",
        ),
        (SMOOTH, ds.GClip(0.1, threshold=lambda k: k + 1.0), 1, NotApplicable, "GClip needs a constant threshold"),
        (
            SMOOTH,
            ds.SGD(0.1, sampling.Reshuffled()),
            1,
            NotApplicable,
            "not depend on the draws before, got Reshuffled",
        ),
        (SMOOTH, ds.Adam(0.1, sampling.Stale(3)), 1, NotApplicable, r"got Stale\(refresh=3.* for Adam"),
        (SMOOTH, ds.SGD(0.1, sampling.Presample(3, threshold=0)), 1, NotApplicable, "draws before, got Presample"),
        (
            SMOOTH,
            ds.HeavyBall(0.1, noise=ds.noise.StudentT(df=2.0)),
            1,
            NotApplicable,
            "no limit .* HeavyBall with noise StudentT.*: its variance is infinite",
        ),
        (SMOOTH, ds.SGD(0.1, noise=ds.noise.Gaussian((1.0, 1.0, 1.0))), 1, ArgumentError, "scale has 3 numbers"),
        (
            SMOOTH,
            ds.SGD(0.1, sampling.WithoutReplacement(), batch_size=6),
            1,
            ArgumentError,
            "batch_size must be at most",
        ),
        (SMOOTH, ds.Clipped(0.1, gamma=1.0, batch_size=2), 1, NotApplicable, "the limit of Clipped is a sum over"),
        (
            SMOOTH,
            ds.Normalized(0.1, noise=ds.noise.Gaussian()),
            1,
            NotApplicable,
            "the limit of Normalized is a sum over",
        ),
        (
            SMOOTH,
            ds.CClip(0.1, sampling.GroupNorm([0] * 5), threshold=1.0),
            1,
            NotApplicable,
            "the limit of CClip.* is a sum",
        ),
        (SMOOTH, ds.ACClip(0.1), 1, NotApplicable, "sde_limit is for SGD .*, got ACClip"),
        (
            SMOOTH,
            ds.ProjectedGClip(0.1, threshold=1.0, radius=1.0),
            1,
            NotApplicable,
            "is for SGD .*, got ProjectedGClip",
        ),
    ],
)
def test_what_has_no_limit_is_refused_by_name(problem, method, order, error, message):
    with pytest.raises(error, match=message):
        ds.sde_limit(problem, method, order=order)


def test_a_term_that_is_never_drawn_though_it_has_a_gradient_gives_no_number():
    never = sampling.Custom(lambda theta, n: 0.0 if n == 1 else 1.0)
    assert np.isnan(ds.sde_limit(SMOOTH, ds.SGD(0.1, never)).covariance(0.0, THETA)).all()


def test_limits_of_different_methods_are_told_apart_by_their_fingerprints():
    methods = [ds.SGD(0.1), ds.RR(0.1), ds.SGD(0.2), ds.SGD(0.1, batch_size=2), ds.HeavyBall(0.1), ds.Nesterov(0.1)]
    own = [ds.SGD(0.1, sampling.Custom(f)) for f in (lambda theta, n: 1.0, lambda theta, n: 2.0 + n)]
    prints = {ds.sde_limit(SMOOTH, m).fingerprint() for m in methods + own}
    assert len(prints) == len(methods + own)
    assert ds.sde_limit(SMOOTH, ds.SGD(0.1)).fingerprint() in prints


def test_paths_of_a_limit_with_a_column_for_each_term_have_its_mean_and_covariance():
    problem, theta, eta, n = model(2), np.array([0.5, -1.0]), 0.05, 40_000
    sde = ds.sde_limit(problem, ds.HeavyBall(eta, sampling.GradientNorm(), momentum=0.8))
    paths = ds.integrate(sde, [*theta, 0.0, 0.0], eta, dt=eta, n_paths=n, rng=1).x[:, -1, 2:]
    expected = sampling.GradientNorm().covariance(problem, theta)
    centered = paths - problem.gradient(theta)  # one step from v = 0
    assert (np.abs(centered.mean(axis=0)) < 5 * np.sqrt(np.diag(expected) / n) + 1e-12).all()
    products = centered[:, :, None] * centered[:, None, :]
    stderr = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - expected) < 5 * stderr).all()
    assert not (np.abs(products.mean(axis=0) - 0.5 * expected) < 5 * stderr).all()
