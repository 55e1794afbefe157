import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.stability import mean_square as module
from dynsim.stability.fluctuations import stationary_covariance
from dynsim.stability.linearized import Terms, terms

X = np.array([[1.0, 0.3], [-0.4, 0.8], [0.6, -1.2], [1.1, 0.9], [0.2, 0.5]])
Y = np.array([0.5, -1.0, 0.3, 0.8, -0.2])
FIT = np.linalg.lstsq(X, Y, rcond=None)[0]
PROBLEM = ds.problems.linear_model(X, Y)

METHODS = {
    "SGD": ds.SGD(1.0),
    "SGD, proportions": ds.SGD(1.0, ds.sampling.Lipschitz(), batch_size=2),
    "SGD, different terms": ds.SGD(1.0, ds.sampling.WithoutReplacement(), batch_size=2),
    "heavy ball": ds.HeavyBall(1.0, momentum=0.6),
    "Nesterov": ds.Nesterov(1.0, momentum=0.6),
    "Nesterov, different terms": ds.Nesterov(1.0, ds.sampling.WithoutReplacement(), batch_size=3, momentum=0.4),
}


def enumerated(H, g, a, method, p, eta):
    """The stationary covariance of θ from all batches: S = E[M S Mᵀ] + E[b bᵀ] for (θ_k, θ_{k−1}), by Kronecker."""
    n, d = g.shape
    B, mu = method.batch_size, getattr(method, "momentum", 0.0)
    if isinstance(method.sampling, ds.sampling.WithoutReplacement):
        batches = list(itertools.combinations(range(n), B))
        drawn = [(1 / len(batches), batch, n * a / B) for batch in batches]
    else:
        drawn = [(np.prod(p[list(b)]), b, a / p / B) for b in itertools.product(range(n), repeat=B)]
    T, b = np.zeros((4 * d * d, 4 * d * d)), np.zeros((2 * d, 2 * d))
    one, zero = np.eye(d), np.zeros((d, d))
    for chance, batch, scale in drawn:
        A, xi = (sum(scale[m] * each[m] for m in batch) for each in (H, g))
        look = one - eta * A
        if isinstance(method, ds.HeavyBall):
            M = np.block([[look + mu * one, -mu * one], [one, zero]])
        else:
            M = np.block([[(1 + mu) * look, -mu * look], [one, zero]])
        noise = np.concatenate([-eta * xi, np.zeros(d)])
        T += chance * np.kron(M, M)
        b += chance * np.outer(noise, noise)
    if np.abs(np.linalg.eigvals(T)).max() >= 1:
        return np.full((d, d), np.inf)
    return np.linalg.solve(np.eye(len(T)) - T, b.ravel()).reshape(2 * d, 2 * d)[:d, :d]


def of_problem(problem, at, method, eta):
    p = method.sampling.proportions(problem)
    return enumerated(problem.term_hessians(at), problem.term_gradients(at), problem.weights, method, p, eta)


@pytest.mark.parametrize("name", METHODS)
def test_the_covariance_is_that_of_the_enumerated_steps(name):
    method = METHODS[name]
    threshold = stationary_covariance(PROBLEM, method, FIT, step_sizes=[0.1]).threshold
    eta = np.array([0.02, 0.5, 0.95, 0.999, 1.001, 1.5]) * threshold
    found = stationary_covariance(PROBLEM, method, FIT, step_sizes=eta)
    assert found.exact
    for step_size, covariance in zip(eta, found.covariance, strict=True):
        np.testing.assert_allclose(covariance, of_problem(PROBLEM, FIT, method, step_size), rtol=1e-6)
    np.testing.assert_array_equal(np.isinf(found.variance), [False] * 4 + [True] * 2)


@pytest.mark.parametrize("name", METHODS)
def test_the_leading_order_is_what_small_steps_approach(name):
    eta = np.array([1e-3, 1e-4, 1e-5])
    found = stationary_covariance(PROBLEM, METHODS[name], FIT, step_sizes=eta)
    error = np.abs(found.covariance / eta[:, None, None] - found.leading).max(axis=(1, 2))
    np.testing.assert_allclose(error[:-1] / error[1:], 10, rtol=0.01)  # its error is of the next order
    H, noise = PROBLEM.hessian(FIT), METHODS[name].gradient_covariance(PROBLEM, FIT)
    heavy = 1 - getattr(METHODS[name], "momentum", 0.0)
    np.testing.assert_allclose(H @ found.leading + found.leading @ H, noise / heavy, rtol=1e-9)


def test_one_dimension_by_hand():
    eta = np.array([0.1, 0.7, 1.6])
    problem = ds.problems.linear_model([[1.0], [1.0]], [-1.0, 1.0])  # h = 1 always, ξ = ±1
    sgd = stationary_covariance(problem, ds.SGD(1.0), [0.0], step_sizes=eta)
    np.testing.assert_allclose(sgd.variance, eta / (2 - eta), rtol=1e-12)
    assert sgd.threshold == pytest.approx(2, rel=1e-12)
    for mu in (0.3, 0.9):  # an autoregression of order 2
        heavy = stationary_covariance(problem, ds.HeavyBall(1.0, momentum=mu), [0.0], step_sizes=eta)
        by_hand = eta * (1 + mu) / ((1 - mu) * (2 * (1 + mu) - eta))
        np.testing.assert_allclose(heavy.variance, by_hand, rtol=1e-12)


@pytest.mark.parametrize("scheme", [ds.sampling.GradientNorm(), ds.sampling.Mixture(0.5)], ids=repr)
def test_gradient_norms_give_the_leading_order_with_the_probabilities_at_the_minimum(scheme):
    method = ds.SGD(1.0, scheme, batch_size=2)
    found = stationary_covariance(PROBLEM, method, FIT, step_sizes=[0.01, 50.0])
    H, noise = PROBLEM.hessian(FIT), method.gradient_covariance(PROBLEM, FIT)
    np.testing.assert_allclose(H @ found.leading + found.leading @ H, noise, rtol=1e-9)
    np.testing.assert_allclose(found.covariance[0], 0.01 * found.leading)
    assert not found.exact
    assert np.isnan(found.threshold)
    assert np.isinf(found.variance[1])


def simulated(method, eta, seed=0):
    """E‖θ − θ*‖² after a burn-in over independent paths, and its standard error."""
    method = type(method)(eta, method.sampling, batch_size=method.batch_size, **momentum(method))
    run = ds.iterate(PROBLEM, method, FIT, n_steps=200, n_paths=20_000, rng=seed, save_every=None, progress=False)
    squares = ((run.x[:, -1] - FIT) ** 2).sum(axis=1)
    return squares.mean(), squares.std() / np.sqrt(squares.size)


def momentum(method):
    return {} if isinstance(method, ds.SGD) else {"momentum": method.momentum}


@pytest.mark.parametrize("name", METHODS)
def test_the_variance_is_that_of_a_simulation(name):
    eta = 0.3
    variance = stationary_covariance(PROBLEM, METHODS[name], FIT, step_sizes=[eta, 1.2 * eta]).variance
    mean, stderr = simulated(METHODS[name], eta)
    assert abs(mean - variance[0]) < 5 * stderr
    assert abs(mean - variance[1]) > 5 * stderr  # a step size 20 % off would be seen


def test_the_leading_order_for_gradient_norms_is_that_of_a_simulation():
    eta = 0.02
    mean, stderr = simulated(ds.RR(1.0), eta)
    at_first, uniform = (
        stationary_covariance(PROBLEM, method, FIT, step_sizes=[eta]).variance[0]
        for method in (ds.RR(1.0), ds.SGD(1.0))
    )
    assert abs(mean - at_first) < 5 * stderr + 2 * eta * at_first  # the next order
    assert abs(mean - uniform) > 5 * stderr + 2 * eta * uniform


def test_a_long_run_has_this_variance():
    eta, length = 0.3, 200
    run = ds.iterate(PROBLEM, ds.SGD(eta), FIT, n_steps=200_000, n_paths=1, rng=3, progress=False)
    squares = ((run.x[0, 1000:-1] - FIT) ** 2).sum(axis=1)
    batches = squares[: squares.size // length * length].reshape(-1, length).mean(axis=1)
    stderr = batches.std(ddof=1) / np.sqrt(batches.size)
    variance = stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=[eta, 1.1 * eta]).variance
    assert abs(batches.mean() - variance[0]) < 5 * stderr < abs(batches.mean() - variance[1])


@pytest.mark.parametrize("name", METHODS)
def test_terms_may_be_concave_where_the_sum_is_not(monkeypatch, name):
    H = np.array([[[2.0, 0.3], [0.3, -0.4]], [[-0.5, 0.1], [0.1, 2.0]], [[1.0, -0.2], [-0.2, 1.0]]])
    g = np.array([[0.5, -1.0], [0.7, 0.2], [-1.2, 0.8]])
    found, method = Terms(np.full(3, 1 / 3), hessians=H, gradients=g), METHODS[name]
    p = method.sampling.proportions(found)
    eta = np.array([0.5, 0.99, 1.01]) * stationary_covariance(found, method, step_sizes=[0.1]).threshold
    exact = np.array([enumerated(H, g, found.weights, method, p, step_size) for step_size in eta])
    assert np.isinf(exact).any(axis=(1, 2)).tolist() == [False, False, True]
    covariance = stationary_covariance(found, method, step_sizes=eta).covariance
    np.testing.assert_allclose(covariance, exact, rtol=1e-7)
    monkeypatch.setattr(module, "_DENSE", 0)
    np.testing.assert_allclose(stationary_covariance(found, method, step_sizes=eta).covariance, exact, rtol=1e-6)


def test_a_full_batch_does_not_fluctuate():
    found = stationary_covariance(PROBLEM, ds.SGD(1.0, batch_size="full"), FIT, step_sizes=[0.1, 100.0])
    assert found.variance.tolist() == [0.0, np.inf]
    assert found.threshold == pytest.approx(2 / np.linalg.eigvalsh(PROBLEM.hessian(FIT))[-1])


def test_directions_that_no_term_sees_are_left_out():
    wide = ds.problems.linear_model(np.hstack([X, np.zeros((5, 1))]), Y)
    found = stationary_covariance(wide, ds.SGD(1.0), [*FIT, 0.7], step_sizes=[0.2])
    plain = stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=[0.2])
    np.testing.assert_allclose(found.covariance[0, :2, :2], plain.covariance[0], rtol=1e-9)
    np.testing.assert_allclose(found.covariance[0, 2], 0, atol=1e-15)
    assert found.settings["null_space"] == 1


H1, H2 = np.diag([1.0, 0.5]), np.diag([1.0, -0.5])


@pytest.mark.parametrize(
    ("hessians", "gradients", "message"),
    [
        ([np.diag([1.0, 0.0])] * 2, [[1.0, 1.0], [-1.0, -1.0]], "part on its null space of dimension 1"),
        ([H1, H2], [[1.0, 0.0], [-1.0, 0.0]], "single terms are curved"),
        ([H1, 3 * H2], [[1.0, 0.0], [-1.0, 0.0]], "the eigenvalue -0.5"),
    ],
    ids=["noise", "curvature", "saddle"],
)
def test_where_nothing_pulls_back_there_is_no_covariance(hessians, gradients, message):
    found = Terms(np.full(2, 0.5), hessians=np.array(hessians), gradients=np.array(gradients))
    with pytest.raises(NotApplicable, match=message):
        stationary_covariance(found, ds.SGD(1.0), step_sizes=[0.1])


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match="at must be the minimum"):
        stationary_covariance(PROBLEM, ds.SGD(1.0), step_sizes=[0.1])
    with pytest.raises(ArgumentError, match="at must be a stationary point"):
        stationary_covariance(PROBLEM, ds.SGD(1.0), FIT + 1, step_sizes=[0.1])
    with pytest.raises(ArgumentError, match="at goes with a problem"):
        stationary_covariance(terms(PROBLEM, FIT), ds.SGD(1.0), FIT, step_sizes=[0.1])
    with pytest.raises(ArgumentError, match="step_sizes must be positive, the least is -1"):
        stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=[0.1, -1.0])
    assert stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=0.1).step_sizes.tolist() == [0.1]
    with pytest.raises(ArgumentError, match="step_sizes must have 1 axes"):
        stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=[[0.1]])
    with pytest.raises(ArgumentError, match="problem_or_terms must be a problem"):
        stationary_covariance(X, ds.SGD(1.0), FIT, step_sizes=[0.1])
    with pytest.raises(NotApplicable, match=r"SGD .* HeavyBall and Nesterov, got Adam"):
        stationary_covariance(PROBLEM, ds.Adam(1.0), FIT, step_sizes=[0.1])


def test_the_drawing_shows_the_variance_its_leading_order_and_the_threshold():
    pytest.importorskip("matplotlib").use("Agg")
    eta = np.array([1.0, 0.01, 0.1, 50.0])
    found = stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=eta)
    ax = found.plot()
    leading, exact, threshold = ax.get_lines()
    np.testing.assert_allclose(leading.get_ydata(), np.sort(eta) * np.trace(found.leading))
    np.testing.assert_array_equal(exact.get_ydata(), found.variance[[1, 2, 0]])
    assert threshold.get_xdata()[0] == found.threshold
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    still = stationary_covariance(PROBLEM, ds.SGD(1.0, batch_size="full"), FIT, step_sizes=eta)
    assert still.plot().get_yscale() == "linear"
    one = stationary_covariance(PROBLEM, ds.RR(1.0), FIT, step_sizes=eta).plot()
    assert len(one.get_lines()) == 1


def test_the_table_has_the_step_sizes():
    pytest.importorskip("xarray")
    found = stationary_covariance(PROBLEM, ds.SGD(1.0), FIT, step_sizes=[0.1, 0.2])
    table = found.to_xarray()
    np.testing.assert_array_equal(table.sel(step_size=0.2), found.covariance[1])
