import itertools
import math

import numpy as np
import pytest

import dynsim as ds
from dynsim.stability import directions, population
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.linearized import terms

SGD, RR = ds.SGD(0.1), ds.RR(0.1)
HALF = ds.SGD(0.1, ds.sampling.Mixture(0.5))


def disparity(n=100, d=10, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X[: n // 10] *= 10
    return X


def dynamics(method, X):
    return Dynamics.of(terms(gradients=X), method)


def with_identity(d, eta, *, tilted=True, N=64, steps=300, rng=0):
    """The same estimate with the form ‖z‖²: nothing is known of the eigenfunction."""
    rng = np.random.default_rng(rng)
    s = directions.update(d, eta)[1].size
    stepper = population.Stepper(d, eta, np.eye(s * d.rank))
    z = rng.normal(size=(population.REPLICAS * N, s, d.rank))
    z, _ = population._run(stepper, z, rng, N, steps // 4, tilted)
    return population._run(stepper, z, rng, N, steps, tilted)[1]


def rows(n, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) * rng.exponential(size=(n, 1))


def kronecker(d, eta, batch=1):
    """log ρ of E[M ⊗ M], by enumeration of all batches."""
    a, p, total = d.weights, d.draws.proportions, 0
    H = np.einsum("nj,nk->njk", d.features, d.features)
    for drawn in itertools.product(range(a.size), repeat=batch):
        M = np.eye(d.rank) - eta * sum(a[n] / p[n] * H[n] for n in drawn) / batch
        total = total + math.prod(p[n] for n in drawn) * np.kron(M, M)
    return math.log(np.abs(np.linalg.eigvals(total)).max())


def stderr(x):
    return x.std(ddof=1) / math.sqrt(x.size)


def momentum_kronecker(d, eta):
    """log ρ of E[M ⊗ M] on (w, ηv) or (w, q), written out from the updates of ``Dynamics``."""
    r, mu, total = d.rank, d.momentum, 0
    one, zero = np.eye(r), np.zeros((r, r))
    for n, p in enumerate(d.draws.proportions):
        A = eta * d.weights[n] / p * np.outer(d.features[n], d.features[n])
        if d.kind == "heavy-ball":
            M = np.block([[one - A, -mu * one], [A, mu * one]])
        else:
            M = np.block([[zero, one - A], [-mu * one, (1 + mu) * (one - A)]])
        total = total + p * np.kron(M, M)
    return math.log(np.abs(np.linalg.eigvals(total)).max())


@pytest.mark.parametrize("eta", [0.1, 0.4, 0.8])
def test_growth_for_fixed_proportions_in_four_dimensions_is_the_kronecker_value(eta):
    d = dynamics(SGD, np.random.default_rng(1).normal(size=(8, 4)))
    exact = kronecker(d, eta)
    assert population.mean_square_sample(d, eta, coarse=True).mean == pytest.approx(exact, abs=5e-5)
    blind = with_identity(d, eta)
    assert abs(blind.mean() - exact) < 5 * stderr(blind)
    assert abs(blind.mean() - kronecker(d, 1.05 * eta)) > 5 * stderr(blind)


@pytest.mark.parametrize(
    "method", [ds.HeavyBall(0.1, momentum=0.5), ds.Nesterov(0.1, momentum=0.5)], ids=["heavy-ball", "nesterov"]
)
def test_growth_with_momentum_is_the_kronecker_value(method):
    d = dynamics(method, np.random.default_rng(1).normal(size=(8, 2)))
    exact = momentum_kronecker(d, 0.3)
    assert population.mean_square_sample(d, 0.3, coarse=True).mean == pytest.approx(exact, abs=1e-4)
    blind = with_identity(d, 0.3)
    assert abs(blind.mean() - exact) < 5 * stderr(blind)
    plain = dynamics(SGD, np.random.default_rng(1).normal(size=(8, 2)))
    assert abs(blind.mean() - kronecker(plain, 0.3)) > 5 * stderr(blind)


def test_batches_are_those_of_the_enumeration():
    d = dynamics(ds.SGD(0.1, batch_size=2), np.random.default_rng(1).normal(size=(5, 3)))
    blind = with_identity(d, 0.8)
    assert abs(blind.mean() - kronecker(d, 0.8, 2)) < 5 * stderr(blind)
    assert abs(blind.mean() - kronecker(d, 0.8, 1)) > 5 * stderr(blind)


def test_batches_of_different_terms_are_those_of_the_enumeration():
    X = np.random.default_rng(1).normal(size=(5, 3))
    d = dynamics(ds.SGD(0.1, ds.sampling.WithoutReplacement(), batch_size=2), X)
    total, pairs = 0, list(itertools.combinations(range(5), 2))
    for m, n in pairs:
        M = np.eye(3) - 0.8 / 2 * sum(np.outer(d.features[k], d.features[k]) for k in (m, n))
        total = total + np.kron(M, M) / len(pairs)
    exact = math.log(np.abs(np.linalg.eigvals(total)).max())
    blind = with_identity(d, 0.8)
    assert abs(blind.mean() - exact) < 5 * stderr(blind)
    with_replacement = dynamics(ds.SGD(0.1, batch_size=2), X)
    assert abs(blind.mean() - kronecker(with_replacement, 0.8, 2)) > 5 * stderr(blind)


@pytest.mark.parametrize("method", [RR, HALF], ids=["RR", "Mixture"])
@pytest.mark.parametrize("eta", [0.6, 1.1])
def test_growth_in_the_plane_is_that_of_the_circle_operator(method, eta):
    d = dynamics(method, rows(8, seed=3))
    exact, error = directions.mean_square_growth(d, eta)
    sample = population.mean_square_sample(d, eta)
    bias = abs(sample.mean - population.mean_square_sample(d, eta, halved=True).mean)
    assert abs(sample.mean - exact) < 5 * sample.stderr + bias + error
    other = directions.mean_square_growth(dynamics(SGD, rows(8, seed=3)), eta)[0]
    assert abs(sample.mean - other) > 5 * sample.stderr + bias + error


@pytest.mark.parametrize("method", [SGD, RR], ids=["SGD", "RR"])
def test_exponent_in_the_plane_is_that_of_the_circle_operator(method):
    d = dynamics(method, rows(8, seed=3))
    exact, error = directions.lyapunov(d, 1.1)
    sample = population.lyapunov_sample(d, 1.1)
    assert abs(sample.mean - exact) < 5 * sample.stderr + error
    assert abs(sample.mean - directions.lyapunov(d, 1.0)[0]) > 5 * sample.stderr + error


def test_hessians_of_rank_one_are_features():
    X = np.random.default_rng(2).normal(size=(6, 3))
    d = dynamics(RR, X)
    full = Dynamics(
        d.terms, d.draws, d.kind, 0.0, d.curvatures, d.basis, d.unit, None, np.einsum("nj,nk->njk", *2 * (d.features,))
    )
    z = np.random.default_rng(3).normal(size=(50, 1, 3))
    ours, theirs = (population.Stepper(of, 0.9, np.diag([1.0, 2.0, 3.0])) for of in (d, full))
    for tilted in (True, False):
        first, second = (step(z, np.random.default_rng(0), tilted=tilted) for step in (ours, theirs))
        np.testing.assert_allclose(first[0], second[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(first[1], second[1], rtol=1e-9)


def test_plain_averages_miss_the_rare_growth_and_splitting_does_not():
    d, eta, k, N = dynamics(SGD, disparity(40, 4)), 0.074, 1200, 3200
    exact = kronecker(d, eta)
    rng, logs = np.random.default_rng(0), np.zeros(N)
    w = rng.normal(size=(N, 4))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    for _ in range(k):
        x = d.features[rng.integers(40, size=N)]
        w -= eta * (x * w).sum(axis=1)[:, None] * x
        size = np.linalg.norm(w, axis=1)
        logs += np.log(size)
        w /= size[:, None]
    replicas = logs.reshape(16, -1)
    largest = replicas.max(axis=1)
    plain = (2 * largest + np.log(np.exp(2 * (replicas - largest[:, None])).mean(axis=1))) / k
    assert exact - plain.mean() > 5 * stderr(plain)
    assert plain.mean() < 0 < exact  # it even calls this stable
    blind = with_identity(d, eta, N=64, steps=600)
    assert blind.mean() > 5 * stderr(blind)
    assert abs(blind.mean() - exact) < 0.2 * abs(plain.mean() - exact)
    assert population.mean_square_sample(d, eta).mean == pytest.approx(exact, abs=5e-5)


def test_runs_that_are_short_for_a_slow_direction_say_so():
    X = np.random.default_rng(0).normal(size=(30, 2))
    slow, settled = dynamics(RR, X * [1, 0.01]), dynamics(RR, X)
    sample = population.lyapunov_sample(slow, 1.9, coarse=True)
    assert abs(sample.mean - directions.lyapunov(slow, 1.9)[0]) < 5 * sample.stderr + sample.drift
    assert sample.drift > 5 * sample.stderr
    assert population.lyapunov_sample(settled, 1.0, coarse=True).drift < 1e-3


def test_results_are_repeated_by_the_same_seed_only():
    d = dynamics(RR, disparity(20, 3))
    first, again, other = (population.mean_square_sample(d, 1.0, rng, coarse=True).mean for rng in (0, 0, 1))
    assert first == again != other


def test_systematic_resampling_keeps_each_particle_in_proportion():
    weights = np.random.default_rng(0).random((16, 32))
    chosen = population._resampled(weights, np.random.default_rng(1)).reshape(16, 32)
    counts = np.stack([np.bincount(row - 32 * i, minlength=32) for i, row in enumerate(chosen)])
    expected = 32 * weights / weights.sum(axis=1, keepdims=True)
    assert (np.abs(counts - expected) < 1).all()
