"""Interpolated normalized gradient descent: oracle calls, the compiled chain, and certificates. Z chapter 5."""

import dataclasses

import numpy as np
import oracles
import pytest
from scipy import stats

import dynsim as ds
from dynsim._kernels.increments import fill_step_uniforms
from dynsim._random import seed_and_key

WELL = ds.problems.abs_well()
RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(5, 2)), RNG.normal(size=5)
LINEARS = ds.problems.max_of_linears(A - A.mean(axis=0), B)
STEEP = ds.problems.max_of_linears([[1.0], [-25.0]])
PARABOLA = ds.problems.quadratic([1.0, 4.0])
X, Y, SHARES = RNG.normal(size=(6, 2)), RNG.normal(size=6), np.arange(1, 7) / 21


def well_loss(x):
    return abs(abs(x[0]) - 1)


def well_gradient(x):
    outwards = 1.0 if x[0] > 0 else -1.0
    return np.array([outwards if abs(x[0]) > 1 or x[0] == -1 else -outwards])


def linears_gradient(x):
    return (A - A.mean(axis=0))[np.argmax((A - A.mean(axis=0)) @ x + B)]


# problem, its loss and gradient in plain Python, start, δ, ε, L
CASES = {
    "abs_well": (WELL, well_loss, well_gradient, [2.33], 0.1, 0.2, 1.0),
    "abs_well, from its top": (WELL, well_loss, well_gradient, [1e-3], 0.07, 0.5, 1.0),
    "max of linears": (
        LINEARS,
        lambda x: ((A - A.mean(axis=0)) @ x + B).max(),
        linears_gradient,
        [3.0, -2.0],
        0.15,
        0.1,
        float(np.linalg.norm(A - A.mean(axis=0), axis=1).max()),
    ),
    "parabola": (
        PARABOLA,
        lambda x: 0.5 * (x[0] ** 2 + 4 * x[1] ** 2),
        lambda x: x * [1.0, 4.0],
        [1.0, -0.8],
        0.5,
        0.25,
        4.0,
    ),
    "least squares": (
        ds.problems.linear_model(X, Y, weights=SHARES),
        lambda x: 0.5 * SHARES @ (X @ x - Y) ** 2,
        lambda x: SHARES * (X @ x - Y) @ X,
        [2.0, -1.0],
        1.0,
        0.15,
        4.0,
    ),
}


def uniforms(seed, n_steps):
    both, key = np.empty((2, 1)), seed_and_key(seed)[1]
    result = []
    for k in range(n_steps):
        fill_step_uniforms(key, k >> 1, 0, both)
        result.append(both[k & 1, 0])
    return result


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", CASES)
def test_the_chain_and_the_certificate_are_algorithm_2_line_by_line(name, seed):
    problem, loss, gradient, x0, delta, epsilon, lipschitz = CASES[name]
    n_steps, target = 600, {"delta": delta, "epsilon": epsilon, "lipschitz": lipschitz}
    expected, returned, calls = oracles.ingd_path(loss, gradient, x0, uniforms=uniforms(seed, n_steps), **target)
    assert returned
    method = ds.INGD(**target)
    path = ds.iterate(problem, method, x0, n_steps=n_steps, rng=seed).x[0]
    np.testing.assert_allclose(path[1 : len(calls) + 1], expected, rtol=0, atol=1e-12)
    assert (path[len(calls) :] == path[-1]).all()
    certificate = method.certify(problem, x0, rng=seed)
    assert certificate.n_calls == len(calls)
    assert certificate.found
    np.testing.assert_allclose(certificate.theta, expected[-1], rtol=0, atol=1e-12)
    assert len(certificate.points) == len(calls) - calls.rindex("s")


def test_the_cases_above_have_moves_and_interpolations():
    calls = {}
    for name, (_, loss, gradient, x0, delta, epsilon, lipschitz) in CASES.items():
        target = {"delta": delta, "epsilon": epsilon, "lipschitz": lipschitz}
        calls[name] = [oracles.ingd_path(loss, gradient, x0, uniforms=uniforms(s, 600), **target) for s in range(6)]
    for name in CASES:
        assert any("i" in word and "ss" in word for _, _, word in calls[name])


def test_after_k_gradients_a_search_begins_anew(tmp_path):
    """Right of a kink, 3 % of the way to the trial point lie beyond it. L is understated: with the true one, the
    K = ⌈48/0.99²⌉ = 49 gradients could not all be from this side. The checkpoint shows what is remembered.
    """
    x0, target = 0.097, {"delta": 0.1, "epsilon": 0.99, "lipschitz": 1.0}
    method, slopes = ds.INGD(**target), (1.0, -25.0)

    def reference(seed):
        given = uniforms(seed, 400)
        loss, gradient = (lambda x: max(x[0], -25 * x[0])), (lambda x: np.array([slopes[0 if x[0] > 0 else 1]]))
        return oracles.ingd_path(loss, gradient, [x0], uniforms=given, **target)[2]

    words = {seed: reference(seed) for seed in range(20)}
    restarted = [seed for seed, word in words.items() if "s" in word[1:]]
    assert 0 < len(restarted) < 20
    for seed, word in words.items():
        certificate = method.certify(STEEP, x0, rng=seed)
        assert certificate.n_calls == len(word)
        assert certificate.norm <= 0.99
        assert certificate.weights.min() < 0
        assert not certificate.found  # an affine combination is none that shows anything
    seed = restarted[0]
    assert words[seed][:50] == "s" + 48 * "i" + "s"
    for n_steps, gradients_in_m in ((48, 48), (49, 0), (50, 1)):
        file = tmp_path / f"{n_steps}.npz"
        ds.iterate(STEEP, method, x0, n_steps=n_steps, rng=seed, checkpoint=file)
        with np.load(file) as arrays:
            theta, y, m, count = arrays["x"][0]
        assert (theta, m, count) == (x0, 1.0, gradients_in_m)
        assert (y == theta) == (gradients_in_m == 0)


def test_inner_steps_are_48_l2_over_epsilon2_rounded_up():
    for lipschitz, epsilon, expected in ((1.0, 1.0, 48), (1.0, 0.99, 49), (2.0, 0.5, 768), (3.0, 0.7, 882)):
        assert ds.INGD(delta=0.1, epsilon=epsilon, lipschitz=lipschitz).inner_steps == expected


def test_a_move_costs_one_call_and_a_kink_a_geometric_number():
    """From 1 + δ(n + ½) down abs_well: n moves of δ, one call each; at the kink each call meets the other side
    with probability ½, and then ends, since m = ½(+1) + ½(−1) = 0. So n_calls = n + 1 + G, P(G = j) = 2^{−j}.
    """
    delta, n = 0.125, 6
    method = ds.INGD(delta=delta, epsilon=0.5, lipschitz=1.0)
    found = [method.certify(WELL, 1 + delta * (n + 0.5), rng=seed) for seed in range(400)]
    assert all(c.found and c.theta == 1 + delta / 2 for c in found)
    extra = np.array([c.n_calls for c in found]) - n - 1
    counts = np.bincount(np.minimum(extra, 5), minlength=6)[1:]
    law = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16])
    assert stats.chisquare(counts, 400 * law).pvalue > 1e-5
    assert stats.chisquare(counts, 400 * np.array([0.6, 0.24, 0.096, 0.0384, 0.0256])).pvalue < 1e-2  # control: p = 0.6


def test_on_a_smooth_loss_each_call_is_a_move():
    """Remark 5.4.1: f(x − δ m/‖m‖) ≤ f(x) − δ‖m‖ + ½Lδ² < f(x) − ¼δ‖m‖ if δ < 3ε/(2L).

    On ½λx² that is ⌈(x_0 − ε/λ)/δ⌉ moves, and one call more that ends it; whatever the seed, for nothing is drawn.
    """
    for curvature, x0, epsilon in ((1.0, 5.0, 0.5), (4.0, 3.0, 0.3), (30.0, 2.0, 1.0)):
        delta = 0.99 * 1.5 * epsilon / curvature
        method = ds.INGD(delta=delta, epsilon=epsilon, lipschitz=curvature * x0)
        for seed in range(3):
            certificate = method.certify(ds.problems.quadratic([curvature]), x0, rng=seed)
            assert certificate.n_calls == np.ceil((x0 - epsilon / curvature) / delta) + 1
            assert len(certificate.points) == 1
    long_steps = ds.INGD(delta=1.2, epsilon=0.5, lipschitz=5.0)  # negative control: δ > 3ε/(2L)
    points = [len(long_steps.certify(ds.problems.quadratic([1.0]), 4.3, rng=seed).points) for seed in range(10)]
    assert max(points) > 1


def test_calls_stay_below_theorem_5_4_1_s_bound():
    """192 Δ L² ln(4Δ/(γδε))/(ε³δ) with probability 1 − γ, and at most 4Δ/(εδ) moves."""
    method = ds.INGD(delta=0.1, epsilon=0.3, lipschitz=1.0)
    bound = 192 * 1.5 / (0.3**3 * 0.1) * np.log(4 * 1.5 / (1e-6 * 0.1 * 0.3))
    calls = [method.certify(WELL, 2.5, rng=seed).n_calls for seed in range(50)]
    assert max(calls) < bound / 100  # far below: the bound is a crude one
    moves = np.diff(ds.iterate(WELL, method, 2.5, n_steps=300, n_paths=50, rng=0).x[..., 0], axis=1) != 0
    assert moves.sum(axis=1).max() <= 4 * 1.5 / (0.3 * 0.1)


# Certificates


def holds(certificate, gradient):
    """Whether it shows what it says, from its points and weights and a gradient of one's own."""
    c, inside = certificate, 1 + 1e-12
    true = np.array([gradient(point) for point in c.points])
    return bool(
        np.abs(true - c.gradients).max() < 1e-12
        and (c.weights >= 0).all()
        and abs(c.weights.sum() - 1) < 1e-12
        and np.linalg.norm(c.points - c.theta, axis=1).max() <= c.delta * inside
        and np.linalg.norm(c.weights @ c.gradients) <= c.epsilon
    )


@pytest.mark.parametrize("name", CASES)
def test_certificates_show_what_they_say(name):
    problem, _, gradient, x0, delta, epsilon, lipschitz = CASES[name]
    for seed in range(10):
        certificate = ds.INGD(delta=delta, epsilon=epsilon, lipschitz=lipschitz).certify(problem, x0, rng=seed)
        assert holds(certificate, gradient)
        assert certificate.norm <= epsilon
        assert certificate.radius <= delta * (1 + 1e-12)
        assert certificate.found


def test_forged_certificates_are_caught():
    """By ``holds``, by ``norm`` and ``radius`` where the forgery is in them, and no honest one is."""
    method = ds.INGD(delta=0.1, epsilon=0.2, lipschitz=1.0)
    honest = next(c for seed in range(20) if len((c := method.certify(WELL, 2.33, rng=seed)).points) > 1)
    assert holds(honest, well_gradient)
    far, flipped = honest.points.copy(), honest.gradients.copy()
    far[-1] += 0.2
    flipped[0] *= -1
    forged = {
        "a point outside the ball": {"points": far},
        "another center": {"theta": honest.theta + 0.3},
        "a gradient that is none": {"gradients": flipped},
        "short, as the weights do not sum to 1": {"weights": 0.5 * honest.weights},
        "a negative weight": {"weights": np.r_[1.5, np.zeros(len(honest.weights) - 2), -0.5]},
        "all weight on one": {"weights": np.eye(len(honest.weights))[0]},
        "a smaller ball": {"delta": 0.5 * honest.radius},
    }
    for name, change in forged.items():
        assert not holds(dataclasses.replace(honest, **change), well_gradient), name
    for name in ("a point outside the ball", "another center"):
        assert dataclasses.replace(honest, **forged[name]).radius > method.delta
    assert dataclasses.replace(honest, **forged["all weight on one"]).norm > method.epsilon


def test_a_search_that_is_given_up_is_not_found_and_counts_its_calls():
    method = ds.INGD(delta=0.125, epsilon=0.5, lipschitz=1.0)
    for max_calls in (1, 2, 7):
        certificate = method.certify(WELL, 1 + 0.125 * 6.5, rng=1, max_calls=max_calls)
        assert not certificate.found
        assert certificate.n_calls == max_calls
        assert certificate.norm == 1
        assert certificate.theta == 1 + 0.125 * (6.5 - max_calls + 1)


def test_a_stationary_start_needs_one_call():
    certificate = ds.INGD(delta=0.1, epsilon=0.1, lipschitz=4.0).certify(PARABOLA, 0.0)
    assert (certificate.n_calls, certificate.found, certificate.norm) == (1, True, 0.0)


# Stochastic INGD


def stochastic_path(gradient, x0, n_steps, p, q, beta, uniforms):
    """Z Algorithm 3 line by line."""
    x = np.array(x0, dtype=float)
    m, path = gradient(x), [x]
    for t in range(n_steps):
        step = -m / (p * np.linalg.norm(m) + q)
        y = x + uniforms[t] * step
        x = x + step
        path.append(x)
        m = beta * m + (1 - beta) * gradient(y)
    return np.array(path)


@pytest.mark.parametrize("name", ["abs_well", "max of linears", "parabola"])
def test_the_stochastic_chain_is_algorithm_3_line_by_line(name):
    problem, _, gradient, x0, *_ = CASES[name]
    method = ds.StochasticINGD(p=8.0, q=2.0, beta=0.8, batch_size="full")
    found = ds.iterate(problem, method, x0, n_steps=100, rng=7).x[0]
    np.testing.assert_allclose(found, stochastic_path(gradient, x0, 100, 8.0, 2.0, 0.8, uniforms(7, 100)), atol=1e-11)
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert steps.max() < 1 / 8


def test_the_target_s_parameters_are_theorem_5_5_1_s():
    method = ds.StochasticINGD.for_target(0.2, 0.5, bound=3.0, batch_size=2)
    assert method.beta == pytest.approx(1 - 0.25 / (64 * 9), rel=1e-15)
    assert method.p == pytest.approx(64 * 9 * np.log(96) / (0.2 * 0.25), rel=1e-14)
    assert method.q == pytest.approx(12 * method.p, rel=1e-15)
    assert method.batch_size == 2


@pytest.mark.parametrize("q", [0.01, 1.0])
def test_a_stochastic_run_yields_a_certificate_that_holds(q):
    """With q → 0 steps are almost 1/p long, so ⌊pδ⌋ of them reach almost as far as δ, and one more would not fit."""
    method = ds.StochasticINGD(p=10.0, q=q, beta=0.6, batch_size="full")
    path = ds.iterate(WELL, method, 2.33, n_steps=200, rng=1).x[0]
    certificate = method.certify(WELL, path, delta=0.35, epsilon=0.45)
    assert certificate.found
    assert holds(certificate, well_gradient)
    assert len(certificate.points) == 4  # ⌊3.5⌋ steps, and the start
    ratios = certificate.weights[1:] / certificate.weights[:-1]
    np.testing.assert_allclose(ratios, 1 / 0.6, rtol=1e-12)


def test_the_certificate_of_a_path_is_its_best():
    method = ds.StochasticINGD(p=10.0, q=1.0, beta=0.6, batch_size="full")
    path = ds.iterate(LINEARS, method, [3.0, -2.0], n_steps=150, rng=1).x[0]
    found = method.certify(LINEARS, path, delta=0.35, epsilon=0.1)
    weights = 0.6 ** np.arange(3.0, -1.0, -1.0)
    weights /= weights.sum()
    lengths = [np.linalg.norm(weights @ [linears_gradient(x) for x in path[i : i + 4]]) for i in range(len(path) - 3)]
    assert found.norm == pytest.approx(min(lengths), rel=1e-12)
    assert (found.theta == path[np.argmin(lengths)]).all()
    assert holds(found, linears_gradient) == found.found == (min(lengths) <= 0.1)


def test_a_path_that_only_descends_has_no_certificate():
    method = ds.StochasticINGD(p=10.0, q=1.0, beta=0.6, batch_size="full")
    path = ds.iterate(WELL, method, 50.0, n_steps=100, rng=1).x[0]
    certificate = method.certify(WELL, path, delta=0.35, epsilon=0.9)
    assert not certificate.found
    assert certificate.norm == pytest.approx(1.0)


def test_paths_of_another_shape_are_refused():
    method = ds.StochasticINGD(p=10.0, q=1.0, beta=0.6)
    for path in (np.zeros((5, 3)), np.zeros((2, 5, 1)), np.zeros(1)):
        with pytest.raises(ds.errors.ArgumentError, match="path must have shape"):
            method.certify(WELL, path, delta=0.1, epsilon=0.1)
