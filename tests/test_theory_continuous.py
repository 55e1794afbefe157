"""AY Remark 3.6 and Lemma 3.8 against closed forms, a quadrature of first passages, and the enumeration of draws."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binomtest

import dynsim as ds
from dynsim.theory.deviation import _lipschitz


@pytest.fixture(scope="module")
def additive():
    """Gradients θ ∓ 1: for SGD the limit dΘ = −Θ dt + √η dW."""
    return ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])


@pytest.fixture(scope="module")
def disparate():
    """Small features along one axis and large ones along the other, residuals ±1: RR is noisier along the flat one."""
    return ds.problems.linear_model([[1.0, 0.0], [1.0, 0.0], [0.0, 10.0], [0.0, 10.0]], [1.0, -1.0, 1.0, -1.0])


def decay(problem, method, at, **settings):
    return ds.theory.remark_3_6(problem, method, at, **{"t_end": 4.0, "n_paths": 2000, "rng": 3} | settings)


@pytest.mark.parametrize("x0", [0.0, 0.3])
def test_both_sides_of_both_inequalities_are_the_closed_forms_for_additive_noise(additive, x0):
    """λ = σ² = 1: the corrected bound is an equality, and the printed right side is smaller than the left one."""
    eta = 0.1
    found = decay(additive, ds.SGD(eta), [0.0], x0=x0, radius=3.0)
    t = found.t
    square = np.exp(-2 * t) * x0**2 + eta / 2 * (1 - np.exp(-2 * t))
    integral = x0**2 * (1 - np.exp(-2 * t)) / 2 + eta / 2 * (t - (1 - np.exp(-2 * t)) / 2)
    right = x0**2 * (1 - np.exp(-t)) + eta / 2 * (t - (1 - np.exp(-t)))
    np.testing.assert_allclose(found.bound, square, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.printed_right, right, rtol=1e-10, atol=1e-14)
    assert (np.abs(found.mean_square - square) <= 5 * found.stderr + 1e-12).all()
    late = t > 0.2  # the trapezoidal rule needs a few intervals
    assert (np.abs(found.printed_left - integral) <= 5 * found.printed_margin_stderr + 1e-5)[late].all()
    no_factor_2 = np.exp(-t) * x0**2 + eta / 2 * (1 - np.exp(-t))
    assert (np.abs(found.mean_square - no_factor_2) > 5 * found.stderr).any()
    assert found.holds
    assert found.stayed == 1.0


def test_the_printed_inequality_is_false_from_the_minimum_and_true_from_afar(additive):
    eta = 0.1
    near = decay(additive, ds.SGD(eta), [0.0], x0=0.0, radius=3.0)
    assert not near.printed_holds
    assert near.printed_worst < -5
    excess = eta / 4 * (1 + np.exp(-8.0)) - eta / 2 * np.exp(-4.0)  # → ησ²/(4λ²)
    assert -near.printed_margin[-1] == pytest.approx(excess, abs=5 * near.printed_margin_stderr[-1])
    far = decay(additive, ds.SGD(eta), [0.0], x0=1.5)
    assert far.printed_holds
    assert far.holds
    assert far.settings["radius"] == 3.0


@pytest.mark.parametrize("name", ["SGD", "RR"])
def test_the_corrected_bound_holds_on_data_and_both_traces_are_measured(data, name):
    problem = ds.problems.linear_model(*data)
    at, method = problem.least_squares(), getattr(ds, name)(0.05)
    found = decay(problem, method, at, x0=at + 0.3, n_paths=400)
    run = ds.integrate(ds.sde_limit(problem, method), at + 0.3, 4.0, dt=0.025, scheme="platen", n_paths=400, rng=3)
    square = ((run.x - at) ** 2).sum(axis=-1)
    trace = np.trace(method.gradient_covariance(problem, run.x), axis1=-2, axis2=-1)
    np.testing.assert_allclose(found.mean_square, square.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.trace, trace.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.trace_stderr[1:], trace.std(axis=0, ddof=1)[1:] / 20, rtol=1e-6)
    assert found.exact
    assert found.holds
    assert found.worst > -found.margin.size  # a number
    assert (found.margin[1:] > 0).all()
    c0 = np.linalg.eigvalsh(problem.X.T @ problem.X / 12)[0]
    assert found.curvature == pytest.approx(c0, rel=1e-12)
    kernel = np.exp(-2 * c0 * (found.t[-1] - found.t))
    integral = np.trapezoid(kernel * found.trace, found.t)
    assert found.bound[-1] == pytest.approx(np.exp(-2 * c0 * 4.0) * 3 * 0.09 + 0.05 * integral, rel=1e-4)


def test_the_share_that_stayed_is_counted(additive):
    found = decay(additive, ds.SGD(0.1), [0.0], x0=0.2, radius=0.4, n_paths=500)
    run = ds.integrate(ds.sde_limit(additive, ds.SGD(0.1)), 0.2, 4.0, dt=0.05, scheme="platen", n_paths=500, rng=3)
    assert 0.05 < found.stayed < 0.95
    assert found.stayed == (np.abs(run.x[..., 0]) <= 0.4).all(axis=1).mean()


def survival(delta, dt, n_steps, eta):
    """P(max over the steps of |X| ≤ δ) for X' = (1 − dt) X + √(η dt) ξ from 0, by Gauss–Legendre quadrature."""
    x, w = np.polynomial.legendre.leggauss(200)
    x, w = delta * x, delta * w
    kernel = np.exp(-((x[:, None] - (1 - dt) * x) ** 2) / (2 * eta * dt)) / np.sqrt(2 * np.pi * eta * dt)
    density = np.exp(-(x**2) / (2 * eta * dt)) / np.sqrt(2 * np.pi * eta * dt)
    for _ in range(n_steps - 1):
        density = kernel @ (w * density)
    return w @ density


def binomial_stderr(p, n):
    return np.sqrt(p * (1 - p) / n)


@pytest.fixture(scope="module")
def from_zero(additive):
    return ds.theory.lemma_3_8(
        additive, ds.SGD(0.1), x0=0.0, t_end=1.0, deltas=[0.2, 0.35, 0.5, 9.0], n_paths=4000, rng=4
    )


def test_the_probabilities_of_the_sde_are_those_of_a_first_passage(from_zero):
    for delta, p in zip(from_zero.deltas[:3], from_zero.sde.probability, strict=False):
        exact, wrong = (1 - survival(delta, 0.025, 40, eta) for eta in (0.1, 0.05))
        stderr = binomial_stderr(exact, 4000)
        assert p == pytest.approx(exact, abs=5 * stderr)
        assert abs(p - wrong) > 5 * stderr
    sub = from_zero.sde.coarse
    assert (sub <= from_zero.sde.probability).all()
    assert (sub < from_zero.sde.probability)[:3].any()


def test_the_probabilities_of_the_chain_are_those_of_all_its_draws(from_zero):
    farthest = []
    for signs in itertools.product([-1.0, 1.0], repeat=10):
        theta, path = 0.0, []
        for sign in signs:
            theta = 0.9 * theta + 0.1 * sign
            path.append(abs(theta))
        farthest.append(max(path))
    exact = (np.array(farthest)[:, None] > from_zero.deltas[:3]).mean(axis=0)
    assert (exact > 0).all()
    assert (np.abs(from_zero.chain.probability[:3] - exact) <= 5 * binomial_stderr(exact, 4000)).all()


def test_intervals_are_those_of_clopper_and_pearson_and_no_count_gives_an_upper_limit(from_zero):
    for found in (from_zero.sde, from_zero.chain):
        for p, low, high in zip(found.probability, found.low, found.high, strict=True):
            expected = binomtest(round(4000 * p), 4000).proportion_ci(0.95, method="exact")
            assert (low, high) == pytest.approx(tuple(expected), rel=1e-9)
        assert found.probability[3] == found.low[3] == 0
        assert found.high[3] == pytest.approx(1 - 0.025 ** (1 / 4000), rel=1e-9)
        np.testing.assert_array_equal(found.probability, (found.distance[:, None] > from_zero.deltas).mean(axis=0))


def test_the_bound_is_its_formula_and_vacuous(from_zero, additive):
    """B = 1, Tr Σ = 1 for SGD and 1 − θ² for RR."""
    np.testing.assert_allclose(from_zero.bound, 0.1 * 4 * np.exp(2.0) / from_zero.deltas**2, rtol=1e-10)
    assert (from_zero.bound > from_zero.sde.high).all()
    assert (from_zero.bound[:3] > 1).all()
    rr = ds.theory.lemma_3_8(additive, ds.RR(0.1), x0=0.0, t_end=1.0, deltas=0.2, n_paths=4000, rng=4)
    expected = 1 - 0.05 * (1 - (1 - np.exp(-2)) / 2)  # to first order in η: E θ² = η/2 (1 − e^{−2t})
    assert rr.trace_integral == pytest.approx(expected, abs=5 * rr.trace_integral_stderr + 0.05**2)
    assert 0 < rr.trace_integral_stderr < 1e-3
    assert rr.certified


def test_without_noise_the_paths_follow_the_gradient_flow():
    """Euler's steps of −θ differ from e^{−t} by dt/2 t e^{−t} to first order, most at t = 1."""
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 0.0])
    assert np.abs(ds.SGD(0.04).gradient_covariance(problem, [1.0])).max() < 1e-15
    found = ds.theory.lemma_3_8(problem, ds.SGD(0.04), x0=1.0, t_end=2.0, deltas=[1e-3], n_paths=2, rng=0)
    assert found.sde.distance == pytest.approx([0.005 * np.exp(-1)] * 2, rel=0.02)
    assert found.chain.distance == pytest.approx([0.02 * np.exp(-1)] * 2, rel=0.05)
    assert found.trace_integral == 0.0
    assert found.bound == pytest.approx([0.0])


def test_a_smaller_trace_does_not_make_large_deviations_rarer(disparate):
    """RR's noise, of the smaller trace, lies in the flat direction, where little draws back."""
    settings = {"x0": [0.3, 0.05], "t_end": 4.0, "deltas": [0.1, 0.2], "n_paths": 1000, "dt": 1e-3, "rng": 6}
    sgd, rr = (ds.theory.lemma_3_8(disparate, method(0.002), **settings) for method in (ds.SGD, ds.RR))
    gap = 5 * np.hypot(sgd.trace_integral_stderr, rr.trace_integral_stderr)
    assert rr.trace_integral < sgd.trace_integral - gap
    assert rr.sde.high[0] < sgd.sde.low[0]
    for part in ("sde", "chain"):
        assert getattr(rr, part).low[1] > getattr(sgd, part).high[1]


def test_the_lipschitz_constant_is_given_known_or_seen(data, additive):
    X, y = data
    top, x = np.linalg.eigvalsh(X.T @ X / 12)[-1], np.zeros((5, 1, 3))
    for loss in ("square", "welsch"):
        assert _lipschitz(ds.problems.linear_model(X, y, loss), x) == (pytest.approx(top, rel=1e-12), True)
    assert _lipschitz(ds.problems.quadratic([2.0, 3.0, 1.0]), x) == (3.0, True)
    # Poisson's curvature e^f is 1 at 0, and has no bound
    assert _lipschitz(ds.problems.linear_model(X, np.abs(y), "poisson"), x) == (pytest.approx(top, rel=1e-12), False)
    settings = {"x0": 0.0, "t_end": 0.2, "deltas": [1.0], "n_paths": 10, "rng": 0}
    given = ds.theory.lemma_3_8(additive, ds.RR(0.05), lipschitz=3.0, **settings)
    assert (given.lipschitz, given.certified) == (3.0, True)
    factor = 0.05 * 4 * np.exp(2 * 3.0 * 0.2)
    assert given.bound[0] == pytest.approx(factor * given.trace_integral, rel=1e-12)
    assert given.bound_stderr[0] == pytest.approx(factor * given.trace_integral_stderr, rel=1e-12)


def test_remark_3_6_and_lemma_3_8_refuse_what_they_are_not_about(additive, valleys):
    refused, argument = ds.errors.NotApplicable, ds.errors.ArgumentError
    schedule = ds.SGD(ds.schedules.Polynomial(1.0, 10, 1.0))
    remark = {"x0": 0.5, "t_end": 1.0}
    lemma = {"x0": 0.5, "t_end": 1.0, "deltas": [0.1]}
    with pytest.raises(refused, match="remark_3_6 is about SGD"):
        ds.theory.remark_3_6(additive, ds.Adam(0.1), [0.0], **remark)
    with pytest.raises(refused, match="needs a constant step size"):
        ds.theory.remark_3_6(additive, schedule, [0.0], **remark)
    with pytest.raises(refused, match="has a kink at"):
        ds.theory.remark_3_6(valleys, ds.SGD(0.04), [0.2], **remark)
    wave = ds.Problem.from_terms(lambda theta, n: -np.cos(theta[0]), n_terms=1, dim=1)
    with pytest.raises(refused, match="L must be strongly convex within the radius 2 of θ"):
        ds.theory.remark_3_6(wave, ds.SGD(0.1), [0.0], radius=2.0, **remark)
    with pytest.raises(argument, match="radius must be given where x0 is"):
        ds.theory.remark_3_6(additive, ds.SGD(0.1), [0.0], x0=0.0, t_end=1.0)
    with pytest.raises(argument, match=r"x0 must lie within the radius 0\.1"):
        ds.theory.remark_3_6(additive, ds.SGD(0.1), [0.0], radius=0.1, **remark)
    with pytest.raises(argument, match="dt must divide"):
        ds.theory.remark_3_6(additive, ds.SGD(0.1), [0.0], dt=0.3, **remark)
    with pytest.raises(argument, match="dt must be a positive finite number, got 'fine'"):
        ds.theory.remark_3_6(additive, ds.SGD(0.1), [0.0], dt="fine", **remark)
    with pytest.raises(refused, match="lemma_3_8 is about SGD"):
        ds.theory.lemma_3_8(additive, ds.Adam(0.1), **lemma)
    with pytest.raises(refused, match="needs a constant step size"):
        ds.theory.lemma_3_8(additive, schedule, **lemma)
    with pytest.raises(refused, match="needs a Lipschitz continuous gradient"):
        ds.theory.lemma_3_8(valleys, ds.SGD(0.04), **lemma)
    for wrong in ([], [0.1, -1.0]):
        with pytest.raises(argument, match="deltas must be positive numbers, at least one"):
            ds.theory.lemma_3_8(additive, ds.SGD(0.1), **lemma | {"deltas": wrong})
    with pytest.raises(argument, match="lipschitz must be a positive"):
        ds.theory.lemma_3_8(additive, ds.SGD(0.1), lipschitz=0.0, **lemma)
    with pytest.raises(argument, match="t_end must be at least the step size"):
        ds.theory.lemma_3_8(additive, ds.SGD(0.1), **lemma | {"t_end": 0.05})


def test_the_pictures_show_what_was_measured_beside_the_bounds(additive, from_zero):
    found = decay(additive, ds.SGD(0.1), [0.0], x0=0.3, n_paths=50)
    ax = found.plot(Figure().subplots())
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(lines["bound, corrected"], found.bound)
    np.testing.assert_array_equal(lines["its bound, AY Remark 3.6"], found.printed_right)
    ax.figure.canvas.draw()
    ax = from_zero.plot(Figure().subplots())
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert [*lines] == ["SDE", "chain", "AY Lemma 3.8"]
    np.testing.assert_array_equal(lines["SDE"][:3], from_zero.sde.probability[:3])
    assert np.isnan(lines["SDE"][3])
    ax.figure.canvas.draw()
