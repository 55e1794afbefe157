import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

import dynsim as ds
from dynsim.stationary import large_deviations, markov_chain, quasi_potential
from dynsim.stationary.small_steps import cramer_root

# AY §2.1 at a1 = 0.4, eps = 0.1, K = 5: increments ξ and probabilities uphill from −1, and uphill from 1/K.
INCREMENTS = {
    "SGD": (((1.0, -0.1), (0.4, 0.6)), ((0.1, -5.0), (0.4, 0.6))),
    "RR": (((0.46, -0.46), (0.4 / 0.46, 0.06 / 0.46)), ((3.04, -3.04), (0.04 / 3.04, 3 / 3.04))),
    "Balanced": (((3.4, -0.068), (2 / 17, 15 / 17)), ((0.34, -3.4), (2 / 17, 15 / 17))),
}
WIDTHS = (1.0, 0.2)


def exact_root(increments, probabilities, variance=0.0):
    """λ > 0 with Σ p exp(−λ ξ) exp(½ λ² s²) = 1 for ξ of positive mean, in 40 digits, by bisection."""
    with mpmath.workdps(40):
        xi, p = ([mpmath.mpf(v) for v in values] for values in (increments, probabilities))

        def height(u):
            return mpmath.fsum(q * mpmath.exp(-u * x) for q, x in zip(p, xi, strict=True)) * mpmath.exp(
                variance * u * u / 2
            ) - mpmath.fsum(p)

        low, high = mpmath.mpf("1e-9"), mpmath.mpf("1e-9")
        while height(high) < 0:
            low, high = high, 2 * high
        for _ in range(120):
            middle = (low + high) / 2
            low, high = (middle, high) if height(middle) < 0 else (low, middle)
        return float(high)


def exact_barriers(name, variance=0.0, batch=1):
    """ΔV of the chain and of the SDE from both minima; a batch of B divides λ and multiplies the exponent."""
    chain, sde = [], []
    for width, (xi, p), sign in zip(WIDTHS, INCREMENTS[name], (1, -1), strict=True):
        xi = sign * np.array(xi)
        mean = xi @ p
        chain.append(width * batch * exact_root(xi, p, variance * batch))
        sde.append(width * 2 * mean / (((xi - mean) ** 2 @ p) / batch + variance))
    return chain, sde


def method_named(name, step_size=0.04, **options):
    sampling = {"SGD": ds.sampling.Uniform(), "RR": ds.sampling.GradientNorm(), "Balanced": ds.sampling.Balanced()}
    return ds.SGD(step_size, sampling[name], **options)


def barriers(potential):
    return [potential.barrier_right[0], potential.barrier_left[1]]


@pytest.mark.parametrize("name", ["SGD", "RR", "Balanced"])
@pytest.mark.parametrize(("batch", "scale"), [(1, 0.0), (3, 0.0), (2, 0.5)])
def test_barriers_in_two_valleys_are_those_of_the_two_term_equation(valleys, name, batch, scale):
    noise = ds.noise.Gaussian(scale) if scale else None
    found = large_deviations(valleys, method_named(name, batch_size=batch, noise=noise))
    assert found.chain.minima.tolist() == found.sde.minima.tolist() == [-1.0, 0.2]
    chain, sde = exact_barriers(name, scale**2, batch)
    np.testing.assert_allclose(barriers(found.chain), chain, rtol=1e-12)
    np.testing.assert_allclose(barriers(found.sde), sde, rtol=1e-12)
    assert found.chain.error < 1e-12
    assert abs(found.chain.barrier_right[0] / found.sde.barrier_right[0] - 1) > 0.02


def test_chain_and_sde_choose_different_minima_for_fixed_proportions(valleys):
    """The SDE of Balanced sampling ends at the sharp minimum, the chain at the flat one; SGD and RR at the flat one."""
    winners = {}
    for name in INCREMENTS:
        found = large_deviations(valleys, method_named(name))
        winners[name] = (found.chain.winner, found.sde.winner, found.agree)
        chain, sde = exact_barriers(name)
        assert found.chain.weights == pytest.approx([max(0, chain[1] - chain[0]), max(0, chain[0] - chain[1])])
        assert found.sde.weights == pytest.approx([max(0, sde[1] - sde[0]), max(0, sde[0] - sde[1])])
    assert winners == {"SGD": (-1, -1, True), "RR": (-1, -1, True), "Balanced": (-1, 0.2, False)}


def log_time_uphill(problem, method, x0, top):
    """ln E of the number of steps from x0 to beyond ``top``, by the exact chain."""
    beyond = (lambda theta: theta[..., 0] > top) if top > x0 else (lambda theta: theta[..., 0] < top)
    return markov_chain(problem, method, x0=x0).log_mean_hitting_time(beyond)


@pytest.mark.parametrize(
    ("name", "inverse_step_sizes", "right"),
    [("SGD", (50, 100), False), ("Balanced", (85, 170), False), ("SGD", (100, 200), True)],
)
def test_exit_times_of_the_exact_chain_grow_as_the_chains_exponent_says(valleys, name, inverse_step_sizes, right):
    """Kinks that are whole steps apart: the lattice meets them alike, so ln E τ is ΔV/η plus a constant."""
    x0, top = (0.2, -0.5) if right else (-1.0, 0.1)
    logs = []
    for inverse in inverse_step_sizes:
        eta = 1 / inverse
        logs.append(log_time_uphill(valleys, method_named(name, eta), x0 + 0.03 * eta, top))
    found = large_deviations(valleys, method_named(name))
    chain, sde = (barriers(potential)[right] for potential in (found.chain, found.sde))
    slopes = np.diff(logs) / np.diff(inverse_step_sizes)
    assert slopes[-1] == pytest.approx(chain, rel=1e-8)
    assert abs(slopes[-1] - sde) > 0.5


def test_the_stationary_mass_of_a_valley_falls_as_its_exponent_says(valleys):
    logs, inverse = [], (50, 100)
    for k in inverse:
        law = markov_chain(valleys, method_named("SGD", 1 / k), x0=-1 + 0.03 / k).stationary()
        logs.append(law.log_probability(lambda theta: theta[..., 0] > 0))
    found = large_deviations(valleys, method_named("SGD"))
    slope = -np.diff(logs)[0] / np.diff(inverse)[0]
    # The wells are a few steps wide at 1/50: corrections are exp(−1.83·50).
    assert slope == pytest.approx(found.chain.weights[1], rel=2e-2)
    assert abs(slope - found.sde.weights[1]) > 0.9


def test_rr_where_the_lattice_meets_kinks_differently_still_follows_within_a_step(valleys):
    """Each of the three kinks shifts a barrier by less than a step: ln τ changes by less than 3 λ ξ beside ΔV/η."""
    etas = (0.04, 0.01)
    logs = [log_time_uphill(valleys, method_named("RR", eta), -1 + 0.03 * eta, 0.1) for eta in etas]
    found = large_deviations(valleys, method_named("RR"))
    lam, bound = found.chain.barrier_right[0], 3 * found.chain.barrier_right[0] * 0.46
    slope = (logs[1] - logs[0]) / (1 / etas[1] - 1 / etas[0])
    assert abs(slope - lam) < bound / (1 / etas[1] - 1 / etas[0])
    assert abs(slope - found.sde.barrier_right[0]) > 2


def test_a_lazy_walk_has_the_ratio_of_its_probabilities_as_exponent():
    """ξ ∈ {1, 0, −1}: p e^{−λ} + q e^{λ} = p + q gives λ = ln(p/q), however lazy."""
    p, q = np.array([0.3, 0.03, 0.5]), np.array([0.1, 0.01, 0.2])
    roots = cramer_root(np.tile([1.0, 0.0, -1.0], (3, 1)), np.stack([p, 1 - p - q, q], axis=1))
    np.testing.assert_allclose(roots, np.log(p / q), rtol=1e-14)
    mirrored = cramer_root(np.tile([-1.0, 0.0, 1.0], (3, 1)), np.stack([p, 1 - p - q, q], axis=1))
    np.testing.assert_allclose(mirrored, -roots, rtol=1e-14)


def test_roots_of_random_increments_are_those_of_bisection_in_40_digits():
    rng = np.random.default_rng(3)
    xi, p = rng.normal(size=(60, 5)) + 0.3, rng.dirichlet(np.ones(5), 60)
    for variance in (0.0, 0.7):
        roots = cramer_root(xi, p, variance)
        for k in range(60):
            sign = np.sign(xi[k] @ p[k])
            if variance or (sign * xi[k]).min() < 0:
                assert sign * roots[k] == pytest.approx(exact_root(sign * xi[k], p[k], variance), rel=1e-9)
            else:
                assert roots[k] == sign * np.inf


def test_no_step_against_the_drift_is_an_infinite_barrier_and_no_drift_is_none():
    inf = cramer_root(np.array([[1.0, 2.0], [0.0, 2.0], [-1.0, -1.0]]), np.full((3, 2), 0.5))
    assert inf.tolist() == [np.inf, np.inf, -np.inf]
    never_drawn = cramer_root(np.array([[1.0, -1.0]]), np.array([[1.0, 0.0]]))
    assert never_drawn.tolist() == [np.inf]
    assert cramer_root(np.array([[1.0, -1.0], [0.1, -0.3]]), np.array([[0.5, 0.5], [0.75, 0.25]])).tolist() == [0, 0]
    assert cramer_root(np.array([[1.0, 1.0]]), np.array([[0.5, 0.5]]), 0.5)[0] == pytest.approx(4.0, rel=1e-14)


def test_for_gaussian_increments_chain_and_sde_agree(valleys):
    noisy = large_deviations(valleys, ds.SGD(0.1, batch_size="full", noise=ds.noise.Gaussian(0.5)))
    np.testing.assert_allclose(barriers(noisy.chain), barriers(noisy.sde), rtol=1e-12)
    assert noisy.chain.barrier_right[0] == pytest.approx(2 * 0.34 / 0.25, rel=1e-12)  # 2 m/s² over a width of 1
    assert noisy.agree


def test_chain_and_sde_agree_the_better_the_smaller_the_drift_is_against_single_steps():
    """λ = (2 m/Σ)(1 + O(m)): a tenth of the mean, at most a ninth of the relative difference."""
    gaps = []
    for m in (0.1, 0.01, 0.001):
        xi, p = np.array([[1.0 + m, -0.5 + m]]), np.array([[1 / 3, 2 / 3]])
        gaps.append(abs(cramer_root(xi, p)[0] / (2 * m / 0.5) - 1))
    assert gaps[0] > 9 * gaps[1] > 81 * gaps[2] > 0


def test_noiseless_walls_and_deterministic_descent_never_leave(valleys):
    descent = large_deviations(valleys, ds.SGD(0.1, batch_size="full"))
    assert np.isinf(barriers(descent.chain)).all()
    assert descent.chain.winner is None
    assert np.isnan(descent.chain.weights).all()
    rr = large_deviations(valleys, ds.RR(0.1), bounds=(-1.5, 0.4)).chain
    outside = rr(np.array([[-1.2], [0.3]]))
    assert outside.tolist() == [np.inf, np.inf]
    assert rr([-0.5]) == pytest.approx(0.5 * rr.barrier_right[0], rel=1e-12)


def test_a_minimum_that_is_left_one_way_only_loses_whatever_the_depths():
    """Noise that is 0 right of the top: from the left minimum over the top, never back."""
    one_way = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.3 if x[0] < 0 else 0.0, breaks=[0.0])
    found = quasi_potential(one_way, (-2, 2))
    assert np.isfinite(found.barrier_right[0])
    assert found.barrier_left[1] == np.inf
    assert found.winner == 1.0
    assert found.weights[0] == np.inf


def test_double_well_has_twice_its_potential_over_the_noise():
    """μ = −U', D = s²: V = 2U/s², U = x⁴/4 − x²/2 + c x has its wells where the cubic x³ − x + c vanishes."""
    c, s = 0.1, 0.3
    well = ds.SDE(lambda t, x: x[0] - x[0] ** 3 - 0.1, lambda t, x: 0.3)
    found = quasi_potential(well, (-2, 2), n_cells=200)
    left, top, right = np.sort(np.roots([1, 0, -1, c]).real)
    U = np.polynomial.Polynomial([0, c, -0.5, 0, 0.25])
    np.testing.assert_allclose(found.minima, [left, right], rtol=1e-13)
    np.testing.assert_allclose(barriers(found), 2 * (U(top) - U(np.array([left, right]))) / s**2, rtol=1e-9)
    x = np.linspace(-1.9, 1.9, 17)[:, None]
    np.testing.assert_allclose(found(x), 2 * (U(x[:, 0]) - U(left)) / s**2, atol=2e-3)  # linear between faces
    assert found.winner == pytest.approx(left)
    assert quasi_potential(ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.3), (-2, 2)).winner is None


def test_the_density_of_the_sde_falls_as_its_quasi_potential(valleys):
    """Piecewise constant coefficients: the ratio of masses is exp(−V/η) times a factor that does not depend on η."""
    inverse = (200, 400)
    for name in ("SGD", "Balanced"):
        logs = []
        for k in inverse:
            rho = ds.stationary_density(ds.sde_limit(valleys, method_named(name, 1 / k)), (-1.5, 0.4), 3800)
            left, right = rho.log_probability(lambda t: t[..., 0] < 0), rho.log_probability(lambda t: t[..., 0] > 0)
            logs.append(right - left)
        sde = large_deviations(valleys, method_named(name)).sde
        slope = -np.diff(logs)[0] / np.diff(inverse)[0]
        assert slope == pytest.approx(sde.weights[1] - sde.weights[0], abs=5e-3)


@pytest.mark.parametrize("name", ["SGD", "RR", "Balanced"])
def test_the_limit_of_the_method_has_the_exponents_that_its_moments_have(valleys, name):
    limit = quasi_potential(ds.sde_limit(valleys, method_named(name, 0.04)), (-2, 1), step_size=0.04)
    np.testing.assert_allclose(barriers(limit), exact_barriers(name)[1], rtol=1e-12)


def test_batches_without_replacement_and_clipping_are_enumerated(valleys):
    """Both terms of a batch of 2 without replacement: no noise. Clipping to 1 changes −5 to −1 in the sharp valley."""
    both = large_deviations(valleys, ds.SGD(0.1, ds.sampling.WithoutReplacement(), batch_size=2))
    assert np.isinf(barriers(both.chain)).all()
    clipped = large_deviations(valleys, ds.GClip(0.1, threshold=1.0)).chain
    assert clipped.barrier_left[1] == pytest.approx(0.2 * exact_root([-0.1, 1.0], [0.4, 0.6]), rel=1e-12)


def test_results_can_be_printed_and_drawn(valleys):
    found = large_deviations(valleys, method_named("Balanced"))
    table = found.table()
    assert "chain: -1; SDE: 0.2" in table
    assert "1.83728" in table
    ax = found.plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["chain", "SDE"]
    assert "0.2 (barriers 1.25886 left, inf right)" in repr(found.chain)
    assert repr(found).endswith("chain to -1.0, SDE to 0.2)")


@pytest.mark.parametrize("noise", [None, ds.noise.Gaussian(0.1)], ids=["without", "Gaussian"])
@pytest.mark.parametrize("name", ["lessard_piecewise", "flat_quartic"])
def test_a_minimum_that_is_known_wins_without_the_rounding_of_the_root(name, noise):
    problem = getattr(ds.problems, name)()
    found = large_deviations(problem, ds.SGD(0.01, noise=noise))
    assert problem.minima.tolist() == [[0.0]]
    assert found.chain.winner == found.sde.winner == 0.0
    assert found.agree
    assert "e-1" not in repr(found)


def test_turning_points_are_moved_by_their_rounding_and_no_further():
    """dX = −(X − c) dt: the minimum is c, but for c below rounding; a flat root is where 0 is."""
    for c, moved in ((1e-16, True), (1e-9, False), (-1e-12, False)):
        (found,) = quasi_potential(ds.SDE(lambda t, x, c=c: c - x[0], lambda t, x: 1.0), (-3, 4)).minima
        assert (found == 0.0) == moved
        assert found == pytest.approx(0.0 if moved else c, abs=1e-14)
    # −x³, which rounding beside 1 makes 0 for |x| < 5e-6
    (found,) = quasi_potential(ds.SDE(lambda t, x: 1.0 - (1.0 + x[0] ** 3), lambda t, x: 1.0), (-3, 4)).minima
    assert found == 0.0


def test_agreement_is_about_which_minimum_wins_not_about_its_last_digit(valleys):
    found = large_deviations(valleys, method_named("SGD"))
    nudged = replace(found.sde, minima=np.nextafter(found.sde.minima, 1.0), x=np.nextafter(found.sde.x, 1.0))
    assert nudged.winner != found.chain.winner
    assert replace(found, sde=nudged).agree
    assert not large_deviations(valleys, method_named("Balanced")).agree


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ((-0.9, 0.1), r"is -0.34 at -0.899\d* and \+2.96 at 0.099\d*$"),
        ((-0.9, 0.5), r"is -0.34 at -0.899\d*$"),
        ((-1.5, 0.1), r"is \+2.96 at 0.099\d*$"),
    ],
    ids=["both", "lower", "upper"],
)
def test_bounds_that_the_mean_step_leaves_are_refused_with_the_end_and_the_step(valleys, bounds, says):
    """AY §2.1 at these parameters: E ξ = 0.34 right of −1, −2.96 left of 0.2."""
    drift = {x: -valleys.gradient(np.array([x]))[0] for x in (-0.9, 0.1)}
    assert drift == pytest.approx({-0.9: -0.34, 0.1: 2.96}, rel=1e-12)
    with pytest.raises(ds.errors.ArgumentError, match=says):
        large_deviations(valleys, ds.SGD(0.1), bounds)


@pytest.mark.parametrize(
    ("ask", "error", "match"),
    [
        (
            lambda p: large_deviations(p, ds.SGD(0.1), (-0.5, 0.5)),
            ds.errors.ArgumentError,
            "bounds must be an interval",
        ),
        (lambda p: large_deviations(p, ds.SGD(0.1), (1, -1)), ds.errors.ArgumentError, "bounds must be finite"),
        (lambda p: large_deviations(p, 0.1), ds.errors.ArgumentError, "method must be"),
        (lambda p: large_deviations(0.1, ds.SGD(0.1)), ds.errors.ArgumentError, "problem must be"),
        (lambda p: large_deviations(p, ds.SGD(0.1), n_cells=0), ds.errors.ArgumentError, "n_cells must be"),
        (lambda p: large_deviations(p, ds.HeavyBall(0.1, momentum=0.5)), ds.errors.NotApplicable, "memory"),
        (lambda p: large_deviations(p, ds.SGD(0.1, noise=ds.noise.StudentT(3.0))), ds.errors.NotApplicable, "knows"),
        (
            lambda p: large_deviations(p, ds.ProjectedGClip(0.1, threshold=1.0, radius=1.0)),
            ds.errors.NotApplicable,
            "proportional",
        ),
        (
            lambda p: large_deviations(ds.problems.quadratic([1.0, 2.0]), ds.SGD(0.1)),
            ds.errors.NotApplicable,
            "dim 1",
        ),
        (
            lambda p: quasi_potential(ds.SDE(lambda t, x: -x[0], lambda t, x: 0.1 * x[0]), (-1, 2)),
            ds.errors.NotApplicable,
            "no exponents",
        ),
        (lambda p: quasi_potential(1, (0, 1)), ds.errors.ArgumentError, "sde must be"),
        (
            lambda p: quasi_potential(ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0), (-1, 1), step_size=0),
            ds.errors.ArgumentError,
            "step_size must be",
        ),
        (
            lambda p: quasi_potential(ds.SDE(lambda t, x: 0.0, lambda t, x: 0.0), (-1, 1)),
            ds.errors.ArgumentError,
            "bounds must be",
        ),
    ],
)
def test_what_has_no_exponents_is_refused_with_the_reason(valleys, ask, error, match):
    with pytest.raises(error, match=match):
        ask(valleys)


def test_a_barrier_that_noise_vanishing_with_the_drift_makes_infinite_is_not_given_a_number():
    """dX = (x − x³) … with σ = |x − 1|: 2μ/D ~ 1/(x − 1) at the minimum 1 has no integral."""
    singular = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: abs(x[0] - 1.0) + 0.0)
    with pytest.raises(ds.errors.Unresolved, match="no exponents") as caught:
        quasi_potential(singular, (-2, 2))
    assert caught.value.error > 0.1
    assert math.isfinite(caught.value.result.barrier_left[1])
