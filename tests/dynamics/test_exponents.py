"""Lyapunov exponents against closed forms, other methods of computing them and the literature."""

import math
import warnings

import numpy as np
import pytest

from dynsim.dynamics import Map, descent, floquet_multipliers, flow, lyapunov_exponents
from dynsim.errors import ArgumentError, NotApplicable, TooLarge, TooShort


def constant(A):
    """The derivative of a linear map."""
    A = np.asarray(A, dtype=float)
    return lambda x: np.broadcast_to(A, (*x.shape, A.shape[0]))


def linear(A, name="linear"):
    A = np.asarray(A, dtype=float)
    return Map(lambda x: x @ A.T, A.shape[0], constant(A), name=name)


def logistic(r):
    return Map(lambda x: r * x * (1 - x), 1, lambda x: (r - 2 * r * x)[..., None], name=f"logistic {r}")


def skew_tent(a):
    """Slopes 1/a and −1/(1 − a) on [0, a] and [a, 1]: the slopes are drawn independently, a with probability a."""
    return Map(
        lambda x: np.where(x < a, x / a, (1 - x) / (1 - a)),
        1,
        lambda x: np.where(x < a, 1 / a, -1 / (1 - a))[..., None],
        name="skew tent",
    )


def henon(jacobian=True):
    def function(x):
        return np.stack([1 - 1.4 * x[..., 0] ** 2 + x[..., 1], 0.3 * x[..., 0]], axis=-1)

    def derivative(x):
        rows = [[-2.8 * x[..., 0], np.ones_like(x[..., 0])], [np.full_like(x[..., 0], 0.3), np.zeros_like(x[..., 0])]]
        return np.moveaxis(np.array(rows), (0, 1), (-2, -1))

    return Map(function, 2, derivative if jacobian else None, name="Hénon")


def starts(n, low, high, dim=1, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (n, dim))


HENON_STARTS = starts(8, -0.1, 0.1, 2)


@pytest.fixture(scope="module")
def on_henon():
    return lyapunov_exponents(henon(), HENON_STARTS, n_steps=4000)


def test_the_logistic_map_at_4_has_the_exponent_log_2():
    found = lyapunov_exponents(logistic(4.0), starts(8, 0.1, 0.9), n_steps=2000)
    assert abs(found.value[0] - math.log(2)) < 5 * found.stderr[0] < 0.01


def test_value_and_error_on_a_skew_tent_are_those_of_independent_draws():
    a, n = 0.3, 8 * 4000
    found = lyapunov_exponents(skew_tent(a), starts(8, 0.1, 0.9), n_steps=4000)
    exact = -a * math.log(a) - (1 - a) * math.log(1 - a)
    stderr = math.sqrt(a * (1 - a) / n) * math.log((1 - a) / a)
    assert abs(found.value[0] - exact) < 5 * stderr
    assert abs(found.stderr[0] / stderr - 1) < 5 / math.sqrt(2 * found.estimate.dof[0])
    assert abs(found.value[0] - math.log(2)) > 5 * stderr  # the negative control: the exponent of the symmetric tent


def test_linear_maps_give_logarithms_of_eigenvalues_in_order():
    A = np.array([[2.0, 1.0], [1.0, 1.0]])
    cat = Map(lambda x: (x @ A) % 1, 2, constant(A), name="cat map")
    found = lyapunov_exponents(cat, [[0.1, 0.2], [0.3, 0.77]], n_steps=300)
    golden = math.log((3 + math.sqrt(5)) / 2)
    np.testing.assert_allclose(found.value, [golden, -golden], atol=1e-12)
    np.testing.assert_allclose(found.sum, 0, atol=1e-12)
    assert (found.stderr < 1e-12).all()
    assert found.dimension == pytest.approx(2)


@pytest.mark.parametrize("n_exponents", [1, 2, 3])
def test_axes_that_are_invariant_do_not_hide_the_largest_exponent(n_exponents):
    found = lyapunov_exponents(linear(np.diag([0.5, 0.9, 0.7])), np.ones(3), n_steps=50, n_exponents=n_exponents)
    np.testing.assert_allclose(found.value, np.log([0.9, 0.7, 0.5])[:n_exponents], atol=1e-12)
    assert found.sum == pytest.approx(math.log(0.5 * 0.9 * 0.7), abs=1e-12)
    assert found.dimension == 0


def test_descent_on_a_quadratic_has_log_of_one_minus_eta_h():
    import dynsim as ds

    X = np.random.default_rng(3).normal(size=(12, 3))
    problem = ds.problems.linear_model(X, X @ [1.0, -0.5, 2.0])
    h = np.linalg.eigvalsh(problem.hessian(np.zeros(3)))
    eta = 0.6 / h.max()
    F = descent(problem, ds.SGD(eta, batch_size="full"))
    found = lyapunov_exponents(F, [0.3, 0.2, 0.1], n_steps=100)
    expected = np.sort(np.log(np.abs(1 - eta * h)))[::-1]
    np.testing.assert_allclose(found.value, expected, atol=1e-10)


def test_the_exponents_of_henon_are_those_of_the_literature(on_henon):
    assert abs(on_henon.value[0] - 0.41922) < 5 * on_henon.stderr[0] < 0.03
    assert abs(on_henon.dimension - 1.2583) < 5 * on_henon.dimension_stderr < 0.01


def test_the_sum_of_the_exponents_of_henon_is_log_b(on_henon):
    assert on_henon.sum == pytest.approx(math.log(0.3), abs=1e-12)
    assert on_henon.value.sum() == pytest.approx(math.log(0.3), abs=1e-12)


def test_two_orbits_close_together_separate_at_the_largest_exponent():
    """Benettin's first method: no derivative at all."""
    F, n, gap = henon(jacobian=False), 3000, 1e-7
    x = np.array([[0.1, 0.1], [0.1, 0.1 + gap]])
    growth = np.empty(n)
    for k in range(n + 200):
        x = F(x)
        distance = np.linalg.norm(x[1] - x[0])
        growth[k - 200] = math.log(distance / gap)
        x[1] = x[0] + (x[1] - x[0]) * gap / distance
    found = lyapunov_exponents(F, [0.1, 0.1], n_steps=n, burn_in=200)
    assert found.value[0] == pytest.approx(growth.mean(), abs=1e-4)
    assert found.value[0] != pytest.approx(growth[: n // 2].mean(), abs=1e-4)  # another stretch of the orbit tells


def test_the_reduced_map_of_the_egg_carton_agrees_with_an_average_over_its_density():
    F = Map(lambda x: x - 4 * np.sin(x), 1, lambda x: (1 - 4 * np.cos(x))[..., None], name="x − 4 sin x")
    found = lyapunov_exponents(F, starts(16, 0.5, 2.5), n_steps=1500)
    x = starts(6000, 0.5, 2.5, seed=1)  # a cloud of points carries the invariant density, whatever its time averages
    for _ in range(2500):
        x = F(x)
    window = []
    for _ in range(12):  # bands
        x = F(x)
        window.append(np.log(np.abs(1 - 4 * np.cos(x[:, 0]))))
    values = np.mean(window, axis=0)
    stderr = math.hypot(values.std() / math.sqrt(values.size), found.stderr[0])
    assert abs(found.value[0] - values.mean()) < 5 * stderr < 0.1 * values.mean()


def test_lorenz_63_has_exponents_per_unit_of_time():
    import dynsim as ds

    s, r, b, dt = 10.0, 28.0, 8 / 3, 0.02
    lorenz = ds.SDE(
        lambda t, x: (s * (x[1] - x[0]), x[0] * (r - x[2]) - x[1], x[0] * x[1] - b * x[2]),
        lambda t, x: (0.0, 0.0, 0.0),
        dim=3,
    )
    x0 = np.array([1.0, 1.0, 20.0]) + starts(24, -1, 1, 3)
    found = lyapunov_exponents(flow(lorenz, dt), x0, n_steps=1000, burn_in=400, every=5, dt=dt)
    assert found.sum == pytest.approx(-(s + 1 + b), abs=5e-3)  # the step has an error of order dt⁵
    assert (np.abs(found.value - [0.9056, 0.0, -14.5723]) < 5 * found.stderr + 5e-3).all()
    assert (found.stderr < 0.05).all()
    assert found.dimension == pytest.approx(2.062, abs=5 * found.dimension_stderr + 1e-3)


def test_orthonormalizing_less_often_and_other_units_change_nothing(on_henon):
    other = lyapunov_exponents(henon(), HENON_STARTS, n_steps=4000, every=4, dt=0.5)
    np.testing.assert_allclose(other.value * 0.5, on_henon.value, atol=1e-9)
    np.testing.assert_allclose(other.stderr * 0.5, on_henon.stderr, rtol=0.5)


def test_superstable_orbits_have_minus_infinity_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lyapunov_exponents(logistic(2.0), 0.5, n_steps=100)
        nearly = lyapunov_exponents(logistic(2.0), 0.3, n_steps=100)
        half = lyapunov_exponents(linear(np.diag([0.5, 0.0])), [1.0, 1.0], n_steps=100)
    assert found.value[0] == found.sum == -math.inf
    assert found.estimate is None
    assert found.dimension == 0
    assert -40 < nearly.value[0] < -30  # rounding keeps this orbit from 1/2
    assert half.value[0] == pytest.approx(math.log(0.5))
    assert half.value[1] == half.sum == -math.inf
    assert (half.stderr == 0).all() or half.stderr[0] < 1e-12


def test_a_cycle_has_the_logarithms_of_its_multipliers_per_step():
    r = 3.2
    cycle = (r + 1 + np.array([1, -1])[:, None] * math.sqrt((r - 3) * (r + 1))) / (2 * r)
    multiplier = floquet_multipliers(logistic(r), cycle)
    assert multiplier[0] == pytest.approx(4 + 2 * r - r * r)
    found = lyapunov_exponents(logistic(r), 0.3, n_steps=2000)
    assert found.value[0] == pytest.approx(math.log(multiplier[0].real) / 2, abs=1e-9)


def test_multipliers_around_a_focus_are_complex():
    turn = 0.8 * np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    multipliers = floquet_multipliers(linear(turn), [[0.0, 0.0]])
    np.testing.assert_allclose(np.sort_complex(multipliers), 0.8 * np.exp([-1j, 1j]))


def test_a_cycle_of_angles_may_come_back_a_period_later():
    F = Map(lambda x: x + 0.4, 1, modulo=1.0)
    assert floquet_multipliers(F, [[0.1], [0.5], [0.9], [0.3], [0.7]])[0] == pytest.approx(1)
    with pytest.raises(ArgumentError, match="point 5 is mapped"):
        floquet_multipliers(F, [[0.1], [0.5], [0.9], [0.3], [0.7], [0.2]])


def test_the_settings_tell_the_steps_that_were_made():
    found = lyapunov_exponents(logistic(3.2), 0.3, n_steps=109, burn_in=101, every=10)
    assert (found.settings["n_steps"], found.settings["burn_in"]) == (100, 110)
    with pytest.raises(TooLarge, match="the derivatives of shape"):
        lyapunov_exponents(linear(np.eye(100) / 2), np.ones(100), n_steps=10**8, every=10**8)


def test_a_cycle_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match="point 1 is mapped"):
        floquet_multipliers(logistic(3.2), [[0.0], [0.4]])
    with pytest.raises(ArgumentError, match="cycle must have shape"):
        floquet_multipliers(logistic(3.2), [[0.0, 0.0]])


def test_an_orbit_that_blows_up_is_named_with_its_step():
    """x² from 2 is 2^(2^k): infinite at k = 10."""
    square = Map(lambda x: x**2, 1, lambda x: 2 * x[..., None])
    with pytest.raises(ArgumentError, match=r"the orbit from start 2 is not finite after 10 steps \(1 of 3 starts\)"):
        lyapunov_exponents(square, [[0.1], [0.9], [2.0]], n_steps=100)


def test_a_derivative_that_overflows_between_orthonormalizations_is_named():
    with pytest.raises(ArgumentError, match=r"the derivative along the orbit .* a smaller every may help"):
        lyapunov_exponents(linear([[1e200, 0], [0, 1.0]]), [0.0, 1.0], n_steps=10, every=2)


def test_starts_on_different_attractors_are_said_to_disagree():
    """x³-like map with two attractors of different exponents: the fixed point 0 and the chaotic band of 4x(1 − x)."""
    F = Map(
        lambda x: np.where(x < 0, x / 2, 4 * x * (1 - x)),
        1,
        lambda x: np.where(x < 0, 0.5, 4 - 8 * x)[..., None],
    )
    x0 = [[-0.3], [-0.1], [0.3], [0.4], [-0.2], [0.15], [0.6], [-0.5]]
    with pytest.raises(TooShort, match="λ1") as caught:
        lyapunov_exponents(F, x0, n_steps=600, burn_in=200)
    assert caught.value.estimate.stderr[0] > 0.1
    right = lyapunov_exponents(F, [x for x in x0 if x[0] > 0], n_steps=600, burn_in=200)
    assert right.stderr[0] < 0.1


def test_too_few_exponents_do_not_tell_the_dimension():
    found = lyapunov_exponents(henon(), HENON_STARTS, n_steps=2000, n_exponents=1)
    with pytest.raises(NotApplicable, match="ask for more than n_exponents = 1 of 2"):
        _ = found.dimension


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x0": [0.1, 0.2, 0.3]}, "x0 must be"),
        ({"x0": [0.1, np.nan]}, "x0 must be finite"),
        ({"n_steps": 0}, "n_steps must be"),
        ({"burn_in": -1}, "burn_in must be"),
        ({"n_exponents": 3}, "n_exponents must be at most the dimension 2"),
        ({"every": 200}, "n_steps must be at least every"),
        ({"dt": 0.0}, "dt must be"),
        ({"system": np.sin}, "system must be a map"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    given = {"system": henon(), "x0": [0.1, 0.1], "n_steps": 100} | arguments
    with pytest.raises(ArgumentError, match=message):
        lyapunov_exponents(given.pop("system"), given.pop("x0"), **given)


def test_the_drawing_shows_one_line_for_each_exponent(on_henon):
    ax = on_henon.plot()
    assert [line.get_label() for line in ax.get_lines()[:2]] == ["λ1", "λ2"]
    assert ax.get_lines()[0].get_ydata()[-1] == pytest.approx(on_henon.value[0], rel=0.02)
