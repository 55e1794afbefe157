from fractions import Fraction

import numpy as np
import pytest

import dynsim as ds

LESSARD_CYCLE = (Fraction(2592, 1225), Fraction(792, 1225), Fraction(-2208, 1225))


def lessard_slope(x):
    return 25 * x if x < 1 else (x + 24 if x < 2 else 25 * x - 24)


def heavy_ball(slope, x, step_size, momentum, n_steps):
    """Polyak's heavy ball from rest: the last three iterates."""
    path = [x, x]
    for _ in range(n_steps):
        path.append(path[-1] - step_size * slope(path[-1]) + momentum * (path[-1] - path[-2]))
    return path[-3:]


def nesterov(slope, x, step_size, momentum, n_steps):
    y = x
    for _ in range(n_steps):
        x, before = y - step_size * slope(y), x
        y = x + momentum * (x - before)
    return x


def test_gradient_descent_on_a_quadratic_is_the_power_of_its_factors():
    values, eta = np.array([0.5, 3.0, -1.0]), 0.3
    path = ds.iterate(ds.problems.quadratic(values), ds.SGD(eta), [1.0, -2.0, 0.5], n_steps=25).x[0]
    powers = (1 - eta * values) ** np.arange(26)[:, None]
    np.testing.assert_allclose(path, np.array([1.0, -2.0, 0.5]) * powers, rtol=1e-13)


def test_a_quadratic_names_the_origin_as_a_minimum_unless_it_is_a_saddle():
    assert ds.problems.quadratic([0.0, 2.0]).minima.tolist() == [[0.0, 0.0]]
    assert ds.problems.quadratic([-1.0, 2.0]).minima is None


def test_lessards_loss_and_slope_are_the_papers():
    problem = ds.problems.lessard_piecewise()
    grid = [Fraction(k, 16) for k in range(-48, 64)]
    slopes = problem.gradient(np.array(grid, dtype=float)[:, None])[:, 0]
    assert slopes.tolist() == [float(lessard_slope(x)) for x in grid]  # 1/16ths: exact in floating point
    areas = [(lessard_slope(x) + lessard_slope(x + Fraction(1, 16))) / 32 for x in grid]  # trapezoids: exact
    rises = np.diff(problem.loss(np.array([*grid, grid[-1] + Fraction(1, 16)], dtype=float)[:, None]))
    np.testing.assert_allclose(rises, np.array(areas, dtype=float), rtol=0, atol=1e-12)
    assert problem.loss([0.0]) == 0


def test_the_heavy_balls_three_cycle_on_lessards_loss_is_exact():
    a, b, c = LESSARD_CYCLE
    alpha, beta = Fraction(1, 9), Fraction(4, 9)
    for before, now, after in ((a, b, c), (b, c, a), (c, a, b)):
        assert now - alpha * lessard_slope(now) + beta * (now - before) == after


def test_the_heavy_ball_is_drawn_into_the_cycle_with_the_problems_gradient():
    problem = ds.problems.lessard_piecewise()
    last = heavy_ball(lambda x: problem.gradient([x])[0], 3.3, 1 / 9, 4 / 9, 300)
    np.testing.assert_allclose(sorted(last), sorted(map(float, LESSARD_CYCLE)), rtol=1e-12)


def test_the_three_cycle_attracts():
    assert all(not 1 <= x <= 2 for x in LESSARD_CYCLE)  # so all three lie where the curvature is 25
    step = np.array([[13 / 9 - 25 / 9, -4 / 9], [1, 0]])
    assert np.abs(np.linalg.eigvals(np.linalg.matrix_power(step, 3))).max() == pytest.approx((2 / 3) ** 3, rel=1e-6)


def test_gradient_descent_and_nesterov_converge_on_lessards_loss():
    problem = ds.problems.lessard_piecewise()
    descent = ds.iterate(problem, ds.SGD(step_size=2 / 26), 3.3, n_steps=400).x[0, -1, 0]
    accelerated = nesterov(lambda x: problem.gradient([x])[0], 3.3, 1 / 25, 4 / 6, 400)
    assert max(abs(descent), abs(accelerated)) < 1e-12


@pytest.mark.parametrize(
    ("nu", "p", "b"), [(0, Fraction(1, 64), Fraction(1, 8)), (1, Fraction(1, 128), Fraction(1, 16))]
)
def test_the_bernoulli_oracle_is_the_papers_in_rationals(nu, p, b):
    # α = 3/2, ε = 1/16: γ = (1/4)² = 1/16, γ^α = 1/64, p = 1/64 − 2ν/256
    problem = ds.problems.bernoulli_quadratic(1.5, 1 / 16, nu)
    assert problem.gamma == 1 / 16
    assert problem.weights.tolist() == [float(p), float(1 - p)]
    x = Fraction(1, 4)
    oracle = [x - 8, x]
    assert p * oracle[0] + (1 - p) * oracle[1] == x - b
    assert problem.term_gradients([0.25])[:, 0].tolist() == [float(g) for g in oracle]
    assert problem.b == float(b)
    assert problem.loss([0.25]) == float((x - b) ** 2 / 2)


def test_the_bernoulli_oracles_moment_stays_below_one_while_its_variance_does_not():
    x = np.linspace(0, 0.5, 101)[:, None]
    squares = []
    for alpha in (1.1, 1.5, 2.0):
        for eps in (1 / 8, 1 / 32, 1 / 128):
            problem = ds.problems.bernoulli_quadratic(alpha, eps, 0)
            g = np.abs(problem.term_gradients(x)[..., 0])
            assert (g**alpha @ problem.weights).max() <= 2 ** (1 - alpha) + 1e-12  # and so at most 1, Z (4.3)
            squares.append((g**2 @ problem.weights).max())
    assert max(squares) > 1e5


def test_sgd_on_the_bernoulli_quadratic_has_the_mean_of_its_recursion():
    eta, steps, paths, x0 = 0.1, 40, 20_000, 0.5
    x = ds.iterate(
        ds.problems.bernoulli_quadratic(1.5, 1 / 16, 0), ds.SGD(eta), x0, n_steps=steps, n_paths=paths, rng=1
    ).x[:, -1, 0]
    keep = 1 - eta
    jump_variance = 64 / 64 * (1 - 1 / 64)  # p(1 − p)/(4γ²)
    stderr = np.sqrt(eta**2 * jump_variance * (1 - keep ** (2 * steps)) / (1 - keep**2) / paths)
    expected = {b: b + keep**steps * (x0 - b) for b in (1 / 8, 1 / 16)}
    assert abs(x.mean() - expected[1 / 8]) < 5 * stderr
    assert abs(x.mean() - expected[1 / 16]) > 5 * stderr  # the other ν is told apart


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.quadratic([]), "eigenvalues must be at least one number"),
        (lambda p: p.quadratic(1.0), "eigenvalues must have 1 axes"),
        (lambda p: p.quadratic([1.0, np.inf]), "eigenvalues must be finite"),
        (lambda p: p.bernoulli_quadratic(1.0), r"alpha must lie in \(1, 2\], got 1"),
        (lambda p: p.bernoulli_quadratic(2.5), r"alpha must lie in \(1, 2\], got 2.5"),
        (lambda p: p.bernoulli_quadratic(eps=0.2), "eps must be at most 1/8, got 0.2"),
        (lambda p: p.bernoulli_quadratic(eps=0.0), "eps must be a positive finite number"),
        (lambda p: p.bernoulli_quadratic(nu=2), "nu must be 0 or 1, got 2"),
        (lambda p: p.bernoulli_quadratic(nu=True), "nu must be 0 or 1, got True"),
        (lambda p: p.bernoulli_quadratic(1.001), "alpha = 1.001 is too close to 1 for eps = 0.0625"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        call(ds.problems)
