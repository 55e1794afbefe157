from itertools import product

import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable

GN = ds.sampling.GradientNorm()
MIXED = ds.sampling.Mixture(0.4)
METHODS = [
    lambda scheme: ds.SGD(0.3, scheme),
    lambda scheme: ds.HeavyBall(0.2, scheme, momentum=0.7),
    lambda scheme: ds.RMSProp(0.1, scheme, alpha=0.8, eps=1e-3),
    lambda scheme: ds.RMSProp(0.1, scheme, alpha=0.8, eps=1e-3, elementwise=False),
    lambda scheme: ds.Adam(0.1, scheme, beta1=0.6, beta2=0.9, eps=1e-3),
    lambda scheme: ds.Adam(0.1, scheme, beta1=0.6, beta2=0.9, eps=1e-3, elementwise=False),
]
NAMES = ["SGD", "HeavyBall", "RMSProp", "RMSProp scalar", "Adam", "Adam scalar"]
all_methods = pytest.mark.parametrize("make", METHODS, ids=NAMES)


@pytest.fixture
def problem(data):
    return ds.problems.linear_model(data[0][:3, :2], data[1][:3], "welsch", weights=[0.5, 0.2, 0.3])


def step(method, theta, g, memory, t):
    """One step in plain Python: (θ', memory), from L §3.2's update equations."""
    if isinstance(method, ds.SGD):
        return theta - method.step_size * g, {}
    if isinstance(method, ds.HeavyBall):
        v = method.momentum * memory["v"] + g
        return theta - method.step_size * v, {"v": v}
    square = g**2 if method.elementwise else g @ g
    if isinstance(method, ds.RMSProp):
        v = method.alpha * memory["v"] + (1 - method.alpha) * square
        return theta - method.step_size * g / (method.eps + np.sqrt(v)), {"v": v}
    m = method.beta1 * memory["m"] + (1 - method.beta1) * g
    v = method.beta2 * memory["v"] + (1 - method.beta2) * square
    m_hat, v_hat = m / (1 - method.beta1**t), v / (1 - method.beta2**t)
    return theta - method.step_size * m_hat / (method.eps + np.sqrt(v_hat)), {"m": m, "v": v}


def start(method, dim):
    """The memory at the start of a run."""
    one = np.zeros(dim) if getattr(method, "elementwise", True) else 0.0
    return {"m": np.zeros(dim), "v": one} if isinstance(method, ds.Adam) else {"v": one}


def draws(problem, method, theta):
    """(p_n, G_n) for each term."""
    p = method.sampling.probabilities(problem, theta)
    return list(zip(p, (problem.weights / p)[:, None] * problem.term_gradients(theta), strict=True))


def in_state(problem, method, history, theta):
    """θ, t and the memory after the draws in ``history``."""
    memory = start(method, problem.dim)
    for k, n in enumerate(history):
        theta, memory = step(method, theta, draws(problem, method, theta)[n][1], memory, k + 1)
    return theta, {"t": len(history) + 1, **(memory if not isinstance(method, ds.SGD) else {})}


def expected(problem, method, theta, state, target):
    """S(p), by the definition."""
    moved = [(p, step(method, theta, g, state, state["t"])[0]) for p, g in draws(problem, method, theta)]
    return sum(p * (((theta - target) ** 2).sum() - ((new - target) ** 2).sum()) for p, new in moved)


@all_methods
def test_speed_and_formula_are_the_enumeration_in_plain_python(make, problem):
    target, x0 = np.array([1.0, -0.5]), np.array([0.4, 0.3])
    for scheme, history in product((GN, MIXED, ds.sampling.Uniform()), ((), (1,), (0, 2, 1, 1))):
        method = make(scheme)
        theta, state = in_state(problem, method, history, x0)
        found = ds.convergence_speed(problem, method, theta, target=target, state=state)
        oracle = expected(problem, method, theta, state, target)
        np.testing.assert_allclose([found.speed, found.formula], oracle, rtol=0, atol=1e-13)
        assert abs(oracle) > 1e-3


@all_methods
def test_speed_is_that_of_the_steps_that_iterate_makes(make, problem):
    """2 000 paths of three steps: each third step is among those enumerated, from the state after the first two."""
    target, x0, method = np.array([1.0, -0.5]), np.array([0.4, 0.3]), make(MIXED)
    x = ds.iterate(problem, method, x0, n_steps=3, n_paths=2000, rng=0).x
    seen = 0
    for history in product(range(3), repeat=2):
        theta, state = in_state(problem, method, history, x0)
        mine = np.abs(x[:, 2] - theta).max(axis=1) < 1e-13
        p, g = zip(*draws(problem, method, theta), strict=True)
        outcomes = [step(method, theta, one, state, 3)[0] for one in g]
        apart = np.abs(x[mine, None, 3] - outcomes).max(axis=2)
        which = apart.argmin(axis=1)
        assert apart.min(axis=1).max() < 1e-13
        assert set(which) == {0, 1, 2}
        reached = np.array([x[mine, 3][which == n][0] for n in range(3)])
        nearer = ((theta - target) ** 2).sum() - ((reached - target) ** 2).sum(axis=1)
        found = ds.convergence_speed(problem, method, theta, target=target, state=state)
        assert found.speed == pytest.approx(nearer @ np.array(p), rel=0, abs=1e-12)
        seen += mine.sum()
    assert seen == 2000


@pytest.mark.parametrize("elementwise", [False, True])
def test_Adam_is_printed_with_the_square_of_the_bias_correction(elementwise, problem):
    theta, target = np.array([0.4, 0.3]), np.array([1.0, -0.5])
    method = ds.Adam(0.1, MIXED, beta1=0.6, beta2=0.9, eps=1e-3, elementwise=elementwise)
    m, v, t = np.array([0.2, -0.1]), np.array([0.04, 0.02]), 3
    found = ds.convergence_speed(
        problem, method, theta, target=target, state={"m": m, "v": v if elementwise else 0.06, "t": t}
    )
    printed = 0.0
    for p, g in draws(problem, method, theta):
        root = 1e-3 + np.sqrt((0.9 * 0.06 + 0.1 * (g @ g)) / (1 - 0.9**t))
        d = 0.6 * m + 0.4 * g
        first = 0.1**2 / root**2 / (1 - 0.6**t) ** 2 * (d @ d)
        printed -= p * (first - 2 * 0.1 * ((theta - target) @ d) / root / (1 - 0.6**t) ** 2)
    assert found.printed == pytest.approx(printed, rel=1e-13)
    assert abs(found.printed - found.speed) > 0.02 * abs(found.speed)


def test_RMSProp_is_printed_with_the_scalar_square(problem):
    theta, target = np.array([0.4, 0.3]), np.array([1.0, -0.5])
    vector = ds.RMSProp(0.1, MIXED, alpha=0.8, eps=1e-3)
    scalar = ds.RMSProp(0.1, MIXED, alpha=0.8, eps=1e-3, elementwise=False)
    a = ds.convergence_speed(problem, vector, theta, target=target, state={"v": [0.04, 0.02]})
    b = ds.convergence_speed(problem, scalar, theta, target=target, state={"v": 0.06})
    assert a.printed == pytest.approx(b.speed, rel=1e-13)
    assert b.printed == b.formula
    assert abs(a.printed - a.speed) > 0.02 * abs(a.speed)


def test_App_B_lacks_the_square_of_N_in_its_second_line(data):
    problem, theta = ds.problems.linear_model(*data), np.array([0.3, -0.2, 0.5])
    found = ds.convergence_speed(problem, ds.SGD(0.1, GN), theta, target=0.0)
    mean = problem.gradient(theta)
    H = (problem.term_gradients(theta) ** 2).sum(axis=-1) @ (1 / GN.probabilities(problem, theta))
    assert found.speed == pytest.approx(2 * 0.1 * theta @ mean - 0.1**2 * H / 12**2, rel=1e-12)


def test_speed_works_on_all_leading_axes(problem):
    rng = np.random.default_rng(0)
    theta, target, v = rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 2)), rng.uniform(size=(2, 3))
    method = ds.RMSProp(0.1, GN, elementwise=False)
    whole = ds.convergence_speed(problem, method, theta, target=target, state={"v": v})
    one = ds.convergence_speed(problem, method, theta[1, 2], target=target[2], state={"v": v[1, 2]})
    for name in ("speed", "formula", "printed"):
        assert getattr(whole, name).shape == (2, 3)
        assert getattr(whole, name)[1, 2] == pytest.approx(getattr(one, name), rel=1e-13)
    assert ds.convergence_speed(problem, method, np.empty((0, 2)), target=0.0).speed.shape == (0,)


def test_a_number_in_the_state_means_all_coordinates(problem):
    method, theta = ds.Adam(0.1), np.array([0.4, 0.3])
    a = ds.convergence_speed(problem, method, theta, target=0.0, state={"v": 1.0, "m": (0.1, 0.2), "t": 3})
    b = ds.convergence_speed(problem, method, theta, target=0.0, state={"v": [1.0, 1.0], "m": [0.1, 0.2], "t": 3})
    assert a.speed == b.speed


def test_schedules_are_taken_at_step_t(problem):
    theta = np.array([0.4, 0.3])
    falling = ds.SGD(ds.schedules.Polynomial(0.5, p=1.0, m=1), GN)  # γ/(k + m)^p, k from 0
    for t in (1, 4):
        a = ds.convergence_speed(problem, falling, theta, target=0.0, state={"t": t})
        b = ds.convergence_speed(problem, ds.SGD(0.5 / t, GN), theta, target=0.0)
        assert a.speed == pytest.approx(b.speed, rel=1e-13)


def test_small_steps_keep_their_digits(problem):
    theta, target = np.array([0.4, 0.3]) + 1e6, 0.0
    problem = ds.problems.linear_model([[1.0, 2.0], [3.0, 1.0]], [0.5, 1.0])
    for method in (ds.SGD(1e-12, GN), ds.HeavyBall(1e-12, GN)):
        found = ds.convergence_speed(problem, method, theta, target=target)
        assert found.speed == pytest.approx(float(found.formula), rel=1e-12)


def random_schemes(rng, n):
    return [ds.sampling.Proportions(p) for p in rng.dirichlet(np.ones(n), size=200)]


@pytest.mark.parametrize("make", METHODS[:2], ids=NAMES[:2])
def test_the_gradient_norms_make_SGD_and_heavy_ball_fastest(make, problem):
    rng = np.random.default_rng(1)
    theta, v, target = rng.normal(size=(10, 2)), rng.normal(size=(10, 2)), rng.normal(size=2)
    state = {} if make is METHODS[0] else {"v": v}

    def speed(scheme):
        return ds.convergence_speed(problem, make(scheme), theta, target=target, state=state).speed

    best = speed(GN)
    assert all((speed(scheme) < best).all() for scheme in random_schemes(rng, 3))


@pytest.mark.parametrize("make", METHODS[2:], ids=NAMES[2:])
def test_the_gradient_norms_do_not_make_RMSProp_and_Adam_fastest(make):
    """Gradients −1 and 3 at 0, θ* = −1: at the start of a run the step is ∓ c whatever |G|, S = 2c (p₂ − p₁) − c²."""
    problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -3.0])
    assert problem.gradient([-1.0]) == 0
    other = ds.sampling.Proportions([0.1, 0.9])  # p^GN is (1/4, 3/4)
    found = [ds.convergence_speed(problem, make(s), [0.0], target=-1.0).speed for s in (GN, other)]
    method = make(GN)
    c = 0.1 / np.sqrt(0.2) if isinstance(method, ds.RMSProp) else 0.1
    np.testing.assert_allclose(found, [2 * c * 0.5 - c**2, 2 * c * 0.8 - c**2], rtol=0.01)  # eps is 1e-3
    assert found[1] > found[0]


def test_where_no_term_has_a_gradient_only_the_velocity_moves():
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 0.0])
    found = ds.convergence_speed(problem, ds.HeavyBall(0.5, GN, momentum=0.5), [0.0], target=1.0, state={"v": [-4.0]})
    assert (found.speed, found.formula) == (1.0, 1.0)  # to the target in one step
    assert ds.convergence_speed(problem, ds.SGD(0.5, GN), [0.0], target=1.0).speed == 0


def test_what_has_no_formula_is_refused(problem):
    def speed(method, **changed):
        return ds.convergence_speed(problem, method, [0.4, 0.3], **{"target": 0.0, **changed})

    with pytest.raises(NotApplicable, match="has formulas for SGD, HeavyBall, RMSProp, Adam, got Nesterov"):
        speed(ds.Nesterov(0.1))
    for method, message in (
        (ds.SGD(0.1, batch_size=2), "one term drawn in a step, got batch_size=2"),
        (ds.SGD(0.1, batch_size="full"), "one term drawn in a step, got batch_size='full'"),
        (ds.Adam(0.1, noise=ds.noise.Gaussian(0.1)), "does not know noise"),
        (ds.SGD(0.1, ds.sampling.Stale(5)), "drawn independently"),
    ):
        with pytest.raises(NotApplicable, match=message):
            speed(method)
    for method, changed, message in (
        (ds.SGD(0.1), {"target": None}, "target must be the θ.* got None"),
        (ds.SGD(0.1), {"target": [1.0, 2.0, 3.0]}, r"a number, or of shape \(2,\) or \(2,\), got \(3,\)"),
        (ds.SGD(0.1), {"target": np.inf}, "target must be finite"),
        (ds.SGD(0.1), {"state": {"v": 1.0}}, "state may have 't' for SGD, got 'v'"),
        (ds.HeavyBall(0.1), {"state": {"m": 1.0}}, "state may have 'v', 't' for HeavyBall, got 'm'"),
        (ds.HeavyBall(0.1), {"state": 3}, "state must be a mapping"),
        (ds.HeavyBall(0.1), {"state": {"v": [1.0, 2.0, 3.0]}}, r"state\['v'\] must be a number, or of shape \(2,\)"),
        (ds.RMSProp(0.1), {"state": {"v": -1.0}}, r"state\['v'\] must not be negative"),
        (ds.RMSProp(0.1, elementwise=False), {"state": {"v": [1.0, 2.0]}}, r"shape \(\) for elementwise=False"),
        (ds.Adam(0.1), {"state": {"m": 1.0, "t": 0}}, r"state\['t'\] must be a whole number, at least 1"),
        (ds.Adam(0.1), {"state": {"m": 1.0}}, "state must have 't'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            speed(method, **changed)
    with pytest.raises(ArgumentError, match="problem must be a problem"):
        ds.convergence_speed(3, ds.SGD(0.1), [0.0], target=0.0)
    with pytest.raises(ArgumentError, match="method must be a method"):
        ds.convergence_speed(problem, "sgd", [0.4, 0.3], target=0.0)


def test_a_known_minimum_is_named_where_the_target_is_missing(valleys):
    with pytest.raises(ArgumentError, match=r"knows problem\.minima\[0\]"):
        ds.convergence_speed(valleys, ds.RR(0.04), [0.1])
