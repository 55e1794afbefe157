"""Thresholds by products with sparse rows against those of the matrices themselves."""

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import eigh

import dynsim as ds
from dynsim.stability import matrix_free
from dynsim.stability.dynamics import Draws

RR = ds.RR(0.1)
FIXED = {
    "SGD": ds.SGD(0.1),
    "batches": ds.SGD(0.1, batch_size=8),
    "without replacement": ds.SGD(0.1, ds.sampling.WithoutReplacement(), batch_size=5),
    "Lipschitz": ds.SGD(0.1, ds.sampling.Lipschitz()),
    "full": ds.SGD(0.1, batch_size="full"),
}


def rows(n, d, filled, seed=0, disparity=True):
    """Rows of a few entries at random places, of very different norms."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n * filled)
    if disparity:
        x *= np.repeat(rng.exponential(size=n), filled)
    places = (np.repeat(np.arange(n), filled), rng.integers(d, size=n * filled))
    return sparse.csr_array((x, places), shape=(n, d))


def by_products(X, method, criterion="one-step", weights=None):
    terms = ds.stability.terms(gradients=X, weights=weights)
    return matrix_free.bounds(terms, Draws.of(terms, method), criterion)


def by_matrices(X, method, weights=None):
    """2/λ_max of (Σ second ‖x‖² xxᵀ + mean H², H), H⁻¹ on the range of H."""
    terms = ds.stability.terms(gradients=X, weights=weights)
    draws, x, a = Draws.of(terms, method), X.toarray(), terms.weights
    H = (x.T * a) @ x
    K = (x.T * (draws.second * (x * x).sum(axis=1))) @ x + draws.mean * H @ H
    values, vectors = np.linalg.eigh(H)
    kept = vectors[:, values > 1e-10 * values[-1]]
    return 2 / eigh(kept.T @ K @ kept, kept.T @ H @ kept, eigvals_only=True)[-1]


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(("n", "d", "filled"), [(60, 6, 3), (300, 60, 4), (1500, 150, 10)])
@pytest.mark.parametrize("disparity", [False, True], ids=["similar", "disparate"])
def test_products_find_the_threshold_of_the_matrices(name, n, d, filled, disparity):
    X = rows(n, d, filled, seed=n, disparity=disparity)
    a = np.random.default_rng(1).random(n) + 0.5
    exact = by_matrices(X, FIXED[name], a)
    found = by_products(X, FIXED[name], weights=a)
    assert found.upper == pytest.approx(exact, rel=1e-8)
    assert exact * (1 - 1e-10) <= found.upper  # Ritz values are below the largest eigenvalue
    assert found.lower <= exact * (1 + 1e-10)
    assert found.lower > 0.9999 * exact
    assert found.details["floor"] <= exact * (1 + 1e-10)


@pytest.mark.parametrize("method", [FIXED["SGD"], FIXED["batches"]], ids=["SGD", "batches"])
def test_more_columns_than_rows_and_columns_without_entries_do_no_harm(method):
    X = rows(60, 120, 4)
    found = by_products(X, method)
    unused = np.flatnonzero(abs(X).sum(axis=0) == 0)
    assert found.details["unused_columns"] == unused.size > 0
    assert (found.direction[unused] == 0).all()
    assert found.upper == pytest.approx(by_matrices(X, method), rel=1e-5)
    assert found.details["floor"] <= found.lower <= by_matrices(X, method) * (1 + 1e-10)


@pytest.mark.parametrize("d", [8, 200])
@pytest.mark.parametrize("sign", ["mixed", "positive"])
def test_two_over_the_largest_curvature(d, sign):
    X = rows(500, d, 4)
    X = abs(X) if sign == "positive" else X
    exact = 2 / np.linalg.eigvalsh((X.T @ X).toarray() / 500)[-1]
    found = by_products(X, FIXED["SGD"], "deterministic")
    assert exact * (1 - 1e-12) <= found.upper <= exact * (1 + 1e-9)
    assert found.lower <= exact * (1 + 1e-12)
    assert found.lower == pytest.approx(exact, rel=1e-6)
    assert found.details["floor"] <= exact * (1 + 1e-12)
    if sign == "positive":
        assert found.details["floor"] == pytest.approx(exact, rel=1e-3)  # by Perron and Frobenius
    image = X.T @ (X @ found.direction) / 500
    assert image @ found.direction == pytest.approx(2 / exact, rel=1e-9)


@pytest.mark.parametrize(
    "method",
    [
        RR,
        ds.SGD(0.1, ds.sampling.GradientNorm(), batch_size=4),
        ds.SGD(0.1, ds.sampling.Mixture(0.4)),
        ds.SGD(0.1, ds.sampling.Mixture(0.4), batch_size=3),
    ],
    ids=["RR", "RR 4", "Mixture", "Mixture 3"],
)
def test_bounds_by_gradient_norm_hold_those_of_the_matrices(method):
    X = rows(200, 20, 4)
    dense = ds.step_size_range(ds.stability.terms(gradients=X.toarray()), method)
    found = by_products(X, method)
    assert found.details["floor"] <= found.lower <= dense.upper
    assert dense.lower <= found.upper
    assert found.upper / found.lower < np.pi / 2
    if method is RR:
        assert found.lower == pytest.approx(2 / X.multiply(X).sum(axis=1).mean(), rel=1e-12)
    terms = ds.stability.terms(gradients=X)
    H = (X.T @ X).toarray() / 200
    x, u = X.toarray(), found.direction
    norms = np.linalg.norm(x, axis=1) * np.abs(x @ u)
    draws = Draws.of(terms, method)
    p = draws.share * norms / norms.sum() + (1 - draws.share) / 200
    second = (norms**2 / (200**2 * p)).sum() / draws.batch + draws.mean * u @ H @ H @ u
    assert found.upper == pytest.approx(2 * u @ H @ u / second, rel=1e-9)


@pytest.mark.parametrize("name", ["SGD", "batches", "without replacement"])
@pytest.mark.parametrize("disparity", [False, True], ids=["similar", "disparate"])
def test_mean_square_bounds_hold_the_eigenvalue_of_the_kronecker_form(name, disparity):
    """η* = 1/λ_max(𝓛^(−½) K 𝓛^(−½)), with matrices of d² × d²."""
    X = rows(80, 7, 3, disparity=disparity)
    terms = ds.stability.terms(gradients=X)
    draws, x = Draws.of(terms, FIXED[name]), X.toarray()
    H, eye = x.T @ x / 80, np.eye(7)
    pairs = (x[:, :, None] * x[:, None, :]).reshape(80, 49)
    K = (pairs.T * draws.second) @ pairs + draws.mean * np.kron(H, H)
    exact = 1 / eigh(K, np.kron(H, eye) + np.kron(eye, H), eigvals_only=True)[-1]
    found = by_products(X, FIXED[name], "mean-square")
    assert found.lower <= exact <= found.upper * (1 + 1e-12)
    assert found.upper < 1.05 * exact
    assert found.lower == by_products(X, FIXED[name]).lower


def test_mean_square_of_rr_ends_where_the_mean_does():
    X = rows(200, 60, 4)
    found = by_products(X, RR, "mean-square")
    assert found.upper == by_products(X, RR, "deterministic").upper
    assert found.lower == by_products(X, RR).lower
    assert by_products(X, RR, "lemma").details["vacuous"]


@pytest.mark.parametrize("method", [FIXED["SGD"], RR, FIXED["batches"]], ids=["SGD", "RR", "batches"])
def test_units_and_rows_of_zeros_do_not_matter(method):
    X = rows(100, 60, 4)
    first = by_products(X, method)
    for unit in (1e-100, 1e100):
        found = by_products(X * unit, method)
        assert np.array(found[:2]) * unit * unit == pytest.approx(first[:2], rel=1e-6)
    filled = by_products(X, method, weights=np.full(100, 1.0))
    empty = sparse.vstack([X, sparse.csr_array((1, 60))], format="csr")
    light = by_products(empty, method, weights=np.append(np.ones(100), 1e-9))
    assert light.upper == pytest.approx(filled.upper, rel=1e-6)


def test_the_public_range_of_many_sparse_columns_is_that_of_products():
    X = rows(3000, 1200, 5)
    terms = ds.stability.terms(gradients=X)
    found = ds.step_size_range(terms, ds.SGD(0.1))
    assert found.upper == pytest.approx(by_matrices(X, ds.SGD(0.1)), rel=1e-7)
    assert found.lower <= found.upper
    with pytest.raises(ds.errors.NotApplicable, match="sparse columns"):
        ds.step_size_range(terms, ds.SGD(0.1), criterion="almost-sure")
