import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest

import dynsim as ds

START = [0.7, -0.4]


def u_and_w(path):
    """The coordinates in which gradient descent on the egg carton decouples."""
    return np.stack([path[:, 0] + path[:, 1], path[:, 0] - path[:, 1] - np.pi], axis=-1)


def egg_path(step_size, n_steps):
    return ds.iterate(ds.problems.egg_carton(), ds.SGD(step_size), START, n_steps=n_steps).x[0]


def lyapunov(x, a):
    """Mean of log|d(x − a sin x)/dx| along the orbits, one for each column."""
    return np.log(np.abs(1 - a * np.cos(x))).mean(axis=0)


def descend(slope, x, step_size, n_steps, until=0.0):
    """Iterates of gradient descent in plain Python, up to the first one with |slope| ≤ until or |x| > 100."""
    path = [x]
    while len(path) <= n_steps and abs(path[-1]) < 100 and abs(slope(path[-1])) > until:
        path.append(path[-1] - step_size * slope(path[-1]))
    return path


def wings_slope(L1):
    return lambda x: math.copysign(math.exp(L1 * abs(x)) / math.e if L1 * abs(x) > 1 else L1 * abs(x), x)


def flat_slope(eps):
    return lambda x: eps * (3 * x - x**3) if abs(x) <= 1 else math.copysign(2 * eps, x)


def test_gradient_descent_on_the_egg_carton_decouples_into_two_sine_maps():
    x = u_and_w(egg_path(0.04, 2000))
    np.testing.assert_allclose(x[1:], x[:-1] - 4 * np.sin(x[:-1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("step_size", [0.025, 0.03])
def test_the_egg_carton_has_the_symmetric_two_cycle_below_pi(step_size):
    a = 100 * step_size
    end = float(mpmath.findroot(lambda x: 2 * x - a * mpmath.sin(x), 1.2))
    last = u_and_w(egg_path(step_size, 3000))[-2:]
    np.testing.assert_allclose(np.abs(last), end, rtol=1e-12)
    np.testing.assert_allclose(last[0], -last[1], rtol=1e-12)


def test_the_egg_carton_has_a_two_cycle_of_points_pi_apart_above_pi():
    last = u_and_w(egg_path(0.033, 3000))[-2:]
    np.testing.assert_allclose(np.abs(last[0] - last[1]), np.pi, rtol=1e-12)
    np.testing.assert_allclose(np.abs(3.3 * np.sin(last)), np.pi, rtol=1e-12)


def test_the_egg_carton_is_chaotic_in_twelve_bands_at_step_size_004_and_not_below():
    x = u_and_w(egg_path(0.04, 40_000))[2000:]
    assert (lyapunov(x, 4.0) > 0.05).all()
    assert (lyapunov(u_and_w(egg_path(0.033, 4000))[2000:], 3.3) < -1).all()
    x = np.mod(x + np.pi, 2 * np.pi)[:, 0]
    for bands, separate in ((12, True), (24, False)):
        ends = sorted((x[r::bands].min(), x[r::bands].max()) for r in range(bands))
        assert all(left[1] < right[0] for left, right in pairwise(ends)) == separate


def test_the_egg_carton_converges_below_two_over_its_smoothness():
    assert np.abs(egg_path(0.01, 100)[-1] - ds.problems.egg_carton().minima[0]).max() < 1e-12
    assert np.abs(np.diff(egg_path(0.0201, 3000)[-2:], axis=0)).max() > 0.1


@pytest.mark.parametrize("L1", [0.5, 3.0])
def test_exponential_wings_are_twice_differentiable_and_need_L0_equal_to_L1(L1):
    problem = ds.problems.exponential_wings(L1)
    inside, outside = np.array([1 - 1e-9, 1 + 1e-9])[:, None, None] / L1
    for method in ("loss", "gradient", "hessian"):
        np.testing.assert_allclose(getattr(problem, method)(inside), getattr(problem, method)(outside), rtol=1e-8)
    x = np.linspace(-5, 5, 10_001)[:, None] / L1
    needed = problem.hessian(x)[:, 0, 0] - L1 * np.abs(problem.gradient(x)[:, 0])
    assert needed.max() == pytest.approx(L1, rel=1e-12)
    slope = [wings_slope(L1)(float(value)) for value in x[:, 0]]
    np.testing.assert_allclose(problem.gradient(x)[:, 0], slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("L1", "M"), [(1.0, 50.0), (2.0, 3.0), (2.0, 1.0)])
def test_gradient_descent_on_the_wings_converges_up_to_the_limit_and_not_above(L1, M):
    problem = ds.problems.exponential_wings(L1)
    x0 = problem.start(M)
    assert problem.gradient([x0]) == pytest.approx(M, rel=1e-12)
    limit = (2 * math.log(M) + 2) / (M * L1)
    assert problem.step_size_limit(x0) == pytest.approx(limit, rel=1e-12)
    assert problem.step_size_limit(-x0) == pytest.approx(limit, rel=1e-12)
    for factor, converges in ((0.999, True), (1.001, False)):
        assert (abs(descend(wings_slope(L1), x0, factor * limit, 20_000)[-1]) < 1e-9) == converges
        run = ds.iterate(problem, ds.SGD(factor * limit), x0, n_steps=20_000, save_every=None)
        assert (bool(np.isfinite(run.x[0, -1, 0])) and abs(run.x[0, -1, 0]) < 1e-9) == converges
    first = descend(wings_slope(L1), x0, limit, 1)
    assert first[1] == pytest.approx(-x0, rel=1e-12)  # alternates at the limit


def test_inside_the_parabola_the_limit_is_that_of_the_parabola():
    assert ds.problems.exponential_wings(4.0).step_size_limit(0.1) == pytest.approx(0.5)


def test_the_flat_quartic_is_twice_differentiable_and_its_slope_is_the_papers():
    problem = ds.problems.flat_quartic(0.2)
    for method in ("loss", "gradient", "hessian"):
        values = [getattr(problem, method)([sign * (1 + h)]) for sign in (-1, 1) for h in (-1e-9, 1e-9)]
        np.testing.assert_allclose(values[::2], values[1::2], rtol=0, atol=1e-8)
    x = np.linspace(-3, 3, 601)
    slope = [flat_slope(0.2)(value) for value in x.tolist()]
    np.testing.assert_allclose(problem.gradient(x[:, None])[:, 0], slope, rtol=1e-12, atol=1e-15)
    assert abs(problem.gradient([2 * math.sin(math.pi / 18)])[0]) == pytest.approx(0.2, rel=1e-12)


@pytest.mark.parametrize(("eps", "gap", "step_size"), [(0.1, 1.0, 0.31), (0.05, 0.3, 2.0), (0.3, 2.0, 0.01)])
def test_small_steps_on_the_flat_quartic_take_at_least_the_stated_number(eps, gap, step_size):
    problem = ds.problems.flat_quartic(eps)
    x0 = problem.start(gap)
    assert problem.loss([x0]) == pytest.approx(2 * gap + 1.25 * eps, rel=1e-12)
    path = descend(flat_slope(eps), x0, step_size, 10**6, until=eps)
    bound = problem.least_steps(x0, step_size)
    assert bound <= len(path) - 1 <= bound + 2 / (eps * step_size)
    assert sum(x >= 1 for x in path) == bound  # so many iterates have slope 2ε
    run = ds.iterate(problem, ds.SGD(step_size), x0, n_steps=len(path) - 1).x[0]
    slopes = np.abs(problem.gradient(run)[:, 0])
    assert np.argmax(slopes <= eps) == len(path) - 1


def test_the_two_functions_together_prove_the_lower_bound_for_gradient_descent():
    L1, M, eps, gap = 2.0, 200.0, 0.1, 1.0
    wings, flat = ds.problems.exponential_wings(L1), ds.problems.flat_quartic(eps)
    step_size = wings.step_size_limit(wings.start(M))
    proved = gap * L1 * M / (4 * eps**2 * (math.log(M) + 1))  # Z §3.7.2
    assert proved < flat.least_steps(flat.start(gap), step_size) < proved + 2


def psi(x):
    return mpmath.exp(1 - 1 / (2 * x - 1) ** 2) if x > 0.5 else mpmath.mpf(0)


def phi(x):
    return mpmath.sqrt(2 * mpmath.pi * mpmath.e) * mpmath.ncdf(x)


def chain_loss(x):
    """Z §4.7.7's f_d in 30 digits."""
    with mpmath.workdps(30):
        x = [mpmath.mpf(value) for value in x]
        total = -psi(mpmath.mpf(1)) * phi(x[0])
        for before, now in pairwise(x):
            total += psi(-before) * phi(-now) - psi(before) * phi(now)
        return float(total)


def chain_points(count, d, scale=1.5):
    rng = np.random.default_rng(11)
    return rng.normal(scale=scale, size=(count, d)) * (rng.uniform(size=(count, d)) < 0.8)


def test_the_chains_loss_is_the_papers_and_scales():
    plain = ds.problems.resisting_chain(5)
    scaled = ds.problems.resisting_chain(5, smoothness=38.0, length=2.0)  # Lλ²/152 = 1
    for x in chain_points(20, 5):
        assert plain.loss(x) == pytest.approx(chain_loss(x), rel=1e-13, abs=1e-13)
        assert scaled.loss(2 * x) == pytest.approx(chain_loss(x), rel=1e-13, abs=1e-13)


def test_the_chains_oracle_is_unbiased_and_only_hides_the_next_coordinate():
    problem, smooth = ds.problems.resisting_chain(6, p=0.2), ds.problems.resisting_chain(6, p=1.0)
    x = chain_points(500, 6, scale=0.6)
    shown, hidden = np.moveaxis(problem.term_gradients(x), -2, 0)
    exact = smooth.gradient(x)
    np.testing.assert_allclose(0.2 * shown + 0.8 * hidden, exact, rtol=1e-12, atol=1e-14)
    progress = np.array([max([i + 1 for i in range(6) if abs(row[i]) > 0.25], default=0) for row in x])
    np.testing.assert_array_equal(problem.progress(x), progress)
    following = np.arange(6) == progress[:, None]  # coordinate prog + 1, counted from 0
    np.testing.assert_array_equal(hidden, np.where(following, 0, exact))
    np.testing.assert_allclose(shown, np.where(following, exact / 0.2, exact), rtol=1e-12)
    assert following.any(axis=1).mean() > 0.3


def test_the_chain_has_the_properties_of_lemma_4_7_9():
    d = 7
    problem = ds.problems.resisting_chain(d, p=1.0)
    assert problem.loss(np.zeros(d)) - problem.infimum <= 12 * d
    assert problem.loss(np.full(d, 1e6)) == pytest.approx(problem.infimum, rel=1e-9)
    x = np.concatenate([chain_points(5000, d), chain_points(5000, d, scale=0.5)])
    assert (problem.loss(x) > problem.infimum).all()
    gradient = problem.gradient(x)
    assert (gradient <= 0).all()
    assert np.abs(gradient).max() <= 23
    assert (problem.progress(gradient, 0.0) <= problem.progress(x, 0.5) + 1).all()
    unfinished = problem.progress(x, 1.0) < d
    assert 0.1 < unfinished.mean() < 0.9
    assert (np.linalg.norm(gradient[unfinished], axis=-1) >= 1).all()
    assert np.linalg.norm(problem.gradient(np.full(d, 8.0))) < 0.1  # a finished chain may be


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.0])
def test_the_chains_oracle_has_the_moment_of_lemma_4_7_10(alpha):
    p = 0.01
    problem = ds.problems.resisting_chain(6, p=p)
    x = chain_points(2000, 6, scale=0.7)
    moment = np.linalg.norm(problem.term_gradients(x), axis=-1) ** alpha @ problem.weights
    exact = np.linalg.norm(problem.gradient(x), axis=-1) ** alpha
    assert (moment <= 2 * exact + 23**alpha * 2 / p ** (alpha - 1)).all()


def test_sgd_gets_down_the_chain_by_one_coordinate_for_each_lucky_draw():
    d, p, steps, paths = 30, 0.1, 50, 4000
    problem = ds.problems.resisting_chain(d, p)
    path = ds.iterate(problem, ds.SGD(step_size=0.1), 0.0, n_steps=steps, n_paths=paths, rng=5).x
    seen = problem.progress(path, 0.0)
    assert set(np.unique(np.diff(seen, axis=1))) == {0, 1}
    # with this step size a coordinate once seen is beyond ¼, so their number is binomial
    stderr = math.sqrt(steps * p * (1 - p) / paths)
    assert abs(seen[:, -1].mean() - steps * p) < 5 * stderr
    assert abs(seen[:, -1].mean() - steps * 0.11) > 5 * stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.egg_carton(0.0), "amplitude must be a positive finite number"),
        (lambda p: p.exponential_wings(-1.0), "L1 must be a positive finite number"),
        (lambda p: p.exponential_wings().start(0.5), "M must be at least 1, got 0.5"),
        (lambda p: p.exponential_wings().step_size_limit(0.0), "x0 must not be 0"),
        (lambda p: p.flat_quartic("0.1"), "eps must be a positive finite number, got '0.1'"),
        (lambda p: p.flat_quartic().start(0.0), "gap must be a positive finite number"),
        (lambda p: p.flat_quartic().least_steps(0.5, 0.1), "x0 must lie where the slope is constant"),
        (lambda p: p.resisting_chain(0), "d must be a whole number, at least 1, got 0"),
        (lambda p: p.resisting_chain(3, 1.5), r"p must be a probability in \(0, 1\], got 1.5"),
        (lambda p: p.resisting_chain(3, 0.0), "p must be a positive finite number"),
        (lambda p: p.resisting_chain(3, length=0.0), "length must be a positive finite number"),
        (lambda p: p.resisting_chain(3, smoothness=np.nan), "smoothness must be a positive finite number"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        call(ds.problems)


def test_a_chain_whose_kink_planes_do_not_fit_in_memory_is_refused():
    with pytest.raises(ds.errors.TooLarge, match="the kink planes of shape"):
        ds.problems.resisting_chain(10**6)
    assert ds.problems.resisting_chain(10**4, p=1.0).kink_planes.size == 0
