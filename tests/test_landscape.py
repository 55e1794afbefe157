"""Stationary points against closed forms, mpmath and linear programming; basins against integrated gradient flow."""

import math

import matplotlib
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import linprog

import dynsim as ds
from dynsim._kernels.fields import gradients_field, losses_field
from dynsim._kernels.jit import formula
from dynsim.errors import ArgumentError, NotApplicable

matplotlib.use("Agg")


def made(loss, gradient, dim, bounds=None, *, params=(), n_terms=1):
    """A problem from formulas of this file, which must not go to the disk cache."""
    problem = ds.Problem(
        formula(loss),
        formula(gradient),
        params=params,
        weights=np.full(n_terms, 1 / n_terms),
        dim=dim,
        name=loss.__name__,
        bounds=bounds,
    )
    problem.losses_field = losses_field(problem._loss, cache=False)
    problem.gradients_field = gradients_field(problem._gradient, cache=False)
    return problem


def double_well(theta, n, params):
    return 0.25 * (theta[0] ** 2 - 1) ** 2 + 0.1 * theta[0]


def double_well_gradient(theta, n, params, out):
    out[0] = theta[0] ** 3 - theta[0] + 0.1


def himmelblau(theta, n, params):
    return (theta[0] ** 2 + theta[1] - 11) ** 2 + (theta[0] + theta[1] ** 2 - 7) ** 2


def himmelblau_gradient(theta, n, params, out):
    a, b = theta[0] ** 2 + theta[1] - 11, theta[0] + theta[1] ** 2 - 7
    out[0] = 4 * theta[0] * a + 2 * b
    out[1] = 2 * a + 4 * theta[1] * b


WELLS = [  # the standard Müller–Brown potential: height, the quadratic form's three entries, center
    (-200, -1, 0, -10, 1, 0),
    (-100, -1, 0, -10, 0, 0.5),
    (-170, -6.5, 11, -6.5, -0.5, 1.5),
    (15, 0.7, 0.6, 0.7, -1, 1),
]


def wells(theta, n, params):
    h, a, b, c = params[6 * n], params[6 * n + 1], params[6 * n + 2], params[6 * n + 3]
    x, y = theta[0] - params[6 * n + 4], theta[1] - params[6 * n + 5]
    return h * math.exp(a * x * x + b * x * y + c * y * y)


def wells_gradient(theta, n, params, out):
    h, a, b, c = params[6 * n], params[6 * n + 1], params[6 * n + 2], params[6 * n + 3]
    x, y = theta[0] - params[6 * n + 4], theta[1] - params[6 * n + 5]
    value = h * math.exp(a * x * x + b * x * y + c * y * y)
    out[0] = value * (2 * a * x + b * y)
    out[1] = value * (b * x + 2 * c * y)


def hyperbola(theta, n, params):
    return 0.5 * (theta[0] * theta[1] - 1) ** 2


def hyperbola_gradient(theta, n, params, out):
    out[0] = (theta[0] * theta[1] - 1) * theta[1]
    out[1] = (theta[0] * theta[1] - 1) * theta[0]


def trough(theta, n, params):
    return 0.5 * (theta[0] + theta[1]) ** 2


def trough_gradient(theta, n, params, out):
    out[0] = theta[0] + theta[1]
    out[1] = theta[0] + theta[1]


def quartic(theta, n, params):
    return (theta[0] - 0.3) ** 4 + theta[1] ** 2


def quartic_gradient(theta, n, params, out):
    out[0] = 4 * (theta[0] - 0.3) ** 3
    out[1] = 2 * theta[1]


def crease(theta, n, params):
    return abs(theta[1] - theta[0] ** 2) + 0.5 * (theta[0] - 0.5) ** 2


def crease_gradient(theta, n, params, out):
    side = 1.0 if theta[1] > theta[0] ** 2 else -1.0
    out[0] = -2 * side * theta[0] + theta[0] - 0.5
    out[1] = side


def edge(theta, n, params):
    return abs(theta[0]) + params[0] * (theta[1] ** 4 - theta[1] ** 2)


def edge_gradient(theta, n, params, out):
    out[0] = 1.0 if theta[0] > 0 else -1.0
    out[1] = params[0] * (4 * theta[1] ** 3 - 2 * theta[1])


def plane_of(theta, params):
    """The number of the highest of the planes [a, b] in params, and its height."""
    dim = theta.shape[0]
    best, height = 0, -math.inf
    for k in range(params.shape[0] // (dim + 1)):
        value = params[k * (dim + 1) + dim]
        for j in range(dim):
            value += params[k * (dim + 1) + j] * theta[j]
        if value > height:
            best, height = k, value
    return best, height


highest = formula(plane_of)


def planes(theta, n, params):
    return highest(theta, params)[1]


def planes_gradient(theta, n, params, out):
    dim = theta.shape[0]
    k = highest(theta, params)[0]
    for j in range(dim):
        out[j] = params[k * (dim + 1) + j]


def flat_bottom(theta, n, params):
    return max(abs(theta[0]) - 0.3, 0.0)


def flat_bottom_gradient(theta, n, params, out):
    out[0] = (1.0 if theta[0] > 0.3 else 0.0) if theta[0] > -0.3 else -1.0


def cubic(theta, n, params):
    return theta[0] ** 3 - params[0] * theta[0]


def cubic_gradient(theta, n, params, out):
    out[0] = 3 * theta[0] ** 2 - params[0]


def cross(theta, n, params):
    return theta[0] ** 2 * theta[1] ** 2


def cross_gradient(theta, n, params, out):
    out[0] = 2 * theta[0] * theta[1] ** 2
    out[1] = 2 * theta[0] ** 2 * theta[1]


def oblique_cross(theta, n, params):
    return (theta[0] ** 2 - 1.7 * theta[1] ** 2) ** 2


def oblique_cross_gradient(theta, n, params, out):
    a = theta[0] ** 2 - 1.7 * theta[1] ** 2
    out[0] = 4 * theta[0] * a
    out[1] = -6.8 * theta[1] * a


def two_quartics(theta, n, params):
    return theta[0] ** 4 + theta[1] ** 4


def two_quartics_gradient(theta, n, params, out):
    out[0] = 4 * theta[0] ** 3
    out[1] = 4 * theta[1] ** 3


def monkey_saddle(theta, n, params):
    return theta[0] ** 3 - 3 * theta[0] * theta[1] ** 2


def monkey_saddle_gradient(theta, n, params, out):
    out[0] = 3 * theta[0] ** 2 - 3 * theta[1] ** 2
    out[1] = -6 * theta[0] * theta[1]


def cone(theta, n, params):
    total = 0.0
    for j in range(theta.shape[0]):
        total += theta[j] ** 2
    return math.sqrt(total)


def cone_gradient(theta, n, params, out):
    total = 0.0
    for j in range(theta.shape[0]):
        total += theta[j] ** 2
    for j in range(theta.shape[0]):
        out[j] = theta[j] / math.sqrt(total) if total > 0 else 0.0


@pytest.fixture(scope="module")
def four_minima():
    return made(himmelblau, himmelblau_gradient, 2, [[-5, 5]] * 2)


@pytest.fixture(scope="module")
def potential():
    return made(wells, wells_gradient, 2, [[-1.5, 1.2], [-0.3, 2]], params=np.ravel(WELLS), n_terms=4)


def roots(gradient, guesses):
    """Zeros of a gradient near the guesses, to 30 digits, as floats (k, dim)."""
    with mpmath.workdps(30):
        return np.array([[float(z) for z in mpmath.findroot(gradient, guess)] for guess in guesses])


def matched(found, expected):
    """The distance from each expected point to the nearest one found."""
    return np.linalg.norm(found[:, None] - expected, axis=-1).min(axis=0)


@pytest.mark.parametrize("a1", [0.2, 0.4, 0.6])
def test_the_two_valleys_are_minima_and_the_ridge_between_them_is_a_kink(a1):
    problem = ds.problems.two_valleys(a1=a1)
    found = ds.minima(problem)
    np.testing.assert_array_equal(found.minima, problem.minima)
    assert found.kind == ("kink minimum", "kink minimum", "kink")
    assert found.x[2, 0] == 0
    assert np.isnan(found.eigenvalues).all()
    assert (found.gradient_norm == 0).all()


def test_the_double_well_has_the_roots_of_its_cubic():
    found = ds.minima(made(double_well, double_well_gradient, 1, [[-2, 2]]))
    with mpmath.workdps(30):
        left, middle, right = sorted(float(mpmath.re(z)) for z in mpmath.polyroots([1, 0, -1, mpmath.mpf("0.1")]))
    np.testing.assert_allclose(found.x[:, 0], [left, right, middle], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.eigenvalues[:, 0], 3 * found.x[:, 0] ** 2 - 1, rtol=1e-9)
    assert found.kind == ("minimum", "minimum", "maximum")


def test_himmelblaus_function_has_four_minima_four_saddles_and_a_maximum(four_minima):
    found = ds.minima(four_minima)
    assert found.kind == ("minimum",) * 4 + found.kind[4:]
    assert sorted(found.kind[4:]) == ["maximum"] + ["saddle"] * 4
    guesses = [(3, 2), (-2.8, 3.1), (-3.8, -3.3), (3.6, -1.8), (-0.27, -0.92), (3.4, 0.07), (0.09, 2.9), (-3.1, -0.08)]
    expected = roots(
        lambda x, y: (4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7), 2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7)),
        [*guesses, (-0.13, -1.95)],
    )
    assert matched(found.x, expected).max() < 1e-13
    assert (np.diff(found.loss[4:]) >= 0).all()
    assert (found.gradient_norm < 1e-11).all()


def test_a_sum_of_exponentials_has_its_three_minima_and_two_saddles(potential):
    found = ds.minima(potential)

    def gradient(x, y):
        total = [mpmath.mpf(0), mpmath.mpf(0)]
        for h, a, b, c, x0, y0 in WELLS:
            value = h * mpmath.exp(a * (x - x0) ** 2 + b * (x - x0) * (y - y0) + c * (y - y0) ** 2)
            total[0] += value * (2 * a * (x - x0) + b * (y - y0))
            total[1] += value * (b * (x - x0) + 2 * c * (y - y0))
        return total

    guesses = [(-0.558, 1.442), (0.623, 0.028), (-0.05, 0.467), (0.212, 0.293), (-0.822, 0.624)]
    np.testing.assert_allclose(found.x, roots(gradient, guesses), rtol=0, atol=1e-13)
    assert found.kind == ("minimum", "minimum", "minimum", "saddle", "saddle")
    for x, values in zip(found.x, found.eigenvalues, strict=True):
        np.testing.assert_allclose(values, np.linalg.eigvalsh(potential.hessian(x)), rtol=1e-12)


@pytest.mark.parametrize(("dim", "seed"), [(2, 3), (3, 0), (5, 1), (8, 3)])
def test_the_minimum_of_a_maximum_of_planes_is_that_of_the_linear_program(dim, seed):
    rows = np.random.default_rng(seed).normal(size=(3 * dim, dim + 1))
    rows[-1, :dim] = -rows[:-1, :dim].sum(axis=0)  # bounded below
    found = ds.minima(made(planes, planes_gradient, dim, [[-8, 8]] * dim, params=rows.ravel()), n_starts=32)
    free = [(None, None)] * (dim + 1)
    exact = linprog([0] * dim + [1], A_ub=np.c_[rows[:, :dim], -np.ones(3 * dim)], b_ub=-rows[:, dim], bounds=free).x
    assert np.abs(exact).max() < 8
    assert found.kind == ("kink minimum",)
    np.testing.assert_allclose(found.x[0], exact[:dim], rtol=0, atol=1e-12)
    assert found.loss[0] == pytest.approx(exact[dim], abs=1e-12)
    assert found.gradient_norm[0] < 1e-12


def test_a_minimum_on_a_curved_kink_is_found():
    found = ds.minima(made(crease, crease_gradient, 2, [[-2, 2.3], [-2, 2.1]]))
    assert found.kind == ("kink minimum",)
    np.testing.assert_allclose(found.x, [[0.5, 0.25]], rtol=0, atol=1e-7)
    # Along y = x² the loss is (x − ½)²/2, and at x = ½ the arc is √2 as long as its shadow.
    np.testing.assert_allclose(found.eigenvalues, [[0.5, np.nan]], rtol=1e-4)


def test_minima_along_an_edge_are_told_from_a_floor():
    found = ds.minima(made(edge, edge_gradient, 2, [[-2, 2.1]] * 2, params=[1.0]))
    assert found.kind[:2] == ("kink minimum", "kink minimum")
    np.testing.assert_allclose(np.sort(found.minima[:, 1]), [-math.sqrt(0.5), math.sqrt(0.5)], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.eigenvalues[:2, 0], 4.0, rtol=1e-5)
    assert set(found.kind[2:]) <= {"kink"}  # the pass between them, if a descent has ended there
    np.testing.assert_allclose(found.x[2:], 0, atol=1e-8)
    floor = ds.minima(made(edge, edge_gradient, 2, [[-2, 2.1]] * 2, params=[0.0]))
    assert floor.kind == ("degenerate",)
    assert floor.n_minima == 0
    assert abs(floor.x[0, 0]) < 1e-12


def test_a_flat_valley_is_reported_once():
    found = ds.minima(made(trough, trough_gradient, 2, [[-2, 2]] * 2))
    assert found.kind == ("degenerate",)
    assert abs(found.x.sum()) < 1e-12
    np.testing.assert_allclose(found.eigenvalues, [[0, 2]], atol=1e-9)
    bent = ds.minima(made(hyperbola, hyperbola_gradient, 2, [[-2, 2]] * 2))
    assert sorted(bent.kind) == ["degenerate", "saddle"]
    assert bent.x[bent.kind.index("degenerate")].prod() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(bent.x[bent.kind.index("saddle")], 0, atol=1e-12)


def test_an_isolated_minimum_of_the_fourth_order_is_a_minimum():
    found = ds.minima(made(quartic, quartic_gradient, 2, [[-2, 2.2]] * 2))
    assert found.kind == ("minimum",)
    np.testing.assert_allclose(found.x, [[0.3, 0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("high", [2.0, 2.3])
def test_a_point_where_floors_meet_is_no_isolated_minimum(high):
    for loss, gradient in ((cross, cross_gradient), (oblique_cross, oblique_cross_gradient)):
        found = ds.minima(made(loss, gradient, 2, [[-2, high]] * 2))
        assert found.kind == ("degenerate",)
        assert found.loss[0] < 1e-15


def test_isolated_points_where_the_hessian_is_zero_keep_their_kind():
    flat = ds.minima(made(two_quartics, two_quartics_gradient, 2, [[-2, 2.3]] * 2))
    assert flat.kind == ("minimum",)
    assert ds.minima(made(monkey_saddle, monkey_saddle_gradient, 2, [[-2, 2.3]] * 2)).kind == ("saddle",)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_tip_is_a_kink_even_if_the_gradient_is_called_zero_there(dim):
    found = ds.minima(made(cone, cone_gradient, dim, [[-2, 2]] * dim))
    assert found.kind == ("kink minimum",)
    np.testing.assert_allclose(found.x, 0, atol=1e-12)


def test_a_plateau_and_a_touched_zero_in_one_dimension():
    plateau = ds.minima(made(flat_bottom, flat_bottom_gradient, 1, [[-2, 2]]))
    assert plateau.kind == ("degenerate",)
    assert abs(plateau.x[0, 0]) < 1e-3
    touched = ds.minima(made(cubic, cubic_gradient, 1, [[-2, 2.2]], params=[0.0]))
    assert touched.kind == ("saddle",)
    assert abs(touched.x[0, 0]) < 1e-6
    assert ds.minima(made(cubic, cubic_gradient, 1, [[-2, 2.2]], params=[-0.1])).x.size == 0


def test_least_squares_in_ten_dimensions():
    rng = np.random.default_rng(0)
    problem = ds.problems.linear_model(rng.normal(size=(40, 10)), rng.normal(size=40))
    found = ds.minima(problem, (-3, 3))
    assert found.kind == ("minimum",)
    np.testing.assert_allclose(found.x[0], problem.least_squares(), rtol=0, atol=1e-12)


def test_the_same_seed_finds_the_same_and_more_starts_no_less(four_minima):
    few, again = (ds.minima(four_minima, n_starts=16, rng=5) for _ in range(2))
    np.testing.assert_array_equal(few.x, again.x)
    more = ds.minima(four_minima, n_starts=128, rng=5)
    assert matched(more.x, few.x).max() < 1e-9
    assert few.settings["seed"] == 5


def test_basins_of_the_two_valleys_meet_at_the_ridge():
    problem = ds.problems.two_valleys()
    found = ds.minima(problem)
    theta = np.linspace(-2, 1, 302)[:, None]  # 0 is not among them
    low, high = problem.basin(found.x[0])
    np.testing.assert_array_equal(found.basin(theta) == 0, (theta[:, 0] > low) & (theta[:, 0] < high))
    assert set(found.basin(theta)) == {0, 1}
    assert found.basin([0.5]).shape == ()
    assert found.basin(np.full((3, 2, 1), 0.5)).tolist() == [[0, 0]] * 3


def test_basins_are_those_of_the_gradient_flow(potential):
    found = ds.minima(potential)
    theta = np.random.default_rng(2).uniform([-1.4, -0.2], [1.0, 1.9], size=(40, 2))
    ends = [
        solve_ivp(lambda t, x: -potential.gradient(x), (0, 3), start, method="LSODA", rtol=1e-6).y[:, -1]
        for start in theta
    ]
    nearest = np.linalg.norm(np.array(ends)[:, None] - found.minima, axis=-1)
    assert nearest.min(axis=1).max() < 1e-2
    assert set(nearest.argmin(axis=1)) == {0, 1, 2}
    np.testing.assert_array_equal(found.basin(theta), nearest.argmin(axis=1))


def test_a_point_that_leaves_or_stays_at_a_saddle_has_no_basin(four_minima):
    found = ds.minima(made(cubic, cubic_gradient, 1, [[-2, 2]], params=[1.0]))  # L → −∞ to the left of −1/√3
    assert found.basin([[-0.7], [-0.5], [1.9]]).tolist() == [-1, 0, 0]
    level = ds.minima(made(hyperbola, hyperbola_gradient, 2, [[-2, 2]] * 2))
    assert level.basin([[0.0, 0.0], [1.0, 1.5]]).tolist() == [-1, -1]
    assert ds.minima(four_minima).basin([[np.nan, 0.0], [3.1, 2.1]])[0] == -1


def test_descent_along_a_narrow_edge_arrives():
    rows = [[1.0, 0.05, 0.0], [-1.0, 0.05, 0.0], [0.0, -1.0, 0.0]]
    found = ds.minima(made(planes, planes_gradient, 2, [[-2, 2]] * 2, params=np.ravel(rows)))
    assert found.basin(np.random.default_rng(0).uniform(-2, 2, size=(20, 2))).tolist() == [0] * 20


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([[0, 1]] * 3, r"bounds must be \(low, high\) or have shape \(2, 2\), got shape \(3, 2\)"),
        ([[0, 1], [1, 1]], "bounds must have low < high for each coordinate"),
        ([[0, 1], [2, 1]], "bounds must have low < high for each coordinate"),
        ([[0, 1], [0, np.inf]], "bounds must be finite"),
        ("ab", "bounds must be an array of numbers"),
        ((-100.0, 100.0), "in which loss and gradient are finite, but at θ = "),
    ],
)
def test_bounds_that_are_no_box_are_refused(potential, bounds, message):
    with pytest.raises(ArgumentError, match=message):
        ds.minima(potential, bounds)


def test_other_bad_arguments_are_refused(four_minima):
    with pytest.raises(NotApplicable, match=r"give bounds, shape \(1, 2\)"):
        ds.minima(made(double_well, double_well_gradient, 1))
    with pytest.raises(ArgumentError, match="problem must be a problem"):
        ds.minima("himmelblau")
    for wrong in ({"n_starts": 0}, {"tol": -1.0}, {"rng": -1}):
        with pytest.raises(ArgumentError, match=f"{next(iter(wrong))} must be"):
            ds.minima(four_minima, **wrong)
    with pytest.raises(ArgumentError, match=r"theta must have shape \(\.\.\., 2\)"):
        ds.minima(four_minima, n_starts=8).basin([1.0, 2.0, 3.0])


def drawn(ax):
    """Where the markers of each entry of the legend are."""
    return {line.get_label(): line.get_xydata() for line in ax.lines if line.get_linestyle() == "None"}


def test_a_curve_is_drawn_with_its_terms_kinks_and_minima(valleys):
    ax = valleys.plot()
    curve = next(line for line in ax.lines if line.get_label() == "L").get_xydata()
    np.testing.assert_array_equal(curve[:, 1], valleys.loss(curve[:, :1]))
    assert {-1.0, 0.0, 0.2} <= set(curve[:, 0])
    assert "term 1, weighted" in [line.get_label() for line in ax.lines]
    np.testing.assert_array_equal(drawn(ax)["minimum"][:, 0], valleys.minima[:, 0])


def test_a_map_is_drawn_with_the_points_found(four_minima):
    found = ds.minima(four_minima)
    ax = found.plot()
    marks = drawn(ax)
    np.testing.assert_array_equal(marks["minimum"], found.minima)
    assert marks["saddle"].shape == (4, 2)
    assert ax.get_xlim() == (-5, 5)
    assert ax.collections


def test_more_than_two_dimensions_are_drawn_in_a_section_only():
    problem = ds.problems.linear_model(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(NotApplicable, match="dim 3, and plot draws dim 1 or 2; choose a section"):
        problem.plot(bounds=(-1, 1))
    with pytest.raises(ArgumentError, match="at must be the point"):
        problem.plot(bounds=(-1, 1), coordinates=(0, 2))
    with pytest.raises(ArgumentError, match="two different ones below dim = 3"):
        problem.plot(bounds=(-1, 1), coordinates=(0, 3), at=[0, 0, 0])
    with pytest.raises(NotApplicable, match="give bounds"):
        made(himmelblau, himmelblau_gradient, 2).plot()
    ax = problem.plot(bounds=(-1, 1), coordinates=(0, 2), at=[0, 5.0, 0])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("θ[0]", "θ[2]")
    ax = problem.plot(bounds=(-1, 1), coordinates=(1,), at=[0, 5.0, 0])
    x, y = ax.lines[-1].get_xydata().T
    np.testing.assert_allclose(y, (1 + (x - 2) ** 2 + 9) / 6)


def test_the_colors_of_a_section_show_the_well_beside_a_wall():
    problem = ds.problems.pairwise_potential(n_atoms=2, space=2)  # from −1 in the well to more than 1e30 at the core
    contours = problem.plot(coordinates=(2, 3), at=[0.0] * 4).collections[0]
    assert np.count_nonzero(contours.levels < -0.05) >= 5
    assert contours.levels[-1] < 3


@pytest.mark.parametrize(
    ("make", "reach"),
    [
        (ds.problems.two_valleys, None),
        (ds.problems.muller_brown, None),
        (lambda: ds.problems.muller_brown(standard=True), None),
        (lambda: ds.problems.gaussian_wells(m=1000), None),
        (lambda: ds.problems.robust_classification(rng=1), None),
        (lambda: ds.problems.robust_regression(rng=1), 0.05),
        (lambda: ds.problems.pairwise_potential("morse", n_atoms=2, space=1), None),
    ],
    ids=["two_valleys", "C.1", "standard", "C.2", "classification", "regression", "pair"],
)
def test_the_known_minima_of_an_and_ying_s_problems_are_found(make, reach):
    """Those are checked against mpmath where the problems are; two atoms may be anywhere at their best distance."""
    problem = make()
    bounds = None if reach is None else problem.minima[0][:, None] + np.array([-reach, reach])
    found = ds.minima(problem, bounds, n_starts=8 if reach else None)
    if problem.name.startswith("pairwise"):
        assert problem.minima is not None
        assert found.loss.min() == pytest.approx(problem.loss(problem.minima[0]), abs=1e-9)
        return
    for x in problem.minima:
        assert np.linalg.norm(found.x - x, axis=1).min() < 1e-6
    assert found.loss[0] <= problem.loss(problem.minima).min() + 1e-12
