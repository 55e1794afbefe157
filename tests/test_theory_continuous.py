"""AY Remark 3.6 and Lemma 3.8 against closed forms, a quadrature of first passages, and the enumeration of draws."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.linalg import expm
from scipy.stats import binomtest

import dynsim as ds
from dynsim.theory.deviation import _known_lipschitz, _seen_lipschitz


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


def first_passage(delta, eta, t_end, n=401):
    """P(sup |X| > δ) for dX = −X dt + √η dW from 0: the backward equation on a grid, with u(±δ) = 0."""
    x = np.linspace(-delta, delta, n + 2)[1:-1]
    h = x[1] - x[0]
    up, down = eta / (2 * h**2) - x[:-1] / (2 * h), eta / (2 * h**2) + x[1:] / (2 * h)
    generator = np.diag(np.full(n, -eta / h**2)) + np.diag(up, 1) + np.diag(down, -1)
    return 1 - expm(generator * t_end).sum(axis=1)[n // 2]


def test_long_step_sizes_do_not_blow_the_integration_up(additive):
    """E r² → η/2, an equality with the corrected bound, and P(sup > 100) is 0, for ηλ far above 2."""
    found = ds.theory.remark_3_6(additive, ds.SGD(4.5), [0.0], x0=0.0, t_end=45.0, radius=30.0, rng=0)
    assert found.holds
    assert found.mean_square[-1] == pytest.approx(2.25, abs=5 * found.stderr[-1])
    assert (found.step_error < found.stderr)[1:].all()
    gone = ds.theory.lemma_3_8(
        additive, ds.SGD(9.0), x0=0.5, t_end=90.0, lipschitz=5.0, deltas=[1.0, 100.0], n_paths=100, rng=0
    )
    assert gone.sde.probability.tolist() == [1.0, 0.0]
    assert gone.settings["dt"] <= 0.0125
    assert gone.bound.tolist() == [np.inf, np.inf]  # e^900
    assert not np.isnan(gone.bound_stderr).any()


def test_the_error_of_the_steps_is_no_violation():
    """With hardly any noise the bound is an equality that the integration misses by many standard errors."""
    quiet = ds.problems.linear_model([[1.0], [1.0]], [1e-3, -1e-3])
    for settings in ({}, {"scheme": "euler-maruyama"}, {"scheme": "implicit-euler"}, {"dt": 0.5}):
        found = decay(quiet, ds.SGD(0.1), [0.0], x0=1.5, n_paths=100, **settings)
        square = np.exp(-2 * found.t) * 1.5**2 + 0.05e-6 * (1 - np.exp(-2 * found.t))
        off = found.mean_square - square
        assert (np.abs(off) <= found.step_error + 5 * found.stderr + 1e-12).all()
        assert found.holds
        assert (found.step_error <= 40 * np.abs(off) + 5 * found.stderr + 1e-12).all()
        blind = dataclasses.replace(found, step_error=0 * found.step_error)
        assert blind.holds == (settings.get("scheme") == "euler-maruyama")  # which contracts too fast
    assert found.curvature == pytest.approx(1.0)


def binomial_stderr(p, n):
    return np.sqrt(p * (1 - p) / n)


@pytest.fixture(scope="module")
def from_zero(additive):
    return ds.theory.lemma_3_8(
        additive, ds.SGD(0.1), x0=0.0, t_end=1.0, deltas=[0.2, 0.35, 0.5, 9.0], n_paths=4000, rng=4
    )


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
    """The chain's steps of −θ differ from e^{−t} by η/2 t e^{−t} to first order, most at t = 1."""
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 0.0])
    assert np.abs(ds.SGD(0.04).gradient_covariance(problem, [1.0])).max() < 1e-15
    found = ds.theory.lemma_3_8(problem, ds.SGD(0.04), x0=1.0, t_end=2.0, deltas=[1e-3], n_paths=2, rng=0)
    assert (found.sde.distance < 1e-12).all()
    assert found.chain.distance == pytest.approx([0.02 * np.exp(-1)] * 2, rel=0.05)
    assert found.trace_integral == 0.0
    assert found.bound == pytest.approx([0.0])


def test_a_smaller_trace_does_not_make_large_deviations_rarer(disparate):
    """RR's noise, of the smaller trace, lies in the flat direction, where little draws back."""
    settings = {"x0": [0.3, 0.05], "t_end": 4.0, "deltas": [0.1, 0.2], "n_paths": 600, "dt": 1e-3, "rng": 6}
    sgd, rr = (ds.theory.lemma_3_8(disparate, method(0.002), **settings) for method in (ds.SGD, ds.RR))
    gap = 5 * np.hypot(sgd.trace_integral_stderr, rr.trace_integral_stderr)
    assert rr.trace_integral < sgd.trace_integral - gap
    assert rr.sde.high[0] < sgd.sde.low[0]
    for part in ("sde", "chain"):
        assert getattr(rr, part).low[1] > getattr(sgd, part).high[1]


def test_what_lies_between_the_times_is_that_of_the_noise_along_the_distance(disparate):
    """After one step from the minimum with RR's Σ = diag(2.75, 27.5): Θ = √(dt η Σ) ξ."""
    eta, dt = 0.01, 1e-4
    settings = {"x0": [0.0, 0.0], "t_end": eta, "deltas": 1.0, "dt": dt, "n_paths": 50, "rng": 1}
    found = ds.theory.lemma_3_8(disparate, ds.RR(eta), **settings)
    run = ds.integrate(ds.sde_limit(disparate, ds.RR(eta)), [0.0, 0.0], eta, dt=dt, n_paths=50, rng=1)
    r = np.linalg.norm(run.x, axis=-1)
    where = run.x[np.arange(50), r.argmax(axis=1)]
    covariance = ds.RR(eta).gradient_covariance(disparate, where)
    outward = where / r.max(axis=1)[:, None]
    rate = eta * np.einsum("ij,ijk,ik->i", outward, covariance, outward)
    np.testing.assert_allclose(found.sde.distance, r.max(axis=1) + 0.58259716 * np.sqrt(rate * dt), rtol=1e-7)
    assert rate.max() > 3 * rate.min()


def test_the_lipschitz_constant_is_given_known_or_seen(data, additive):
    X, y = data
    top, x = np.linalg.eigvalsh(X.T @ X / 12)[-1], np.zeros((5, 1, 3))
    for loss in ("square", "welsch"):
        assert _known_lipschitz(ds.problems.linear_model(X, y, loss)) == pytest.approx(top, rel=1e-12)
    assert _known_lipschitz(ds.problems.quadratic([2.0, 3.0, 1.0])) == 3.0
    # Poisson's curvature e^f is 1 at 0, and has no bound
    counts = ds.problems.linear_model(X, np.abs(y), "poisson")
    assert _known_lipschitz(counts) is None
    assert _seen_lipschitz(counts, x, 0.01) == pytest.approx(top, rel=1e-12)
    seen = ds.theory.lemma_3_8(counts, ds.SGD(0.02), x0=0.0, t_end=0.2, deltas=[0.1], n_paths=50, rng=0)
    assert not seen.certified
    assert seen.settings["dt"] <= 0.0125 / top * 1.5  # the flow starts at curvature ``top``
    with pytest.raises(ds.errors.ArgumentError, match="dt must be at most the inverse of the largest curvature on the"):
        _seen_lipschitz(counts, x, 1.1 / top)
    with pytest.raises(ds.errors.ArgumentError, match=r"on the paths, inf, but is 0\.01: give a shorter dt"):
        _seen_lipschitz(counts, np.full((1, 1, 3), np.inf), 0.01)
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
    with pytest.raises(argument, match=r"dt must be at most 1, the inverse of the largest curvature 1, got 2: longer"):
        ds.theory.remark_3_6(additive, ds.SGD(4.0), [0.0], dt=2.0, radius=3.0, x0=0.5, t_end=4.0)
    with pytest.raises(argument, match=r"dt must be at most 1, the inverse of the largest curvature 1, got 2: longer"):
        ds.theory.lemma_3_8(additive, ds.SGD(4.0), x0=0.5, t_end=4.0, deltas=1.0, dt=2.0)
    assert ds.theory.remark_3_6(additive, ds.SGD(4.0), [0.0], dt=1.0, radius=1e200, x0=0.5, t_end=4.0).stayed == 1.0
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


def test_a_bound_far_above_1_is_told_and_does_not_squeeze_the_picture(additive):
    found = ds.theory.lemma_3_8(
        additive, ds.SGD(0.1), x0=0.5, t_end=0.2, deltas=[0.2, 0.4], lipschitz=100.0, n_paths=20, rng=0
    )
    assert found.bound.min() > 1e3
    ax = found.plot(Figure().subplots())
    assert ax.lines[-1].get_label() == f"AY Lemma 3.8, at least {found.bound.min():.2g}"
    assert ax.get_ylim()[1] == 3.0
