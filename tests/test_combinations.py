"""Every problem with every sampling scheme and every method that it can be run with."""

import dataclasses

import numpy as np
import pytest

import dynsim as ds
from dynsim import noise, problems, sampling

DATA = np.random.default_rng(3)
X = DATA.normal(size=(9, 2))
Y = X @ [1.0, -0.5] + DATA.normal(size=9)
COUNTS = DATA.poisson(2.0, 9)
FLIPS = DATA.integers(0, 2, 9)

PROBLEMS = {
    "two_valleys": lambda: problems.two_valleys(),
    "square": lambda: problems.linear_model(X, Y),
    "welsch": lambda: problems.linear_model(X, Y, "welsch", weights=DATA.random(9) + 0.5),
    "barron": lambda: problems.linear_model(X, Y, "barron", alpha=0.5),
    "huber": lambda: problems.linear_model(X, Y, "huber", intercept=True),
    "logistic": lambda: problems.linear_model(X, FLIPS, "logistic"),
    "poisson": lambda: problems.linear_model(X, COUNTS, "poisson"),
    "disparate_groups": lambda: problems.disparate_groups(rng=0),
    "robust_classification": lambda: problems.robust_classification(rng=0),
    "robust_regression": lambda: problems.robust_regression(rng=0),
    "muller_brown": lambda: problems.muller_brown(),
    "gaussian_wells": lambda: problems.gaussian_wells(m=50),
    "exponential_potential": lambda: problems.exponential_potential(
        [-2.0, 1.0], [[-1.0, 0.0, -2.0], [-3.0, 0.5, -1.0]], [[0.0, 0.0], [1.0, 1.0]], bounds=[[-2, 2], [-2, 2]]
    ),
    "pairwise_potential": lambda: problems.pairwise_potential(n_atoms=3, space=2),
    "resisting_zigzag": lambda: problems.resisting_zigzag([0.0, 1.0], shift=0.25),
    "quadratic": lambda: problems.quadratic([1.0, 4.0]),
    "bernoulli_quadratic": lambda: problems.bernoulli_quadratic(),
    "egg_carton": lambda: problems.egg_carton(),
    "exponential_wings": lambda: problems.exponential_wings(),
    "flat_quartic": lambda: problems.flat_quartic(),
    "lessard_piecewise": lambda: problems.lessard_piecewise(),
    "ramp": lambda: problems.ramp(4),
    "resisting_chain": lambda: problems.resisting_chain(4),
    "abs_well": lambda: problems.abs_well(),
    "max_of_linears": lambda: problems.max_of_linears([[1.0, 0.5], [-1.0, 0.2], [0.1, -1.0]]),
    "relu_network": lambda: problems.relu_network(X, Y, hidden=2),
}
STEP = 1e-3
METHODS = (
    *(ds.SGD(STEP), ds.SGD(STEP, noise=noise.Gaussian(0.1)), ds.SGD(STEP, noise=noise.AlphaStable(1.5))),
    *(ds.HeavyBall(STEP), ds.Nesterov(STEP), ds.RMSProp(STEP), ds.RMSProp(STEP, elementwise=False)),
    *(ds.Adam(STEP), ds.Adam(STEP, elementwise=False), ds.ACClip(STEP, alpha=1.5), ds.Normalized(STEP, beta=0.1)),
    *(ds.Clipped(STEP, gamma=0.5), ds.GClip(STEP, threshold=0.5), ds.CClip(STEP, threshold=0.5)),
    *(ds.ProjectedGClip(STEP, threshold=0.5, radius=100.0), ds.StochasticINGD(p=100.0, q=1.0, beta=0.9)),
)


def schemes(problem):
    """Every scheme that fits the problem, with a batch size."""
    yield from ((s, 1) for s in (sampling.Uniform(), sampling.GradientNorm(), sampling.Mixture(0.3), sampling.Stale(2)))
    p = np.arange(1.0, problem.n_terms + 1)
    yield from ((s, 1) for s in (sampling.Proportions(p / p.sum()), sampling.Lipschitz(p), sampling.Reshuffled()))
    yield sampling.Presample(4, threshold=0), 1
    yield sampling.GroupNorm(np.arange(problem.n_terms) % min(problem.n_terms, 3)), 2
    yield sampling.WithoutReplacement(), min(2, problem.n_terms)
    if problem.gradient_bounds is not None and np.isfinite(problem.gradient_bounds).all():
        yield sampling.Rejection(weight="exact"), 1
        yield sampling.Rejection(), 2


def start(problem):
    """A point in the box, or near a minimum, where no kink is near and gradients are not too small."""
    if problem.name.startswith(("robust_regression", "pairwise")):
        return problem.minima[0] + 0.02 * np.cos(np.arange(problem.dim))
    low, high = np.full((problem.dim, 2), [-1.0, 1.0]).T if problem.bounds is None else problem.bounds.T
    return low + (high - low) * (0.37 + 0.1 * np.arange(problem.dim) / problem.dim)


@pytest.mark.parametrize("name", PROBLEMS)
def test_everything_runs_on(name):
    problem = PROBLEMS[name]()
    theta = start(problem)
    check = ds.check_gradient(problem, theta)
    assert check or name == "resisting_chain", check  # its oracle is no gradient
    g, full = problem.term_gradients(theta), problem.gradient(theta)
    size = max(np.abs(g).max(), 1e-300)
    assert np.abs(problem.weights @ g - full).max() <= 1e-12 * size
    for scheme, batch_size in schemes(problem):
        if scheme.independent and batch_size == 1:
            v = scheme.reweighting(problem, theta)[:, None] * g
            p = scheme.probabilities(problem, theta)
            assert abs(p.sum() - 1) < 1e-12
            assert np.abs(p @ v - full).max() <= 1e-12 * size, scheme  # unbiased
            step = ds.iterate(problem, ds.SGD(STEP, scheme), theta, n_steps=1, n_paths=4, rng=0).x[:, 1]
            distance = np.abs(theta - STEP * v - step[:, None]).max(axis=-1)
            assert distance.min(axis=1).max() <= 1e-12 * (1 + np.abs(theta).max() + size), scheme
        for method in METHODS:
            _check_runs(problem, dataclasses.replace(method, sampling=scheme, batch_size=batch_size), theta)
    for method in METHODS:
        _check_runs(problem, dataclasses.replace(method, batch_size="full"), theta)
    _check_runs(problem, ds.INGD(delta=0.1, epsilon=0.1, lipschitz=1e3), theta)
    _check_covariances(problem, theta, g, full)


def _check_runs(problem, method, theta):
    run = ds.iterate(
        problem, method, theta, n_steps=3, n_paths=3, rng=0, threads=1
    )  # odd: steps of ± one length do not cancel
    assert run.x.shape == (3, 4, problem.dim)
    assert np.isfinite(run.x).all(), method
    may_rest = isinstance(method, ds.INGD | ds.ACClip) or isinstance(method.sampling, sampling.Rejection)
    assert may_rest or (run.x[:, -1] != run.x[:, 0]).any(), method


def _check_covariances(problem, theta, g, full):
    """AY (3.4) and (3.6), written out for weights a_n, and (3.45): of the two only the traces are ordered."""
    a, norm = problem.weights, np.linalg.norm(g, axis=1)
    if not norm.all():
        return
    mean = np.outer(full, full)
    sigma1 = sum(a_n * np.outer(g_n, g_n) for a_n, g_n in zip(a, g, strict=True)) - mean
    sigma2 = (a @ norm) * sum(a_n * np.outer(g_n, g_n) / c for a_n, g_n, c in zip(a, g, norm, strict=True)) - mean
    size = 1e-12 * (a @ norm**2)
    assert np.abs(problem.gradient_covariance(theta) - sigma1).max() <= size
    assert np.abs(problem.gradient_covariance(theta, sampling.GradientNorm()) - sigma2).max() <= size
    assert np.trace(sigma2) <= np.trace(sigma1) + size


def test_the_list_of_problems_is_complete():
    """A problem that is added must be added here too."""
    makers = {name for name in problems.__all__ if name.islower()} - {"data_sets", "load_data", "check_gradient"}
    covered = set(PROBLEMS) - {"square", "welsch", "barron", "huber", "logistic", "poisson"} | {"linear_model"}
    assert makers == covered
