"""Maps, orbits, periods and bands, against closed forms and intervals that map into each other."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq

import dynsim as ds
from dynsim.dynamics import Map, descent, flow, orbit
from dynsim.errors import ArgumentError, NotApplicable

START = [1.0, -0.5]  # off all lines of symmetry of egg_carton
METHODS = {
    "SGD": ds.SGD(0.02, batch_size="full"),
    "HeavyBall": ds.HeavyBall(0.02, batch_size="full", momentum=0.6),
    "Nesterov": ds.Nesterov(0.02, batch_size="full", momentum=0.6),
    "Clipped": ds.methods.Clipped(0.1, batch_size="full", gamma=0.3),
    "GClip": ds.methods.GClip(0.1, batch_size="full", threshold=0.3),
    "CClip": ds.methods.CClip(0.1, batch_size="full", threshold=0.3),
    "Normalized": ds.methods.Normalized(0.1, batch_size="full", beta=0.5),
    "RMSProp": ds.RMSProp(0.01, batch_size="full"),
    "ACClip": ds.methods.ACClip(0.01, batch_size="full"),
}


def logistic(r):
    return Map(lambda x: r * x * (1 - x), 1, lambda x: (r * (1 - 2 * x))[..., None])


def henon():
    return Map(lambda x: np.stack([1 - 1.4 * x[..., 0] ** 2 + x[..., 1], 0.3 * x[..., 0]], axis=-1), 2)


def problems():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 3))
    return {
        "egg": (ds.problems.egg_carton(2.0), np.array(START)),
        "valleys": (ds.problems.two_valleys(), np.array([0.7])),
        "regression": (
            ds.problems.linear_model(X, X @ [1.0, -2.0, 0.5] + 0.1, loss="square"),
            np.array([0.5, 0.1, 2.0]),
        ),
    }


@pytest.mark.parametrize(
    ("name", "method"),
    [("egg", method) for method in METHODS] + list(itertools.product(["valleys", "regression"], ["SGD", "Nesterov"])),
)
def test_the_orbit_of_a_descent_is_the_run(name, method):
    problem, x0 = problems()[name]
    run = ds.iterate(problem, METHODS[method], x0, n_steps=60)
    F = descent(problem, METHODS[method])
    found = orbit(F, x0, 60)
    assert np.array_equal(found.x[0, :, : problem.dim], run.x[0])
    assert found.x.shape[2] == F.dim >= F.n_observed == problem.dim


def test_a_descent_is_its_formula():
    problem, x0 = problems()["egg"]
    x = np.array([[x0, x0 + 1.0], [x0 - 2.0, -x0]])
    gradient = 2.0 * np.stack([np.cos(x[..., 0]) * np.sin(x[..., 1]), np.sin(x[..., 0]) * np.cos(x[..., 1])], axis=-1)
    before = x.copy()
    assert np.abs(descent(problem, METHODS["SGD"])(x) - (x - 0.02 * gradient)).max() < 1e-14
    assert np.array_equal(x, before)  # which the steps, made in place, must not touch


def test_a_descent_leaves_its_argument_alone_in_one_dimension():
    x = np.array([[0.7], [-0.4]])
    descent(ds.problems.two_valleys(), METHODS["SGD"])(x)
    assert x.tolist() == [[0.7], [-0.4]]


def test_more_states_than_a_block_holds_are_each_mapped_alone():
    F = descent(problems()["egg"][0], METHODS["HeavyBall"])
    x = np.random.default_rng(0).normal(size=(1000, 4))
    together = F(x)
    assert all(np.array_equal(F(x[k]), together[k]) for k in range(0, 1000, 37))


@pytest.mark.parametrize("method", ["SGD", "HeavyBall", "Nesterov"])
@pytest.mark.parametrize("name", ["egg", "regression"])
def test_exact_jacobians_are_those_of_differences(name, method):
    problem, _ = problems()[name]
    F = descent(problem, METHODS[method])
    x = np.random.default_rng(1).normal(size=(2, 3, F.dim))
    by_differences = Map(F.function, F.dim).jacobian(x)
    exact = F.jacobian(x)
    assert exact.shape == (2, 3, F.dim, F.dim)
    assert np.abs(exact - by_differences).max() < 1e-8


def test_a_problem_of_one_term_needs_no_full_batch():
    problem, x0 = problems()["egg"]
    assert np.array_equal(descent(problem, ds.SGD(0.02))(x0), descent(problem, METHODS["SGD"])(x0))


REFUSED = {
    "Adam": (ds.Adam(0.01, batch_size="full"), "that of Adam depends on the number of the step"),
    "one term": (ds.SGD(0.1), "give it batch_size='full'"),
    "noise": (ds.SGD(0.1, batch_size="full", noise=ds.noise.Gaussian(0.1)), "take the noise off"),
    "schedule": (ds.SGD(ds.schedules.Custom(lambda k: 0.1 / (k + 1)), batch_size="full"), "constants for step size"),
    "INGD": (ds.methods.INGD(delta=0.1, epsilon=0.5, lipschitz=5.0), "INGD looks at random points"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_no_map_is_refused(case):
    method, reason = REFUSED[case]
    with pytest.raises(NotApplicable, match=reason):
        descent(ds.problems.two_valleys(), method)


def test_a_rule_of_ones_own_is_a_map_if_it_does_not_know_the_step():
    def signs(theta, g, step_size, k):
        for j in range(len(theta)):
            theta[j] -= step_size * np.sign(g[j])

    def fading(theta, g, step_size, k):
        for j in range(len(theta)):
            theta[j] -= step_size * g[j] / (k + 1)

    problem = ds.problems.two_valleys()
    F = descent(problem, ds.methods.Custom(0.25, update=signs, batch_size="full"))
    assert F([2.0]).tolist() == [1.75]
    with pytest.raises(NotApplicable, match="fading depends on the number of the step"):
        descent(problem, ds.methods.Custom(0.25, update=fading, batch_size="full"))


BAD_MAPS = {
    "no function": ({"function": 3.0, "dim": 1}, "function must be a function"),
    "shape": ({"function": lambda x: x[..., 0], "dim": 2}, r"function must return numbers of shape \(2,\)"),
    "one point only": ({"function": lambda x: np.array([x[1], x[0]]), "dim": 2}, r"write x\[..., 0\]"),
    "not alone": ({"function": lambda x: x - x.mean(axis=0), "dim": 2}, "treat each point alone"),
    "fails": ({"function": lambda x: x @ np.ones((3, 3)), "dim": 2}, "function fails at x"),
    "jacobian": ({"function": lambda x: x, "dim": 2, "jacobian": lambda x: x}, r"jacobian must return .* \(2, 2\)"),
    "dim": ({"function": lambda x: x, "dim": 0}, "dim must be a whole number"),
    "n_observed": ({"function": lambda x: x, "dim": 2, "n_observed": 3}, "n_observed must be at most"),
    "modulo": ({"function": lambda x: x, "dim": 2, "modulo": [1.0, -1.0]}, "modulo must be positive"),
    "in place": (
        {"function": lambda x: np.multiply(x, 0.5, out=x), "dim": 1},
        "function must not write in its argument",
    ),
}


@pytest.mark.parametrize("case", list(BAD_MAPS))
def test_a_map_is_checked_when_it_is_made(case):
    arguments, reason = BAD_MAPS[case]
    with pytest.raises(ArgumentError, match=reason):
        Map(**arguments)


@pytest.mark.parametrize(
    ("x0", "reason"), [([1.0, 2.0, 3.0], "x0 must be a scalar"), ("a", "x0 must be"), (np.nan, "x0 must be finite")]
)
def test_bad_starts_are_refused(x0, reason):
    with pytest.raises(ArgumentError, match=reason):
        orbit(henon(), x0, 10)


def test_the_flow_of_a_linear_sde_is_the_matrix_exponential_to_fourth_order():
    from scipy.linalg import expm

    A = np.array([[-0.5, -2.0], [2.0, -1.0]])
    sde = ds.SDE(lambda t, x: (-0.5 * x[0] - 2.0 * x[1], 2.0 * x[0] - x[1]), lambda t, x: (0.3, 0.3), dim=2)
    x0 = np.array([1.0, 0.5])
    errors = []
    for dt in (0.1, 0.05):
        F = flow(sde, dt)
        errors.append(np.abs(orbit(F, x0, round(1 / dt)).x[0, -1] - expm(A) @ x0).max())
        series = sum(np.linalg.matrix_power(dt * A, k) / math.factorial(k) for k in range(5))
        assert np.abs(F.jacobian(x0) - series).max() < 1e-9
    assert 14 < errors[0] / errors[1] < 18


def test_the_jacobian_of_a_nonlinear_flow_is_that_of_its_step():
    sde = ds.SDE(lambda t, x: (x[1], (1 - x[0] ** 2) * x[1] - x[0]), lambda t, x: (0.0, 0.1), dim=2)
    F = flow(sde, 0.1)
    x = np.random.default_rng(0).normal(size=(5, 2))
    assert np.abs(F.jacobian(x) - Map(F.function, 2).jacobian(x)).max() < 1e-8


@pytest.mark.parametrize("drift", [lambda t, x: math.sin(t) - x[0], lambda t, x: (t > 50) - x[0]], ids=["sin", "step"])
def test_a_flow_with_a_drift_that_depends_on_time_is_refused(drift):
    with pytest.raises(NotApplicable, match="does not depend on t"):
        flow(ds.SDE(drift, lambda t, x: 1.0), 0.1)


def test_an_orbit_keeps_what_comes_after_the_burn_in():
    whole, late = orbit(henon(), 0.1, 50), orbit(henon(), 0.1, 30, burn_in=20)
    assert np.array_equal(whole.x[:, 20:], late.x)
    assert late.settings["x0"] == [[0.1, 0.1]]


def test_a_diverging_orbit_says_when():
    found = orbit(Map(lambda x: 16 * x, 1), [[1.0], [0.0]], 150)
    assert found.diverged.tolist() == [math.ceil(100 / math.log10(16)), np.inf]
    assert found.period(most=4).tolist() == [0, 1]


# r of the logistic map, and its period: its windows, and 1 + √8 where that of period 3 opens
PERIODS = [(0.5, 1), (2.9, 1), (3.2, 2), (3.5, 4), (3.55, 8), (3.835, 3), (3.5668, 16), (1 + math.sqrt(8) + 1e-4, 3)]


@pytest.mark.parametrize(("r", "period"), PERIODS)
def test_periods_of_the_logistic_map(r, period):
    assert orbit(logistic(r), 0.3, 2000, burn_in=5000).period().tolist() == [period]


@pytest.mark.parametrize("r", [3.7, 4.0, 1 + math.sqrt(8) - 1e-6])
def test_chaos_and_a_laminar_phase_have_no_period(r):
    assert orbit(logistic(r), 0.3, 2000, burn_in=5000).period().tolist() == [0]


@pytest.mark.parametrize("multiplier", [0.9, -0.9, -0.99, -0.999])
def test_an_orbit_on_its_way_to_a_fixed_point_never_has_period_2(multiplier):
    F = Map(lambda x: multiplier * x, 1)
    seen = {int(orbit(F, 1.0, 600, burn_in=b).period(tolerance=1e-3)[0]) for b in (0, 300, 1000, 3000, 6000, 10000)}
    assert 1 in seen
    assert seen <= {0, 1}


def test_a_2_cycle_smaller_than_the_tolerance_is_one_once_it_is_reached():
    a = 2 * (1 + 1e-7)
    x = brentq(lambda x: 2 * x - a * math.sin(x), 1e-5, 1.0)
    F = Map(lambda x: x - a * np.sin(x), 1)
    assert orbit(F, x, 600).period(tolerance=1e-2).tolist() == [2]


def test_rotations_have_a_period_if_and_only_if_the_angle_is_rational():
    def rotation(angle):
        return orbit(Map(lambda x: (x + angle) % 1.0, 1, modulo=1.0), 0.1, 2000)

    assert rotation(2 / 5).period().tolist() == [5]
    assert rotation((math.sqrt(5) - 1) / 2).period(tolerance=1e-2).tolist() == [0]


def test_without_the_modulus_a_rotation_goes_on_forever():
    drifting = [Map(lambda x: x + 2 / 5, 1, modulo=m) for m in (1.0, np.inf)]
    assert [int(orbit(F, 0.1, 600).period()[0]) for F in drifting] == [5, 0]


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_periods_do_not_depend_on_the_unit(unit):
    chaos, cycle = (Map(lambda x, r=r: r * x * (1 - x / unit), 1) for r in (4.0, 3.5))
    assert [int(orbit(F, 0.3 * unit, 1000).period()[0]) for F in (chaos, cycle)] == [0, 4]


@pytest.mark.parametrize("speed", [1e-10, 1e-9, 1e-3])
def test_a_drift_has_no_period_far_from_0_either(speed):
    assert orbit(Map(lambda x: x + speed, 1), 1e4, 2000).period().tolist() == [0]
    assert orbit(Map(lambda x: 0.9 * x + 1e3 * (1 + speed), 1), 0.0, 2000).period().tolist() == [1]


def test_a_growing_orbit_has_no_bands():
    assert orbit(Map(lambda x: -1.005 * x, 1), 0.3, 10_000).bands().tolist() == [0]


def test_a_period_longer_than_the_orbit_can_show_is_refused():
    with pytest.raises(ArgumentError, match="most must be at most n_steps/6"):
        orbit(logistic(3.2), 0.3, 100).period()
    with pytest.raises(ArgumentError, match="at least 10000 steps"):
        orbit(logistic(3.2), 0.3, 1000).bands()


def bands_of_intervals(f, critical, most):
    """The largest k such that the intervals from c_i to c_{i+k}, i = 1 … k, are disjoint and f permutes them.

    c_i is the i-th image of the critical point of a unimodal map f: on the first k − 1 intervals f is monotone, and the
    last, which holds the critical point, is mapped into the first, from c_{k+1} to the maximum c_1.
    """
    c = [critical]
    for _ in range(2 * most + 1):
        c.append(f(c[-1]))
    found = 0
    for k in range(1, most + 1):
        spans = [sorted((c[i], c[i + k])) for i in range(1, k + 1)]
        ordered = sorted(spans)
        disjoint = all(left[1] < right[0] for left, right in itertools.pairwise(ordered))
        if disjoint and spans[-1][0] < critical < spans[-1][1] and c[2 * k + 1] >= c[k + 1]:
            found = k
    return found


@pytest.mark.parametrize(
    ("r", "bands"), [(3.9, 1), (3.6790, 1), (3.6780, 2), (3.6, 2), (3.5930, 2), (3.5920, 4), (3.58, 4)]
)
def test_bands_of_the_logistic_map_are_intervals_between_images_of_its_critical_point(r, bands):
    # on both sides of the points 3.678573 and 3.592572 at which bands merge
    assert bands_of_intervals(lambda x: r * x * (1 - x), 0.5, 8) == bands
    assert orbit(logistic(r), 0.3, 20_000, burn_in=1000).bands().tolist() == [bands]


def test_bands_of_a_cycle_are_its_points_and_a_rotation_has_one():
    assert orbit(logistic(3.5), 0.3, 10_000).bands().tolist() == [4]
    golden = Map(lambda x: (x + (math.sqrt(5) - 1) / 2) % 1.0, 1, modulo=1.0)
    assert orbit(golden, 0.1, 10_000).bands().tolist() == [1]


def test_the_tent_map_has_two_bands_below_slope_root_2():
    def tent(s):
        return Map(lambda x: s * np.minimum(x, 1 - x), 1)

    found = [int(orbit(tent(s), 0.3123, 20_000, burn_in=100).bands()[0]) for s in (1.5, 1.38, 1.3, 1.15)]
    assert found == [1, 2, 2, 4]  # they double at 2^(1/2), 2^(1/4), 2^(1/8)


def test_the_henon_attractor_is_one_piece_with_no_period():
    found = orbit(henon(), [0.1, 0.1], 20_000, burn_in=100)
    assert (found.period().tolist(), found.bands().tolist()) == ([0], [1])


# -- gradient descent at the edge of stability: u = θ1 + θ2 and w = θ1 − θ2 − π follow x → x − a sin x, a = 100 η --


def egg_orbit(eta, n_steps=2000, x0=START):
    problem = ds.problems.egg_carton()
    return problem, orbit(descent(problem, ds.SGD(eta, batch_size="full")), x0, n_steps, burn_in=2000)


@pytest.mark.parametrize("eta", [0.025, 0.03])
def test_losses_and_gradients_of_the_symmetric_2_cycles_are_exact(eta):
    # 2x = a sin x; L = −50 (cos u + cos w), |∇L|² = 5000 (sin² u + sin² w) at u, w = ± x
    a = 100 * eta
    x = brentq(lambda x: 2 * x - a * math.sin(x), 0.1, math.pi)
    problem, found = egg_orbit(eta)
    theta = found.x[0, -20:]
    assert found.period().tolist() == [2]
    assert np.abs(problem.loss(theta) + 100 * math.cos(x)).max() < 1e-9
    assert np.abs(np.linalg.norm(problem.gradient(theta), axis=-1) - 200 * x / a).max() < 1e-9
    direct = 100 * np.sin(theta[:, 0]) * np.sin(theta[:, 1])
    assert np.abs(direct - problem.loss(theta)).max() < 1e-11


def test_the_2_cycle_beyond_pi_has_the_losses_of_x_and_x_less_pi():
    # a sin x = π, on both sides of π/2; u and w are in phase (L = ∓100 cos x) or not (L = 0)
    a = 3.3
    x = math.asin(math.pi / a)
    problem, found = egg_orbit(0.033, x0=[START, [1.0, 0.4], [0.3, -1.9], [2.0, 0.3], [2.2, -2.9]])
    theta = found.x[:, -20:]
    losses = problem.loss(theta)
    assert found.period().tolist() == [2] * 5
    possible = np.array([-100 * math.cos(x), 0.0, 100 * math.cos(x)])
    gap = np.abs(losses[..., None] - possible).min(axis=-1)
    assert gap.max() < 1e-9
    kinds = {tuple(sorted(set(np.round(row, 6).tolist()))) for row in losses}
    assert len(kinds) >= 2  # more than one attractor was met
    assert np.abs(np.linalg.norm(problem.gradient(theta), axis=-1) - 100 * math.pi / a).max() < 1e-9


def test_below_the_edge_descent_converges_and_above_it_does_not():
    assert [int(egg_orbit(eta)[1].period()[0]) for eta in (0.01, 0.0199, 0.0201, 0.04)] == [1, 1, 2, 0]


def test_at_a_step_size_of_0_04_there_are_12_bands_as_the_one_dimensional_map_has():
    x = np.empty(40_000)
    x[0] = 0.3
    for k in range(x.size - 1):
        x[k + 1] = x[k] - 4 * math.sin(x[k])
    spans = np.array([[x[2000 + j :: 12].min(), x[2000 + j :: 12].max()] for j in range(12)])
    spans = spans[np.argsort(spans[:, 0])]
    assert (spans[1:, 0] > spans[:-1, 1]).all()  # 12 disjoint intervals, visited in turn
    merged = np.array([[x[2000 + j :: 24].min(), x[2000 + j :: 24].max()] for j in (0, 12)])
    assert merged[:, 0].max() < merged[:, 1].min()  # each of one piece under F¹²: its halves overlap
    _, found = egg_orbit(0.04, n_steps=20_000)
    assert found.bands().tolist() == [12]


def test_pictures_and_tables_of_orbits():
    pytest.importorskip("matplotlib").use("Agg")
    _, found = egg_orbit(0.03, n_steps=500)
    assert found.plot().get_ylabel() == "x[1]"
    assert found.plot(coordinates=1).get_xlabel() == "step"
    with pytest.raises(ArgumentError, match="coordinates must be below dim"):
        found.plot(coordinates=2)
    pytest.importorskip("xarray")
    assert found.to_xarray().sizes == {"start": 1, "step": 501, "coordinate": 2}
