import itertools
import math

import matplotlib
import numpy as np
import pytest

import dynsim as ds
from dynsim.stability.linearized import terms
from dynsim.stability.simulation import empirical

SMALL = {"n_paths": 512, "n_steps": 200, "rng": 0}


def features(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * (0.5 + rng.exponential(size=(n, 1)))


def batches(weights, p, size, replace):
    """All batches with their probabilities, and the factor a_n/p_n of each term."""
    n = len(weights)
    if not replace:
        drawn = list(itertools.combinations(range(n), size))
        return [(b, 1 / len(drawn)) for b in drawn], n * weights
    return [(b, math.prod(p[list(b)])) for b in itertools.product(range(n), repeat=size)], weights / p


def matrices(H, weights, method, eta, size=1, p=None, replace=True):
    """The matrices of one step on (θ, memory) for all batches, and their probabilities."""
    d, mu = H.shape[1], getattr(method, "momentum", 0.0)
    drawn, scale = batches(weights, weights if p is None else p, size, replace)
    eye, zero = np.eye(d), np.zeros((d, d))
    for batch, chance in drawn:
        A = sum(scale[n] * H[n] for n in batch) / size
        if isinstance(method, ds.HeavyBall):
            yield np.block([[eye - eta * A, -eta * mu * eye], [A, mu * eye]]), chance
        elif isinstance(method, ds.Nesterov):
            yield np.block([[zero, eye - eta * A], [-mu * eye, (1 + mu) * (eye - eta * A)]]), chance
        else:
            yield eye - eta * A, chance


def mean_square_rate(*args, **options):
    """log of the spectral radius of E[M ⊗ M]."""
    moment = sum(chance * np.kron(M, M) for M, chance in matrices(*args, **options))
    return math.log(np.abs(np.linalg.eigvals(moment)).max())


def threshold(rate, low, high):
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if rate(middle) > 0 else (middle, high)
    return low


def around(rate, low=1e-3, high=10.0):
    """The critical step size, and four around it."""
    critical = threshold(rate, low, high)
    return critical, critical * np.array([0.9, 0.97, 1.03, 1.1])


WEIGHTS = np.array([0.3, 0.2, 0.25, 0.15, 0.1])
P = np.array([0.1, 0.3, 0.2, 0.2, 0.2])
CASES = {
    "SGD-2": (2, ds.SGD(1.0), {}),
    "SGD-4": (4, ds.SGD(1.0), {}),
    "proportions": (2, ds.SGD(1.0, ds.sampling.Proportions(P)), {"p": P}),
    "batches": (2, ds.SGD(1.0, batch_size=2), {"size": 2}),
    "subsets": (2, ds.SGD(1.0, ds.sampling.WithoutReplacement(), batch_size=2), {"size": 2, "replace": False}),
    "heavy-ball": (2, ds.HeavyBall(1.0, momentum=0.6), {}),
    "Nesterov": (2, ds.Nesterov(1.0, momentum=0.6), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_mean_square_grows_as_the_operator_of_second_moments_says(case):
    d, method, options = CASES[case]
    X = features(5, d, seed=d)
    H = X[:, :, None] * X[:, None, :]

    def rate(eta):
        return mean_square_rate(H, WEIGHTS, method, eta, **options)

    critical, etas = around(rate)
    found = empirical(terms(gradients=X, weights=WEIGHTS), method, step_sizes=etas, **SMALL)
    exact = np.array([rate(eta) for eta in etas])
    errors = found.log_growth_stderr
    assert (np.abs(found.log_growth - exact) < 5 * errors).all()
    # and a step size three in a hundred off is told from the right one
    off = np.array([rate(1.03 * eta) for eta in etas])
    assert (np.abs(found.log_growth - off) > 5 * errors).any()
    value, error = found.threshold["mean-square"]
    assert abs(value - critical) < 5 * error < 0.05 * critical


def test_hessians_of_any_rank_are_run_too():
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(4, 2, 2))
    H, weights = roots @ roots.transpose(0, 2, 1), np.full(4, 0.25)
    critical, etas = around(lambda eta: mean_square_rate(H, weights, ds.SGD(1.0), eta))
    found = empirical(terms(hessians=H), ds.SGD(1.0), step_sizes=etas, **SMALL)
    value, error = found.threshold["mean-square"]
    assert abs(value - critical) < 5 * error < 0.05 * critical


def rates_by_angle(X, eta, cells=1000):
    """log spectral radius of f(φ) ↦ Σ p_n(φ)|M_n u|² f(angle of M_n u) for RR in the plane, on a grid of angles."""
    phi = np.arange(cells) * np.pi / cells
    u = np.stack([np.cos(phi), np.sin(phi)], axis=1)
    norms = np.abs(u @ X.T) * np.linalg.norm(X, axis=1) / len(X)
    p = norms / norms.sum(axis=1, keepdims=True)
    step = (u @ X.T)[..., None] * X / len(X) / np.maximum(p, 1e-300)[..., None]
    after = u[:, None] - eta * np.where(p[..., None] > 0, step, 0)
    places = np.mod(np.arctan2(after[..., 1], after[..., 0]), np.pi) / np.pi * cells
    cell, share = np.floor(places).astype(int) % cells, places - np.floor(places)
    f = np.ones(cells)
    for _ in range(200):
        ahead = (1 - share) * f[cell] + share * f[(cell + 1) % cells]
        new = (p * (after**2).sum(axis=-1) * ahead).sum(axis=1)
        size, f = new.max(), new / new.max()
    return math.log(size)


def test_rr_in_the_plane_grows_as_the_operator_on_directions_says():
    X = features(5, 2, seed=5)
    critical = threshold(lambda eta: rates_by_angle(X, eta, cells=100), 0.1, 2.0)
    etas = critical * np.array([0.95, 1.05])
    found = empirical(terms(gradients=X), ds.RR(1.0), step_sizes=etas, **SMALL)
    exact = np.array([rates_by_angle(X, eta) for eta in etas])
    assert (np.abs(found.log_growth - exact) < 5 * found.log_growth_stderr).all()
    sgd = np.array([mean_square_rate(X[:, :, None] * X[:, None, :], np.full(5, 0.2), ds.SGD(1.0), e) for e in etas])
    assert (np.abs(found.log_growth - sgd) > 5 * found.log_growth_stderr).all()


def test_lyapunov_exponents_in_one_dimension_are_mean_logarithms():
    x = np.array([0.3, 1.0, 1.7])
    etas = np.array([0.3, 0.8, 1.3, 2.1])
    found = empirical(terms(gradients=x[:, None]), ds.SGD(1.0), step_sizes=etas, **SMALL)
    exact = np.log(np.abs(1 - etas[:, None] * x**2)).mean(axis=1)
    assert (np.abs(found.lyapunov - exact) < 5 * found.lyapunov_stderr).all()
    off = np.log(np.abs(1 - 1.03 * etas[:, None] * x**2)).mean(axis=1)
    assert (np.abs(found.lyapunov - off) > 5 * found.lyapunov_stderr).sum() >= 3


def test_of_rows_at_right_angles_the_direction_that_grows_most_gives_the_exponent():
    X, etas = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.7], [0.0, 1.5]]), np.array([0.3, 1.2])
    found = empirical(terms(gradients=X), ds.SGD(1.0), step_sizes=etas, n_paths=256, n_steps=1000, rng=1)
    each = np.log(np.abs(1 - etas[:, None] * (X**2).sum(axis=1))) / 4
    exact = np.maximum(each[:, :2].sum(axis=1), each[:, 2:].sum(axis=1))
    assert (np.abs(found.lyapunov - exact) < 5 * found.lyapunov_stderr).all()


def test_rr_in_one_dimension_is_gradient_descent():
    x = np.array([[0.3], [1.0], [1.7]])
    curvature = (x**2).mean()
    etas = np.array([0.5, 1.9, 2.1, 3.0]) / curvature
    found = empirical(terms(gradients=x), ds.RR(1.0), step_sizes=etas, n_paths=64, n_steps=50, rng=0)
    exact = np.log(np.abs(1 - etas * curvature))
    np.testing.assert_allclose(found.lyapunov, exact, rtol=1e-9)
    np.testing.assert_allclose(found.log_growth, 2 * exact, rtol=1e-9)
    dead = empirical(terms(gradients=x), ds.RR(1.0), step_sizes=[1 / curvature], n_paths=64, n_steps=50, rng=0)
    assert dead.lyapunov[0] < -20  # but for the rounding of 1 − ηH


def test_the_plain_mean_misses_the_rare_growth_that_splitting_finds():
    """One row in a hundred is so steep that few paths, which met it often, hold all of E‖θ‖²."""
    x = np.append(np.ones(99), 4.0)
    eta = 0.5
    exact = math.log(np.mean((1 - eta * x**2) ** 2))
    rows = terms(gradients=x[:, None])
    split = empirical(rows, ds.SGD(1.0), step_sizes=[eta], n_paths=4096, n_steps=400, rng=0)
    plain = empirical(rows, ds.SGD(1.0), step_sizes=[eta], n_paths=4096, n_steps=400, rng=0, splitting=False)
    assert abs(split.log_growth[0] - exact) < 5 * split.log_growth_stderr[0]
    assert plain.log_growth[0] < exact - 5 * plain.log_growth_stderr[0]
    assert plain.lyapunov[0] == split.lyapunov[0]


@pytest.mark.parametrize("method", [ds.SGD(1.0), ds.HeavyBall(1.0, momentum=0.5), ds.Nesterov(1.0, momentum=0.5)])
def test_a_minimum_elsewhere_of_a_loss_that_is_not_quadratic_has_the_rates_of_its_hessians(method):
    X, at = features(6, 2, seed=8), np.array([2.0, -1.0])
    problem = ds.problems.linear_model(X, X @ at, loss="welsch")
    H = X[:, :, None] * X[:, None, :]
    etas = around(lambda eta: mean_square_rate(H, np.full(6, 1 / 6), method, eta))[1][1:3]
    found = empirical(problem, method, at, step_sizes=etas, **SMALL)
    exact = np.array([mean_square_rate(H, np.full(6, 1 / 6), method, eta) for eta in etas])
    assert (np.abs(found.log_growth - exact) < 5 * found.log_growth_stderr).all()
    assert (found.nonlinearity < found.lyapunov_stderr).all()
    assert found.nonlinearity.max() > 0


def test_a_distance_at_which_the_loss_is_bent_is_reported():
    X, at = features(6, 2, seed=8), np.array([2.0, -1.0])
    problem = ds.problems.linear_model(X, X @ at, loss="welsch")
    with pytest.warns(UserWarning, match="half the distance 1 changes the growth at step sizes 0.3"):
        empirical(problem, ds.SGD(1.0), at, step_sizes=[0.3], n_paths=256, n_steps=100, rng=0, distance=1.0)


def test_the_null_space_is_left_out():
    """θ₁θ₂ = y along a curve of minima: across it the loss is that of one variable."""

    def loss(theta, n, params):
        return 0.5 * (params[n] * (theta[0] * theta[1] - 2.0)) ** 2

    x = np.array([0.5, 1.0])
    problem = ds.Problem.from_terms(loss, n_terms=2, dim=2, params=x)
    at, etas = np.array([1.0, 2.0]), np.array([0.15, 0.5])
    found = empirical(problem, ds.SGD(1.0), at, step_sizes=etas, **SMALL)
    factors = 1 - etas[:, None] * x**2 * (at @ at)
    assert found.settings["null_space"] == 1
    assert (np.abs(found.lyapunov - np.log(np.abs(factors)).mean(axis=1)) < 5 * found.lyapunov_stderr).all()
    exact = np.log((factors**2).mean(axis=1))
    assert (np.abs(found.log_growth - exact) < 5 * found.log_growth_stderr).all()


def test_fewer_rows_than_columns_and_sparse_rows_are_run():
    from scipy import sparse

    X = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    dense, thin = (
        empirical(terms(gradients=rows), ds.SGD(1.0), step_sizes=[0.2, 0.5], n_paths=64, n_steps=50, rng=0)
        for rows in (X, sparse.csr_array(X))
    )
    assert dense.settings["null_space"] == 1
    np.testing.assert_array_equal(dense.log_growth, thin.log_growth)


def test_threads_change_nothing_and_the_seed_repeats_a_run():
    rows = terms(gradients=features(5, 3, seed=1))
    first = empirical(rows, ds.RR(1.0), step_sizes=[0.2, 0.4], n_paths=256, n_steps=100, rng=None, threads=1)
    again = empirical(
        rows, ds.RR(1.0), step_sizes=[0.2, 0.4], n_paths=256, n_steps=100, rng=first.settings["seed"], threads=3
    )
    np.testing.assert_array_equal(first.log_growth, again.log_growth)
    np.testing.assert_array_equal(first.lyapunov, again.lyapunov)


def test_a_threshold_outside_the_step_sizes_is_said_to_be_missing():
    found = empirical(terms(gradients=[[1.0], [1.1]]), ds.SGD(1.0), step_sizes=[0.1, 0.2], n_paths=64, n_steps=20)
    assert np.isnan(found.threshold["mean-square"].value)
    assert "mean-square threshold not within 0.1 … 0.2" in repr(found)


def test_rates_that_still_change_are_reported():
    X = np.diag([1.0, 0.03])
    with pytest.warns(UserWarning, match="growth rates still change at step sizes 0.3: raise burn_in"):
        empirical(
            terms(gradients=X),
            ds.SGD(1.0, batch_size="full"),
            step_sizes=[0.3],
            n_paths=1024,
            n_steps=20,
            burn_in=10,
            rng=0,
        )


def test_runs_get_longer_where_directions_of_little_curvature_are_slow_to_be_seen():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 3)) * np.array([1.0, 0.2, 0.1])
    H = X[:, :, None] * X[:, None, :]
    exact = mean_square_rate(H, np.full(20, 0.05), ds.SGD(1.0), 0.1)
    options = {"step_sizes": [0.1], "n_paths": 256, "n_steps": 500, "rng": 0}
    found = empirical(terms(gradients=X), ds.SGD(1.0), **options)
    assert abs(found.log_growth[0] - exact) < 5 * found.log_growth_stderr[0]
    with pytest.warns(UserWarning, match="still change"):
        short = empirical(terms(gradients=X), ds.SGD(1.0), **options, burn_in=10)
    assert abs(short.log_growth[0] - exact) > 5 * short.log_growth_stderr[0]


def test_the_picture_shows_both_curves():
    matplotlib.use("Agg")
    rows = terms(gradients=[[1.0], [2.0]])
    found = empirical(rows, ds.SGD(1.0), step_sizes=[0.5, 0.55, 0.65, 0.7], n_paths=256, n_steps=50, rng=0)
    labels = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert labels == ["log E‖θ−θ*‖², halved", "log‖θ−θ*‖"]


def test_what_has_no_answer_is_refused(valleys, data):
    rows = terms(gradients=[[1.0], [2.0]])
    refused, wrong = ds.errors.NotApplicable, ds.errors.ArgumentError
    calls = [
        (wrong, "step_sizes must be positive and increasing", rows, ds.SGD(1.0), {"step_sizes": [0.2, 0.1]}),
        (wrong, "step_sizes must be positive and increasing", rows, ds.SGD(1.0), {"step_sizes": []}),
        (wrong, "n_paths must be a whole number, at least 64", rows, ds.SGD(1.0), {"n_paths": 10}),
        (wrong, "distance must be a positive finite number", rows, ds.SGD(1.0), {"distance": 0.0}),
        (wrong, "at goes with a problem", rows, ds.SGD(1.0), {"at": [0.0]}),
        (wrong, "threads must be a whole number", rows, ds.SGD(1.0), {"threads": 0}),
        (refused, "stability is for SGD", rows, ds.Adam(1.0), {}),
        (refused, "without added noise", rows, ds.SGD(1.0, noise=ds.noise.Gaussian(0.1)), {}),
        (refused, "do not depend on the draws before", rows, ds.SGD(1.0, ds.sampling.Reshuffled()), {}),
        (refused, "two_valleys.* has a kink at", valleys, ds.SGD(1.0), {"at": [0.2]}),
    ]
    for error, message, problem, method, options in calls:
        with pytest.raises(error, match=message):
            empirical(problem, method, **{"step_sizes": [0.1]} | options)
    noisy = ds.problems.linear_model(*data)
    with pytest.raises(refused, match="a minimum of all terms, where distances can die out"):
        empirical(noisy, ds.SGD(1.0), noisy.least_squares(), step_sizes=[0.1])
