import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim.stability import one_step


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
    assert span.details == {"interpolating": True, "null_space": 0}
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


@pytest.mark.parametrize(("n", "d", "seed"), [(10, 3, 0), (10, 3, 1), (11, 5, 2)])
def test_certified_bounds_hold_the_exact_value(monkeypatch, n, d, seed):
    X, weights = features(n, d, seed), np.full(n, 1 / n)
    exact = one_step.critical_for_gradient_norm(X, weights)[0]
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    w = signs @ (weights[:, None] * np.linalg.norm(X, axis=1)[:, None] * X)
    by_hand = 2 / np.einsum("si,ij,sj->s", w, np.linalg.inv(X.T @ X / n), w).max()
    assert exact == pytest.approx(by_hand, rel=1e-12)
    monkeypatch.setattr(one_step, "_MOST_SIGNS", 0)
    lower, upper, _, _ = one_step.critical_for_gradient_norm(X, weights)
    assert lower <= exact * (1 + 1e-12)
    assert exact <= upper * (1 + 1e-12)
    assert lower > exact / (np.pi / 2)  # the guarantee of the semidefinite bound


def test_the_sweep_of_the_angle_is_the_enumeration(monkeypatch):
    X, weights = features(13, 2), np.full(13, 1 / 13)
    by_enumeration = one_step.critical_for_gradient_norm(X, weights)[0]
    monkeypatch.setattr(one_step, "_MOST_SIGNS", 0)
    assert one_step.critical_for_gradient_norm(X, weights)[0] == pytest.approx(by_enumeration, rel=1e-12)


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


def test_residuals_at_the_minimum_are_reported(data):
    problem = ds.problems.linear_model(*data)
    assert not ds.step_size_range(problem, ds.SGD(1.0), at=problem.least_squares()).details["interpolating"]


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
    with pytest.raises(ds.errors.NotApplicable, match="all features are zero"):
        ds.step_size_range(ds.problems.linear_model(np.zeros((3, 2)), np.zeros(3)), method, at=[0.0, 0.0])


def test_step_size_range_refuses_what_it_is_not_for(valleys):
    with pytest.raises(ds.errors.NotApplicable, match=r"at must be one of the minima \[0.2, -1.0\], got \[0.5\]"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.5])
    with pytest.raises(ds.errors.ArgumentError, match="criterion is not known: got 'onestep'; did you mean 'one-step'"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.2], criterion="onestep")
    with pytest.raises(ds.errors.ArgumentError, match="at must be a scalar or have shape"):
        ds.step_size_range(valleys, ds.SGD(1.0), at=[0.2, 0.3])


def test_the_range_of_another_loss_is_that_of_its_curvature_at_the_fit(data):
    """φ''(0) is 1 for the Huber loss and 1/c² for Barron's; the logistic loss has no perfect fit."""
    X, y = data
    square = ds.problems.linear_model(X, y)
    for method in (ds.SGD(1.0), ds.RR(1.0)):
        expected = ds.step_size_range(square, method, at=np.zeros(3)).max
        huber = ds.problems.linear_model(X, y, "huber")
        barron = ds.problems.linear_model(X, y, "barron", scale=3.0)
        assert ds.step_size_range(huber, method, at=np.zeros(3)).max == pytest.approx(expected, rel=1e-12)
        assert ds.step_size_range(barron, method, at=np.zeros(3)).max == pytest.approx(9 * expected, rel=1e-9)
    logistic = ds.problems.linear_model(X, (y > 0).astype(float), "logistic")
    with pytest.raises(ds.errors.NotApplicable, match="a minimum that fits all data, which the logistic loss does not"):
        ds.step_size_range(logistic, ds.SGD(1.0), at=np.zeros(3))
    with pytest.raises(ds.errors.NotApplicable, match=r"fixed proportions and GradientNorm, got Mixture\(t=0.5\)"):
        ds.step_size_range(square, ds.SGD(1.0, ds.sampling.Mixture()), at=np.zeros(3))
