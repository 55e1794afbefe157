import math

import numpy as np
import pytest

import dynsim as ds
from dynsim.stability import almost_sure as module
from dynsim.stability import population
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.linearized import terms
from dynsim.stability.mean_square import mean_square

SGD, RR = ds.SGD(0.1), ds.RR(0.1)
HALF = ds.SGD(0.1, ds.sampling.Mixture(0.5))
NORM = ds.sampling.GradientNorm()


@pytest.fixture
def short_runs(monkeypatch):
    monkeypatch.setattr(population, "_WORK", 2**21)


def dynamics(method, X):
    return Dynamics.of(terms(gradients=X), method)


def disparity(n, d, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X[: n // 10] *= 10
    return X


PLANE = {
    "disparity": disparity(30, 2),
    "nearly parallel": np.array([[1.0, 0.0], [1.0, 0.3], [1.0, -0.2]]),
    "three at 60 degrees": np.array([[1.0, 0.0], [0.5, 0.75**0.5], [-1.0, 3**0.5]]),
}


@pytest.mark.parametrize("h", [(1.0, 4.0), (1.0, 100.0), (2.0, 3.0)])
def test_two_terms_in_one_dimension_by_hand(h):
    """(1 − ηh₁)(ηh₂ − 1) = 1 behind the first pole, or (ηh₁ − 1)(ηh₂ − 1) = 1 behind both."""
    d = dynamics(SGD, np.sqrt(h)[:, None])
    first, second = np.array(h) / np.mean(h)
    between = np.roots([-first * second, first + second, -2])
    if np.isreal(between).all():
        zero, low = np.sort(between.real)
        again = (low, (first + second) / (first * second))
    else:
        zero, again = (first + second) / (first * second), None
    found = module.almost_sure(d)
    assert found.lower == found.upper == pytest.approx(zero, rel=1e-12)
    if again is None:
        assert found.details["stable_again"] is None
    else:
        assert found.details["stable_again"] == pytest.approx(again, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_zero_in_one_dimension_is_the_first(seed):
    d = dynamics(SGD, np.random.default_rng(seed).lognormal(sigma=1.5, size=(6, 1)))
    found = module.almost_sure(d)
    c = d.features[:, 0] ** 2
    below = np.linspace(0, 1, 200001)[1:-1] * found.lower
    assert np.log(np.abs(1 - below[:, None] * c) + 1e-300).mean(axis=1).max() < 1e-5
    assert module.lyapunov_exponent(d, found.lower * (1 + 1e-6))[0] > 0
    assert found.details["slope"] > 0
    if found.details["stable_again"] is not None:
        low, high = found.details["stable_again"]
        edge = 0.1 * (high - low)
        inside, outside = (low + edge, high - edge), (low - edge, high + edge)
        assert max(module.lyapunov_exponent(d, eta)[0] for eta in inside) < 0
        assert min(module.lyapunov_exponent(d, eta)[0] for eta in outside) > 0


def test_in_one_dimension_importance_sampling_is_gradient_descent():
    d = dynamics(RR, [[1.0], [10.0]])
    assert module.mean_square_by_direction(d)[:2] == module.almost_sure(d)[:2] == (2.0, 2.0)
    assert module.lyapunov_exponent(d, 0.5) == (pytest.approx(math.log(0.5)), 0.0)
    assert module.growth_by_direction(d, 0.5) == (pytest.approx(2 * math.log(0.5)), 0.0)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_mixture_in_one_dimension_by_hand(share):
    h = np.array([1.0, 4.0])
    d = dynamics(ds.SGD(0.1, ds.sampling.Mixture(share)), np.sqrt(h)[:, None])
    p = share * h / h.sum() + (1 - share) / 2
    c = h / h.mean() / (2 * p)
    assert module.mean_square_by_direction(d).lower == pytest.approx(2 / (p @ c**2), rel=1e-12)
    eta = module.almost_sure(d).lower
    assert p @ np.log(np.abs(1 - eta * c)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        (ds.SGD(0.1, batch_size="full"), 2.0),
        (ds.HeavyBall(0.1, momentum=0.9, batch_size="full"), 3.8),
        (ds.Nesterov(0.1, momentum=0.9, batch_size="full"), 3.8 / 2.8),
    ],
    ids=["sgd", "heavy-ball", "nesterov"],
)
def test_full_batches_are_deterministic(method, limit):
    d = dynamics(method, disparity(20, 3))
    assert module.almost_sure(d)[:2] == (pytest.approx(limit), pytest.approx(limit))
    assert module.lyapunov_exponent(d, 0.999 * limit)[0] < 0 < module.lyapunov_exponent(d, 1.001 * limit)[0]


def test_orthogonal_features_lose_stability_along_one_of_them(short_runs):
    """Commuting: Λ = max_j p_j log|1 − η h_j/p_j|, zero at 2 p_j/h_j; in units of λ_max = max h_j = 1, p_j = 1/n."""
    for r in (2, 3):
        d = dynamics(SGD, np.diag(np.arange(1.0, r + 1)))
        found = module.almost_sure(d)
        assert found.lower - 1e-5 <= 2 / r <= found.upper + 1e-5
        assert found.upper - found.lower < 0.02


@pytest.mark.parametrize("name", PLANE)
@pytest.mark.parametrize("method", [RR, HALF], ids=["RR", "Mixture"])
def test_thresholds_in_the_plane_are_ordered(name, method):
    d = dynamics(method, PLANE[name])
    mean_square, almost_sure = module.mean_square_by_direction(d), module.almost_sure(d)
    assert module.safe(d) <= mean_square.lower <= mean_square.upper
    assert mean_square.lower <= almost_sure.upper
    assert mean_square.upper - mean_square.lower < 1e-4 * mean_square.upper
    assert almost_sure.upper - almost_sure.lower < 1e-4 * almost_sure.upper
    assert mean_square.upper <= 2


@pytest.mark.parametrize("name", PLANE)
def test_particles_shrink_below_the_mean_square_threshold_and_grow_above(name):
    d = dynamics(RR, PLANE[name])
    found = module.mean_square_by_direction(d)
    below, above = (population.mean_square_sample(d, share * found.lower) for share in (0.99, 1.01))
    assert below.mean < -5 * below.stderr
    assert above.mean > 5 * above.stderr


def test_ten_dimensions_with_disparity(short_runs):
    d = dynamics(RR, disparity(100, 10))
    found = module.mean_square_by_direction(d)
    assert found.upper - found.lower < 0.02 * found.upper
    below, above = (population.mean_square_sample(d, eta, 1) for eta in (0.99 * found.lower, 1.01 * found.upper))
    assert below.mean < -5 * below.stderr
    assert above.mean > 5 * above.stderr
    assert np.linalg.norm(found.direction) == pytest.approx(1)
    assert module.safe(d) <= found.lower


@pytest.mark.parametrize(
    ("ratio", "name"),
    [(1, "mean_square_by_direction"), (1, "almost_sure"), (0.1, "mean_square_by_direction")],
    ids=["mean square", "almost sure", "slow direction"],
)
def test_particles_find_the_threshold_of_the_circle(ratio, name, monkeypatch, short_runs):
    d = dynamics(RR, disparity(30, 2) * [1, ratio])
    known = getattr(module, name)(d)
    monkeypatch.setattr(module, "_method", lambda dynamics: "population")
    found = getattr(module, name)(d)
    assert found.lower <= known.upper
    assert known.lower <= found.upper
    assert 0 < found.upper - found.lower < 0.04 * found.upper
    assert found.details["stderr"] > 0


@pytest.mark.parametrize(
    "method",
    [
        SGD,
        ds.SGD(0.1, NORM, batch_size=4),
        ds.SGD(0.1, ds.sampling.WithoutReplacement(), batch_size=4),
        ds.HeavyBall(0.1, momentum=0.5, sampling=NORM),
        ds.Nesterov(0.1, momentum=0.5),
    ],
    ids=["SGD", "RR batch", "without replacement", "heavy-ball RR", "nesterov"],
)
def test_every_kind_has_an_almost_sure_threshold_where_the_exponent_changes_sign(method, short_runs):
    d = dynamics(method, disparity(12, 3))
    found = module.almost_sure(d)
    below, above = (population.lyapunov_sample(d, eta, 5) for eta in (0.9 * found.lower, 1.1 * found.upper))
    assert below.mean < -5 * below.stderr
    assert above.mean > 5 * above.stderr


def test_the_same_seed_gives_the_same_bounds(short_runs):
    d = dynamics(RR, disparity(10, 3))
    first, again, other = (module.growth_by_direction(d, 1.0, rng) for rng in (0, 0, 1))
    assert first == again != other


def test_a_long_memory_is_waited_for(monkeypatch):
    """μ = 0.99 relaxes in 100 steps. With fixed draws the mean-square threshold is a floor, and is exact."""
    monkeypatch.setattr(population, "_WORK", 2**16)
    d = dynamics(ds.HeavyBall(1.0, momentum=0.99), [[1.0, 0.5], [0.3, 2.0], [1.0, 1.0]])
    floor = mean_square(d).lower
    found = module.almost_sure(d)
    assert floor < found.upper
    assert module.lyapunov_exponent(d, floor)[0] < 0
