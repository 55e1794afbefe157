import itertools

import mpmath
import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import NotApplicable, TooLarge
from dynsim.stability import mean_square as module
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.linearized import terms
from dynsim.stability.mean_square import Coupling, deterministic, growth_rate, growth_rates, mean_square, response

METHODS = {
    "SGD": ds.SGD(1.0),
    "SGD, batches": ds.SGD(1.0, batch_size=2),
    "SGD, proportions": ds.SGD(1.0, ds.sampling.Lipschitz()),
    "SGD, different terms": ds.SGD(1.0, ds.sampling.WithoutReplacement(), batch_size=2),
    "heavy ball": ds.HeavyBall(1.0, momentum=0.9),
    "heavy ball, batches": ds.HeavyBall(1.0, batch_size=2, momentum=0.3),
    "Nesterov": ds.Nesterov(1.0, momentum=0.9),
    "Nesterov, different terms": ds.Nesterov(1.0, ds.sampling.WithoutReplacement(), batch_size=2, momentum=0.5),
}


def rows(n, d, seed=0):
    rng = np.random.default_rng([n, d, seed])
    return rng.normal(size=(n, d)) * rng.exponential(size=(n, 1))


def some_terms(n, d, kind, seed=0):
    """Weighted terms of rank one or full rank, and their Hessians (n, d, d)."""
    rng = np.random.default_rng([n, d, seed, 7])
    a = rng.random(n) + 0.2
    if kind == "rows":
        X = rows(n, d, seed)
        return terms(gradients=X, weights=a), X[:, :, None] * X[:, None, :]
    H = rng.normal(size=(n, d, d))
    H = H @ H.transpose(0, 2, 1)
    return terms(hessians=H, weights=a), H


def draws(found, method):
    """All batches with their probabilities and the weights of their terms, by enumeration."""
    n, B, a = found.n_terms, method.batch_size, found.weights
    if isinstance(method.sampling, ds.sampling.WithoutReplacement):
        batches = list(itertools.combinations(range(n), B))
        return [(1 / len(batches), [(m, n * a[m] / B) for m in batch]) for batch in batches]
    p = method.sampling.proportions(found)
    return [
        (np.prod(p[list(batch)]), [(m, a[m] / p[m] / B) for m in batch])
        for batch in itertools.product(range(n), repeat=B)
    ]


def step(method, A, eta):
    """The matrix of one step of the state (θ_k, θ_{k−1}), from the method's own recursion."""
    one, zero = np.eye(len(A)), np.zeros_like(A)
    mu = getattr(method, "momentum", 0.0)
    if isinstance(method, ds.HeavyBall):
        return np.block([[(1 + mu) * one - eta * A, -mu * one], [one, zero]])
    if isinstance(method, ds.Nesterov):
        look = one - eta * A
        return np.block([[(1 + mu) * look, -mu * look], [one, zero]])
    return one - eta * A


def kronecker(found, H, method, eta):
    """E[M ⊗ M] by enumeration. Nesterov's (θ_k, θ_{k−1}) sees A at the point ahead: the same A in both blocks."""
    total = 0.0
    for p, batch in draws(found, method):
        M = step(method, sum(w * H[m] for m, w in batch), eta)
        total = total + p * np.kron(M, M)
    return total


def radius(found, H, method, eta):
    return np.abs(np.linalg.eigvals(kronecker(found, H, method, eta))).max()


@pytest.mark.parametrize("kind", ["rows", "Hessians"])
@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("name", METHODS)
def test_the_threshold_is_where_the_enumerated_second_moment_turns(name, d, kind):
    method = METHODS[name]
    found, H = some_terms(5, d, kind)
    dynamics = Dynamics.of(found, method)
    bounds = mean_square(dynamics)
    eta = bounds.lower / dynamics.unit
    assert bounds.lower == bounds.upper <= deterministic(dynamics).upper
    assert radius(found, H, method, eta) == pytest.approx(1, abs=1e-9)
    assert radius(found, H, method, 0.99 * eta) < 1 - 1e-4
    assert radius(found, H, method, 1.01 * eta) > 1 + 1e-4


@pytest.mark.parametrize("d", [5, 6])
@pytest.mark.parametrize("name", ["SGD", "heavy ball", "Nesterov"])
def test_the_threshold_in_more_dimensions(name, d):
    found, H = some_terms(9, d, "rows")
    dynamics = Dynamics.of(found, METHODS[name])
    assert radius(found, H, METHODS[name], mean_square(dynamics).upper / dynamics.unit) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_the_growth_rate_is_the_largest_eigenvalue_of_the_enumerated_operator(name):
    for kind, d in itertools.product(("rows", "Hessians"), (1, 2, 3)):
        found, H = some_terms(4, d, kind)
        dynamics = Dynamics.of(found, METHODS[name])
        shares = np.array([0.003, 0.2, 0.6, 0.95, 1.3, 3.0])
        eta = shares * mean_square(dynamics).upper
        exact = [np.log(radius(found, H, METHODS[name], step_size / dynamics.unit)) for step_size in eta]
        np.testing.assert_allclose(growth_rates(dynamics, eta), exact, atol=2e-9)
        assert growth_rate(dynamics, eta[3]) == growth_rates(dynamics, eta)[3]


@pytest.mark.parametrize("method", [ds.HeavyBall(1.0, momentum=0.6), ds.Nesterov(1.0, momentum=0.6)], ids=repr)
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_the_growth_rate_is_right_where_two_roots_meet(method, noise):
    x = (1 - np.sqrt(0.6)) ** 2 if isinstance(method, ds.HeavyBall) else 1 - 4 * 0.6 / 1.6**2
    H = x * np.array([1 - noise, 1 + noise])[:, None, None]
    with mpmath.workdps(60):  # nearly a triple eigenvalue, which double precision finds to 1e-5
        moments = mpmath.zeros(4)
        for h in H:
            M = [[mpmath.mpf(entry) for entry in row] for row in step(method, h, mpmath.mpf(1))]
            for (i, j), (k, m) in itertools.product(np.ndindex(2, 2), repeat=2):
                moments[2 * i + k, 2 * j + m] += M[i][j] * M[k][m] / 2
        exact = float(mpmath.log(max(map(abs, mpmath.eig(moments, left=False, right=False)))))
    dynamics = Dynamics.of(terms(hessians=H), method)
    assert growth_rate(dynamics, dynamics.unit) == pytest.approx(exact, abs=3e-8)  # √ε: the roots themselves


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_one_dimension_by_hand(mu):
    h, a = np.array([0.5, 1.0, 4.0]), np.array([0.5, 0.3, 0.2])
    p = np.array([0.3, 0.3, 0.4])
    found = terms(gradients=np.sqrt(h)[:, None], weights=a)
    mean, square = a @ h, (a**2 / p) @ h**2
    eta = {  # Σ p (1 − η a h/p)² = 1, and the stationary variance of an autoregression of order 2
        ds.SGD: 2 * mean / square,
        ds.HeavyBall: 2 * mean * (1 - mu**2) / ((1 + mu) * (square - mean**2) + (1 - mu) * mean**2),
    }
    for kind, by_hand in eta.items():
        if kind is ds.SGD and mu:
            continue
        method = kind(1.0, ds.sampling.Proportions(p), **({} if kind is ds.SGD else {"momentum": mu}))
        dynamics = Dynamics.of(found, method)
        assert mean_square(dynamics).upper / dynamics.unit == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_without_noise_the_mean_decides(name):
    method = METHODS[name]
    full = type(method)(1.0, batch_size="full", **({"momentum": method.momentum} if "SGD" not in name else {}))
    found, _ = some_terms(5, 3, "rows")
    dynamics = Dynamics.of(found, full)
    top = deterministic(dynamics)
    assert mean_square(dynamics)[:2] == top[:2]
    A = np.diag(dynamics.curvatures)
    for share in (0.2, 0.999, 1.001):
        size = np.abs(np.linalg.eigvals(step(full, A, share * top.upper))).max()
        assert growth_rate(dynamics, share * top.upper) == pytest.approx(2 * np.log(size), abs=1e-12)
        assert (size < 1) == (share < 1)
    np.testing.assert_array_equal(top.direction, [0, 0, 1])


def test_larger_batches_allow_larger_steps_up_to_those_of_the_mean():
    found, _ = some_terms(8, 3, "rows")
    for scheme in (ds.sampling.Uniform(), ds.sampling.WithoutReplacement()):
        for kind in (ds.SGD, ds.HeavyBall, ds.Nesterov):
            found_at = [
                mean_square(Dynamics.of(found, kind(1.0, scheme, batch_size=B))).upper
                for B in (1, 2, 4, 6, 8, 10**6)
                if B <= 8 or isinstance(scheme, ds.sampling.Uniform)
            ]
            top = deterministic(Dynamics.of(found, kind(1.0))).upper
            assert (np.diff(found_at) > 0).all()
            assert found_at[-1] <= top
            if isinstance(scheme, ds.sampling.Uniform) or np.ptp(found.weights) == 0:
                assert found_at[-1] == pytest.approx(top, rel=1e-4)


def test_all_different_terms_are_the_full_batch():
    found = terms(gradients=rows(6, 2))
    dynamics = Dynamics.of(found, ds.SGD(1.0, ds.sampling.WithoutReplacement(), batch_size=6))
    assert mean_square(dynamics)[:2] == deterministic(dynamics)[:2]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("n", "d"), [(7, 4), (30, 3)])
def test_every_form_gives_the_same_threshold(monkeypatch, name, n, d):
    X = rows(n, d)
    by_rows = Dynamics.of(terms(gradients=X), METHODS[name])
    h = by_rows.features[:, :, None] * by_rows.features[:, None, :]
    by_hessians = Dynamics(**{**vars(by_rows), "features": None, "hessians": h})
    dense = mean_square(by_rows)
    assert dense.details["method"] == ("dense, terms" if n < d * (d + 1) / 2 else "dense, matrices")
    found = [mean_square(by_hessians)]
    rates = [growth_rate(by_rows, 0.7), growth_rate(by_hessians, 0.7)]
    monkeypatch.setattr(module, "_DENSE", 0)
    found += [mean_square(by_rows), mean_square(by_hessians)]
    rates += [growth_rate(by_rows, 0.7), growth_rate(by_hessians, 0.7)]
    assert {bounds.details["method"] for bounds in found} >= {"dense, matrices", "Lanczos, matrices"}
    for other in found:
        assert other.upper == pytest.approx(dense.upper, rel=1e-10)
        np.testing.assert_allclose(other.details["matrix"], dense.details["matrix"], atol=1e-6)
        np.testing.assert_allclose(other.direction, dense.direction, atol=1e-6)
    np.testing.assert_allclose(rates, rates[0], atol=1e-9)


@pytest.mark.parametrize("kind", ["rows", "Hessians"])
def test_the_solution_of_the_linear_system_is_one_in_every_form(monkeypatch, kind):
    found, _ = some_terms(9, 3, kind)
    dynamics = Dynamics.of(found, ds.HeavyBall(1.0, batch_size=2))
    eta = 0.9 * mean_square(dynamics).upper
    R = np.array([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 1.0]])
    coupling = Coupling(dynamics)
    W = coupling.weight(eta)
    S = coupling.solve(W, R)
    np.testing.assert_allclose(W * S - coupling.apply(S), R, atol=1e-10)
    monkeypatch.setattr(module, "_DENSE", 0)
    np.testing.assert_allclose(Coupling(dynamics).solve(W, R), S, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_the_matrix_at_the_threshold_is_a_second_moment_that_neither_grows_nor_decays(name):
    found, H = some_terms(5, 3, "rows")
    dynamics = Dynamics.of(found, METHODS[name])
    bounds = mean_square(dynamics)
    values, vectors = np.linalg.eigh(bounds.details["matrix"])
    assert values[0] > -1e-9
    assert values[-1] == pytest.approx(1)
    assert abs(vectors[:, -1] @ bounds.direction) == pytest.approx(1)
    if isinstance(METHODS[name], ds.SGD):
        S = dynamics.basis @ bounds.details["matrix"] @ dynamics.basis.T
        T = kronecker(found, H, METHODS[name], bounds.upper / dynamics.unit)
        np.testing.assert_allclose((T @ S.ravel()).reshape(S.shape), S, atol=1e-9)


def test_one_step_is_below_mean_square():
    for seed in range(20):
        found, H = some_terms(6, 3, "rows", seed)
        dynamics = Dynamics.of(found, ds.SGD(1.0))
        h = np.einsum("ji,njk,kl->nil", dynamics.basis, H, dynamics.basis) / dynamics.unit
        second = np.einsum("n,nij,njk->ik", dynamics.draws.second, h, h)
        root = 1 / np.sqrt(dynamics.curvatures)
        one_step = 2 / np.linalg.eigvalsh(root[:, None] * second * root)[-1]
        assert one_step <= mean_square(dynamics).upper * (1 + 1e-12)


def test_the_weights_of_the_pencil_fall_with_the_step_size_so_that_the_stable_ones_are_an_interval():
    curvatures = np.concatenate([np.logspace(-6, -1.01, 30), np.linspace(0.1, 1, 46)])
    found = terms(hessians=[np.diag(curvatures)] * 2)
    for mu in (0.0, 0.2, 0.5, 0.8, 0.9, 0.99, 0.999):
        for kind in (ds.HeavyBall, ds.Nesterov):
            dynamics = Dynamics.of(found, kind(1.0, momentum=mu))
            top = deterministic(dynamics).upper
            W = np.array([response(dynamics, eta)[0] for eta in np.linspace(0.001, 0.999, 300) * top])
            assert (W > 0).all()
            assert (np.diff(W, axis=0) < 0).all()
            assert np.all(response(dynamics, 0.5 * top)[1] > 0)


def test_the_response_is_the_sum_over_the_steps_after_a_unit_of_noise():
    found = terms(hessians=[np.diag([0.05, 0.4, 1.0])] * 2)
    for method, growth in itertools.product((ds.SGD(1.0), ds.HeavyBall(1.0), ds.Nesterov(1.0)), (0.0, 0.3)):
        dynamics = Dynamics.of(found, method)
        mu, A, eta = dynamics.momentum, np.diag(dynamics.curvatures), 0.9
        theta = before = np.zeros((3, 3))
        shown, q = [], np.zeros((3, 3))
        kick = np.eye(3)
        for _ in range(2000):  # each column a run that is kicked once
            after = q - eta * A @ q + kick if isinstance(method, ds.Nesterov) else None
            if after is None:
                after = theta - eta * A @ theta + mu * (theta - before) + kick
            before, theta, kick = theta, after, np.zeros((3, 3))
            q = theta + mu * (theta - before)
            shown.append(np.diag(q if isinstance(method, ds.Nesterov) else theta))
        shown = np.array(shown) * (1 + growth) ** (-0.5 * np.arange(1, 2001))[:, None]
        np.testing.assert_allclose(1 / response(dynamics, eta, growth)[0], eta**2 * shown.T @ shown, rtol=1e-9)


def test_the_null_space_is_left_out_and_counted():
    X = rows(6, 2)
    wide = np.hstack([X, np.zeros((6, 1))]) @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    plain, padded = (mean_square(Dynamics.of(terms(gradients=x), ds.SGD(1.0))) for x in (X, wide))
    assert padded.upper == pytest.approx(plain.upper, rel=1e-10)
    assert (plain.details["null_space"], padded.details["null_space"]) == (0, 1)


def test_what_cannot_be_done_is_refused(monkeypatch):
    found = terms(gradients=rows(30, 8))
    with pytest.raises(NotApplicable, match="do not depend on θ"):
        mean_square(Dynamics.of(found, ds.RR(1.0)))
    monkeypatch.setattr(module, "_DENSE", 0)
    monkeypatch.setattr(module, "_MOST_WORK", 100)
    with pytest.raises(TooLarge, match=r"30 terms in 8 dimensions .* sparse features"):
        mean_square(Dynamics.of(found, ds.SGD(1.0)))


# By simulation: the exact chain of ds.iterate against T_η^k. For k small enough an ensemble sees all of E‖w_k‖².

DESIGNED = {
    "two directions": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
    "one long row": np.array([[1.0, 0.2], [-0.3, 1.0], [0.5, 0.5], [2.0, -1.0]]),
    "nearly parallel": np.array([[1.0, 0.1], [1.0, -0.1], [1.2, 0.0], [0.8, 0.3]]),
}
RNG = np.random.default_rng(11)
DISPARITY = RNG.normal(size=(40, 10)) * np.where(np.arange(40) < 4, 10.0, 1.0)[:, None]


@pytest.mark.parametrize("name", [*DESIGNED, "ten dimensions, disparity 10"])
@pytest.mark.parametrize("share", [0.99, 1.01], ids=["below", "above"])
def test_simulated_second_moments_are_those_of_the_operator(name, share):
    X = DESIGNED.get(name, DISPARITY)
    n, d = X.shape
    problem = ds.problems.linear_model(X, np.zeros(n))
    found = terms(problem, np.zeros(d))
    dynamics = Dynamics.of(found, ds.SGD(1.0))
    eta = share * mean_square(dynamics).upper / dynamics.unit
    assert (growth_rate(dynamics, eta * dynamics.unit) < 0) == (share < 1)
    start = dynamics.basis @ mean_square(dynamics).direction
    n_steps, n_paths = (3, 400_000) if d == 2 else (2, 100_000)
    run = ds.iterate(problem, ds.SGD(eta), start, n_steps=n_steps, n_paths=n_paths, rng=1, save_every=None)
    squares = (run.x[:, -1] ** 2).sum(axis=1)

    def exact(step_size):
        S = np.outer(start, start)
        for _ in range(n_steps):
            S = np.mean([(M := np.eye(d) - step_size * np.outer(x, x)) @ S @ M for x in X], axis=0)
        return np.trace(S)

    stderr = squares.std() / np.sqrt(n_paths)
    assert abs(squares.mean() - exact(eta)) < 5 * stderr
    assert abs(squares.mean() - exact(1.03 * eta)) > 5 * stderr  # 3 % off would be seen
