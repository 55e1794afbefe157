"""Averages of dependent values and their errors, against closed forms."""

import re
import warnings

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from dynsim.averages import Batches, autocorrelation, estimate, r_hat
from dynsim.errors import ArgumentError, InfiniteVariance, PoorMixing, TooShort


def batches(values, **more):
    values = np.asarray(values, dtype=float)
    return Batches.of_series(values if values.ndim == 3 else values[:, :, None], **more)


def autoregression(rng, shape, phi):
    noise = rng.normal(size=shape)
    noise[:, 0] /= np.sqrt(1 - phi**2)
    return lfilter([1], [1, -phi], noise, axis=1)


def test_value_is_the_mean_of_all_observations_after_burn_in():
    x = np.random.default_rng(0).normal(size=(3, 1001))
    assert float(estimate(batches(x), burn_in=0)) == pytest.approx(x.mean(), abs=1e-14)
    cut = estimate(batches(x, interval=0.5), burn_in=50.0)
    assert (cut.burn_in, cut.n_observations) == (50, 901)
    assert float(cut) == pytest.approx(x[:, 100:].mean(), abs=1e-14)


def test_interval_is_that_of_student():
    found = estimate(batches(np.random.default_rng(0).normal(size=(2, 500))))
    low, high = found.interval(0.9)
    assert high - low == pytest.approx(2 * stdtrit(found.dof, 0.95) * found.stderr)
    with pytest.raises(ArgumentError, match="confidence must lie strictly between 0 and 1"):
        found.interval(1.0)


def test_constant_series_is_exact_and_says_so():
    found = estimate(batches(np.full((3, 700), 0.1)))
    assert bool(found.constant)
    assert float(found) == pytest.approx(0.1, abs=1e-15)
    assert float(found.stderr) == 0
    assert str(found) == "0.1 (constant)"
    assert np.isfinite([found.tau, found.n_effective, found.r_hat]).all()
    assert found.interval() == (found.value, found.value)


@pytest.mark.parametrize("m", [1, 3, 20])
@pytest.mark.parametrize("n", [50, 1001, 5000])
def test_error_of_a_two_cycle_is_that_of_its_ends(m, n):
    signs = np.where(np.arange(m) % 2, -1.0, 1.0)[:, None] * np.tile([1.0, -1.0], n)[:n]
    found = estimate(batches(signs))
    assert found.burn_in == 0
    assert abs(float(found)) <= float(found.stderr) * 1.01 + 1e-12
    assert float(found.stderr) <= 1.01 / n


@pytest.mark.parametrize("m", [1, 20])
def test_a_slow_cycle_is_neither_burn_in_nor_noise(m):
    wave = np.sin(2 * np.pi * np.arange(5000) / 100) * np.ones((m, 1))
    found = estimate(batches(wave))
    assert found.burn_in == 0
    assert abs(float(found)) < 1e-3
    assert float(found.stderr) < 0.005


@pytest.mark.parametrize("m", [1, 4, 20])
def test_one_wild_first_sample_is_left_out(m):
    x = autoregression(np.random.default_rng(m), (m, 5000), 0.9)
    x[0, 0] = 1e6
    found = estimate(batches(x))
    assert 0 < found.burn_in <= 2500
    assert abs(float(found)) < 5 * float(found.stderr) < 3


def test_a_rule_that_maximizes_the_effective_size_keeps_the_wild_sample():
    x = autoregression(np.random.default_rng(1), (1, 2048), 0.9)
    x[0, 0] = 1e6

    def effective(k):  # n/τ by autocorrelations summed up to the first negative one
        rho = autocorrelation(x[:, k:], 100)
        return (2048 - k) / (1 + 2 * rho[1 : np.argmax(rho < 0)].sum())

    assert max(range(0, 1024, 8), key=effective) == 0
    assert estimate(batches(x), burn_in="auto").burn_in >= 1


def test_a_transient_is_left_out_and_a_stationary_run_kept():
    rng = np.random.default_rng(2)
    still = autoregression(rng, (8, 8192), 0.5)
    assert estimate(batches(still)).burn_in == 0
    found = estimate(batches(still + 20 * 0.997 ** np.arange(8192)))
    assert 1000 <= found.burn_in <= 4096  # 20·0.997^1000 = 1
    assert abs(float(found)) < 5 * float(found.stderr)
    with_it = still + 20 * 0.997 ** np.arange(8192)
    assert abs(with_it.mean()) > 20 * float(found.stderr)


def test_r_hat_agrees_with_published_implementation():
    rng = np.random.default_rng(0)
    chains = (
        rng.normal(size=(4, 100)),
        rng.normal(size=(4, 101)) + np.array([[0], [0], [0], [1.0]]),
        rng.normal(size=(3, 60)) * np.array([[1], [1], [3.0]]),
        np.cumsum(rng.normal(size=(2, 50)), axis=1),
        rng.integers(0, 3, size=(5, 40)).astype(float),
    )
    frozen = (1.0016925691266099, 1.0935660681353991, 1.184545810623867, 1.68051762539246, 1.0062669332621168)
    np.testing.assert_allclose([r_hat(x) for x in chains], frozen, rtol=1e-12)  # arviz-stats 0.8.0, array_stats.rhat


def test_r_hat_agrees_with_its_formula_written_out():
    x = np.random.default_rng(3).normal(size=(3, 41)) ** 3
    halves = [part for row in x.tolist() for part in (row[:20], row[21:])]
    found = []
    for fold in (False, True):
        flat = np.array(halves).ravel()
        flat = abs(flat - np.median(flat)) if fold else flat
        z = ndtri((rankdata(flat) - 3 / 8) / (120 + 1 / 4)).reshape(6, 20)
        means = [row.sum() / 20 for row in z]
        within = sum(((row - mu) ** 2).sum() / 19 for row, mu in zip(z, means, strict=True)) / 6
        over = sum((mu - sum(means) / 6) ** 2 for mu in means) / 5
        found.append(np.sqrt((19 / 20 * within + over) / within))
    assert r_hat(x) == pytest.approx(max(found), rel=1e-12)


def test_r_hat_of_constants():
    assert r_hat(np.ones((3, 10))) == 1.0
    assert r_hat(np.ones((3, 10)) * [[1], [2], [2]]) == np.inf
    with pytest.raises(ArgumentError, match=re.escape("at least 4 of at least one chain, got shape (3, 3)")):
        r_hat(np.ones((3, 3)))


def test_autocorrelation_is_the_sum_written_out():
    x = np.random.default_rng(4).normal(size=(3, 50)) + np.array([[0.0], [1.0], [5.0]])
    y = x - x.mean()
    direct = [sum((row[: 50 - k] * row[k:]).sum() for row in y) / (y**2).sum() for k in range(8)]
    np.testing.assert_allclose(autocorrelation(x, 7), direct, atol=1e-13)
    assert autocorrelation(np.ones((2, 9)), 3).tolist() == [1, 0, 0, 0]
    with pytest.raises(ArgumentError, match="n_lags must be less than the 50 values"):
        autocorrelation(x, 50)


def test_joint_covariance_of_a_bivariate_autoregression():
    matrix, mixing = np.array([[0.8, 0.3], [-0.2, 0.5]]), np.array([[1.0, 0.0], [0.9, 0.6]])
    rng, m, n = np.random.default_rng(5), 16, 20_000
    noise = rng.normal(size=(m, n, 2)) @ mixing.T
    x = np.zeros((m, n, 2))
    for k in range(1, n):
        x[:, k] = x[:, k - 1] @ matrix.T + noise[:, k]
    inverse = np.linalg.inv(np.eye(2) - matrix)
    found = estimate(batches(x), shape=(2,), names=("a", "b"))
    n = found.n_observations
    exact = inverse @ mixing @ mixing.T @ inverse.T / (m * n)
    np.testing.assert_allclose(np.diagonal(found.cov), found.stderr**2, rtol=1e-12)
    bound = 5 * np.sqrt(10 / (m * n / found.batches.size))  # of an AR(2): (2 + 4·2)/N
    bound = bound * np.sqrt(np.outer(np.diagonal(exact), np.diagonal(exact)))
    assert (abs(found.cov - exact) < bound).all()
    wrong = np.cov(x.reshape(-1, 2).T) / (m * n)  # as if independent
    assert (abs(wrong - exact) > bound).any()


def test_joint_covariance_is_positive_semidefinite_and_says_what_depends():
    x = autoregression(np.random.default_rng(6), (4, 3000), 0.7)
    three = np.stack([x, -2 * x, x + 1e-3 * np.random.default_rng(7).normal(size=x.shape)], axis=2)
    found = estimate(batches(three), shape=(3,))
    scale = np.outer(found.stderr, found.stderr)
    assert np.linalg.eigvalsh(found.cov).min() >= -1e-15 * scale.max()
    np.testing.assert_allclose(found.cov / scale, [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], atol=1e-3)


def test_ratio_of_averages_by_the_delta_method():
    x = np.random.default_rng(8).exponential(size=(4, 4000))
    both = estimate(batches(np.stack([x, x**2], axis=2)), shape=(2,), names=("mean", "square"))
    ratio = both.transform(lambda a: a[1] / a[0])
    mean, square = both.value
    gradient = np.array([-square / mean**2, 1 / mean])
    assert float(ratio) == square / mean
    assert float(ratio.stderr) == pytest.approx(np.sqrt(gradient @ both.cov @ gradient), rel=1e-3)
    assert abs(float(ratio) - 2) < 5 * float(ratio.stderr)
    assert (float(both["square"]), float(both[0])) == (square, mean)
    assert both["square"].transform(lambda a: 3 * a).stderr == pytest.approx(3 * both.stderr[1])
    with pytest.raises(ArgumentError, match="name is not known: got 'squore'; did you mean 'square'"):
        both["squore"]
    with pytest.raises(ArgumentError, match="function must be finite"):
        both.transform(lambda a: a * np.nan)
    with pytest.raises(ArgumentError, match="function must take averages of shape"):
        both.transform(lambda a: a[5])


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [(0.12341, 0.00208, "0.1234 ± 0.0021"), (1234.6, 98.7, "1235 ± 99"), (1234.6, 120.0, "1230 ± 120"),
     (-0.5, 0.0999, "-0.50 ± 0.10"), (3.21e-13, 1.2e-14, "(3.21 ± 0.12)e-13")],
)  # fmt: skip
def test_numbers_are_shown_to_two_digits_of_their_error(value, stderr, text):
    from dynsim.averages.estimate import with_error

    assert with_error(value, stderr) == text


def test_too_few_observations_are_refused_with_what_is_needed():
    x = autoregression(np.random.default_rng(9), (1, 300), 0.97)
    with pytest.raises(TooShort, match=r"300 observations are too few .* per chain, or as many more") as caught:
        estimate(batches(x))
    assert abs(float(caught.value.estimate) - x.mean()) < 1e-12
    needed = int(re.search(r"about ([\d ]+) observations", str(caught.value)).group(1).replace(" ", ""))
    estimate(batches(autoregression(np.random.default_rng(9), (1, 4 * needed), 0.97)))


def test_few_chains_that_disagree_are_refused_and_many_named():
    shift = np.repeat([0.0, 3.0], [9, 3])[:, None]
    x = np.random.default_rng(10).normal(size=(12, 2000)) + shift * 0.3
    with pytest.raises(TooShort, match=r"8 chains, or much longer .* \(chains: 2 of mean .*, 2 of mean"):
        estimate(batches(x[7:11]))
    with pytest.warns(PoorMixing, match=r"chains: 9 of mean .* near \(0\), 3 of mean .* near \(3\)"):
        found = estimate(batches(x, positions=shift))
    assert bool(found.between)
    assert float(found.dof) == 11
    assert float(found.stderr) == pytest.approx(x.mean(axis=1).std(ddof=1) / np.sqrt(12))


def switches(rng, m, n, rate):
    """0 and 1, changing with a small probability."""
    return (np.cumsum(rng.random((m, n)) < rate, axis=1) + rng.integers(0, 2, (m, 1))) % 2.0


@pytest.mark.parametrize(("m", "n", "rate"), [(4, 5000, 1 / 1500), (1, 20_000, 1 / 1500), (1, 4000, 1 / 800)])
def test_a_dozen_events_are_refused_however_they_fall(m, n, rate):
    rng, accepted = np.random.default_rng(20), 0
    for _ in range(60):
        try:
            estimate(batches(switches(rng, m, n, rate)), burn_in=0)
            accepted += 1
        except TooShort:
            pass
    assert accepted <= 2
    for _ in range(20):  # and a few hundred are enough
        estimate(batches(switches(rng, 1, 20_000, 0.02)), burn_in=0)


def test_a_common_start_is_named_where_chains_disagree():
    x = np.random.default_rng(21).normal(size=(12, 2000)) + np.repeat([0.0, 0.9], [9, 3])[:, None]
    with pytest.warns(PoorMixing, match=r"they all started at \(0.25\): start them at dispersed points"):
        estimate(batches(x, start_point=np.array([0.25])))
    with pytest.warns(PoorMixing) as caught:
        estimate(batches(x))
    assert "started at" not in str(caught[0].message)


def test_chains_that_arrive_late_are_burn_in_and_no_heavy_tail():
    rng = np.random.default_rng(22)
    x = rng.normal(size=(64, 20_000)) * 0.01
    for i, late in enumerate(rng.geometric(1 / 250, 32)):
        x[i, :late] += 1.0
    found = estimate(batches(x))
    assert x[:32, int(found.burn_in) :].max() < 0.1
    assert abs(float(found)) < 5 * float(found.stderr)


def test_rare_visits_to_other_values_are_no_heavy_tail():
    rng = np.random.default_rng(23)
    x = rng.normal(size=(4, 20_000)) * 0.01
    for i, k in zip(rng.integers(0, 4, 40), rng.integers(0, 19_900, 40), strict=True):
        x[i, k : k + rng.geometric(1 / 20)] += rng.random()
    estimate(batches(x), burn_in=0)


def test_chains_in_phase_share_the_ends_of_their_cycle():
    rng = np.random.default_rng(24)
    steps = np.arange(2401)
    x = 10.0 * (steps % 12 == 0) + 0.1 * rng.random((16, 2401))  # one more of the twelfth states than is due
    found = estimate(batches(x), burn_in=0)
    error = abs(float(found) - 10 / 12 - 0.05)
    assert error > 0.9 * 10 * 11 / 12 / 2401
    assert error < 4 * float(found.stderr)
    shifted = x[:, :2389] * 0 + 10.0 * ((steps[:2389] + 3 * np.arange(16)[:, None]) % 12 == 0)
    shifted += 0.1 * rng.random(shifted.shape)
    assert float(estimate(batches(shifted), burn_in=0).stderr) < 0.5 * float(found.stderr)


def test_a_noisy_cycle_is_resolved_however_it_beats_against_the_batches():
    rng = np.random.default_rng(25)
    for period in (7, 12, 23):
        x = (np.arange(20_000) % period == 0) + 1e-3 * rng.normal(size=(1, 20_000))
        found = estimate(batches(x))
        assert abs(float(found) - 1 / period) < 5 * float(found.stderr) < 2e-3


def test_chains_on_one_cycle_agree_up_to_rounding():
    rng = np.random.default_rng(26)
    x = np.tile([1.0, 2.0], 2000) * (1 + 1e-15 * rng.normal(size=(12, 1))) + 1e-16 * rng.normal(size=(12, 4000))
    assert float(estimate(batches(x)).r_hat) < 1.01


def test_a_stationary_ensemble_does_not_drift():
    rng = np.random.default_rng(27)
    for _ in range(100):
        estimate(batches(autoregression(rng, (16, 1000), 0.8)), burn_in=0)


def test_chains_that_never_left_their_start_are_refused():
    x = np.random.default_rng(11).normal(size=(20, 1000)) * 0.1 + np.repeat([-1.0, 1.0], 10)[:, None]
    with pytest.raises(TooShort, match="hardly moved"):
        estimate(batches(x))


def test_an_average_that_drifts_to_the_end_is_refused():
    x = np.random.default_rng(12).normal(size=(20, 1000)) + np.linspace(0, 3, 1000)
    with pytest.raises(TooShort, match="drifts"):
        estimate(batches(x))
    estimate(batches(x - np.linspace(0, 3, 1000)))


@pytest.mark.parametrize("n", [1000, 20_000])
@pytest.mark.parametrize("law", ["cauchy", "stable 1.2"])
def test_infinite_variance_is_refused(n, law):
    rng = np.random.default_rng(13)
    if law == "cauchy":
        x = rng.standard_cauchy(size=(2, n))
    else:  # Chambers, Mallows and Stuck
        angle, wait, a = rng.uniform(-np.pi / 2, np.pi / 2, (2, n)), rng.exponential(size=(2, n)), 1.2
        x = np.sin(a * angle) / np.cos(angle) ** (1 / a) * (np.cos((1 - a) * angle) / wait) ** ((1 - a) / a)
    with pytest.raises(InfiniteVariance, match="average a bounded function") as caught:
        estimate(batches(x))
    assert 0.5 < caught.value.tail_index < 2


def test_finite_variance_is_not_refused():
    rng = np.random.default_rng(14)
    for n in (200, 2000, 20_000):
        for _ in range(5):
            estimate(batches(rng.standard_t(3, size=(4, n))))
            estimate(batches(np.round(rng.normal(size=(4, n)))))
            estimate(batches((rng.random((4, n)) < 0.02).astype(float)))


def test_bad_arguments_are_refused():
    run = batches(np.random.default_rng(15).normal(size=(2, 100)))
    with pytest.raises(ArgumentError, match="method is not known: got 'soakl'; did you mean 'sokal'"):
        estimate(run, method="soakl")
    with pytest.raises(ArgumentError, match="burn_in must be at least 0 and less than the run, 100, got 100"):
        estimate(run, burn_in=100)
    with pytest.raises(ArgumentError, match=r"burn_in must be at least 0 and less than the run, 100, got -0\.5"):
        estimate(run, burn_in=-0.5)
    with pytest.raises(TooShort, match="after a burn-in of 95 are too few"):
        estimate(run, burn_in=95)
    with pytest.raises(ArgumentError, match="burn_in is not known"):
        estimate(run, burn_in="automatic")


def test_a_run_in_another_unit_gives_the_same_error():
    x = autoregression(np.random.default_rng(16), (4, 2000), 0.8)
    one, other = estimate(batches(x)), estimate(batches(1e150 * x + 1e150, interval=0.1))
    assert float(other.stderr) == pytest.approx(1e150 * float(one.stderr), rel=1e-9)
    assert float(other.tau) == pytest.approx(0.1 * float(one.tau), rel=1e-9)


def test_plot_shows_running_averages_and_their_bands():
    import matplotlib

    matplotlib.use("Agg")
    x = autoregression(np.random.default_rng(17), (4, 2000, 2), 0.8)
    found = estimate(batches(x), shape=(2,), names=("a", "b"))
    ax = found.plot()
    assert len(ax.collections) == 2
    assert ax.get_legend_handles_labels()[1] == ["a", "b"]
    np.testing.assert_allclose(ax.lines[0].get_ydata()[-1], found.batches.means[..., 0].mean(), atol=1e-12)
    found.transform(lambda a: a[0] - a[1]).plot()


def test_a_good_run_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate(batches(autoregression(np.random.default_rng(18), (8, 4000), 0.9)))
    assert re.fullmatch(r"-?0\.\d+ ± 0\.0\d+ \(n_eff \d \d{3}, τ \d+\.?\d*\)", str(found))


def test_a_rare_event_seen_a_few_times_is_no_basis_for_an_error():
    rng = np.random.default_rng(3)
    seen = (rng.uniform(size=(4, 3000, 1)) < 4e-4).astype(float)  # five events in all, one after another
    with pytest.raises(TooShort, match="crosses its average"):
        estimate(Batches.of_series(seen))
    often = (rng.uniform(size=(4, 3000, 1)) < 0.02).astype(float)
    found = estimate(Batches.of_series(often), shape=())
    assert abs(found.value - 0.02) < 5 * np.sqrt(0.02 * 0.98 / 12_000)


def test_a_dozen_observations_of_one_chain_are_too_few():
    with pytest.raises(TooShort, match="too few"):
        estimate(Batches.of_series(np.random.default_rng(0).normal(size=(1, 12, 1))))
