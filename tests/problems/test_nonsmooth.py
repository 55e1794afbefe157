from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynsim as ds


def ramp_value(x, n):
    return -x / (n + 1) if x <= 0 else n * x / (n + 1)


def ramp_orbit(n, n_steps):
    """Z (6.11) with step size 1 from 0.2/(n + 1), in rationals."""
    x = [Fraction(1, 5) / (n + 1)]
    for _ in range(n_steps):
        x.append(x[-1] - (Fraction(-1, n + 1) if x[-1] <= 0 else Fraction(n, n + 1)))
    return x


@pytest.mark.parametrize("n", [1, 2, 3, 8, 20])
def test_the_ramp_has_period_n_plus_1(n):
    exact = ramp_orbit(n, 3 * (n + 1))
    for k in range(1, n + 2):
        assert exact[k] == -1 + (k + Fraction(1, 5)) / (n + 1)
    assert exact[n + 1 :] == exact[: -n - 1]
    assert len(set(exact[: n + 1])) == n + 1
    path = ds.iterate(ds.problems.ramp(n), ds.SGD(step_size=1.0), float(exact[0]), n_steps=3 * (n + 1)).x[0, :, 0]
    np.testing.assert_allclose(path, np.array(exact, dtype=float), rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 20])
def test_the_ramps_window_means_change_by_the_corrected_amount_forever(n):
    losses = [ramp_value(x, n) for x in ramp_orbit(n, 4 * (n + 1))]
    means = [sum(losses[t : t + n]) / n for t in range(3 * (n + 1))]
    largest = max(abs(after - before) for before, after in pairwise(means))
    assert largest == (Fraction(4, 5) * n - Fraction(1, 5)) / (n * (n + 1) ** 2)
    assert largest < Fraction(1, 2 * n)  # what Z Lemma 6.4.2 claims to be exceeded
    theta = np.array(ramp_orbit(n, 4 * (n + 1)), dtype=float)[:, None]
    np.testing.assert_allclose(ds.problems.ramp(n).loss(theta), np.array(losses, dtype=float), rtol=1e-14, atol=0)


def test_the_absolute_well_is_its_formula():
    x = np.linspace(-3, 3, 49)
    np.testing.assert_array_equal(ds.problems.abs_well().loss(x[:, None]), abs(abs(x) - 1))


def test_gradient_descent_in_the_absolute_well_ends_in_a_two_cycle_about_a_minimum():
    path = ds.iterate(ds.problems.abs_well(), ds.SGD(step_size=0.25), 0.625, n_steps=20).x[0, :, 0]
    assert set(path[-4:]) == {0.875, 1.125}


def test_zigzags_with_different_shifts_answer_all_queries_alike_and_share_no_stationary_point():
    queries = [-1.0, 0.5, 0.25, 3.0]
    one, two = (ds.problems.resisting_zigzag(queries, shift, slope=2.0) for shift in (0.0625, 0.03125))
    for problem in (one, two):
        assert problem.loss(np.array(queries)[:, None]).tolist() == [0.0] * 4
        assert problem.gradient(np.array(queries)[:, None])[:, 0].tolist() == [2.0] * 4
        assert len(problem.kinks) == 7
        assert problem.loss([problem.kinks[0]]) == -2.0 * (0.0625 if problem is one else 0.03125)
        between = np.linspace(-2, 4, 4001)
        between = between[np.abs(between[:, None] - problem.kinks).min(axis=1) > 1e-9]
        assert (np.abs(problem.gradient(between[:, None])) == 2.0).all()
    assert not set(one.kinks) & set(two.kinks)


def pieces_at(lines, x):
    """The largest value of the lines (slope, intercept) at x, and the slopes that attain it."""
    values = [slope * x + intercept for slope, intercept in lines]
    return max(values), {slope for (slope, _), value in zip(lines, values, strict=True) if value == max(values)}


@given(st.lists(st.tuples(st.integers(-6, 6), st.integers(-9, 9)), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_kinks_and_minimum_of_a_maximum_of_lines_are_those_of_rational_brute_force(lines):
    crossings = {Fraction(c - b, a - d) for (a, b), (d, c) in combinations(lines, 2) if a != d}
    kinks = sorted(x for x in crossings if len(pieces_at(lines, x)[1]) > 1)
    problem = ds.problems.max_of_linears([[a] for a, _ in lines], [b for _, b in lines])
    np.testing.assert_allclose(problem.kinks, np.array(kinks, dtype=float), rtol=1e-13, atol=1e-13)
    slopes = [slope for slope, _ in lines]
    if kinks and min(slopes) <= 0 <= max(slopes):
        lowest = min(pieces_at(lines, x)[0] for x in kinks)
        assert problem.loss(problem.minima[0]) == pytest.approx(float(lowest), abs=1e-12)
    else:
        assert problem.minima is None
    for x in (Fraction(-7, 4), Fraction(0), Fraction(1), Fraction(9, 4)):  # exact in floating point
        value, active = pieces_at(lines, x)
        assert problem.loss([float(x)]) == float(value)
        assert problem.gradient([float(x)])[0] == min(active)  # the derivative from the left


def test_ties_in_the_plane_take_the_piece_from_the_left_in_the_first_coordinate_then_in_the_second():
    problem = ds.problems.max_of_linears([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # max(|x|, |y|)
    assert problem.gradient([0.0, 0.0]).tolist() == [-1.0, 0.0]
    assert problem.gradient([1.0, 1.0]).tolist() == [0.0, 1.0]
    near = problem.gradient([[1.0 - 1e-9, 1.0 - 1e-18], [-1e-9, -1e-18]])
    assert near.tolist() == [[0.0, 1.0], [-1.0, 0.0]]


def test_linear_programming_finds_the_minimum_or_says_there_is_none():
    A = np.array([[1.0, 2.0], [-1.0, 1.0], [0.0, -3.0], [2.0, -1.0]])
    center = np.array([3.0, -2.0])
    for size in (1.0, 1e-6, 1e6):
        problem = ds.problems.max_of_linears(size * A, -size * A @ center)  # all pieces meet at the center
        np.testing.assert_allclose(problem.minima[0], center, rtol=1e-9)
    assert ds.problems.max_of_linears(A[[0, 3]]).minima is None
    assert ds.problems.max_of_linears(np.zeros((2, 2)), [1.0, 2.0]).minima is None


def test_the_pieces_of_a_maximum_tie_on_its_kink_planes():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(5, 3)), rng.normal(size=5)
    planes = ds.problems.max_of_linears(np.vstack([A, A[:1]]), [*b, b[0] - 1]).kink_planes
    assert len(planes) == 15 - 1  # of all pairs but the parallel one
    theta = rng.normal(size=(4000, 3))
    steps = theta + rng.normal(scale=0.05, size=theta.shape)
    problem = ds.problems.max_of_linears(A, b)
    jumps = (problem.gradient(theta) != problem.gradient(steps)).any(axis=1)
    crossed = (theta @ planes[:, :3].T > planes[:, 3]) != (steps @ planes[:, :3].T > planes[:, 3])
    assert 50 < jumps.sum() < 2000
    assert crossed[jumps].any(axis=1).all()


def network(theta, x, hidden):
    """The network and its gradient at one x, in plain Python."""
    d = len(x)
    w, b = theta[: hidden * d], theta[hidden * d : hidden * (d + 1)]
    v, c = theta[hidden * (d + 1) : -1], theta[-1]
    out, gradient = c, np.zeros(len(theta))
    gradient[-1] = 1
    for j in range(hidden):
        z = sum(w[j * d + i] * x[i] for i in range(d)) + b[j]
        if z > 0:
            out += v[j] * z
            gradient[j * d : (j + 1) * d] = v[j] * np.asarray(x)
            gradient[hidden * d + j] = v[j]
            gradient[hidden * (d + 1) + j] = z
    return out, gradient


def test_the_network_its_losses_and_gradients_are_those_of_plain_python():
    rng = np.random.default_rng(2)
    X, y, hidden = rng.normal(size=(5, 3)), rng.normal(size=5), 4
    problem = ds.problems.relu_network(X, y, hidden)
    assert problem.dim == hidden * 5 + 1
    for theta in rng.normal(size=(10, problem.dim)):
        values, gradients = zip(*[network(theta, x, hidden) for x in X], strict=True)
        residuals = np.array(values) - y
        np.testing.assert_allclose(problem.predict(theta), values, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(problem.term_losses(theta), residuals**2 / 2, rtol=1e-12, atol=1e-13)
        expected = residuals[:, None] * np.array(gradients)
        np.testing.assert_allclose(problem.term_gradients(theta), expected, rtol=1e-12, atol=1e-12)


def test_the_networks_gradient_jumps_across_every_kink_plane_and_is_the_dead_units_on_it():
    X, hidden = np.array([[1.0, 2.0], [-1.0, 0.5]]), 2
    problem = ds.problems.relu_network(X, [3.0, -3.0], hidden)
    assert problem.kink_planes.shape == (4, problem.dim + 1)
    rng = np.random.default_rng(0)
    for plane in problem.kink_planes:
        normal, offset = plane[:-1], plane[-1]
        theta = rng.normal(size=problem.dim)
        theta -= normal * (normal @ theta - offset) / (normal @ normal)
        below, above = (problem.gradient(theta + h * normal) for h in (-1e-7, 1e-7))
        assert np.abs(above - below).max() > 1e-3
        shift = 0.37 * rng.normal(size=problem.dim)
        shift -= normal * (normal @ shift) / (normal @ normal)
        a, b = problem.gradient([theta + 1e-9 * shift + 1e-7 * normal, theta + 1e-7 * normal])
        assert np.abs(a - b).max() < 1e-6
    off = problem.gradient(np.append(np.zeros(problem.dim - 1), 1.0))
    assert off.tolist() == [0.0] * (problem.dim - 1) + [1.0]  # c − mean y = 1


def test_sgd_fits_a_kinked_function_with_the_network():
    x = np.linspace(-1, 1, 16)[:, None]
    problem = ds.problems.relu_network(x, np.abs(x[:, 0]), hidden=3)
    start = np.random.default_rng(1).normal(scale=0.7, size=(8, problem.dim))
    run = ds.iterate(problem, ds.SGD(step_size=0.1), start, n_steps=20_000, n_paths=8, rng=0, save_every=None)
    assert problem.loss(run.x[:, -1]).min() < 1e-6 < 0.01 < problem.loss(start).min()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.ramp(0), "n must be a whole number, at least 1, got 0"),
        (lambda p: p.ramp(2.5), "n must be a whole number"),
        (lambda p: p.resisting_zigzag([], 0.1), "queries must be at least one number"),
        (lambda p: p.resisting_zigzag([0.0, 1.0], 0.5), "shift must be below half the least distance"),
        (lambda p: p.resisting_zigzag([0.0, 0.0], 0.1), "two queries, 0, got 0.1"),
        (lambda p: p.resisting_zigzag([0.0], 0.1, slope=-1.0), "slope must be a positive finite number"),
        (lambda p: p.max_of_linears([1.0, 2.0]), "A must have 2 axes"),
        (lambda p: p.max_of_linears(np.empty((0, 2))), "A must have a row for each piece"),
        (
            lambda p: p.max_of_linears([[1.0], [2.0]], [0.0]),
            "b must have one number for each of the 2 rows of A, got 1",
        ),
        (lambda p: p.relu_network([[1.0]], [1.0, 2.0]), "y must have one target for each of the 1 rows of X, got 2"),
        (lambda p: p.relu_network(np.empty((0, 1)), []), "X must have at least one row and one column"),
        (lambda p: p.relu_network([[1.0]], [1.0], hidden=0), "hidden must be a whole number, at least 1"),
        (lambda p: p.relu_network([[1.0]], [1.0]).predict(np.zeros(13), [[1.0, 2.0]]), "X must have 1 columns"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        call(ds.problems)


def test_what_would_not_fit_in_memory_is_refused():
    with pytest.raises(ds.errors.TooLarge, match="the kink planes of shape"):
        ds.problems.relu_network(np.ones((2000, 500)), np.ones(2000), hidden=2000)
