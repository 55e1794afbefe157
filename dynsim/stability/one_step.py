"""Critical step sizes of AY Lemma 3.2 for a linear model, in closed form."""

import numpy as np
from scipy.linalg import eigh, svd

from dynsim.errors import NotApplicable

_MOST_SIGNS = 20  # rows up to which all 2^(n−1) sign patterns are tried
_STARTS = 64  # of the local search beyond
_RANK = 1e-10  # singular values below this share of the largest are a null space
_ROUNDS = 200  # of the descent on the certified bound


def critical_for_fixed(X, weights, proportions):
    """η* = 2/λ_max of (Σ a_n² H_n²/p_n, Σ a_n H_n) on the range of H; AY (3.10) for p = a.

    Returns (η*, the direction (d,) in which stability is lost, rank of H).
    """
    X, unit = _scaled(X)
    basis = _range(X, weights)
    x = X @ basis
    square = (x * x).sum(axis=1)
    second = (x * (weights**2 / proportions * square)[:, None]).T @ x
    mean = (x * weights[:, None]).T @ x
    values, vectors = eigh(second, mean)
    direction = basis @ vectors[:, -1]
    return 2 / float(values[-1]) / unit**2, direction / np.linalg.norm(direction), basis.shape[1]


def critical_for_gradient_norm(X, weights):
    """η* = 2 / max_s w_sᵀ H⁻¹ w_s, w_s = Σ a_n s_n ‖x_n‖ x_n: AY (3.11) read as a quadratic form.

    Returns (lower, upper, direction, rank). With v_n = H^(−½) a_n ‖x_n‖ x_n the maximum is that of ‖Σ s_n v_n‖², the
    longest vector of a zonotope: over all sign patterns for few rows, by a sweep of the angle in two dimensions, and
    otherwise between a local search and the bound of :func:`_certified`.
    """
    X, unit = _scaled(X)
    basis = _range(X, weights)
    x = X @ basis
    values, vectors = np.linalg.eigh((x * weights[:, None]).T @ x)
    root = vectors / np.sqrt(values)  # H^(−½) up to a rotation
    v = (weights * np.linalg.norm(x, axis=1))[:, None] * (x @ root)
    if v.shape[1] == 1:
        signs = np.where(v[:, 0] < 0, -1.0, 1.0)
        exact = True
    elif v.shape[0] <= _MOST_SIGNS:
        signs, exact = _best_of_all_signs(v), True
    elif v.shape[1] == 2:
        signs, exact = _best_by_angle(v), True
    else:
        signs, exact = _best_by_search(v), False
    longest = signs @ v
    least = float(longest @ longest)
    most = least if exact else max(least, _certified(v, weights * (x * x).sum(axis=1)))
    direction = basis @ (root @ longest)
    return 2 / most / unit**2, 2 / least / unit**2, direction / np.linalg.norm(direction), basis.shape[1]


def _scaled(X):
    """X in units of its largest entry, and the unit: its squares then neither overflow nor underflow."""
    unit = float(np.abs(X).max())
    if unit == 0:
        raise NotApplicable("all features are zero, so no step size is unstable")
    return X / unit, unit


def _range(X, weights):
    """Orthonormal basis (d, rank) of the range of H."""
    _, singular, rows = svd(np.sqrt(weights)[:, None] * X, full_matrices=False)
    return rows[singular > _RANK * singular[0]].T


def _best_of_all_signs(v):
    n = v.shape[0]
    patterns = np.arange(2 ** (n - 1))
    best, best_square = None, -1.0
    for part in np.array_split(patterns, max(1, patterns.size // 2**14)):
        signs = 1.0 - 2.0 * ((part[:, None] >> np.arange(n)) & 1)  # the last sign is +: s and −s are one
        squares = ((signs @ v) ** 2).sum(axis=1)
        if squares.max() > best_square:
            best, best_square = signs[squares.argmax()], squares.max()
    return best


def _best_by_angle(v):
    """In the plane the maximizer is s = sign(v·u) for some u: one sign pattern between two neighboring normals."""
    normals = np.sort((np.arctan2(v[:, 1], v[:, 0]) + np.pi / 2) % np.pi)
    middle = 0.5 * (normals + np.append(normals[1:], normals[0] + np.pi))
    signs = np.where(v @ np.stack([np.cos(middle), np.sin(middle)]) < 0, -1.0, 1.0).T
    return signs[((signs @ v) ** 2).sum(axis=1).argmax()]


def _best_by_search(v):
    """Ascent s ← sign(v·Σ s_m v_m) from many fixed starts."""
    directions = np.random.default_rng(0).standard_normal((_STARTS, v.shape[1]))
    signs = np.where(directions @ v.T < 0, -1.0, 1.0)
    while True:
        improved = np.where((signs @ v) @ v.T < 0, -1.0, 1.0)
        if (improved == signs).all():
            return signs[((signs @ v) ** 2).sum(axis=1).argmax()]
        signs = improved


def _certified(v, d):
    """An upper bound of max_s ‖Σ s_n v_n‖²: for any d > 0, it is at most Σd · λ_max(Σ v_n v_nᵀ/d_n).

    The bound is the Lagrange dual of the semidefinite relaxation, so d can be improved by any means; here by
    averaging in steps towards d_n ∝ |v_n·u|, u the leading eigenvector. Within π/2 of the maximum at the best d; the
    start d_n = a_n ‖x_n‖² gives Σ a_n ‖x_n‖².
    """
    v, d = v[d > 0], d[d > 0]
    best = np.inf
    for k in range(_ROUNDS):
        values, vectors = np.linalg.eigh((v / d[:, None]).T @ v)
        best = min(best, float(d.sum() * values[-1]))
        wanted = np.abs(v @ vectors[:, -1])
        wanted = wanted / wanted.sum() * d.sum()
        rate = 1 / (k + 2)
        d = (1 - rate) * d + rate * wanted
    return best
