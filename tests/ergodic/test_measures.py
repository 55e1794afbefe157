"""Empirical measures: distances by hand, and errors and floors against the scatter of many runs."""

import numpy as np
import pytest
from scipy import stats

import dynsim as ds
from dynsim.ergodic import EmpiricalMeasure

RUNS = 16
PHI = 0.8  # of the autoregression, whose stationary law is standard normal


def autoregression(rng, n_paths, n, phi=PHI):
    x = np.empty((n_paths, n))
    x[:, 0] = rng.normal(size=n_paths)
    for k in range(1, n):
        x[:, k] = phi * x[:, k - 1] + np.sqrt(1 - phi**2) * rng.normal(size=n_paths)
    return x[:, :, None]


@pytest.fixture(scope="module")
def normal():
    """The standard normal law on a grid."""
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 2.0**0.5)
    return ds.stationary_density(sde, (-6, 6), 600)


@pytest.fixture(scope="module")
def runs():
    """Independent ensembles of eight paths."""
    return autoregression(np.random.default_rng(7), 8 * RUNS, 1000).reshape(RUNS, 8, 1000, 1)


def test_burn_in_diverged_paths_and_a_last_save_out_of_step_are_left_out():
    t = np.array([0, 3, 6, 9, 12, 13])
    x = np.arange(18.0).reshape(3, 6, 1)
    x[1, 4:] = np.nan
    run = ds.Trajectories(x, t, np.array([np.inf, 10.0, np.inf]), {"seed": 0})
    mu = EmpiricalMeasure.of(run, burn_in=3)
    np.testing.assert_array_equal(mu.x[:, :, 0], [[1, 2, 3, 4], [13, 14, 15, 16]])
    assert (mu.start, mu.interval, mu.n_diverged) == (3, 3, 1)
    np.testing.assert_allclose(mu.mean, [8.5])
    np.testing.assert_allclose(mu.cov, [[np.var([1, 2, 3, 4, 13, 14, 15, 16])]])


def test_distances_are_those_of_scipy(runs):
    a, b = EmpiricalMeasure.of(runs[0]), EmpiricalMeasure.of(runs[1] + 0.3)
    expected = stats.wasserstein_distance(a.points[:, 0], b.points[:, 0])
    assert a.wasserstein(b).value == pytest.approx(expected, rel=1e-12)
    edges = np.linspace(-2, 2, 9)
    wide = np.concatenate([[-np.inf], edges, [np.inf]])
    p, q = (np.histogram(m.points[:, 0], wide)[0] / 8000 for m in (a, b))
    p, q = (np.append(h[1:-1], h[0] + h[-1]) for h in (p, q))
    assert a.total_variation(b, edges).value == pytest.approx(0.5 * np.abs(p - q).sum(), rel=1e-12)


def scatter(distances):
    """Mean over runs, its standard error, and the standard deviation of a run."""
    return np.mean(distances), np.std(distances, ddof=1) / np.sqrt(len(distances)), np.std(distances, ddof=1)


def test_the_floor_is_the_mean_distance_of_a_run_from_its_own_law(runs, normal):
    """Also its spread; and for independent points, whose floor is three times lower, it is not that."""
    found = [EmpiricalMeasure.of(x).wasserstein(normal) for x in runs]
    mean, error, spread = scatter([d.value for d in found])
    floor = np.mean([d.floor for d in found])
    assert abs(floor - mean) < 5 * error
    assert np.mean([d.floor_spread for d in found]) == pytest.approx(spread, rel=5 / np.sqrt(2 * RUNS))
    assert not any(d.differs for d in found)
    independent = np.sqrt(2 / np.pi / 8000) * (2 * stats.norm.cdf(3) - 1) * 1.4
    assert floor > 2 * independent


def test_the_floor_of_two_runs_is_their_mean_distance(runs):
    pairs = [
        EmpiricalMeasure.of(a).wasserstein(EmpiricalMeasure.of(b)) for a, b in zip(runs[:8], runs[8:], strict=True)
    ]
    mean, error, _ = scatter([d.value for d in pairs])
    assert abs(np.mean([d.floor for d in pairs]) - mean) < 5 * error
    alone = EmpiricalMeasure.of(runs[0]).wasserstein(EmpiricalMeasure.of(runs[1]).law).floor
    assert np.mean([d.floor for d in pairs]) > 1.2 * alone


def test_the_floor_of_total_variation_too(runs, normal):
    edges = np.linspace(-2.5, 2.5, 11)
    found = [EmpiricalMeasure.of(x).total_variation(normal, edges) for x in runs[:8]]
    mean, error, _ = scatter([d.value for d in found])
    assert abs(np.mean([d.floor for d in found]) - mean) < 5 * error


def test_a_distance_well_above_the_floor_has_its_standard_error(runs, normal):
    """Moved by half a standard deviation W1 is 1/2 and has the error of the mean, √((1 + φ)/(1 − φ)/N)."""
    found = [EmpiricalMeasure.of(x + 0.5).wasserstein(normal) for x in runs]
    assert all(d.differs for d in found)
    expected = np.sqrt((1 + PHI) / (1 - PHI) / 8000)
    stated = np.mean([d.stderr for d in found])
    assert stated == pytest.approx(expected, rel=0.1)  # without the outermost percent of the points
    assert stated > 2 * np.sqrt(1 / 8000)  # negative control: that of independent points
    assert abs(np.mean([d.value for d in found]) - 0.5) < 5 * expected / np.sqrt(RUNS)


def test_the_sliced_floor_in_two_dimensions():
    """Two independent coordinates, five pairs of runs."""
    x = autoregression(np.random.default_rng(2), 2 * 5 * 8 * 2, 400)[:, :, 0].reshape(2, 5, 8, 2, 400).swapaxes(3, 4)
    pairs = [EmpiricalMeasure.of(a).wasserstein(EmpiricalMeasure.of(b)) for a, b in zip(*x, strict=True)]
    mean, error, _ = scatter([d.value for d in pairs])
    assert abs(np.mean([d.floor for d in pairs]) - mean) < 5 * error


def test_quantiles_have_the_error_of_their_scatter(runs):
    levels = [0.1, 0.5, 0.9]
    found = [EmpiricalMeasure.of(x).quantile(levels) for x in runs]
    values, stderr = (np.array([getattr(q, name) for q in found]) for name in ("value", "stderr"))
    np.testing.assert_array_equal(values[0], np.quantile(runs[0], levels, method="inverted_cdf"))
    z = (values - stats.norm.ppf(levels)) / stderr
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(RUNS)
    assert np.abs(np.sqrt((z**2).mean(axis=0)) - 1).max() < 5 / np.sqrt(2 * RUNS)
    independent = np.sqrt([0.09, 0.25, 0.09]) / stats.norm.pdf(stats.norm.ppf(levels)) / np.sqrt(8000)
    assert (stderr.mean(axis=0) > 1.5 * independent).all()


def test_a_quantile_at_one_level_and_at_equal_ones():
    mu = EmpiricalMeasure.of(np.round(autoregression(np.random.default_rng(5), 8, 500)))
    assert mu.quantile(0.5).value.shape == ()
    both = mu.quantile([0.5, 0.5])
    assert both.value[0] == both.value[1] == 0
    assert both.cov.shape == (2, 2)


def test_histogram_and_probability_are_fractions_with_the_error_of_time_averages(runs):
    mu, edges = EmpiricalMeasure.of(runs[0]), np.linspace(-3, 3, 7)
    found = mu.histogram(edges)
    np.testing.assert_allclose(found.value, np.histogram(mu.points[:, 0], edges)[0] / 8000, atol=1e-12)
    inside = mu.probability(lambda x: (x[..., 0] >= 0) & (x[..., 0] < 1))
    assert found.value[3] == pytest.approx(float(inside.value), abs=1e-12)
    assert found.stderr[3] == pytest.approx(float(inside.stderr), rel=1e-6)


def test_bins_in_two_dimensions_are_in_c_order():
    x = np.random.default_rng(3).normal(size=(8, 300, 2))
    edges = np.linspace(-2, 2, 4), np.linspace(-1, 3, 3)
    found = EmpiricalMeasure.of(x).histogram(*edges)
    expected = np.histogramdd(x.reshape(-1, 2), edges)[0] / 2400
    np.testing.assert_allclose(found.value, expected.ravel(), atol=1e-12)


def test_the_curve_has_slope_minus_one_half_to_its_own_law_and_none_to_another(normal):
    x = autoregression(np.random.default_rng(1), 64, 2000)
    own = EmpiricalMeasure.of(x).curve(normal, n_times=10)
    low, high = own.slope_interval(0.99)
    assert low < -0.5 < high < -0.2
    assert abs(own.distance[-1] - own.floor[-1]) < 5 * own.stderr[-1]
    other = EmpiricalMeasure.of(x + 1.0).curve(normal, n_times=10)
    assert other.slope_interval(0.999)[0] > -0.1
    assert other.distance[-1] == pytest.approx(1, rel=0.05)


def atoms(places, masses):
    x = np.asarray(places)[:, None]
    return ds.Density(x, np.log(masses), None, 0.0, 0.0, 0.0, "atoms", {})


@pytest.mark.parametrize("width", [0.0, 0.01], ids=["atoms", "blobs"])
def test_rare_mass_that_lies_far_out_is_part_of_the_floor(width):
    """A share of 0.005 at 10, the others at −1: |p̂ − p| · 11 is the distance, of mean 11 √(2 p (1 − p)/(π n))."""
    rng, blob = np.random.default_rng(0), width * stats.norm.ppf((np.arange(200) + 0.5) / 200)
    law = atoms(np.append(-1 + blob, 10 + blob), np.repeat([0.995, 0.005], 200) / 200)
    found = []
    for _ in range(8):
        x = np.where(rng.random((16, 2000, 1)) < 0.005, 10.0, -1.0) + width * rng.normal(size=(16, 2000, 1))
        found.append(EmpiricalMeasure.of(x).wasserstein(law))
    expected = 11 * np.sqrt(2 * 0.005 * 0.995 / np.pi / 32_000)
    assert np.mean([d.floor for d in found]) == pytest.approx(expected, rel=0.1)
    assert not any(d.differs for d in found)


def test_mass_that_a_run_has_hardly_seen_has_the_floor_of_its_law():
    """Expected are 3 visits: E|N − 3| of a Poisson number is 2 · 3 · e^{−3} 3³/3!."""
    rng, law = np.random.default_rng(0), atoms([-1.0, 10.0], [1 - 3 / 32_000, 3 / 32_000])
    found = [
        EmpiricalMeasure.of(np.where(rng.random((16, 2000, 1)) < 3 / 32_000, 10.0, -1.0)).wasserstein(law)
        for _ in range(8)
    ]
    known = np.array([d.floor for d in found if not np.isnan(d.floor)])
    assert known.size >= 6  # of runs without any visit nothing is known
    expected = 11 / 32_000 * 2 * np.exp(-3) * 27 / 2
    assert known.mean() == pytest.approx(expected, rel=0.15)
    assert not any(d.differs for d in found)


def test_a_well_that_is_entered_seldom_and_for_long_has_no_floor_or_a_true_one():
    """Of two states, one entered with probability 5e-5 and left with 0.01: few runs know how far they are off."""
    rng, n = np.random.default_rng(1), 2000
    law = atoms([-1.0, 10.0], [0.995, 0.005])
    for _ in range(8):
        inside = np.empty((n, 16), dtype=bool)
        inside[0] = rng.random(16) < 0.005
        for k, u in enumerate(rng.random((n - 1, 16)), 1):
            inside[k] = np.where(inside[k - 1], u >= 0.01, u < 0.01 * 5 / 995)
        x = np.where(inside.T, 10.0, -1.0)[:, :, None]
        if x.max() > 0:
            assert not EmpiricalMeasure.of(x).wasserstein(law).differs


def test_sparse_bins_have_the_floor_of_their_law(normal):
    """A thousand bins for 1000 points: the mean distance is that of Poisson numbers, ½ Σ E|N − λ| / n."""
    rng, edges = np.random.default_rng(0), np.linspace(-4, 4, 1001)
    p = np.append(np.diff(stats.norm.cdf(edges)), 2 * stats.norm.sf(4))
    counts = np.arange(30)[:, None]
    expected = 0.5 * (np.abs(counts - 1000 * p) * stats.poisson.pmf(counts, 1000 * p)).sum() / 1000
    runs = [EmpiricalMeasure.of(rng.normal(size=(8, 125, 1))) for _ in range(4)]
    found = [mu.total_variation(normal, edges) for mu in runs]
    assert np.mean([d.floor for d in found]) == pytest.approx(expected, rel=0.05)
    pairs = [a.total_variation(b, edges) for a, b in zip(runs[:2], runs[2:], strict=True)]
    assert not any(d.differs for d in found + pairs)


def test_bins_that_are_seldom_visited_have_errors_and_refuse_no_others():
    """Of 400 bins in two dimensions some have no states: their error is that of one, and none is 0."""
    x = autoregression(np.random.default_rng(3), 16, 500)[:, :, 0].reshape(8, 2, 500).swapaxes(1, 2)
    edges = np.linspace(-4, 4, 17)
    found = EmpiricalMeasure.of(x).histogram(edges, edges)
    assert (found.stderr[found.value == 0] > 0).all()
    assert np.count_nonzero(np.isnan(found.stderr)) < 26
    p = np.outer(*[np.diff(stats.norm.cdf(edges))] * 2).ravel()
    z = (found.value - p)[found.value * 4000 < 20] / found.stderr[found.value * 4000 < 20]
    assert 0.3 < np.sqrt(np.mean(z**2)) < 1.5
    assert found.cov.shape == (256, 256)


def test_stuck_chains_have_no_floor(valleys):
    """Two chains, each in its own valley: what the run does not tell is nan, and nothing is claimed."""
    run = ds.iterate(valleys, ds.SGD(0.01), [[-1.0], [0.2]], n_steps=2000, n_paths=2, rng=0)
    mu = EmpiricalMeasure.of(run)
    found = mu.wasserstein(ds.markov_chain(valleys, ds.SGD(0.01), x0=-1.0).stationary())
    assert found.value > 0.1
    assert np.isnan(found.floor)
    assert not found.differs
    with pytest.raises(ds.errors.TooShort):
        mu.average(lambda x: x[..., 0])


def test_wrong_arguments_are_named(runs, normal):
    mu = EmpiricalMeasure.of(runs[0])
    plane = EmpiricalMeasure.of(np.zeros((2, 9, 2)))
    for call, reason in [
        (lambda: EmpiricalMeasure.of([1.0, 2.0, 3.0]), r"source must have shape \(n_paths, n_saved, dim\)"),
        (lambda: EmpiricalMeasure.of(np.zeros((2, 10))), r"for paths of numbers write x\[:, :, None\]"),
        (lambda: mu.part([99], 3), "numbers of paths from 0 to 7"),
        (lambda: mu.part([], 3), "at least one"),
        (lambda: mu.quantile("a"), "level must be a number"),
        (lambda: EmpiricalMeasure.of(runs[0], burn_in=999), "at least 3 states from burn_in = 999"),
        (lambda: EmpiricalMeasure.of([[[1.0], [np.nan], [2.0]]]), "path 0 first at saved time number 1"),
        (lambda: mu.wasserstein(runs[0]), "other must be a Density or an EmpiricalMeasure"),
        (lambda: mu.wasserstein(plane), "other must have the same dimension"),
        (lambda: mu.total_variation(normal), "one sequence for each"),
        (lambda: mu.total_variation(normal, [1, 0]), "edges must be increasing"),
        (lambda: mu.quantile(0), "between 0 and 1"),
        (lambda: mu.quantile(0.5, coordinate=1), "coordinate must be below dim"),
        (lambda: mu.probability(lambda x: x > 0), "region must return a boolean"),
        (lambda: mu.curve(normal, n_times=3), "at least 4"),
        (lambda: mu.curve(normal, n_times=300), "a quarter of the states"),
    ]:
        with pytest.raises(ds.errors.ArgumentError, match=reason):
            call()


def test_measures_and_curves_draw_themselves(runs, normal):
    import matplotlib as mpl

    mpl.use("Agg")
    mu = EmpiricalMeasure.of(runs[0])
    assert mu.plot().get_ylabel() == "density"
    assert mu.curve(normal, n_times=4).plot().get_yscale() == "log"
    assert EmpiricalMeasure.of(runs[0].reshape(8, 500, 2)).plot().get_ylabel() == "θ[1]"
