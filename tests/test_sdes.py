import functools
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import integrate, linalg, special, stats

import dynsim as ds

SPIRAL = {"rate": [[1.0, -3.0], [3.0, 1.0]], "noise": [[1.0, 0.0, 0.5], [0.3, 1.0, 0.0]], "mean": [1.0, -1.0]}
LANGEVIN = {"rate": [[0.0, -1.0], [2.0, 0.5]], "noise": [[0.0], [1.0]]}  # noise in the velocity alone
STIFF = {"rate": [[300.0, 10.0], [0.0, 1.0]], "noise": [1.0, 2.0]}
UNSTABLE = {"rate": [[-0.5, 1.0], [0.0, 0.7]], "noise": 1.0}


def made(name, *arguments):
    return getattr(ds.sdes, name)(*arguments)


def ends(sde, x0, t, **options):
    return ds.integrate(sde, x0, t, scheme="euler-maruyama", **options, save_every=None).x[:, -1]


leggauss = functools.cache(np.polynomial.legendre.leggauss)


def nodes(low, high, n=80):
    x, w = leggauss(n)
    return 0.5 * (low + high) + 0.5 * (high - low) * x, 0.5 * (high - low) * w


@pytest.mark.parametrize(
    ("name", "arguments", "wrong", "x0", "t"),
    [
        ("ornstein_uhlenbeck", (1.5, 0.8, 0.5), (1.5, 0.96, 0.5), 2.0, 0.5),
        ("geometric_brownian_motion", (0.3, 0.5), (0.3, 0.6), 1.5, 1.0),
        ("cox_ingersoll_ross", (2.0, 1.0, 0.8), (2.0, 1.0, 0.96), 0.5, 0.5),
        ("cox_ingersoll_ross", (2.0, 1.0, 0.8), (2.4, 1.0, 0.8), 2.5, 0.5),
    ],
)
def test_simulated_paths_have_the_transition_law(name, arguments, wrong, x0, t):
    """Kolmogorov–Smirnov at the level of 5 standard errors, plus a bound on the bias of Euler–Maruyama.

    Its bias is of first order: that of dt/4 is a third of what separates dt from dt/4, here along the same noise.
    """
    n = 40_000
    coarse, fine = (ends(made(name, *arguments), x0, t, dt=t / 50, refine=r, n_paths=n, rng=1)[:, 0] for r in (1, 4))
    bias = stats.ks_2samp(coarse, fine, method="asymp").statistic
    room = math.sqrt(math.log(2 / stats.norm.sf(5) / 2) / (2 * n)) + bias
    assert bias < 0.01
    assert stats.kstest(fine, made(name, *arguments).transition(x0, t).cdf).statistic < room
    assert stats.kstest(fine, made(name, *wrong).transition(x0, t).cdf).statistic > 1.5 * room


@pytest.mark.parametrize("options", [SPIRAL, LANGEVIN], ids=["spiral", "Langevin"])
def test_simulated_paths_have_the_moments_of_the_ornstein_uhlenbeck_process(options):
    """5 standard errors, plus the bias of Euler–Maruyama, which a linear recursion gives exactly."""
    n, n_steps, t = 20_000, 100, 1.0
    h, x0 = t / n_steps, np.array([1.0, 2.0])
    sde = ds.sdes.ornstein_uhlenbeck(**options)
    A, B, m = (np.array(options.get(k, (0.0, 0.0))) for k in ("rate", "noise", "mean"))
    step, mean, cov = np.eye(2) - h * A, x0, np.zeros((2, 2))
    for _ in range(n_steps):
        mean, cov = m + step @ (mean - m), step @ cov @ step.T + h * B @ B.T
    x = ends(sde, x0, t, dt=h, n_paths=n, rng=2)
    law = sde.transition(x0, t)
    variance = np.diag(cov)
    cov_room = 5 * np.sqrt((np.outer(variance, variance) + cov**2) / n) + np.abs(cov - law.cov)
    assert (np.abs(x.mean(axis=0) - law.mean) < 5 * np.sqrt(variance / n) + np.abs(mean - law.mean)).all()
    assert (np.abs(np.cov(x.T) - law.cov) < cov_room).all()
    assert (np.abs(np.cov(x.T) - 1.3**2 * law.cov) > cov_room).any()  # negative control: noise 1.3 times as strong
    np.testing.assert_allclose(sde.drift(0.0, x0), -A @ (x0 - m), rtol=1e-14)
    np.testing.assert_allclose(sde.diffusion(0.0, x0), B, rtol=1e-14)


@pytest.mark.parametrize("t", [1e-3, 0.7, 20.0])
@pytest.mark.parametrize(
    "options", [SPIRAL, LANGEVIN, STIFF, UNSTABLE], ids=["spiral", "Langevin", "stiff", "unstable"]
)
def test_the_ornstein_uhlenbeck_covariance_is_its_integral(options, t):
    """∫ e^(−As) B Bᵀ e^(−Aᵀs) ds by Gauss–Legendre on dyadic intervals, the exponential from eigenvectors."""
    sde = ds.sdes.ornstein_uhlenbeck(**options)
    A = np.array(options["rate"])
    B = np.array(options["noise"]) * np.eye(2) if np.ndim(options["noise"]) < 2 else np.array(options["noise"])
    edges = t * np.append(0.0, 0.5 ** np.arange(16, -1, -1))
    times, weights = np.concatenate([nodes(*pair, 24) for pair in itertools.pairwise(edges)], axis=1)
    rates, modes = np.linalg.eig(A)
    decayed = ((modes * np.exp(-times[:, None, None] * rates)) @ np.linalg.solve(modes, B + 0j)).real
    expected = np.einsum("k,kij,klj->il", weights, decayed, decayed)
    law, start = sde.transition([1.0, -2.0], t), np.array([1.0, -2.0])
    m = np.array(options.get("mean", (0.0, 0.0)))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert (np.abs(law.cov - expected) < 1e-10 * scale).all()
    np.testing.assert_allclose(law.mean, m + linalg.expm(-A * t) @ (start - m), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("options", [SPIRAL, LANGEVIN, STIFF], ids=["spiral", "Langevin", "stiff"])
def test_the_ornstein_uhlenbeck_process_forgets_its_start_and_keeps_its_stationary_law(options):
    sde = ds.sdes.ornstein_uhlenbeck(**options)
    still, late, now = sde.stationary(), sde.transition([3.0, 3.0], 300.0), sde.transition([0.0, 0.0], 0.3)
    np.testing.assert_allclose(late.cov, still.cov, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(late.mean, still.mean, rtol=1e-12, atol=1e-14)
    decay = np.stack([sde.transition(e, 0.3).mean - now.mean for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(decay @ still.cov @ decay.T + now.cov, still.cov, rtol=1e-12, atol=1e-14)
    assert np.abs(decay @ still.cov @ decay.T + 1.01 * now.cov - still.cov).max() > 1e-4  # negative control


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ornstein_uhlenbeck", (1.5, 0.8, 0.5)),
        ("geometric_brownian_motion", (0.3, 0.5)),
        ("cox_ingersoll_ross", (2.0, 1.0, 0.8)),
    ],
)
def test_transition_laws_are_a_semigroup_that_keeps_the_stationary_law(name, arguments):
    """Chapman–Kolmogorov, ∫ p_s(x, y) p_t(y, z) dy = p_{s+t}(x, z), by quadrature; and ∫ p(y) p_t(y, z) dy = p(z)."""
    sde, s, t = made(name, *arguments), 0.3, 0.5
    pairs = [(sde.transition(0.8, s), sde.transition(0.8, s + t), sde.transition(0.8, 1.02 * (s + t)))]
    if name != "geometric_brownian_motion":
        pairs.append((sde.stationary(), sde.stationary(), sde.transition(0.8, 3 * t)))
    for first, whole, wrong in pairs:
        y, weights = nodes(*first.ppf([1e-14, 1 - 1e-14]))
        z = whole.ppf([0.02, 0.3, 0.6, 0.98])
        through = (weights * first.pdf(y)) @ np.array([sde.transition(v, t).pdf(z) for v in y])
        np.testing.assert_allclose(through, whole.pdf(z), rtol=1e-9)
        assert np.abs(through / wrong.pdf(z) - 1).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "arguments", "wrong", "bounds"),
    [
        ("ornstein_uhlenbeck", (1.5, 0.8, 0.5), (1.5, 0.81, 0.5), (-2.0, 3.0)),
        ("cox_ingersoll_ross", (2.0, 1.0, 0.8), (2.0, 1.0, 0.81), (0.0, 5.0)),
        ("inverse_gamma", (1.0, 1.0, 0.8), (1.0, 1.0, 0.81), (0.0, 15.0)),
        ("student", (1.0, 3.0, 0.5), (1.0, 3.1, 0.5), (-10.0, 20.0)),
        ("double_well", (1.0, 1.5, 0.8), (1.0, 1.5, 0.81), (-4.0, 4.0)),
    ],
)
def test_stationary_laws_solve_the_fokker_planck_equation(name, arguments, wrong, bounds):
    """On the interval, whose reflecting ends condition the law on it; to what the grid says of its own error."""
    rho = ds.stationary_density(made(name, *arguments), bounds, 3000)

    def distance(sde):
        below = sde.stationary().cdf(rho.edges)
        return 0.5 * np.abs(rho.mass - np.diff(below) / (below[-1] - below[0])).sum()

    assert rho.refinement_gap < 1e-3
    assert distance(made(name, *arguments)) < rho.refinement_gap
    assert distance(made(name, *wrong)) > 3 * rho.refinement_gap


@pytest.mark.parametrize(("name", "x0"), [("geometric_brownian_motion", 1.5), ("brownian_ring", [0.6, 0.8])])
def test_integrated_paths_converge_to_the_exact_path_of_their_noise(name, x0):
    sde, n, dt = made(name), 500, 0.125
    w = np.concatenate([np.zeros((n, 1, 1)), ds.noise_increments(n, 8, dt=dt, rng=3).cumsum(axis=1)], axis=1)
    errors, wrong = [], []
    for refine in (1, 4, 16, 64):
        run = ds.integrate(sde, x0, 1.0, dt=dt, scheme="euler-maruyama", refine=refine, n_paths=n, rng=3)
        errors.append(np.abs(run.x - sde.path(x0, run.t, w)).mean())
        wrong.append(np.abs(run.x - sde.path(x0, run.t, 1.3 * w)).mean())
    assert (np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 1) < 0.25).all()  # strong order ½: twofold a level
    assert wrong[-1] > 5 * errors[-1]


def test_the_exact_path_of_a_normal_variable_has_the_lognormal_law():
    sde, q = made("geometric_brownian_motion"), np.linspace(0.01, 0.99, 50)
    x = sde.path(2.0, 0.7, math.sqrt(0.7) * stats.norm.ppf(q)[:, None])[:, 0]
    np.testing.assert_allclose(x, sde.transition(2.0, 0.7).ppf(q), rtol=1e-13)


@pytest.mark.parametrize("t", [0.01, 0.5, 3.0, 200.0])
def test_the_law_on_the_ring_is_that_of_its_exact_path(t):
    """Moments by Gauss–Hermite over W_t and by the density on the circle; the density against its Fourier series."""
    sde, x0 = ds.sdes.brownian_ring(0.9) if t == 0.5 else made("brownian_ring", 1.3), [1.2, -0.9]
    sigma, law = sde.params[0], sde.transition(x0, t)
    angle = 2 * math.pi * np.arange(400) / 400
    circle = 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    length = law.pdf(circle) * 1.5 * 2 * math.pi / 400  # the trapezoidal rule is exact for periodic functions
    assert length.sum() == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(length @ circle, law.mean, atol=1e-13)
    np.testing.assert_allclose((circle.T * length) @ circle - np.outer(law.mean, law.mean), law.cov, atol=1e-13)
    k = np.arange(1, 400)[:, None]
    waves = np.exp(-(k**2) * sigma**2 * t / 2) * np.cos(k * (angle - math.atan2(-0.9, 1.2)))
    np.testing.assert_allclose(law.pdf(circle), (1 + 2 * waves.sum(axis=0)) / (2 * math.pi * 1.5), atol=1e-12)
    if t < 4:
        z, weights = np.polynomial.hermite_e.hermegauss(80)
        x = sde.path(x0, t, math.sqrt(t) * z[:, None])
        np.testing.assert_allclose(weights @ x / weights.sum(), law.mean, atol=1e-13)
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.5, rtol=1e-14)
    else:
        np.testing.assert_allclose(law.pdf(circle), sde.stationary().pdf(circle) / 1.5, rtol=1e-12)


def test_the_ring_keeps_its_radius_and_euler_s_paths_have_their_exact_moments():
    """E|X|² grows by 1 + σ⁴h²/4 and E X shrinks by 1 − σ²h/2 a step, whatever the noise: no bias to allow for."""
    n, n_steps, h, sigma = 20_000, 50, 0.02, 1.3
    sde = made("brownian_ring", sigma)
    points = np.random.default_rng(0).normal(size=(20, 2))
    growth = 2 * (points * sde.drift(0.0, points)).sum(axis=1) + np.trace(sde.covariance(0.0, points), 0, 1, 2)
    assert np.abs(growth).max() < 1e-13  # the generator on |x|²; without Itô's drift it is σ²|x|²
    x = ends(sde, [1.0, 0.0], n_steps * h, dt=h, n_paths=n, rng=5)
    square = (x**2).sum(axis=1)
    assert abs(square.mean() - (1 + sigma**4 * h**2 / 4) ** n_steps) < 5 * square.std() / math.sqrt(n)
    expected = (1 - sigma**2 * h / 2) ** n_steps
    law = sde.transition([1.0, 0.0], n_steps * h)
    assert (np.abs(x.mean(axis=0) - [expected, 0]) < 5 * x.std(axis=0) / math.sqrt(n)).all()
    assert abs(expected - law.mean[0]) < sigma**4 * h * n_steps * h / 8
    assert abs(x.mean(axis=0)[0] - expected**1.1) > 5 * x.std(axis=0)[0] / math.sqrt(n)  # negative control
    drawn = law.rvs(n, random_state=1)
    assert (np.abs(drawn.mean(axis=0) - law.mean) < 5 * np.sqrt(np.diag(law.cov) / n)).all()


@pytest.mark.parametrize("steepness", [0.01, 1.0, 60.0, 1e7])
def test_the_law_of_the_double_well_is_a_probability_with_known_normalizer(steepness):
    """∫ exp(−β(u² − 1)²) du = (π/2) e^(−β/2) (I_{−1/4} + I_{1/4})(β/2)."""
    law = made("double_well", steepness / 2 * 0.49, 1.5, 0.7).stationary()
    total = 1.5 * math.pi / 2 * (special.ive(-0.25, steepness / 2) + special.ive(0.25, steepness / 2))
    assert law.pdf(1.5) == pytest.approx(1 / total, rel=1e-12)
    q = np.array([1e-200, 1e-9, 0.1, 0.4, 0.75, 1 - 1e-9])
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=1e-9)
    assert law.cdf(0.0) == pytest.approx(0.5, rel=1e-13)
    assert law.mean() == 0
    reach = 40 * 1.5 / math.sqrt(8 * steepness)  # 40 standard deviations of a well
    x, weights = nodes(max(0.0, 1.5 - reach), min(law.support()[1], 1.5 + reach), 400)
    assert law.var() == pytest.approx(2 * weights @ (x**2 * law.pdf(x)), rel=1e-12)


def test_the_tail_and_the_draws_of_the_double_well():
    law = made("double_well", 1.0, 1.5, 0.8).stationary()
    steepness = 2 / 0.64

    def relative(x):
        return math.exp(-steepness * (((x / 1.5) ** 2 - 1) ** 2 - (4 - 1) ** 2))

    tail = integrate.quad(relative, -4.0, -3.0, epsrel=1e-12)[0]
    assert law.logcdf(-3.0) == pytest.approx(law.logpdf(-3.0) + math.log(tail), abs=1e-10)
    assert law.sf(3.0) == pytest.approx(law.cdf(-3.0), rel=1e-13)
    assert stats.kstest(law.rvs(20_000, random_state=0), law.cdf).pvalue > 1e-6


def grid_passage(drift, diffusion, reflecting, x0, target, steps):
    """Mean time from x0 to ``target``, so many nodes apart, of a walk with central rates, reflected further back."""
    n = round(steps * (reflecting - target) / (x0 - target))
    x, h = np.linspace(reflecting, target, n + 1, retstep=True)
    spread, lean = diffusion(x) ** 2 / (2 * h**2), drift(x) / (2 * h)
    back, onwards = spread - lean, spread + lean
    back[0], onwards[0] = 0.0, 2 * spread[0]
    bands = np.zeros((3, n))
    bands[0, 1:], bands[1], bands[2, :-1] = onwards[: n - 1], -(back + onwards)[:n], back[1:n]
    return linalg.solve_banded((1, 1), bands, -np.ones(n))[n - steps]


@pytest.mark.parametrize(
    ("name", "arguments", "drift", "diffusion", "x0", "target", "reflecting"),
    [
        ("ornstein_uhlenbeck", (1.5, 0.8, 0.5), lambda x: 1.5 * (0.5 - x), lambda x: 0.8 + 0 * x, -1.0, 1.0, -4.0),
        ("double_well", (1.0, 1.5, 0.8), lambda x: -4 * x / 2.25 * (x**2 / 2.25 - 1), lambda x: 0.8 + 0 * x,
         -1.5, 1.5, -4.5),
        ("student", (1.0, 5.0, 0.5), lambda x: -x, lambda x: np.sqrt((1.25 + x**2) / 2), 1.0, -1.0, 400.0),
        ("cox_ingersoll_ross", (2.0, 1.0, 0.8), lambda x: 2 - 2 * x, lambda x: 0.8 * np.sqrt(np.abs(x)), 2.0, 0.5, 8.0),
    ],
)  # fmt: skip
def test_mean_first_passage_times_are_those_of_a_walk_on_a_grid(
    name, arguments, drift, diffusion, x0, target, reflecting
):
    coarse, fine = (grid_passage(drift, diffusion, reflecting, x0, target, steps) for steps in (1000, 2000))
    expected = fine + (fine - coarse) / 3
    ours = made(name, *arguments).mean_first_passage(x0, target)
    assert ours == pytest.approx(expected, rel=1e-5)
    assert abs(ours - expected) < abs(made(name, *arguments).mean_first_passage(x0, target * 1.001) - expected)


def test_passage_over_a_high_barrier_takes_kramers_time():
    """2π/√(V''(1) |V''(0)|) e^(2 depth/σ²), up to a correction that is proportional to σ²."""
    excess = []
    for noise in (0.2, 0.2 / math.sqrt(2)):
        sde = made("double_well", 1.0, 2.0, noise)
        log_kramers = math.log(2 * math.pi / math.sqrt(2.0 * 1.0)) + 2 / noise**2
        excess.append(sde.mean_first_passage(-2.0, 2.0) / math.exp(log_kramers) - 1)
    assert excess[0] == pytest.approx(2 * excess[1], rel=0.05)
    assert abs(excess[1]) < 0.02


def test_mean_first_passage_says_when_floating_point_does_not_reach():
    sde = made("double_well", 1.0, 2.0, 0.2)
    assert sde.mean_first_passage(1.0, 1.0) == 0
    with pytest.raises(ds.errors.NotApplicable, match="the mean time from -2 to 2 is out of reach of floating point"):
        made("double_well", 1.0, 2.0, 0.05).mean_first_passage(-2.0, 2.0)
    with pytest.raises(ds.errors.NotApplicable, match="out of reach of floating point"):
        made("cox_ingersoll_ross", 2.0, 1.0, 0.1).mean_first_passage(0.0, 1.0)
    with pytest.raises(ds.errors.ArgumentError, match="target must lie strictly between 0 and inf, got 0"):
        made("cox_ingersoll_ross", 2.0, 1.0, 0.8).mean_first_passage(1.0, 0.0)
    with pytest.raises(ds.errors.ArgumentError, match="x0 must lie between 0 and inf, got -1"):
        made("cox_ingersoll_ross", 2.0, 1.0, 0.8).mean_first_passage(-1.0, 1.0)
    with pytest.raises(ds.errors.NotApplicable, match="for dim 1, this SDE has dim 2"):
        made("brownian_ring").mean_first_passage(0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("student", {"degrees": 1.0}, "degrees must be above 1, got 1.0"),
        ("student", {"degrees": math.nan}, "degrees must be a finite number, got nan"),
        ("cox_ingersoll_ross", {"rate": -1}, "rate must be a positive finite number, got -1"),
        ("inverse_gamma", {"mean": 0.0}, "mean must be a positive finite number, got 0.0"),
        ("geometric_brownian_motion", {"drift": "up"}, "drift must be a finite number, got 'up'"),
        ("double_well", {"depth": math.inf}, "depth must be a positive finite number, got inf"),
        ("brownian_ring", {"noise": 0}, "noise must be a positive finite number, got 0"),
        ("ornstein_uhlenbeck", {"noise": 0.0}, "noise must not be zero, got 0.0"),
        ("ornstein_uhlenbeck", {"rate": np.ones((2, 3))}, r"with rate square, got shapes rate \(2, 3\), noise \(\)"),
        ("ornstein_uhlenbeck", {"rate": np.eye(3), "mean": [0, 1]}, "rate, noise and mean must agree on dim"),
        ("ornstein_uhlenbeck", {"rate": []}, "rate, noise and mean must agree on dim"),
        ("ornstein_uhlenbeck", {"noise": [[1], [1, 2]]}, "noise must be an array of numbers, got list"),
        ("ornstein_uhlenbeck", {"mean": [[0.0]]}, "mean must have 1 axes, got shape"),
        ("ornstein_uhlenbeck", {"rate": math.nan}, "rate must be finite, but 1 entries are not"),
    ],
)
def test_parameters_out_of_range_are_refused(name, options, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        getattr(ds.sdes, name)(**options)


@pytest.mark.parametrize(
    ("sde", "method", "arguments", "message"),
    [
        (("cox_ingersoll_ross",), "transition", (-1.0, 1.0), "x0 must not be negative, got -1"),
        (("cox_ingersoll_ross",), "transition", (1.0, 0.0), "t must be a positive finite number, got 0"),
        (("cox_ingersoll_ross",), "transition", ([1.0, 2.0], 1.0), "x0 must be a scalar or have shape"),
        (("geometric_brownian_motion",), "transition", (0.0, 1.0), "x0 must be a positive finite number, got"),
        (("geometric_brownian_motion", 0.1), "transition", (1.0, 1e5), "law of X_t at t = 100000 is beyond floating"),
        (("geometric_brownian_motion", 1.0), "transition", (1.0, 1e5), "law of X_t at t = 100000 is beyond floating"),
        (("geometric_brownian_motion",), "stationary", (), "has no stationary law: ln X is a Brownian motion"),
        (("geometric_brownian_motion",), "path", (1.0, [1.0, 2.0], [[0.0]]), r"t must fit the shape of w .* got \[1"),
        (("geometric_brownian_motion",), "path", (1.0, 1.0, 0.3), r"w must have shape \(..., 1\), got \(\)"),
        (("brownian_ring",), "transition", (0.0, 1.0), "x0 must not be the origin"),
        (("inverse_gamma", 1.0, 1.0, 0.8), "transition", (1.0, 1.0), "transition law of the inverse gamma diffusion"),
        (("student", 1.0, 3.0, 0.5), "transition", (1.0, 1.0), "transition law of the Student diffusion is not among"),
        (("double_well", 1.0, 1.5, 0.8), "transition", (1.0, 1.0), "not known in closed form"),
        (("double_well", 1.0, 1.5, 0.8), "path", (1.0, 1.0, [0.0]), "not known as a function of t and W_t"),
    ],
)  # fmt: skip
def test_laws_that_do_not_exist_and_starts_out_of_range_are_refused(sde, method, arguments, message):
    with pytest.raises((ds.errors.ArgumentError, ds.errors.NotApplicable), match=message):
        getattr(made(*sde), method)(*arguments)


def test_a_process_that_does_not_contract_has_no_stationary_law():
    with pytest.raises(ds.errors.NotApplicable, match=r"eigenvalues of rate with real parts above 0, got -0\.5"):
        ds.sdes.ornstein_uhlenbeck(**UNSTABLE).stationary()
    with pytest.raises(ds.errors.NotApplicable, match="beyond floating point"):
        ds.sdes.ornstein_uhlenbeck(**UNSTABLE).transition(1.0, 1e5)
    with pytest.raises(ds.errors.NotApplicable, match="real parts above 0"):
        ds.sdes.ornstein_uhlenbeck([[0.0, -1.0], [1.0, 0.0]]).stationary()


def test_matrices_may_be_given_by_a_number_or_a_diagonal_and_are_copied():
    rate = np.diag([1.0, 2.0])
    full = ds.sdes.ornstein_uhlenbeck(rate, 0.5 * np.eye(2), [1.0, 1.0])
    short = ds.sdes.ornstein_uhlenbeck([1.0, 2.0], 0.5, 1.0)
    rate[:] = 0.0
    assert full.params.tolist() == short.params.tolist()
    np.testing.assert_array_equal(full.transition(0.3, 1.0).cov, short.transition(0.3, 1.0).cov)
    assert repr(full) == "<Ornstein-Uhlenbeck: dim 2, noise dim 2>"


def test_importing_sdes_loads_neither_numba_nor_scipy():
    code = "import sys, dynsim; dynsim.sdes; print(sorted({'numba', 'scipy'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
