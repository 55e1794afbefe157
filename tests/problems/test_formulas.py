"""What every problem made of formulas must satisfy: Hessian, gradient and loss agree, bounds bound, NaN stays NaN."""

import numpy as np
import oracles
import pytest

import dynsim as ds

RNG = np.random.default_rng(3)
MAKE = {
    "quadratic": lambda: ds.problems.quadratic([1.0, 0.0, -2.5]),
    "bernoulli_quadratic": lambda: ds.problems.bernoulli_quadratic(1.5, 1 / 16, 1),
    "lessard_piecewise": ds.problems.lessard_piecewise,
    "egg_carton": ds.problems.egg_carton,
    "exponential_wings": lambda: ds.problems.exponential_wings(1.7),
    "flat_quartic": lambda: ds.problems.flat_quartic(0.3),
    "resisting_chain": lambda: ds.problems.resisting_chain(4, 0.3, smoothness=40.0, length=1.5),
    "resisting_chain, p = 1": lambda: ds.problems.resisting_chain(5, 1.0),
    "ramp": lambda: ds.problems.ramp(4),
    "abs_well": ds.problems.abs_well,
    "resisting_zigzag": lambda: ds.problems.resisting_zigzag([0.5, -1.0, 2.0], 0.3, slope=3.0),
    "max_of_linears": lambda: ds.problems.max_of_linears(RNG.normal(size=(7, 3)), RNG.normal(size=7)),
    "max_of_linears, dim 1": lambda: ds.problems.max_of_linears([[-2.0], [1.5], [3.5]], [0.0, 0.875, -1.125]),
    "relu_network": lambda: ds.problems.relu_network(RNG.normal(size=(6, 2)), RNG.normal(size=6), hidden=3),
}
ORACLE_IS_NO_GRADIENT = {"resisting_chain"}
SECOND_DERIVATIVE_JUMPS = [1.0, 2.0]  # of lessard_piecewise


@pytest.fixture(params=MAKE)
def problem(request):
    return MAKE[request.param]()


def points(problem, count=40):
    """Points in the box of the problem, none within 1e-3 of a kink plane or a jump of the second derivative."""
    low, high = problem.bounds.T
    theta = np.random.default_rng(1).uniform(low, high, size=(20 * count, problem.dim))
    normals, offsets = problem.kink_planes[:, :-1], problem.kink_planes[:, -1]
    distance = np.abs(theta @ normals.T - offsets) / np.linalg.norm(normals, axis=1)
    near = (distance < 1e-3).any(axis=1) | (np.abs(theta[..., None] - SECOND_DERIVATIVE_JUMPS) < 1e-3).any(axis=(1, 2))
    assert (~near).sum() >= count
    return theta[~near][:count]


def test_gradient_is_the_derivative_of_the_loss(problem):
    for theta in points(problem):
        expected = oracles.central_difference(problem.loss, theta)
        scale = np.abs(expected).max() + np.abs(problem.loss(theta))
        np.testing.assert_allclose(problem.gradient(theta), expected, rtol=1e-7, atol=1e-9 * scale + 1e-9)


def test_hessian_is_the_derivative_of_the_gradient(problem):
    for theta in points(problem):
        expected = oracles.central_difference(problem.gradient, theta)
        scale = np.abs(expected).max() + np.abs(problem.gradient(theta)).max()
        np.testing.assert_allclose(problem.hessian(theta), expected, rtol=1e-6, atol=1e-8 * scale + 1e-8)


@pytest.mark.parametrize("name", [name for name in MAKE if name not in ORACLE_IS_NO_GRADIENT])
def test_gradients_and_hessians_of_the_terms_are_derivatives_too(name):
    problem = MAKE[name]()
    for theta in points(problem, 10):
        expected = np.moveaxis(oracles.central_difference(problem.term_losses, theta), 0, -1)
        np.testing.assert_allclose(problem.term_gradients(theta), expected, rtol=1e-6, atol=1e-6)
        expected = np.moveaxis(oracles.central_difference(problem.term_gradients, theta), 0, -1)
        np.testing.assert_allclose(problem.term_hessians(theta), expected, rtol=1e-6, atol=1e-6)


def test_gradient_bounds_hold_where_they_are_stated(problem):
    if problem.gradient_bounds is None:
        return
    theta = np.random.default_rng(2).normal(scale=3.0, size=(4000, problem.dim))
    norms = np.linalg.norm(problem.term_gradients(theta), axis=-1)
    assert (norms <= problem.gradient_bounds * (1 + 1e-12)).all()
    sharp = "resisting_chain" not in problem.name  # there the bound is the paper's
    assert not sharp or (norms.max(axis=0) > 0.98 * problem.gradient_bounds).all()


def test_lipschitz_constants_hold_where_they_are_stated(problem):
    if problem.lipschitz is None:
        return
    theta = np.random.default_rng(2).normal(scale=3.0, size=(4000, problem.dim))
    norms = np.abs(np.linalg.eigvalsh(problem.term_hessians(theta))).max(axis=-1)
    assert (norms <= problem.lipschitz * (1 + 1e-12)).all()
    sharp = "resisting_chain" not in problem.name
    assert not sharp or (norms.max(axis=0) > 0.98 * problem.lipschitz).all()


def test_minima_are_lower_than_all_that_is_around_them(problem):
    if problem.minima is None:
        return
    losses = problem.loss(problem.minima)
    assert (np.diff(losses) >= 0).all()  # the global one first
    for minimum, loss in zip(problem.minima, losses, strict=True):
        assert ((problem.bounds[:, 0] <= minimum) & (minimum <= problem.bounds[:, 1])).all()
        around = minimum + np.random.default_rng(4).uniform(-0.05, 0.05, size=(500, problem.dim))
        assert (problem.loss(around) > loss - 1e-12).all()
    low, high = problem.bounds.T
    everywhere = problem.loss(np.random.default_rng(5).uniform(low, high, size=(4000, problem.dim)))
    assert (everywhere > losses[0] - 1e-12).all()


def test_kinks_are_kink_planes_in_one_dimension(problem):
    if problem.dim == 1:
        np.testing.assert_array_equal(problem.kink_planes, [[1.0, kink] for kink in problem.kinks] or np.empty((0, 2)))


def test_the_gradient_at_a_kink_is_the_one_on_its_left(problem):
    for kink in problem.kinks if problem.name != "resisting_chain" else ():
        left, at, right = problem.gradient([[kink - 1e-9], [kink], [kink + 1e-9]])[:, 0]
        assert at == left < right or at == left > right


def test_methods_take_all_leading_axes_and_none(problem):
    theta = np.stack([points(problem, 3), points(problem, 3)[::-1]])
    d, n = problem.dim, problem.n_terms
    for method, shape in {"loss": (), "gradient": (d,), "hessian": (d, d), "term_hessians": (n, d, d)}.items():
        whole = getattr(problem, method)(theta)
        assert whole.shape == (2, 3, *shape), method
        np.testing.assert_allclose(whole[1, 2], getattr(problem, method)(theta[1, 2]), rtol=1e-13, atol=1e-15)
        assert getattr(problem, method)(np.empty((0, d))).shape == (0, *shape)


def test_nan_stays_nan(problem):
    theta = points(problem, 2)
    theta[1, -1] = np.nan
    for method in ("loss", "gradient", "term_gradients"):
        values = getattr(problem, method)(theta)
        assert np.isfinite(values[0]).all()
        assert np.isnan(values[1]).all(), method


def test_gradient_descent_runs_on_every_problem(problem):
    start = points(problem, 1)[0]
    path = ds.iterate(problem, ds.SGD(step_size=1e-3), start, n_steps=3, rng=0).x[0]
    steps = (path[:-1] - path[1:]) / 1e-3
    drawn = [np.abs(problem.term_gradients(x) - step).max(axis=-1).min() for x, step in zip(path, steps, strict=False)]
    assert max(drawn) < 1e-9
