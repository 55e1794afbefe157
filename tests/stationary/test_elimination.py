"""Sparse elimination against dense algebra, and against a product formula where dense algebra fails."""

import numpy as np
import pytest
from scipy import sparse

from dynsim.errors import NotApplicable, TooLarge
from dynsim.stationary.elimination import Elimination, log_stationary


def random_chain(m, rng, density=0.02):
    """Rates of an irreducible chain, and points that say little about who is whose neighbor."""
    ring = sparse.csr_array((rng.random(m), (np.arange(m), (np.arange(m) + 1) % m)), shape=(m, m))
    return (sparse.random_array((m, m), density=density, rng=rng) + ring).tocsr(), rng.random((m, 2))


def generator(rates, leaving=0.0):
    dense = rates.toarray()
    np.fill_diagonal(dense, 0.0)
    return np.diag(dense.sum(axis=1) + leaving) - dense


@pytest.mark.parametrize("m", [3, 60, 300, 700])
def test_solutions_agree_with_dense_algebra(m):
    rng = np.random.default_rng(m)
    rates, points = random_chain(m, rng)
    leaving, b = rng.random(m), rng.standard_normal((m, 3))
    elimination, matrix = Elimination(rates, points, leaving=leaving), generator(rates, leaving)
    np.testing.assert_allclose(elimination.solve(b), np.linalg.solve(matrix, b), atol=1e-12)
    np.testing.assert_allclose(elimination.solve_left(b), np.linalg.solve(matrix.T, b), atol=1e-12)
    np.testing.assert_allclose(elimination.solve(b[:, 0]), elimination.solve(b)[:, 0], atol=1e-14)


@pytest.mark.parametrize("m", [2, 60, 300, 700])
def test_the_root_is_pinned_and_the_stationary_law_is_that_of_dense_elimination(m):
    rng = np.random.default_rng(m + 1)
    rates, points = random_chain(m, rng)
    root = m // 3
    elimination = Elimination(rates, points, root=root)
    others = np.flatnonzero(np.arange(m) != root)
    inner = generator(rates)[np.ix_(others, others)]
    b = rng.standard_normal(m)
    for solve, matrix in ((elimination.solve, inner), (elimination.solve_left, inner.T)):
        x = solve(b)
        assert x[root] == 0
        np.testing.assert_allclose(x[others], np.linalg.solve(matrix, b[others]), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(elimination.log_stationary(), log_stationary(rates.toarray()), atol=1e-12)
    light = Elimination(rates, points, root=root, stationary_only=True)
    assert np.array_equal(light.log_stationary(), elimination.log_stationary())


def test_masses_of_1e_minus_290_and_times_of_1e200_are_right():
    """Birth and death: p_{i+1}/p_i = u_i/d_i, and the time from the top of a wall is a sum of products."""
    n = 146
    up, down = np.full(n - 1, 0.01), np.full(n - 1, 1.0)
    i = np.arange(n - 1)
    rates = sparse.csr_array((np.r_[up, down], (np.r_[i, i + 1], np.r_[i + 1, i])), shape=(n, n))
    points = np.arange(n)[:, None].astype(float)
    log_p = Elimination(rates, points, root=0).log_stationary()
    exact = np.append(0.0, np.cumsum(np.log(up / down)))
    exact -= np.logaddexp.reduce(exact)
    np.testing.assert_allclose(log_p, exact, rtol=1e-12)
    assert exact.min() < -289 * np.log(10)

    short = 101  # from 0 to the end: T = Σ_k Σ_{j≤k} (1/u_j) Π_{j<l≤k} d_{l-1}/u_l
    block, into = rates[: short - 1][:, : short - 1], np.zeros(short - 1)
    into[-1] = up[short - 2]
    time = Elimination(block, points[: short - 1], leaving=into).solve(np.ones(short - 1))[0]
    steps = np.zeros(short - 1)
    for k in range(short - 1):
        steps[k] = (1 + (down[k - 1] * steps[k - 1] if k else 0)) / up[k]
    assert time == pytest.approx(steps.sum(), rel=1e-12)
    assert time > 1e199


def test_a_state_that_is_never_left_is_refused():
    rates = sparse.csr_array(np.array([[0, 1.0, 0], [0, 0, 0], [1.0, 1.0, 0]]))
    with pytest.raises(NotApplicable, match="some state is never left"):
        Elimination(rates, np.arange(3.0)[:, None], root=2)


def test_factors_that_are_too_large_are_refused():
    rates, points = random_chain(300, np.random.default_rng(0))
    with pytest.raises(TooLarge, match="elimination would take"):
        Elimination(rates, points, root=0, most=1000)
