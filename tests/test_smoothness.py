"""Local smoothness against gradient norm and the (L0, L1) fit of Z (3.2): against formulas and brute force."""

import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim import landscape
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.smoothness_fit import _jackknifed, _line

QUARTIC = ds.Problem.from_terms(lambda theta, n: theta[0] ** 4, n_terms=1, dim=1)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_along_the_steps_of_a_quadratic_it_is_the_curvature_in_their_direction(rng):
    values = np.array([1.0, 3.0, 10.0])
    x = rng.normal(size=(2, 6, 3))
    smoothness, norm = landscape.local_smoothness(ds.problems.quadratic(values), x)
    d = np.diff(x, axis=1)
    assert np.allclose(smoothness, np.linalg.norm(values * d, axis=-1) / np.linalg.norm(d, axis=-1), rtol=1e-12)
    assert np.allclose(norm, np.linalg.norm(values * x[:, :-1], axis=-1), rtol=1e-14)


def test_along_the_steps_of_a_quartic_it_is_the_largest_of_the_chords(rng):
    x = rng.uniform(-2, 2, 9)
    smoothness, _ = landscape.local_smoothness(QUARTIC, x[:, None], n_fractions=3)
    for k, (start, end) in enumerate(itertools.pairwise(x)):
        d = end - start
        chords = [abs(4 * (start + r * d) ** 3 - 4 * start**3) / abs(r * d) for r in (1 / 3, 2 / 3, 1)]
        assert smoothness[0, k] == pytest.approx(max(chords), rel=1e-9)


def test_where_no_step_is_made_there_is_none():
    smoothness, norm = landscape.local_smoothness(ds.problems.quadratic([1.0]), [[1.0], [1.0], [0.5]])
    assert np.array_equal(np.isnan(smoothness), [[True, False]])
    assert norm.tolist() == [[1.0, 1.0]]


def test_a_last_step_shorter_than_the_others_is_left_out():
    problem = ds.problems.quadratic([1.0, 3.0])
    run = ds.iterate(problem, ds.SGD(0.1, batch_size="full"), x0=1.0, n_steps=5, save_every=2)
    smoothness, _ = landscape.local_smoothness(problem, run)
    assert smoothness.shape == (1, 2)


@pytest.mark.parametrize("measure", ["steps", "sharpness"])
def test_a_parabola_has_no_slope_and_its_curvature_for_intercept(measure, rng):
    x = rng.normal(size=(200, 1))
    fit = landscape.fit_smoothness(ds.problems.quadratic([7.0]), x, measure=measure)
    assert pytest.approx([7.0, 0.0], rel=1e-6, abs=1e-6) == [fit.L0, fit.L1]
    assert fit.bound == pytest.approx((7.0, 0.0), rel=1e-6, abs=1e-6)
    assert np.isnan(fit.correlation)
    assert np.isnan(fit.p_value)


def test_the_bound_of_exponential_wings_is_the_chord_of_their_curve():
    L1, M = 2.0, 50.0
    problem = ds.problems.exponential_wings(L1)
    top = problem.start(M)
    fit = landscape.fit_smoothness(problem, np.linspace(0, top, 500)[:, None], measure="sharpness")
    # sharpness is L1 max(1, g) for gradient norms g from 0 to M: a convex curve between (0, L1) and (M, L1 M)
    assert fit.bound == pytest.approx((L1, L1 * (1 - 1 / M)), rel=1e-9)
    assert (fit.smoothness <= fit.bound[0] + fit.bound[1] * fit.gradient_norm + 1e-9).all()


def test_a_quartic_follows_the_power_two_thirds_and_is_bounded_by_a_tangent():
    x = np.linspace(0.1, 2, 4000)
    fit = landscape.fit_smoothness(QUARTIC, x[:, None], measure="sharpness")
    assert fit.exponent == pytest.approx(2 / 3, abs=1e-6)
    assert fit.correlation == pytest.approx(1.0, abs=1e-9)
    mean = np.mean(4 * x**3)
    slope = 2 * (mean / 4) ** (-1 / 3)  # of 12 (g/4)^(2/3)
    assert fit.bound[1] == pytest.approx(slope, rel=1e-3)
    assert fit.bound[0] == pytest.approx(12 * (mean / 4) ** (2 / 3) - slope * mean, rel=1e-3)


def cloud(n=300):
    rng = np.random.default_rng(1)
    return ds.problems.egg_carton(), rng.uniform(-3, 3, (n, 2))


def test_the_line_is_that_of_polyfit():
    problem, x = cloud()
    fit = landscape.fit_smoothness(problem, x, measure="sharpness")
    slope, intercept = np.polyfit(fit.gradient_norm, fit.smoothness, 1)
    assert pytest.approx([intercept, slope], rel=1e-9) == [fit.L0, fit.L1]
    logs = np.corrcoef(np.log(fit.gradient_norm), np.log(fit.smoothness))[0, 1]
    assert fit.correlation == pytest.approx(logs, rel=1e-9)
    low, high = fit.correlation_interval
    assert low < fit.correlation < high


def test_the_bound_is_the_least_of_all_lines_through_two_points_that_lie_above():
    problem, x = cloud(100)
    fit = landscape.fit_smoothness(problem, x, measure="sharpness")
    g, s = fit.gradient_norm, fit.smoothness
    best = s.max()  # L1 = 0
    for i in range(g.size):
        slopes = (s - s[i]) / np.where(g == g[i], np.inf, g - g[i])
        for L1 in slopes[slopes > 0]:
            L0 = s[i] - L1 * g[i]
            if L0 >= 0 and (L0 + L1 * g >= s - 1e-9).all():
                best = min(best, L0 + L1 * g.mean())
    assert fit.bound[0] + fit.bound[1] * g.mean() == pytest.approx(best, rel=1e-9)
    assert (fit.bound[0] + fit.bound[1] * g >= s - 1e-9 * s.max()).all()


def correlated(n, phi, rng):
    noise = rng.normal(size=n)
    series = np.empty(n)
    series[0] = noise[0] / np.sqrt(1 - phi**2)
    for k in range(1, n):
        series[k] = phi * series[k - 1] + noise[k]
    return series


def test_errors_cover_the_slope_of_correlated_pairs_where_those_for_independent_ones_do_not():
    rng, n, hits, naive = np.random.default_rng(2), 1600, 0, 0
    part = np.arange(n) * 16 // n
    n_runs = 200
    for _ in range(n_runs):
        x, noise = correlated(n, 0.9, rng), correlated(n, 0.9, rng)
        y = 1.0 + 0.5 * x + noise
        (_, slope), (_, error) = _jackknifed(_line, x, y, part)
        hits += abs(slope - 0.5) < 2.131 * error  # t of 15 degrees of freedom at 95 %
        residual = y - np.polyval(np.polyfit(x, y, 1), x)
        naive += abs(slope - 0.5) < 1.96 * residual.std() / (x.std() * np.sqrt(n))
    spread = 5 * np.sqrt(0.95 * 0.05 / n_runs)
    assert abs(hits / n_runs - 0.95) < spread
    assert naive / n_runs < 0.95 - spread


def test_a_correlation_that_hangs_on_one_part_of_the_run_has_no_use():
    problem = ds.problems.exponential_wings(1.0)
    x = np.full(320, 0.5)
    x[:20] = np.linspace(3, 1.5, 20)  # within the first of 16 parts
    fit = landscape.fit_smoothness(problem, x[:, None], measure="sharpness")
    assert fit.correlation > 0.9
    assert fit.correlation_interval[0] < 0
    assert fit.p_value > 0.05


def test_whole_paths_are_the_parts_where_there_are_enough(rng):
    problem = ds.problems.egg_carton()
    assert landscape.fit_smoothness(problem, rng.uniform(-3, 3, (20, 30, 2)), measure="sharpness").n_parts == 20
    assert landscape.fit_smoothness(problem, rng.uniform(-3, 3, (3, 100, 2)), measure="sharpness").n_parts == 18


def test_what_diverges_or_stands_still_is_left_out_and_counted(rng):
    x = rng.uniform(-3, 3, (2, 100, 2))
    x[1, 60:] = np.nan
    fit = landscape.fit_smoothness(ds.problems.egg_carton(), x, measure="sharpness")
    assert (fit.gradient_norm.size, fit.n_excluded) == (160, 40)


def test_clipped_steps_cross_the_wings_where_plain_ones_of_the_same_size_blow_up():
    problem = ds.problems.exponential_wings(1.0)
    start = problem.start(M=1000.0)
    eta = 0.05  # above the limit 0.016 of plain descent
    assert eta > problem.step_size_limit(start)
    plain = ds.iterate(problem, ds.SGD(eta, batch_size="full"), x0=start, n_steps=200)
    clipped = ds.iterate(problem, ds.Clipped(eta, batch_size="full", gamma=1.0), x0=start, n_steps=200)
    assert plain.n_diverged == 1
    fit = landscape.fit_smoothness(problem, clipped)
    assert fit.correlation > 0.9
    assert abs(fit.L1 - 1) < 0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, x: landscape.fit_smoothness(p, x[:20]), NotApplicable, "at least 64"),
        (lambda p, x: landscape.fit_smoothness(p, x, measure="both"), ArgumentError, "measure is not known"),
        (lambda p, x: landscape.fit_smoothness(p, x, n_fractions=0), ArgumentError, "n_fractions must be"),
        (lambda p, x: landscape.fit_smoothness(p, x[:, :1]), ArgumentError, "run must have shape"),
        (lambda p, x: landscape.local_smoothness(p, x[:1]), ArgumentError, "at least two states"),
        (lambda p, x: landscape.fit_smoothness(p, 0 * x + 1, measure="sharpness"), NotApplicable, "all gradient norms"),
    ],
    ids=["few", "measure", "fractions", "shape", "one", "constant"],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(call, error, message):
    problem, x = cloud()
    with pytest.raises(error, match=message):
        call(problem, x)


def test_the_plot_has_points_line_and_bound_on_logarithmic_axes():
    problem, x = cloud()
    ax = landscape.fit_smoothness(problem, x, measure="sharpness").plot()
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylabel()) == ("log", "log", "sharpness")
    assert ax.collections[0].get_offsets().shape == (300, 2)
    assert len(ax.get_lines()) == 2
