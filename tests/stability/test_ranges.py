import math

import numpy as np
import pytest
import scipy.linalg

import dynsim as ds
from dynsim.stability import population


def features(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * rng.exponential(size=(n, 1))


def growth(problem, method, theta):
    """Exact E‖θ₁ − θ*‖² / ‖θ₀ − θ*‖² by enumerating the terms, θ* = 0."""
    p = method.sampling.probabilities(problem, theta)
    scale = method.sampling.reweighting(problem, theta)
    after = theta[..., None, :] - method.step_size * scale[..., None] * problem.term_gradients(theta)
    return (p * (after**2).sum(axis=-1)).sum(axis=-1) / (theta**2).sum(axis=-1)


def interpolating(n, d, seed=0, weights=None):
    return ds.problems.linear_model(features(n, d, seed), np.zeros(n), weights=weights)


@pytest.mark.parametrize("method", [ds.SGD(1.0), ds.RR(1.0)], ids=["SGD", "RR"])
@pytest.mark.parametrize(("n", "d"), [(6, 1), (9, 2), (40, 2), (12, 4)])
def test_the_second_moment_grows_in_one_step_exactly_beyond_the_range(method, n, d):
    weights = np.random.default_rng(n).random(n) + 0.1
    problem = interpolating(n, d, seed=n, weights=weights)
    span = ds.step_size_range(problem, method, at=np.zeros(d))
    assert span.exact
    assert span.details["null_space"] == 0
    below, above = (type(ds.SGD(1.0))(share * span.max, method.sampling) for share in (0.999, 1.001))
    directions = np.random.default_rng(1).normal(size=(2000, d))
    assert growth(problem, below, directions).max() < 1
    assert growth(problem, above, span.direction) > 1
    assert growth(problem, below, span.direction) == pytest.approx(1, abs=1e-2)


def test_fixed_proportions_change_the_range():
    problem = interpolating(8, 3)
    norms = (problem.X**2).sum(axis=1)
    scheme = ds.sampling.Proportions(norms / norms.sum())  # Strohmer & Vershynin's
    span = ds.step_size_range(problem, ds.SGD(1.0, scheme), at=np.zeros(3))
    assert span.max == pytest.approx(2 / norms.mean(), rel=1e-12)  # then Σ a²H²/p = mean‖x‖² H
    assert span.max > ds.step_size_range(problem, ds.SGD(1.0), at=np.zeros(3)).max


def test_large_problems_get_bounds_no_worse_than_the_mean_square():
    problem = interpolating(300, 6)
    span = ds.step_size_range(problem, ds.RR(1.0), at=np.zeros(6))
    assert not span.exact
    assert (1 - 1e-12) * 2 / (problem.X**2).sum(axis=1).mean() <= span.lower < span.upper
    assert span.max == span.lower
    assert growth(problem, ds.RR(1.001 * span.upper), span.direction) > 1


def test_the_null_space_is_projected_out_and_reported():
    X = features(6, 2)
    wide = np.column_stack([X, X @ [1.0, 1.0]])
    span = ds.step_size_range(ds.problems.linear_model(wide, np.zeros(6)), ds.SGD(1.0), at=np.zeros(3))
    assert span.details["null_space"] == 1
    assert abs(span.direction @ [1, 1, -1]) < 1e-9


def test_a_minimum_that_does_not_fit_all_terms_is_refused_with_what_happens_there(data):
    problem = ds.problems.linear_model(*data)
    best = problem.least_squares()
    with pytest.raises(ds.errors.NotInterpolating, match=r"∇l_n\(θ\*\) is not zero, of norm .* for term") as refusal:
        ds.step_size_range(problem, ds.SGD(1.0), at=best)
    largest = np.abs(problem.residuals(best)) * np.linalg.norm(problem.X, axis=1)
    assert refusal.value.residual == pytest.approx(largest.max(), rel=1e-12)
    small = refusal.value.stationary([1e-6])
    noise = problem.gradient_covariance(best)
    lyapunov = scipy.linalg.solve_continuous_lyapunov(problem.hessian(best), noise)
    assert small.variance[0] == pytest.approx(1e-6 * np.trace(lyapunov), rel=1e-4)


def test_sgd_loses_its_hold_at_one_over_k_squared_and_the_others_later(valleys, schemes):
    sgd, rr, balanced = schemes(1.0)
    hold = [ds.step_size_range(valleys, m, at=[0.2]).max for m in (sgd, rr, balanced)]
    assert hold == pytest.approx([1 / 25, 1 / (5 * 3.04), 1 / (5 * 3.4)], rel=1e-12)
    hold = [ds.step_size_range(valleys, m, at=[-1.0]).max for m in (sgd, rr, balanced)]
    assert hold == pytest.approx([1, 1 / 0.46, 1 / 3.4], rel=1e-12)


@pytest.mark.parametrize("name", ["SGD", "RR", "Balanced"])
def test_one_step_from_the_minimum_leaves_the_valley_exactly_beyond_the_range(valleys, schemes, name):
    for minimum in valleys.minima:
        method = next(m for m in schemes(1.0) if m.name == name)
        critical = ds.step_size_range(valleys, method, at=minimum).max
        for share, leaves in ((0.99, False), (1.01, True)):
            method = next(m for m in schemes(share * critical) if m.name == name)
            starts = np.repeat(minimum + np.array([[-1e-9], [1e-9]]), 500, axis=0)
            after = ds.iterate(valleys, method, starts, n_steps=1, n_paths=1000, rng=0).x[:, -1]
            assert (np.sign(after) != np.sign(minimum)).any() == leaves


@pytest.mark.parametrize("method", [ds.SGD(1.0), ds.RR(1.0)], ids=["SGD", "RR"])
def test_the_units_of_the_features_do_not_matter(method):
    X = features(9, 3)
    critical = [
        ds.step_size_range(ds.problems.linear_model(unit * X, np.zeros(9)), method, at=np.zeros(3)).max * unit**2
        for unit in (1.0, 1e-100, 1e100)
    ]
    assert critical[1:] == pytest.approx([critical[0]] * 2, rel=1e-10)
    with pytest.raises(ds.errors.ArgumentError, match="Hessians at θ\\* must not all be zero"):
        ds.step_size_range(ds.problems.linear_model(np.zeros((3, 2)), np.zeros(3)), method, at=[0.0, 0.0])


def test_step_size_range_refuses_what_it_is_not_for(valleys):
    with pytest.raises(ds.errors.NotApplicable, match=r"at must be one of the minima \[0.2, -1.0\], got \[0.5\]"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.5])
    with pytest.raises(ds.errors.ArgumentError, match="criterion is not known: got 'onestep'; did you mean 'one-step'"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.2], criterion="onestep")
    with pytest.raises(ds.errors.ArgumentError, match="at must be a scalar or have shape"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.2, 0.3])


def test_the_range_of_another_loss_is_that_of_its_curvature_at_the_fit(data):
    """φ''(0) is 1 for the Huber loss and 1/c² for Barron's."""
    X, theta = data[0], np.ones(data[0].shape[1])
    square = ds.problems.linear_model(X, X @ theta)
    for method in (ds.SGD(1.0), ds.RR(1.0)):
        expected = ds.step_size_range(square, method, at=theta).max
        huber = ds.problems.linear_model(X, X @ theta, "huber")
        barron = ds.problems.linear_model(X, X @ theta, "barron", scale=3.0)
        assert ds.step_size_range(huber, method, at=theta).max == pytest.approx(expected, rel=1e-12)
        assert ds.step_size_range(barron, method, at=theta).max == pytest.approx(9 * expected, rel=1e-9)


def test_hessians_and_gradients_are_as_good_as_the_problem():
    X = features(7, 3)
    problem = ds.problems.linear_model(X, np.zeros(7))
    H = X[:, :, None] * X[:, None, :]
    for method in (ds.SGD(1.0), ds.RR(1.0)):
        for criterion in ("one-step", "deterministic"):
            given = [
                ds.step_size_range(problem, method, at=np.zeros(3), criterion=criterion),
                ds.step_size_range(ds.stability.terms(hessians=H), method, criterion=criterion),
                ds.step_size_range(ds.stability.terms(gradients=X), method, criterion=criterion),
            ]
            assert [span.max for span in given] == pytest.approx([given[0].max] * 3, rel=1e-10)


def test_hessians_by_differences_of_a_nonlinear_least_squares_fit_are_brought_to_features():
    """l = (exp(a·θ) − 1)²/2 has ∇f = a at θ* = 0, so H_n = a aᵀ."""
    A = np.array([[1.0, 0.5], [0.2, -1.0], [0.7, 0.7]])

    def loss(theta, n, params):
        return 0.5 * (math.exp(params[n, 0] * theta[0] + params[n, 1] * theta[1]) - 1) ** 2

    problem = ds.Problem.from_terms(loss, n_terms=3, dim=2, params=A)
    found = ds.stability.terms(problem, [0.0, 0.0])
    np.testing.assert_allclose(
        found.features[:, :, None] * found.features[:, None, :], A[:, :, None] * A[:, None, :], atol=1e-7
    )
    span = ds.step_size_range(problem, ds.RR(0.1), at=[0.0, 0.0])
    assert span.exact
    assert span.max == pytest.approx(ds.step_size_range(ds.stability.terms(gradients=A), ds.RR(0.1)).max, rel=1e-6)


@pytest.fixture
def small_populations(monkeypatch):
    """Less work, larger errors."""
    monkeypatch.setattr(population, "_WORK", 2**19)


@pytest.mark.parametrize(
    "method", [ds.SGD(1.0), ds.RR(1.0), ds.SGD(1.0, ds.sampling.Mixture(0.5))], ids=["SGD", "RR", "mix"]
)
@pytest.mark.parametrize(("n", "d"), [(8, 1), (12, 2), (40, 4)])
def test_the_criteria_are_ordered_from_strict_to_weak(method, n, d, small_populations):
    """one-step ≤ mean-square ≤ almost-sure, and mean-square ≤ deterministic, to the computed error."""
    found = ds.stability.terms(gradients=features(n, d, seed=n))
    one, square, sure, mean = (
        ds.step_size_range(found, method, criterion=c)
        for c in ("one-step", "mean-square", "almost-sure", "deterministic")
    )
    assert one.lower <= square.upper * (1 + 1e-12)
    assert square.lower <= sure.upper * (1 + 1e-12)
    assert square.lower <= mean.upper * (1 + 1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of problem, hessians and gradients"),
        ({"hessians": [np.eye(2)], "gradients": [[1.0, 2.0]]}, "exactly one of problem, hessians and gradients"),
        ({"hessians": np.eye(2)}, r"hessians must have 3 axes, got shape \(2, 2\)"),
        ({"hessians": np.ones((3, 2, 3))}, r"hessians must have shape \(n, dim, dim\), got \(3, 2, 3\)"),
        (
            {"hessians": [np.eye(2), [[1.0, 0.5], [0.2, 1.0]]]},
            r"hessians\[1\] must be symmetric, it differs .* up to 0.3",
        ),
        (
            {"hessians": [np.eye(2), np.diag([1.0, -0.1])]},
            r"hessians\[1\] must be positive semidefinite, .* eigenvalue -0.1",
        ),
        ({"hessians": np.full((2, 2, 2), np.nan)}, r"hessians\[0\] must be finite, it is nan"),
        ({"hessians": np.zeros((2, 2, 2))}, "hessians must not all be zero"),
        ({"gradients": np.zeros((2, 2))}, "gradients must not all be zero"),
        ({"gradients": [[1.0, np.inf]]}, r"gradients\[0\] must be finite, it is inf"),
        ({"gradients": np.zeros((0, 2))}, r"gradients must have shape \(n, dim\), got \(0, 2\)"),
        ({"gradients": [[1.0], [2.0]], "weights": [1.0]}, "weights must be 2 positive numbers, one for each row"),
        ({"gradients": [[1.0]], "at": [0.0]}, "at goes with a problem"),
        ({"hessians": [np.eye(2), np.eye(3)]}, r"hessians must .* of one shape, got \(2, 2\) and \(3, 3\)"),
        ({"gradients": [[1j]]}, "gradients must be real, got complex numbers"),
        ({"gradients": [[1e200, 0.0]]}, "gradients must have eigenvalues that are neither huge nor tiny, got inf"),
        ({"gradients": [[1e-160, 0.0]]}, "gradients must have eigenvalues that are neither huge nor tiny"),
        ({"gradients": [[1.0], [2.0, 3.0]]}, r"gradients must be .*, all terms of one shape, got \(1,\) and \(2,\)"),
    ],
)
def test_terms_refuse_what_they_cannot_be(arguments, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.stability.terms(**arguments)


def test_large_rows_and_coefficients_hide_no_residuals():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    X[:4] *= 1e4
    noise = np.concatenate([np.zeros(4), rng.normal(size=36)])
    shifted = np.column_stack([np.ones(40), rng.normal(size=40)])
    cases = [(X, X @ [1.0, 2.0] + noise), (shifted, 1e6 + 0.05 * rng.normal(size=40))]
    for rows, y in cases:
        problem = ds.problems.linear_model(rows, y)
        with pytest.raises(ds.errors.NotInterpolating):
            ds.step_size_range(problem, ds.SGD(1.0), at=problem.least_squares())
        fitted = ds.problems.linear_model(rows, rows @ problem.least_squares())
        assert ds.step_size_range(fitted, ds.SGD(1.0), at=fitted.least_squares()).exact
        near = fitted.least_squares() + 1e-6
        assert ds.step_size_range(fitted, ds.SGD(1.0), at=near).exact  # a minimum known to six digits


def test_what_was_found_besides_is_in_the_units_of_the_problem(small_populations):
    X = features(12, 3, seed=1)
    for method, criterion in (
        (ds.RR(1.0), "mean-square"),
        (ds.HeavyBall(1.0), "mean-square"),
        (ds.SGD(1.0), "almost-sure"),
    ):
        one, other = (
            ds.step_size_range(ds.stability.terms(gradients=unit * X), method, criterion=criterion)
            for unit in (1.0, 8.0)
        )
        assert other.max == pytest.approx(one.max / 64, rel=1e-9)
        for name, power in (("stderr", -1), ("bias", -1), ("slope", 1)):
            if one.details.get(name) is not None:
                assert other.details[name] == pytest.approx(one.details[name] * 64.0**power, rel=1e-6)
    again = ds.step_size_range(ds.stability.terms(gradients=[[1.0], [10.0]]), ds.SGD(1.0), criterion="almost-sure")
    low, high = again.details["stable_again"]
    assert low < 1.0 < high  # around the pole at η = 1


def test_momentum_zero_is_sgd():
    found = ds.stability.terms(gradients=features(6, 2))
    plain = ds.step_size_range(found, ds.SGD(1.0))
    assert ds.step_size_range(found, ds.HeavyBall(1.0, momentum=0.0)).max == plain.max


def test_points_that_are_no_minimum_are_refused_with_how_far_they_are():
    problem = interpolating(6, 2)
    with pytest.raises(
        ds.errors.ArgumentError, match=r"at must be a stationary point of linear_model.*Newton's step from it length 1"
    ):
        ds.step_size_range(problem, ds.SGD(1.0), at=[1.0, 0.0])
    with pytest.raises(
        ds.errors.ArgumentError, match=r"at must be the minimum θ\* of linear_model.*knows problem.minima"
    ):
        ds.step_size_range(problem, ds.SGD(1.0))
    saddle = ds.problems.quadratic([1.0, -1.0])
    with pytest.raises(ds.errors.ArgumentError, match=r"H\[0\] must be positive semidefinite"):
        ds.step_size_range(saddle, ds.SGD(1.0), at=[0.0, 0.0])


@pytest.mark.parametrize(
    ("method", "criterion", "message"),
    [
        (
            ds.HeavyBall(1.0),
            "one-step",
            "'one-step' does not exist .* has 'mean-square', 'almost-sure', 'deterministic'",
        ),
        (ds.SGD(1.0, batch_size=2), "lemma", "'lemma' does not exist .* has 'one-step', 'mean-square'"),
        (ds.SGD(1.0, ds.sampling.Mixture()), "lemma", "'lemma' does not exist"),
        (ds.Adam(0.1), "mean-square", "stability is for SGD .*, HeavyBall and Nesterov, got Adam"),
        (ds.SGD(1.0, ds.sampling.Reshuffled()), "one-step", "do not depend on the draws before, got Reshuffled"),
        (ds.SGD(1.0, ds.sampling.Custom(lambda theta, n: 1.0)), "one-step", "fixed proportions, GradientNorm, Mixture"),
        (ds.SGD(1.0, noise=ds.noise.Gaussian(1.0)), "one-step", "without added noise"),
    ],
    ids=lambda value: None if isinstance(value, str) else value.name,
)
def test_a_criterion_that_a_method_does_not_have_is_refused_with_those_it_has(method, criterion, message):
    with pytest.raises(ds.errors.NotApplicable, match=message):
        ds.step_size_range(interpolating(6, 2), method, at=np.zeros(2), criterion=criterion)


def test_losses_of_one_variable_with_kinks_hold_like_the_two_valleys(valleys, schemes):
    """The same valleys written by hand."""

    def loss(theta, n, params):
        x = theta[0]
        if n == 0:
            return abs(x + 1) - 1 if x <= 0 else 0.1 * x
        return -0.1 * x if x <= 0 else abs(5 * x - 1) - 1

    known = {"weights": [0.4, 0.6], "minima": [[0.2], [-1.0]], "kinks": [-1.0, 0.0, 0.2]}
    own = ds.Problem.from_terms(loss, n_terms=2, dim=1, **known)
    for minimum in ([0.2], [-1.0]):
        for method in (ds.SGD(1.0), ds.RR(1.0)):
            expected = ds.step_size_range(valleys, method, at=minimum)
            assert ds.step_size_range(own, method, at=minimum).max == pytest.approx(expected.max, rel=1e-9)
    with pytest.raises(
        ds.errors.NotApplicable, match=r"has a kink at 0.2 and no Hessian there: it has the criterion 'one"
    ):
        ds.step_size_range(own, ds.SGD(1.0), at=[0.2], criterion="mean-square")
    with pytest.raises(ds.errors.NotApplicable, match="at must be one of the minima"):
        ds.step_size_range(own, ds.SGD(1.0), at=[0.0])
