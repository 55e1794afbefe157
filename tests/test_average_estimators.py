"""Coverage and long-run variances of the estimators of an average's error, against closed forms."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import stdtrit

from dynsim.averages import ESTIMATORS, Batches, estimate
from dynsim.errors import NotApplicable

REPLICATIONS = 400
BOUND = 5 * np.sqrt(0.05 * 0.95 / REPLICATIONS)  # five binomial standard errors


def autoregression(rng, phi, m, n):
    noise = rng.normal(size=(m, n, REPLICATIONS)) * np.sqrt(1 - phi**2)
    noise[:, 0] /= np.sqrt(1 - phi**2)
    return lfilter([1], [1, -phi], noise, axis=1), phi ** np.arange(n)


def rotation(rng, m, n, *, rate=0.1, dt=0.2):
    """The first coordinate of dX = −(rate·X + JX) dt + …, of variance 1: ρ_k = Re r^k."""
    r = np.exp((-rate + 1j) * dt)
    noise = rng.normal(size=(2, m, n, REPLICATIONS)) * np.sqrt(1 - abs(r) ** 2)
    noise[:, :, 0] /= np.sqrt(1 - abs(r) ** 2)
    return lfilter([1], [1, -r], noise[0] + 1j * noise[1], axis=1).real, (r ** np.arange(n)).real


def switching(rng, m, n, switches):
    """±1, changing sign with probability p: ρ_k = (1 − 2p)^k."""
    p = switches / n
    changes = rng.random((m, n, REPLICATIONS)) < p
    changes[:, 0] = rng.random((m, REPLICATIONS)) < 0.5
    return 1.0 - 2.0 * (np.cumsum(changes, axis=1) % 2), (1 - 2 * p) ** np.arange(n)


def moving_average(rng, m, n):
    """e_k + e_{k−1}/2, over its standard deviation."""
    noise = rng.normal(size=(m, n + 1, REPLICATIONS))
    return (noise[:, 1:] + 0.5 * noise[:, :-1]) / np.sqrt(1.25), np.array([1.0, 0.4] + (n - 2) * [0.0])


CASES = {
    "ar 0.95, 32 x 200": lambda rng: autoregression(rng, 0.95, 32, 200),
    "ar 0.95, 1 x 4000": lambda rng: autoregression(rng, 0.95, 1, 4000),
    "ar -0.9, 8 x 1000": lambda rng: autoregression(rng, -0.9, 8, 1000),
    "rotation, 32 x 200": lambda rng: rotation(rng, 32, 200),
    "rotation, 2 x 4000": lambda rng: rotation(rng, 2, 4000),
    "5 switches, 16 x 500": lambda rng: switching(rng, 16, 500, 5),
    "40 switches, 2 x 4000": lambda rng: switching(rng, 2, 4000, 40),
    "moving average, 4 x 1000": lambda rng: moving_average(rng, 4, 1000),
}


def errors(x, method, **more):
    """Averages, their estimated variances and degrees of freedom, of all replications at once."""
    run = Batches.of_series(x)
    center, scale = run.averages().mean(axis=0), np.sqrt(run.variance())
    found = ESTIMATORS[method]((run.means - center) / scale, (run.averages() - center) / scale, run.n, run.size)
    return center, found[0] * scale**2, found[1]


def covered(center, variance, dof):
    return abs(center) <= stdtrit(dof, 0.975) * np.sqrt(variance)


def coverage(center, variance, dof):
    return covered(center, variance, dof).mean()


@pytest.mark.parametrize("case", CASES)
def test_the_autoregression_covers_95_percent_and_has_the_exact_variance(case):
    x, rho = CASES[case](np.random.default_rng(1))
    center, variance, dof = errors(x, "autoregressive")
    assert abs(coverage(center, variance, dof) - 0.95) < BOUND
    n = x.shape[1]
    exact = (2 * (1 - np.arange(n) / n) @ rho - 1) / x[..., 0].size  # of the average of n values, not only its limit
    widths = np.sqrt(variance / exact)
    a_tenth = 0.1  # of the width is what the guard and orders that are too low may cost
    assert abs(np.median(widths) - 1) < 5 * 1.25 * widths.std() / np.sqrt(REPLICATIONS) + a_tenth


@pytest.mark.parametrize("case", ["ar 0.95, 32 x 200", "ar -0.9, 8 x 1000", "5 switches, 16 x 500"])
def test_ignoring_correlation_does_not_cover_95_percent(case):
    x, _ = CASES[case](np.random.default_rng(1))
    naive = coverage(x.mean(axis=(0, 1)), x.var(axis=(0, 1)) / x[..., 0].size, np.inf)
    assert abs(naive - 0.95) > BOUND or naive == 1.0


@pytest.mark.parametrize(
    ("method", "case"),
    [("sokal", "5 switches, 16 x 500"), ("batch-means", "ar 0.95, 32 x 200"),
     ("overlapping", "ar 0.95, 32 x 200"), ("geyer", "5 switches, 16 x 500")],
)  # fmt: skip
def test_where_other_estimators_cover_less(method, case):
    x, _ = CASES[case](np.random.default_rng(3))
    difference = covered(*errors(x, "autoregressive")).astype(float) - covered(*errors(x, method))
    assert difference.mean() > 5 * difference.std() / np.sqrt(REPLICATIONS)


def test_geyer_is_far_too_wide_for_rotations():
    x, _ = rotation(np.random.default_rng(4), 16, 250)
    width = {method: np.sqrt(np.median(errors(x, method)[1])) for method in ("geyer", "autoregressive")}
    assert width["geyer"] > 2 * width["autoregressive"]


@pytest.mark.parametrize("method", ESTIMATORS)
def test_every_estimator_covers_95_percent_of_white_noise(method):
    x = np.random.default_rng(5).normal(size=(16, 1024, REPLICATIONS))
    assert abs(coverage(*errors(x, method)) - 0.95) < BOUND


@pytest.mark.parametrize("method", ESTIMATORS)
def test_every_estimator_has_a_name(method):
    x = autoregression(np.random.default_rng(6), 0.5, 8, 500)[0][..., :2]
    found = estimate(Batches.of_series(x), method=method, shape=(2,))
    assert found.method == method
    assert (abs(found.value) < 5 * found.stderr).all()
    assert np.linalg.eigvalsh(found.cov).min() >= -1e-15


def test_the_scatter_between_chains_needs_two_of_them():
    with pytest.raises(NotApplicable, match="'between' needs at least 2 chains, got 1"):
        estimate(Batches.of_series(np.random.default_rng(7).normal(size=(1, 100, 1))), method="between")
