"""The methods against closed forms, exact cycles and plain Python."""

from fractions import Fraction

import numpy as np
import oracles
import pytest
from scipy.linalg import solve_discrete_lyapunov

import dynsim as ds

FULL = {"batch_size": "full"}
MU, L = 1.0, 25.0  # curvatures of the quadratics below
ROOT_Q = np.sqrt(L / MU)
TUNED = {
    "GD": ds.SGD(2 / (L + MU)),
    "HeavyBall": ds.HeavyBall(4 / (np.sqrt(L) + np.sqrt(MU)) ** 2, momentum=((ROOT_Q - 1) / (ROOT_Q + 1)) ** 2),
    "Nesterov": ds.Nesterov(1 / L, momentum=(ROOT_Q - 1) / (ROOT_Q + 1)),
}
RADII = {"GD": (L - MU) / (L + MU), "HeavyBall": (ROOT_Q - 1) / (ROOT_Q + 1), "Nesterov": 1 - 1 / ROOT_Q}


def path(problem, method, x0, n_steps, **options):
    """θ_0 … θ_n of one path."""
    return ds.iterate(problem, method, x0, n_steps=n_steps, rng=0, **options).x[0]


def recursion(method, eigenvalue):
    name = {"SGD": "GD"}.get(type(method).__name__, type(method).__name__)
    return oracles.recursion_on_quadratic(name, method.step_size, getattr(method, "momentum", 0.0), eigenvalue)


def closed_form(method, eigenvalues, x0, n_steps):
    columns = []
    for value, start in zip(eigenvalues, x0, strict=True):
        trace, determinant = recursion(method, value)
        first = (1 - method.step_size * value) * start
        columns.append(oracles.second_order_path(trace, determinant, start, first, n_steps))
    return np.stack(columns, axis=1)


# Quadratics

EIGENVALUES, START = [MU, 3.0, 10.0, L], [1.0, -2.0, 0.5, 3.0]
METHODS_OF_TWO_STEPS = [
    *TUNED.values(),
    ds.HeavyBall(0.01, momentum=0.9),
    ds.HeavyBall(0.01, momentum=0.0),
    ds.HeavyBall(0.1, momentum=0.1),  # 1 + μ < ηλ/2 for the largest: it blows up
    ds.Nesterov(0.03, momentum=0.5),
    ds.SGD(0.09),  # the same
]


@pytest.mark.parametrize("method", METHODS_OF_TWO_STEPS, ids=repr)
def test_iterates_on_a_quadratic_are_the_closed_form(method):
    found = path(ds.problems.quadratic(EIGENVALUES), method, START, 100)
    expected = closed_form(method, EIGENVALUES, START, 100)
    envelope = np.maximum.accumulate(np.abs(expected[::-1]))[::-1]
    np.testing.assert_array_less(np.abs(found - expected), 1e-11 * envelope + 1e-15)


@pytest.mark.parametrize("name", TUNED)
def test_iteration_counts_on_a_quadratic_are_those_of_the_closed_form(name):
    problem, method = ds.problems.quadratic(EIGENVALUES), TUNED[name]
    losses = 0.5 * closed_form(method, EIGENVALUES, START, 400) ** 2 @ EIGENVALUES
    found = problem.loss(path(problem, method, START, 400))
    for epsilon in 10.0 ** -np.arange(1, 13):
        count = np.argmax(losses <= epsilon)
        assert count > 0
        assert np.argmax(found <= epsilon) == count


def test_gradient_descent_needs_as_many_steps_as_its_logarithm_says():
    """½ λ x² (1 − ηλ)^{2k} ≤ ε first at k = ⌈ln(2ε/λx²)/(2 ln|1 − ηλ|)⌉."""
    for eta, epsilon in ((0.1, 1e-9), (0.7, 1e-5), (0.9, 1e-12)):
        losses = ds.problems.quadratic([2.0]).loss(path(ds.problems.quadratic([2.0]), ds.SGD(eta), 3.0, 300))
        assert np.argmax(losses <= epsilon) == np.ceil(np.log(epsilon / 9) / (2 * np.log(abs(1 - 2 * eta))))


@pytest.mark.parametrize("name", TUNED)
def test_tuned_methods_have_their_spectral_radii(name):
    """2/(L + μ): (Q − 1)/(Q + 1); heavy ball: (√Q − 1)/(√Q + 1); Nesterov: 1 − 1/√Q; the worst over the spectrum."""
    method, values = TUNED[name], np.linspace(MU, L, 97)
    radii = [oracles.spectral_radius(*recursion(method, value)) for value in values]
    assert max(radii) == pytest.approx(RADII[name], rel=1e-7)  # the double roots at the ends are ill-conditioned
    losses = ds.problems.quadratic(values).loss(path(ds.problems.quadratic(values), method, 1.0, 300))
    rate = (losses[300] / losses[150]) ** (1 / 300)
    assert 0.999 < rate / RADII[name] < 1.02  # a double root makes it k ρ^k
    assert sorted(RADII, key=RADII.get) == ["HeavyBall", "Nesterov", "GD"]


@pytest.mark.parametrize("momentum", [0.3, 0.9])
def test_heavy_balls_spectral_radius_is_the_root_of_the_momentum_where_it_oscillates(momentum):
    """Three consecutive steps tell T and D of the recursion; complex roots for (1 − √μ)² < ηλ < (1 + √μ)²."""
    inside = (1 - np.sqrt(momentum)) ** 2 + 4 * np.sqrt(momentum) * np.linspace(0.02, 0.98, 7)
    outside = np.array([0.5 * (1 - np.sqrt(momentum)) ** 2, 1.01 * (1 + np.sqrt(momentum)) ** 2])
    for eta_lambda in (*inside, *outside):
        x = path(ds.problems.quadratic([2.0]), ds.HeavyBall(eta_lambda / 2, momentum=momentum), 1.0, 3)[:, 0]
        trace, minus_determinant = np.linalg.solve([[x[1], x[0]], [x[2], x[1]]], [x[2], x[3]])
        radius = oracles.spectral_radius(trace, -minus_determinant)
        expected = oracles.spectral_radius(1 + momentum - eta_lambda, momentum)
        assert radius == pytest.approx(expected, rel=1e-9)
        assert (abs(expected - np.sqrt(momentum)) < 1e-12) == (eta_lambda in inside)


def test_nesterov_keeps_theorem_2_1_3_s_bound_and_gradient_descent_does_not():
    """f(y_k) − f* ≤ ½(μ + L)‖x_0 − x*‖² exp(−(k − 1)/√Q), Q = L/μ, y_0 = x_0."""
    for problem, mu, large, x0 in (
        (ds.problems.quadratic(np.geomspace(1, 900, 8)), 1.0, 900.0, np.ones(8)),
        (ds.problems.lessard_piecewise(), 1.0, 25.0, np.array([3.3])),
    ):
        root_q, k = np.sqrt(large / mu), np.arange(1001)
        bound = 0.5 * (mu + large) * (x0 @ x0) * np.exp(-(k - 1) / root_q)
        losses = problem.loss(path(problem, ds.Nesterov(1 / large, momentum=(root_q - 1) / (root_q + 1)), x0, 1000))
        assert (losses <= bound).all()
    quadratic = ds.problems.quadratic(np.geomspace(1, 900, 8))
    slow = quadratic.loss(path(quadratic, ds.SGD(1 / 900), np.ones(8), 1000))
    bound = 0.5 * 901 * 8 * np.exp(-(np.arange(1001) - 1) / 30)
    assert (slow > bound).any()
    assert (slow <= 450 * 8 * (900 / 901) ** (2 * np.arange(1001))).all()  # its own bound, below Z (2.3)


def test_heavy_ball_runs_into_lessard_s_rational_three_cycle_and_the_others_converge():
    cycles = oracles.heavy_ball_cycles(Fraction(1, 9), Fraction(4, 9))
    attracting = [points for points, contraction in cycles.items() if contraction < 1]
    assert attracting == [frozenset({Fraction(2592, 1225), Fraction(792, 1225), Fraction(-2208, 1225)})]
    assert cycles[attracting[0]] == pytest.approx((4 / 9) ** 1.5)  # the momentum is the determinant
    problem = ds.problems.lessard_piecewise()
    x = path(problem, ds.HeavyBall(1 / 9, momentum=4 / 9), 3.3, 300)[:, 0]
    exact, before = [Fraction(33, 10)], Fraction(33, 10)  # 60 steps in Fractions: two cycles apart is no chance
    for _ in range(60):
        exact.append(exact[-1] - oracles.lessard_slope(exact[-1]) / 9 + Fraction(4, 9) * (exact[-1] - before))
        before = exact[-2]
    np.testing.assert_allclose(x[:61], [float(value) for value in exact], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.sort(x[-3:]), sorted(map(float, attracting[0])), rtol=1e-14)
    for method in (ds.SGD(1 / 25), ds.SGD(2 / 26), ds.Nesterov(1 / 25, momentum=2 / 3)):
        assert abs(path(problem, method, 3.3, 600)[-1, 0]) < 1e-12


# The other update rules, by hand

QUADRATIC = ds.problems.quadratic([1.0, 30.0])


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("RMSProp", {"alpha": 0.99, "eps": 1e-8}),
        ("RMSProp", {"alpha": 0.0, "eps": 0.3}),
        ("Adam", {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
        ("Adam", {"beta1": 0.0, "beta2": 0.7, "eps": 0.1}),
    ],
)
def test_rmsprop_and_adam_by_hand_for_ten_steps(rule, given, elementwise):
    method = getattr(ds, rule)(0.1, elementwise=elementwise, **given, **FULL)
    expected = oracles.adaptive_path(
        rule, QUADRATIC.gradient, [1.0, -0.7], 10, eta=0.1, elementwise=elementwise, **given
    )
    np.testing.assert_allclose(path(QUADRATIC, method, [1.0, -0.7], 10), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "given",
    [
        {"alpha": 1.0, "beta1": 0.9, "beta2": 0.99, "eps": 1e-5},
        {"alpha": 1.5, "beta1": 0.5, "beta2": 0.3, "eps": 1e-3, "tau0": 2.0},
        {"alpha": 2.0, "beta1": 0.0, "beta2": 0.0, "eps": 0.0, "tau0": 3.0},
        {"alpha": 0.3, "beta1": 0.9, "beta2": 0.9, "eps": 0.0},
    ],
)
def test_acclip_by_hand_for_ten_steps(given):
    method = ds.ACClip(0.1, **given, **FULL)
    expected = oracles.adaptive_path("ACClip", QUADRATIC.gradient, [1.0, -0.7], 10, eta=0.1, **given)
    np.testing.assert_allclose(path(QUADRATIC, method, [1.0, -0.7], 10), expected, rtol=1e-12, atol=1e-13)


def test_acclip_reads_nothing_over_nothing_as_one():
    """At a minimum m = τ = 0, and ε may be 0."""
    assert (path(QUADRATIC, ds.ACClip(0.1, eps=0.0, **FULL), [0.0, 1.0], 5)[:, 0] == 0).all()


def test_adam_s_first_step_is_eta_whatever_the_gradient():
    x = path(ds.problems.quadratic([1e-3, 1.0, 1e3]), ds.Adam(0.01, eps=1e-300, **FULL), [1.0, -1.0, 1.0], 1)
    np.testing.assert_allclose(x[1] - x[0], [-0.01, 0.01, -0.01], rtol=1e-13)


def clip(g, tau):
    return g * min(1.0, tau / np.linalg.norm(g))


def to_ball(theta, center, radius):
    distance = np.linalg.norm(theta - center)
    return theta if distance <= radius else center + (theta - center) * radius / distance


CENTER = np.array([0.2, 0.1])
RISING = ds.schedules.Custom(lambda k: 0.5 * (k + 1) ** (1 / 1.5))  # Z Theorem 4.4.2: τ_k = G k^{1/α}
BY_HAND = {
    "Clipped": (ds.Clipped(0.05, gamma=2.0, **FULL), lambda x, g, k: x - min(0.05, 2.0 * 0.05 / np.linalg.norm(g)) * g),
    "Normalized": (ds.Normalized(0.05, beta=0.3, **FULL), lambda x, g, k: x - 0.05 / (np.linalg.norm(g) + 0.3) * g),
    "GClip": (ds.GClip(0.05, threshold=RISING, **FULL), lambda x, g, k: x - 0.05 * clip(g, RISING(k))),
    "GClip, decreasing steps": (
        ds.GClip(ds.schedules.Polynomial(0.05, 1, 0.5), threshold=2.0, **FULL),
        lambda x, g, k: x - 0.05 / np.sqrt(k + 1) * clip(g, 2.0),
    ),
    "ProjectedGClip": (
        ds.ProjectedGClip(0.05, threshold=RISING, radius=0.5, center=CENTER, **FULL),
        lambda x, g, k: to_ball(x - 0.05 * clip(g, RISING(k)), CENTER, 0.5),
    ),
    "CClip": (
        ds.CClip(0.05, threshold=RISING, scales=[0.4, 9.0], **FULL),
        lambda x, g, k: x - 0.05 * np.clip(g, -RISING(k) * np.array([0.4, 9.0]), RISING(k) * np.array([0.4, 9.0])),
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_clipping_and_normalizing_by_hand(name):
    method, step = BY_HAND[name]
    expected = [np.array([1.0, -0.7])]
    for k in range(40):
        expected.append(step(expected[-1], QUADRATIC.gradient(expected[-1]), k))
    np.testing.assert_allclose(path(QUADRATIC, method, expected[0], 40), expected, rtol=1e-12, atol=1e-13)
    plain = path(QUADRATIC, ds.SGD(0.05), expected[0], 1)
    assert np.abs(plain[1] - expected[1]).max() > 0.1  # the start is where the rule matters


def test_projections_stay_in_their_ball_and_move_nothing_inside():
    wide, tight = (ds.ProjectedGClip(0.05, threshold=1.0, radius=r, center=CENTER, **FULL) for r in (1e3, 0.5))
    start = np.random.default_rng(0).normal(size=(50, 2))
    runs = [ds.iterate(QUADRATIC, method, start, n_steps=20, n_paths=50).x for method in (wide, tight)]
    free = ds.iterate(QUADRATIC, ds.GClip(0.05, threshold=1.0, **FULL), start, n_steps=20, n_paths=50).x
    np.testing.assert_allclose(runs[0], free, rtol=0, atol=1e-13)
    distance = np.linalg.norm(runs[1][:, 1:] - CENTER, axis=-1)
    assert distance.max() < 0.5 * (1 + 1e-14)
    assert (np.abs(distance - 0.5) < 1e-13).any()


def test_cclip_s_scales_are_one_by_default():
    default, ones = (
        path(QUADRATIC, ds.CClip(0.05, threshold=0.3, scales=scales, **FULL), [1.0, -0.7], 20)
        for scales in (None, [1, 1])
    )
    assert (default == ones).all()


def test_normalized_steps_are_between_half_of_the_clipped_ones_and_the_whole():
    """(3.6) and (3.5) with γη_c = η_n, η_c = η_n/β: ½h_c ≤ h_n ≤ h_c, and the ½ is met at ‖g‖ = β."""
    beta, eta = 0.7, 0.05
    problem, size = ds.problems.quadratic([1.0]), np.geomspace(1e-4, 1e4, 401)
    size[200] = beta
    start = size[:, None]
    step = {
        name: (start - ds.iterate(problem, method, start, n_steps=1, n_paths=401).x[:, 1])[:, 0]
        for name, method in (
            ("normalized", ds.Normalized(eta, beta=beta, **FULL)),
            ("clipped", ds.Clipped(eta / beta, gamma=beta, **FULL)),
        )
    }
    ratio = step["normalized"] / step["clipped"]
    assert (ratio <= 1 + 1e-9).all()
    assert (ratio >= 0.5 - 1e-9).all()
    assert ratio[200] == pytest.approx(0.5, abs=1e-12)
    assert ratio[[0, -1]].min() > 0.999


def test_clipped_is_gclip_with_a_fixed_threshold(data):
    problem = ds.problems.linear_model(*data, loss="welsch")
    one, other = (path(problem, m, 0.5, 50) for m in (ds.Clipped(0.3, gamma=0.2), ds.GClip(0.3, threshold=0.2)))
    assert (one == other).all()


def test_normalized_makes_no_step_at_a_stationary_point():
    assert (path(QUADRATIC, ds.Normalized(0.1, **FULL), 0.0, 3) == 0).all()


def test_momentum_follows_its_schedule_and_the_step_size_its_own():
    """v ← μ_k v + g, θ ← θ − η_k v; and Nesterov's (k + 1)/(k + 4)."""
    step_size, momentum = ds.schedules.Polynomial(0.05, 1, 0.5), ds.schedules.Custom(lambda k: (k + 1) / (k + 4))
    x, v, theta, q = np.ones(2), np.zeros(2), np.ones(2), np.ones(2)
    heavy, accelerated = [x], [theta]
    for k in range(30):
        v = momentum(k) * v + QUADRATIC.gradient(x)
        x = x - step_size(k) * v
        reached = q - step_size(k) * QUADRATIC.gradient(q)
        theta, q = reached, reached + momentum(k) * (reached - theta)
        heavy.append(x)
        accelerated.append(theta)
    for method, expected in ((ds.HeavyBall, heavy), (ds.Nesterov, accelerated)):
        found = path(QUADRATIC, method(step_size, momentum=momentum, **FULL), 1.0, 30)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


# Stationary laws on ½hθ² with noise ξ in the gradient

H, ETA, N_PATHS = 2.0, 0.2, 20_000


def settled(method, n_steps=400):
    """Two consecutive states of each path, after the start is forgotten."""
    run = ds.iterate(ds.problems.quadratic([H]), method, 0.0, n_steps=n_steps, n_paths=N_PATHS, rng=11, save_every=1)
    return run.x[:, -2, 0], run.x[:, -1, 0]


@pytest.mark.parametrize(
    ("method", "noise"),
    [
        (ds.SGD, {}),
        (ds.HeavyBall, {"momentum": 0.8}),
        (ds.Nesterov, {"momentum": 0.8}),
    ],
)
def test_stationary_variances_under_gaussian_noise_are_the_closed_forms(method, noise):
    """SGD: ησ²/(2h − ηh²). The others: Yule & Walker, and the discrete Lyapunov equation of (θ_k, θ_{k−1})."""
    sigma = 0.5
    method = method(ETA, noise=ds.noise.Gaussian(sigma), **noise)
    trace, determinant = recursion(method, H)
    variance = oracles.autoregressive_variance(trace, determinant, (ETA * sigma) ** 2)
    companion, source = np.array([[trace, -determinant], [1.0, 0.0]]), np.diag([(ETA * sigma) ** 2, 0.0])
    covariance = solve_discrete_lyapunov(companion, source)
    np.testing.assert_allclose(np.diag(covariance), variance, rtol=1e-12)
    if type(method) is ds.SGD:
        assert variance == pytest.approx(ETA * sigma**2 / (2 * H - ETA * H**2), rel=1e-14)
    if type(method) is ds.HeavyBall:
        mu = method.momentum
        closed = ETA * sigma**2 * (1 + mu) / ((1 - mu) * H * (2 * (1 + mu) - ETA * H))
        assert variance == pytest.approx(closed, rel=1e-14)
    before, now = settled(method)
    stderr = variance * np.sqrt(2 / N_PATHS)
    assert abs((now**2).mean() - variance) < 5 * stderr
    product = before * now
    assert abs(product.mean() - covariance[0, 1]) < 5 * product.std() / np.sqrt(N_PATHS)
    limit = ETA * sigma**2 / (2 * H * (1 - getattr(method, "momentum", 0.0)))  # negative control: the SDE's variance
    assert abs((now**2).mean() - limit) > 5 * stderr


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 2.0])
def test_stable_noise_has_its_stationary_scale(alpha):
    """By the characteristic function E cos tθ = exp(−|St|^α), at five t."""
    scale = oracles.stable_stationary_scale(alpha, 0.3, ETA, H)
    _, theta = settled(ds.SGD(ETA, noise=ds.noise.AlphaStable(alpha, scale=0.3)))

    def errors(scale):
        t = np.array([0.2, 0.5, 1.0, 1.5, 2.0]) / scale
        phi, double = np.exp(-((scale * t) ** alpha)), np.exp(-((2 * scale * t) ** alpha))
        stderr = np.sqrt((0.5 * (1 + double) - phi**2) / N_PATHS)
        return np.abs(np.cos(np.outer(t, theta)).mean(axis=1) - phi) / stderr

    assert errors(scale).max() < 5
    assert errors(1.1 * scale).max() > 5  # negative control


@pytest.mark.parametrize(
    "method", [ds.Clipped(0.5, gamma=1.0, batch_size="full"), ds.Normalized(0.5, batch_size="full")]
)
def test_clipping_tames_gradients_whose_squares_overflow(method):
    """On exponential wings at 360 the gradient is 8e155, finite: the first step has length one half."""
    run = ds.iterate(ds.problems.exponential_wings(), method, 360.0, n_steps=1)
    assert run.x[0, 1, 0] == 359.5
    tiny = ds.Normalized(1e-170, batch_size="full")
    run = ds.iterate(ds.problems.quadratic([1.0, 1.0]), tiny, [3e-165, 4e-165], n_steps=1)
    np.testing.assert_allclose(run.x[0, 0] - run.x[0, 1], [6e-171, 8e-171], rtol=1e-4)
