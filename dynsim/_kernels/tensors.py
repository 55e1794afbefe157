"""Symmetric tensors of up to three dimensions, the first d rows of (3, 3) arrays: eigenvectors, solutions."""

import math

from dynsim._kernels.jit import formula

_WELL_CONDITIONED = 1e-8  # of the trace: with smaller eigenvalues, they are computed
_RANGE = 1e-10  # of the trace: eigenvalues from which D carries all of the drift along their vector
_NO_ROTATION = 1e-18  # of two diagonal entries: an entry between them that rounds away


@formula
def is_well_conditioned(tensor, d):
    """Whether the least eigenvalue is surely above a small part of the trace: it exceeds det D / e_{d−1}(D)."""
    a = tensor[0, 0]
    if d == 1:
        return a > 0.0
    c, ab = tensor[1, 1], tensor[0, 0] * tensor[1, 1] - tensor[0, 1] ** 2
    if d == 2:
        return a > 0.0 and ab > _WELL_CONDITIONED * (a + c) ** 2
    f = tensor[2, 2]
    minors = ab + (a * f - tensor[0, 2] ** 2) + (c * f - tensor[1, 2] ** 2)
    determinant = f * ab - a * tensor[1, 2] ** 2 - c * tensor[0, 2] ** 2
    determinant += 2.0 * tensor[0, 1] * tensor[0, 2] * tensor[1, 2]
    return a > 0.0 and ab > 0.0 and determinant > _WELL_CONDITIONED * (a + c + f) * minors


@formula
def solve(tensor, drift, d, solved):
    """The solution of D β = μ, by elimination, which overwrites D."""
    for a in range(d):
        solved[a] = drift[a]
        for b in range(a):
            factor = tensor[a, b] / tensor[b, b]
            for c in range(b, d):
                tensor[a, c] -= factor * tensor[b, c]
            solved[a] -= factor * solved[b]
    for a in range(d - 1, -1, -1):
        for b in range(a + 1, d):
            solved[a] -= tensor[a, b] * solved[b]
        solved[a] /= tensor[a, a]


@formula
def solve_in_range(tensor, drift, d, eigen, solved):
    """Σ_j f(λ_j)/λ_j u_j u_jᵀ μ over the eigenvectors; f rises from 0 to 1 at a small part of the trace."""
    least = 0.0
    for a in range(d):
        least += _RANGE * tensor[a, a]
    decompose(tensor, d, eigen)
    vectors, values = eigen[3:6], eigen[6]
    for a in range(d):
        solved[a] = 0.0
    for j in range(d):
        if values[j] <= 0.0:
            continue
        along = 0.0
        for a in range(d):
            along += vectors[a, j] * drift[a]
        for a in range(d):
            solved[a] += vectors[a, j] * along / max(values[j], least)


@formula
def decompose(tensor, d, eigen):
    """By Jacobi's rotations: eigenvectors as the columns of eigen[3:6], eigenvalues in eigen[6]; the rest is spare."""
    for i in range(d):
        for j in range(d):
            eigen[i, j] = tensor[i, j]
            eigen[3 + i, j] = 1.0 if i == j else 0.0
    rotated = True
    while rotated:
        rotated = False
        for p in range(d - 1):
            for q in range(p + 1, d):
                if abs(eigen[p, q]) > _NO_ROTATION * (abs(eigen[p, p]) + abs(eigen[q, q])):
                    _rotate(eigen, d, p, q)
                    rotated = True
    for i in range(d):
        eigen[6, i] = eigen[i, i]


@formula
def _rotate(eigen, d, p, q):
    """Turn the axes p and q so that entry (p, q) vanishes."""
    slope = (eigen[q, q] - eigen[p, p]) / (2.0 * eigen[p, q])
    tangent = math.copysign(1.0, slope) / (abs(slope) + math.hypot(slope, 1.0))
    cosine = 1.0 / math.sqrt(1.0 + tangent * tangent)
    sine = tangent * cosine
    for k in range(d):
        _turn(eigen, k, p, k, q, cosine, sine)
        _turn(eigen, 3 + k, p, 3 + k, q, cosine, sine)
    for k in range(d):
        _turn(eigen, p, k, q, k, cosine, sine)
    eigen[p, q] = eigen[q, p] = 0.0


@formula
def _turn(eigen, i, j, k, m, cosine, sine):
    x, y = eigen[i, j], eigen[k, m]
    eigen[i, j], eigen[k, m] = cosine * x - sine * y, sine * x + cosine * y
