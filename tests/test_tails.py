"""Tail indices, growing variances and quantiles, against laws whose tails are known."""

import numpy as np
import pytest
from scipy import stats

import dynsim as ds
from dynsim.errors import ArgumentError
from dynsim.tails import hill, mohammadi, moment, qq, tail_index, variance_growth

ESTIMATORS = {"hill": hill, "moment": moment, "mohammadi": mohammadi}


def stable(alpha, n, seed=0):
    return ds.noise.AlphaStable(alpha).sample(n, rng=seed)


def student(df, n, seed=0):
    return stats.t(df).rvs(n, random_state=seed)


def replicated(estimate, sample, n_replications=200):
    """γ and its stated error in independent samples, (n_replications, 2)."""
    rng = np.random.default_rng(5)
    found = (estimate(sample(rng)) for _ in range(n_replications))
    return np.array([(index.gamma, index.gamma_stderr) for index in found])


def test_hill_is_the_mean_excess_of_the_logarithms():
    values = np.random.default_rng(1).pareto(2.0, size=400) + 1
    largest = np.sort(values)[::-1][:51]
    expected = 50 / sum(np.log(x / largest[50]) for x in largest[:50])
    found = hill(values, n_tail=50)
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.stderr == pytest.approx(expected / np.sqrt(50), rel=1e-12)
    assert found.n_tail == 50
    assert found.n == 400


def test_hill_of_an_exact_pareto_law_has_the_mean_alpha_k_over_k_minus_one():
    k, alpha, rng = 10, 1.5, np.random.default_rng(2)
    found = np.array([hill(rng.pareto(alpha, size=120) + 1, n_tail=k).value for _ in range(800)])
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - alpha * k / (k - 1)) < 5 * error
    assert abs(found.mean() - alpha) > 5 * error  # negative control: it is not unbiased for α itself


def pareto(rng):
    return rng.pareto(1.5, size=500) + 1


CALIBRATED = {
    "hill": (lambda x: hill(x, n_tail=100), pareto, 1 / 1.5),
    "moment": (lambda x: moment(x, n_tail=200), lambda rng: rng.pareto(1.5, size=4000) + 1, 1 / 1.5),
    "moment, bounded": (lambda x: moment(x, n_tail=100), lambda rng: rng.random(4000), -1.0),
    "mohammadi": (mohammadi, lambda rng: rng.standard_cauchy(1000), 1.0),
    "mohammadi, normal": (mohammadi, lambda rng: rng.normal(size=1000), 0.5),
}


@pytest.mark.parametrize("name", CALIBRATED)
def test_the_index_has_no_bias_and_the_stated_error_where_its_assumption_holds(name):
    estimate, sample, truth = CALIBRATED[name]
    found = replicated(estimate, sample)
    gamma, stated = found[:, 0], np.sqrt((found[:, 1] ** 2).mean())
    n = len(gamma)
    slack = 1.5 / 200**0.5 if name.startswith("moment") else 0.0  # it has a bias of higher order in 1/k
    assert abs(gamma.mean() - truth) < 5 * gamma.std() / np.sqrt(n) + slack * stated
    kurtosis = ((gamma - gamma.mean()) ** 4).mean() / gamma.var() ** 2
    error = np.sqrt((kurtosis - 1) / n) / 2  # of the relative standard deviation
    assert abs(gamma.std() / stated - 1) < 5 * error
    assert abs(gamma.std() / (1.5 * stated) - 1) > error  # negative control


LAWS = {
    "pareto 1.5": (lambda n: np.random.default_rng(0).pareto(1.5, size=n) + 1, 1.5),
    "pareto 3": (lambda n: np.random.default_rng(0).pareto(3, size=n) + 1, 3.0),
    "cauchy": (lambda n: student(1, n), 1.0),
    "student 2": (lambda n: student(2, n), 2.0),
    "student 3": (lambda n: student(3, n), 3.0),
    "stable 1.2": (lambda n: stable(1.2, n), 1.2),
    "burr": (lambda n: stats.burr12(2, 1.0).rvs(n, random_state=1), 2.0),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_chosen_tail_gives_the_index_of_the_law(name):
    sample, alpha = LAWS[name]
    values = sample(50_000)
    found = hill(values)
    assert abs(found.value - alpha) < 5 * found.stderr
    assert found.stderr < 0.12 * alpha
    if name.startswith(("student 3", "burr", "student 2")):
        all_data = hill(values, n_tail=found.n - 1)  # negative control: a tail that is no tail
        assert abs(all_data.value - alpha) > 5 * all_data.stderr


FINITE = {
    "student 3": lambda rng, n: rng.standard_t(3, size=n),
    "gaussian": lambda rng, n: rng.normal(size=n),
    "squared gaussian": lambda rng, n: rng.normal(size=n) ** 2,
    "exponential": lambda rng, n: rng.exponential(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "two values": lambda rng, n: rng.choice([-1.0, 1.0], size=n),
    "indicator": lambda rng, n: (rng.random(n) < 0.02).astype(float),
    "poisson": lambda rng, n: rng.poisson(3, size=n).astype(float),
}


@pytest.mark.parametrize("n", [150, 1000, 5000])
@pytest.mark.parametrize("name", FINITE)
def test_a_finite_variance_is_not_called_infinite(name, n):
    rng = np.random.default_rng(3)
    assert not any(hill(FINITE[name](rng, n)).infinite_variance for _ in range(20))


LOOKS_HEAVY = {
    "mixture": (lambda rng, n: np.where(rng.random(n) < 0.1, rng.uniform(1, 50, n), rng.random(n)), 1000, 0),
    "outliers": (lambda rng, n: rng.normal(size=n) * np.where(rng.random(n) < 0.02, 100, 1), 10_000, 0),
    "lognormal": (lambda rng, n: np.exp(1.5 * rng.normal(size=n)), 4000, 3),
    "weibull": (lambda rng, n: rng.weibull(0.5, size=n), 200, 1),
    "rare counts": (lambda rng, n: rng.poisson(0.5, size=n).astype(float), 1000, 0),
}


@pytest.mark.parametrize("name", LOOKS_HEAVY)
def test_a_part_that_looks_like_a_power_law_is_not_enough(name):
    sample, n, allowed = LOOKS_HEAVY[name]
    rng = np.random.default_rng(3)
    assert sum(hill(sample(rng, n)).infinite_variance for _ in range(12)) <= allowed


def test_an_infinite_variance_is_seen():
    rng = np.random.default_rng(4)
    assert np.mean([hill(rng.standard_cauchy(1000)).infinite_variance for _ in range(20)]) > 0.8
    assert np.mean([hill(stable(1.2, 3000, seed)).infinite_variance for seed in range(20)]) > 0.8
    assert np.mean([hill(stable(1.5, 20_000, seed)).infinite_variance for seed in range(20)]) > 0.8


def test_the_moment_estimator_knows_light_and_bounded_tails():
    rng = np.random.default_rng(6)
    uniform, normal = moment(rng.random(20_000)), moment(rng.normal(size=20_000))
    assert uniform.value == uniform.stderr == np.inf
    assert abs(uniform.gamma + 1) < 5 * uniform.gamma_stderr
    assert normal.value > 5
    assert uniform.interval() == (np.inf, np.inf)
    assert np.isfinite(hill(rng.random(20_000)).value)  # negative control: Hill's does not


def test_mohammadi_takes_any_finite_variance_for_two_at_most():
    found = mohammadi(student(3, 100_000), block=400)
    assert abs(found.value - 3) > 10 * found.stderr
    assert abs(found.value - 1.8) < 0.2
    few = mohammadi(student(3, 100_000), block=4)
    assert few.value < 1.7
    assert few.infinite_variance  # which is wrong
    cauchy = mohammadi(student(1, 100_000), block=4)
    assert abs(cauchy.value - 1) < 5 * cauchy.stderr


@pytest.mark.parametrize("name", ["hill", "moment"])
def test_sides_are_the_tails_of_x_and_of_minus_x(name):
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.pareto(1.0, size=3000) + 1, -rng.pareto(4.0, size=3000) - 1])
    upper, lower = (ESTIMATORS[name](values, side=side, n_tail=1000) for side in ("upper", "lower"))
    assert abs(upper.value - 1) < 5 * upper.stderr
    assert abs(lower.value - 4) < 5 * lower.stderr
    mirrored = ESTIMATORS[name](-values, side="lower", n_tail=1000)
    assert mirrored.value == upper.value


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_unit_of_the_values_does_not_matter(name):
    values = student(1.5, 1000)
    found = [ESTIMATORS[name](scale * values).value for scale in (1e-150, 1.0, 1e150)]
    assert found == pytest.approx([found[1]] * 3, rel=1e-9)


def test_an_offset_hides_a_tail_that_centering_shows():
    values = 1e4 + student(1, 2000)
    assert not hill(values).infinite_variance
    assert hill(values, center=1e4).infinite_variance


@pytest.mark.parametrize("name", ESTIMATORS)
def test_correlation_widens_the_error_by_the_root_of_tau(name):
    values = student(1, 1000)
    alone, four = (ESTIMATORS[name](values, tau=tau) for tau in (1.0, 4.0))
    assert four.value == alone.value
    assert four.stderr == pytest.approx(2 * alone.stderr)
    assert four.scan_stderr == pytest.approx(2 * alone.scan_stderr)


def test_intervals_cover_the_index():
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        low, high = hill(rng.pareto(1.5, size=300) + 1, n_tail=60).interval()
        covered += low < 1.5 < high
    assert abs(covered / 400 - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize("values", [np.zeros(500), np.full(500, 3.0), np.tile([1.0, -1.0], 300)], ids=["0", "3", "±1"])
def test_a_sample_without_a_tail_has_an_infinite_index(values):
    for estimate in (hill, moment):
        found = estimate(values)
        assert found.value == found.stderr == np.inf
        assert found.interval() == (np.inf, np.inf)
        assert not found.infinite_variance


def test_the_scan_is_the_estimate_at_other_numbers():
    values = student(2, 2000)
    found = hill(values)
    for k in (0, 17, found.scan_n_tail.size - 1):
        assert hill(values, n_tail=int(found.scan_n_tail[k])).value == pytest.approx(found.scan_value[k], rel=1e-12)


REFUSED = {
    "too few": (lambda: hill(np.ones(99)), "at least 100"),
    "nan": (lambda: hill([np.nan] * 200), "finite"),
    "shape": (lambda: moment(np.ones((200, 2))), "1 axes"),
    "side": (lambda: hill(np.ones(200), side="left"), "side is not known"),
    "n_tail": (lambda: hill(np.arange(200.0), n_tail=199), "n_tail must be at most 198"),
    "tau": (lambda: hill(np.arange(200.0), tau=0.5), "tau must be at least 1"),
    "zeros": (lambda: mohammadi(np.arange(200.0)), "values must not be 0"),
    "equal": (lambda: mohammadi(np.ones(200)), "must not all be equal"),
    "sums": (lambda: mohammadi(np.tile([1.0, -1.0], 200), block=2), "sum to 0"),
    "block": (lambda: mohammadi(np.arange(1.0, 201), block=30), "block must be at most 20"),
    "method": (lambda: tail_index(np.arange(200.0), method="hil"), "did you mean 'hill'"),
    "block of hill": (lambda: tail_index(np.arange(200.0), block=3), "block is for the method 'mohammadi'"),
    "n_tail of mohammadi": (lambda: tail_index(np.arange(200.0), method="mohammadi", n_tail=3), "n_tail and side"),
    "growth, few": (lambda: variance_growth(np.arange(1000.0)), "at least 1280"),
    "growth, equal": (lambda: variance_growth(np.ones(2000)), "all the same"),
    "growth, rare": (lambda: variance_growth(np.r_[np.zeros(4000), 1.0]), "give larger sizes"),
    "complex": (lambda: hill(1j * np.arange(200.0)), "values must be real"),
    "growth, complex": (lambda: variance_growth(1j * np.arange(2000.0)), "values must be real"),
    "center": (lambda: hill(np.full(200, 1e308), center=-1e308), "values less center"),
    "growth, huge": (lambda: variance_growth(1e160 * np.arange(2000.0)), "squares between 1e-308 and 1e308"),
    "growth, tiny": (lambda: variance_growth(1e-170 * np.arange(2000.0)), "squares between 1e-308 and 1e308"),
    "growth, size": (lambda: variance_growth(np.arange(2000.0), sizes=[2, 1e30]), "from 2 to 100"),
    "growth, sizes": (lambda: variance_growth(np.arange(2000.0), sizes=[10, 101]), "from 2 to 100"),
    "qq, few": (lambda: qq(np.arange(5.0)), "at least 10"),
    "qq, law": (lambda: qq(np.arange(50.0), "stable"), "law is not known"),
    "qq, object": (lambda: qq(np.arange(50.0), 1.5), "method quantile"),
    "qq, scales": (lambda: qq(np.arange(50.0), ds.noise.Gaussian((1.0, 2.0))), "scale for each coordinate"),
    "qq, constant": (lambda: qq(np.ones(50)), "values must have distinct quartiles"),
    "qq, scale": (lambda: qq(np.arange(50.0), scale=-1.0), "scale must be a positive"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_sentence(name):
    call, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message):
        call()


def test_the_front_door_leads_to_each_method():
    values = student(1, 1000)
    for name, estimate in ESTIMATORS.items():
        assert tail_index(values, method=name).value == estimate(values).value


SLOPES = {"cauchy": 1.0, "stable 1.5": 1 / 3, "gaussian": 0.0, "uniform": 0.0}


def sample(name, n, seed):
    rng = np.random.default_rng(seed)
    return {
        "cauchy": lambda: rng.standard_cauchy(n),
        "stable 1.5": lambda: stable(1.5, n, seed),
        "gaussian": lambda: rng.normal(size=n),
        "uniform": lambda: rng.random(n),
    }[name]()


@pytest.mark.parametrize("name", SLOPES)
def test_the_variance_grows_with_slope_two_over_alpha_minus_one(name):
    growth = variance_growth(sample(name, 50_000, 1))
    assert abs(growth.slope - SLOPES[name]) < 5 * growth.slope_stderr
    for other, slope in SLOPES.items():  # negative control
        if abs(slope - SLOPES[name]) > 0.2:
            assert abs(growth.slope - slope) > 5 * growth.slope_stderr, other
    assert growth.tail_index == pytest.approx(2 / (1 + max(growth.slope, 0.0)), rel=1e-12)


@pytest.mark.parametrize("name", ["stable 1.5", "gaussian"])
def test_the_slope_has_the_stated_error(name):
    found = [variance_growth(sample(name, 4000, seed), sizes=[32, 48, 70, 100]) for seed in range(40)]
    slopes, stated = np.array([(growth.slope, growth.slope_stderr) for growth in found]).T
    assert abs(slopes.mean() - SLOPES[name]) < 5 * slopes.std() / np.sqrt(40)
    ratio = slopes.std(ddof=1) / np.sqrt((stated**2).mean())
    assert abs(ratio - 1) < 5 / np.sqrt(2 * 39)
    assert ratio > 0.4  # negative control: the error is not inflated at will


def test_the_variance_of_vectors_is_the_trace_of_their_covariance():
    values = np.random.default_rng(9).normal(size=(4000, 3)) * [1.0, 2.0, 3.0] + 1e3
    growth = variance_growth(values)
    assert growth.running[-1] == pytest.approx(np.trace(np.cov(values.T)), rel=1e-9)
    assert growth.running_sizes[-1] == 4000
    assert (growth.low <= growth.median).all()
    assert (growth.median <= growth.high).all()
    assert abs(growth.median[-1] - 14) < 3


def test_the_order_of_the_values_is_random_and_repeatable():
    values = np.sort(np.random.default_rng(9).normal(size=4000))  # of which subsamples in order would hardly vary
    growth, again, other = (variance_growth(values, rng=seed) for seed in (3, 3, 4))
    assert abs(growth.slope) < 5 * growth.slope_stderr
    assert growth.slope == again.slope != other.slope
    assert growth.settings["seed"] == 3


@pytest.mark.parametrize("law", ["exponential", "product", "lognormal"])
def test_a_finite_variance_with_heavy_fourth_moments_has_slope_0_within_the_stated_error(law):
    rng = np.random.default_rng(2)
    n = 20_000 if law == "lognormal" else 2000
    values = {"exponential": rng.exponential(size=n), "product": rng.normal(size=n) * rng.normal(size=n)}
    growth = variance_growth(values.get(law, np.exp(rng.normal(size=n))))
    assert abs(growth.slope) < 3 * growth.slope_stderr
    assert abs(growth.slope - 1 / 3) > 3 * growth.slope_stderr  # negative control


def test_huge_values_do_not_overflow():
    values = student(1, 3000)
    assert variance_growth(1e140 * values).slope == pytest.approx(variance_growth(values).slope, rel=1e-9)


LAWS_OF_QQ = {
    "gaussian": ("gaussian", lambda rng, n: rng.normal(size=n), stats.norm),
    "student": (ds.noise.StudentT(2.0), lambda rng, n: rng.standard_t(2, size=n), stats.t(2)),
}


@pytest.mark.parametrize("name", LAWS_OF_QQ)
def test_each_order_statistic_is_in_its_band_as_often_as_stated(name):
    law, draw, _ = LAWS_OF_QQ[name]
    rng, n, m = np.random.default_rng(10), 30, 100
    outside = np.mean([qq(draw(rng, n), law, location=0, scale=1, confidence=0.9).outside for _ in range(m)], axis=0)
    assert (abs(outside - 0.1) < 5 * np.sqrt(0.1 * 0.9 / m)).all()
    shifted = np.mean([qq(draw(rng, n) + 1, law, location=0, scale=1).outside for _ in range(20)])
    assert shifted > 0.05 + 5 * np.sqrt(0.05 * 0.95 / 20)  # negative control


def test_quantiles_and_bands_are_those_of_the_law():
    values = np.random.default_rng(11).standard_t(2, size=30)
    found = qq(values, ds.noise.StudentT(2.0), location=0.0, scale=2.0)
    rank = np.arange(1, 31)
    assert found.law_quantiles == pytest.approx(stats.t(2).ppf((rank - 0.5) / 30), rel=1e-9)
    assert found.values == pytest.approx(np.sort(values) / 2)
    assert found.low == pytest.approx(stats.t(2).ppf(stats.beta(rank, 31 - rank).ppf(0.025)), rel=1e-6)
    assert found.high == pytest.approx(stats.t(2).ppf(stats.beta(rank, 31 - rank).ppf(0.975)), rel=1e-6)


def test_a_sample_is_shifted_and_scaled_by_its_quartiles():
    values = np.random.default_rng(12).normal(size=1001)
    plain, moved = qq(values), qq(100 + 7 * values)
    assert moved.values == pytest.approx(plain.values, abs=1e-12)
    assert moved.scale == pytest.approx(7 * plain.scale)
    assert moved.probabilities.size == 300
    assert np.median(moved.values[100:200]) == pytest.approx(0, abs=0.05)


def test_heavy_tails_leave_the_gaussian_band():
    values = stable(1.0, 3000)
    assert qq(values, ds.noise.AlphaStable(1.0)).outside.mean() < 0.3
    assert qq(values).outside.mean() > 0.5


def test_they_draw_themselves():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    values = student(1, 2000)
    for result in (hill(values), moment(values), mohammadi(values), hill(np.ones(200)), variance_growth(values)):
        assert result.plot().get_xscale() == "log"
    assert qq(values, ds.noise.StudentT(1.0)).plot().get_xscale() == "symlog"
    assert qq(np.random.default_rng(1).normal(size=2000)).plot().get_xscale() == "linear"
    matplotlib.pyplot.close("all")
