import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynsim as ds

AWAY_FROM_KINKS = np.array([-1.7, -1.2, -0.6, -0.01, 0.03, 0.19, 0.21, 0.9])


def test_two_valleys_is_the_papers(valleys):
    theta = np.linspace(-2, 1, 301)
    losses, gradients = zip(*[oracles.two_valleys_terms(t, 0.1, 5.0) for t in theta], strict=True)
    np.testing.assert_allclose(valleys.term_losses(theta[:, None]), losses, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(valleys.term_gradients(theta[:, None])[..., 0], gradients)
    np.testing.assert_allclose(valleys.loss(theta[:, None]), np.array(losses) @ [0.4, 0.6], rtol=0, atol=1e-15)


def test_two_valleys_lists_the_global_minimum_first():
    assert ds.problems.two_valleys(a1=0.4).minima.tolist() == [[0.2], [-1.0]]
    assert ds.problems.two_valleys(a1=0.6).minima.tolist() == [[-1.0], [0.2]]


def problems(data):
    X, y = data
    yield ds.problems.two_valleys(0.3, 0.2, 4.0), AWAY_FROM_KINKS[:, None]
    for loss in ("square", "welsch"):
        yield ds.problems.linear_model(X, y, loss), np.random.default_rng(0).normal(size=(5, 3))


def test_gradients_agree_with_finite_differences(data):
    for problem, thetas in problems(data):
        for theta in thetas:
            expected = oracles.central_difference(problem.loss, theta)
            np.testing.assert_allclose(problem.gradient(theta), expected, rtol=1e-7, atol=1e-8)
            expected = oracles.central_difference(problem.term_losses, theta)
            np.testing.assert_allclose(problem.term_gradients(theta), np.swapaxes(expected, 0, 1), rtol=1e-7, atol=1e-8)


def test_hessians_agree_with_finite_differences_of_gradients(data):
    for problem, thetas in problems(data):
        for theta in thetas:
            expected = oracles.central_difference(problem.gradient, theta)
            np.testing.assert_allclose(problem.hessian(theta), expected, rtol=1e-6, atol=1e-8)


def test_the_welsch_loss_keeps_its_digits_near_zero():
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 0.0], "welsch")
    r = np.logspace(-12, 1, 200)
    np.testing.assert_allclose(problem.loss(r[:, None]), -np.expm1(-(r**2) / 2), rtol=1e-11)


def test_methods_work_on_all_leading_axes(data):
    for problem, _ in problems(data):
        theta = np.random.default_rng(0).normal(size=(2, 3, problem.dim))
        d, n = problem.dim, problem.n_terms
        for method, shape in {
            "loss": (),
            "gradient": (d,),
            "hessian": (d, d),
            "term_losses": (n,),
            "term_gradients": (n, d),
            "term_hessians": (n, d, d),
            "gradient_covariance": (d, d),
        }.items():
            whole = getattr(problem, method)(theta)
            assert whole.shape == (2, 3, *shape), method
            np.testing.assert_array_equal(whole[1, 2], getattr(problem, method)(theta[1, 2]))
            assert getattr(problem, method)(np.empty((0, d))).shape == (0, *shape)


def test_coefficients_undo_standardization(data):
    X, y = data
    for intercept in (False, True):
        plain = ds.problems.linear_model(X, y, intercept=intercept)
        scaled = ds.problems.linear_model(X, y, intercept=intercept, standardize=True)
        np.testing.assert_allclose(scaled.coefficients(scaled.least_squares()), plain.least_squares(), rtol=1e-12)


def test_least_squares_is_the_minimum_of_the_square_loss(data):
    X, y = data
    problem = ds.problems.linear_model(X, y, weights=np.arange(1.0, 13.0))
    assert np.abs(problem.gradient(problem.least_squares())).max() < 1e-14


@given(
    a1=st.one_of(st.floats(max_value=0), st.floats(min_value=1), st.just(float("nan")), st.just("0.4"), st.none()),
)
@settings(max_examples=30, deadline=None)
def test_two_valleys_refuses_a_weight_outside_the_unit_interval(a1):
    with pytest.raises(ds.errors.ArgumentError, match="a1 must lie strictly between 0 and 1, got"):
        ds.problems.two_valleys(a1=a1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": 0.0}, "eps must lie strictly between 0 and 1, got 0.0"),
        ({"eps": float("nan")}, "eps must lie strictly between 0 and 1, got nan"),
        ({"K": 1.0}, "K must be above 1"),
        ({"K": float("inf")}, "K must be a finite number, got inf"),
        ({"a1": 0.05, "eps": 0.5}, "eps = 0.5 is too large"),
    ],
)
def test_two_valleys_refuses_what_has_not_two_valleys(arguments, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.problems.two_valleys(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], [1.0]), "1 rows for 2 parameters"),
        (([1.0, 2.0], [1.0, 2.0]), "X must have 2 axes"),
        (([[1.0], [np.nan]], [1.0, 2.0]), "X must be finite, but 1 entries are not"),
        (([["a"], ["b"]], [1.0, 2.0]), "X must be an array of numbers"),
        (([[1.0], [2.0]], [1.0]), "one target for each of the 2 rows"),
        (([[1.0], [2.0]], [1.0, 2.0], "welch"), "loss is not known: got 'welch'; did you mean 'welsch'"),
    ],
)
def test_linear_model_refuses_bad_data(arguments, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.problems.linear_model(*arguments)


def test_linear_model_refuses_to_standardize_a_constant_and_bad_weights(data):
    X, y = data
    with pytest.raises(ds.errors.ArgumentError, match="column 1 of X is constant"):
        ds.problems.linear_model(np.column_stack([X[:, 0], np.full(12, 3.0)]), y, standardize=True)
    with pytest.raises(ds.errors.ArgumentError, match="weights must be 12 positive numbers"):
        ds.problems.linear_model(X, y, weights=np.zeros(12))


def test_nan_stays_nan(valleys, data):
    for problem in (valleys, ds.problems.linear_model(*data)):
        theta = np.zeros((2, problem.dim))
        theta[1, -1] = np.nan
        for method in ("loss", "gradient", "term_gradients"):
            values = getattr(problem, method)(theta)
            assert np.isfinite(values[0]).all()
            assert np.isnan(values[1]).all(), method


def test_weights_and_data_near_the_largest_float_are_right_or_refused():
    assert ds.problems.linear_model([[1.0], [2.0]], [0.0, 1.0], weights=[1e308, 1e308]).weights.tolist() == [0.5, 0.5]
    with pytest.raises(ds.errors.ArgumentError, match="cannot be standardized: the squares of their entries overflow"):
        ds.problems.linear_model([[1e200], [2e200], [4e200]], [1.0, 2.0, 3.0], standardize=True)


def test_theta_of_a_wrong_shape_is_refused(valleys):
    with pytest.raises(ds.errors.ArgumentError, match=r"theta must have shape \(..., 1\), got \(3,\)"):
        valleys.loss([1.0, 2.0, 3.0])
