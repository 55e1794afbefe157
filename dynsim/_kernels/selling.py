"""Selling's reduction: a positive semidefinite tensor as a sum of weights times squares of short integer vectors.

    D = Σ_k w_k e_k e_kᵀ,   w_k ≥ 0,   |e_k|_∞ ≤ limit,   3 vectors in two dimensions, 6 in three.

Three vectors of the plane that sum to 0, any two of them a basis of the integers, span the symmetric matrices, so that
D has unique weights. While one is negative, the parallelogram law (p + q)(p + q)ᵀ = 2ppᵀ + 2qqᵀ − (p − q)(p − q)ᵀ
exchanges its vector for another (Selling 1874; Conway & Sloane 1992). A tensor that is elongated along a direction
that is no ratio of small integers needs long vectors; past the limit a little isotropic or transversal noise is added.
"""

import math

from dynsim._kernels.jit import formula

_ROUNDING = 2e-15  # of the trace: what a weight may fall below 0 for no other reason
_NEGLIGIBLE = 1e-14  # of the trace: weights of less are the rounding of a zero
_LEAST_INCREASE = 1e-3  # of trace/limit², the size of what is added: finer steps are not worth the time
_PAIRS = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1))


@formula
def reduce(tensor, d, trace, limit, e, w, base):
    """Fill e (6, 3) and w (6,) from tensor (3, 3), whose first d rows count; return (vectors, trace that was added).

    base (4, 3) is scratch. Tensors in one dimension are their own reduction.
    """
    vectors, added = 1, 0.0
    if d == 1:
        e[0, 0], w[0] = 1, tensor[0, 0]
    elif d == 2:
        vectors, added = 3, _reduce_2(tensor, trace, limit, e, w)
    else:
        vectors, added = 6, _reduce_3(tensor, trace, limit, e, w, base)
    for k in range(vectors):
        square = 0
        for a in range(d):
            square += e[k, a] * e[k, a]
        if w[k] * square <= _NEGLIGIBLE * trace:
            w[k] = 0.0
    return vectors, added


@formula
def _reduce_2(tensor, trace, limit, e, w):
    """The plane: D' nearest to D in trace lies on the edge of what the vectors within the limit can make."""
    e[0, 0], e[0, 1] = 1, 0
    e[1, 0], e[1, 1] = 0, 1
    e[2, 0], e[2, 1] = -1, -1
    w[0], w[1], w[2] = tensor[0, 0] - tensor[0, 1], tensor[1, 1] - tensor[0, 1], tensor[0, 1]
    added = 0.0
    k = _lowest(w, 3)
    while w[k] < -_ROUNDING * trace:
        p, q = (k + 1) % 3, (k + 2) % 3
        x, y = e[p, 0] - e[q, 0], e[p, 1] - e[q, 1]
        if max(abs(x), abs(y)) > limit:
            added = _add_across(e, w, k, p, q)
            break
        w[p] += 2.0 * w[k]
        w[q] += 2.0 * w[k]
        w[k] = -w[k]
        e[q, 0], e[q, 1] = -e[q, 0], -e[q, 1]
        e[k, 0], e[k, 1] = -x, -y
        k = _lowest(w, 3)
    for k in range(3):
        w[k] = max(w[k], 0.0)
    return added


@formula
def _add_across(e, w, k, p, q):
    """Add the least c (p/√t + √t q)(…)ᵀ, t = |p|/|q|, that removes the negative weight −c of p + q; its trace."""
    c = -w[k]
    squares = float(e[p, 0] * e[p, 0] + e[p, 1] * e[p, 1]) * float(e[q, 0] * e[q, 0] + e[q, 1] * e[q, 1])
    t = math.sqrt(squares) / (e[q, 0] * e[q, 0] + e[q, 1] * e[q, 1])
    w[p] += c / t - c
    w[q] += c * t - c
    w[k] = 0.0
    inner = e[p, 0] * e[q, 0] + e[p, 1] * e[q, 1]
    return 2.0 * c / (math.sqrt(squares) - inner)  # = 2c (|p||q| + p·q), as det(p, q) = ±1


@formula
def _lowest(w, n):
    k = 0
    for j in range(1, n):
        if w[j] < w[k]:
            k = j
    return k


@formula
def _reduce_3(tensor, trace, limit, e, w, base):
    """Space: D + s I with the least s, found from below, for which no vector exceeds the limit."""
    s = 0.0
    while True:
        shortfall = _reduce_3_within(tensor, s, trace, limit, e, w, base)
        if shortfall == 0.0:
            break
        s = max(s + shortfall, 1.02 * s + _LEAST_INCREASE * trace / (limit * limit))
    for k in range(6):
        w[k] = max(w[k], 0.0)
    return 3.0 * s


@formula
def _reduce_3_within(tensor, s, trace, limit, e, w, base):
    """Reduce D + s I by an obtuse superbase; 0, or an estimate of what s lacks for vectors within the limit."""
    for i in range(4):
        for j in range(3):
            base[i, j] = -1 if i == 3 else 1 if i == j else 0
    for k in range(6):
        i, j = _PAIRS[k][0], _PAIRS[k][1]
        product = 0.0
        for a in range(3):
            for b in range(3):
                product += base[i, a] * base[j, b] * (tensor[a, b] + (s if a == b else 0.0))
        w[k] = -product
        _cross(base, _PAIRS[k][2], _PAIRS[k][3], e, k)
    worst = _lowest(w, 6)
    while w[worst] < -_ROUNDING * trace:
        i, j, k, m = _PAIRS[worst]
        for a in range(3):
            base[k, a] += base[i, a]
            base[m, a] += base[i, a]
        _cross(base, k, m, e, worst)
        if max(abs(e[worst, 0]), abs(e[worst, 1]), abs(e[worst, 2])) > limit:
            overlap = 0.0
            for a in range(3):
                overlap -= base[i, a] * base[j, a]
            return -w[worst] / overlap if overlap > 0.0 else 0.5 * s + trace / (8.0 * limit * limit)
        for a in range(3):
            base[i, a] = -base[i, a]
        _exchange(e, w, worst)
        worst = _lowest(w, 6)
    return 0.0


@formula
def _exchange(e, w, worst):
    """The other five weights after the exchange of (i, j): those of (i, k) and (i, m) change places."""
    i, j, k, m = _PAIRS[worst]
    c = -w[worst]
    ik, im = _pair(i, k), _pair(i, m)
    w[ik], w[im] = w[im] - c, w[ik] - c
    for a in range(3):
        e[ik, a], e[im, a] = e[im, a], e[ik, a]
    w[_pair(j, k)] -= c
    w[_pair(j, m)] -= c
    w[_pair(k, m)] += c
    w[worst] = c


@formula
def _pair(i, j):
    """Where (i, j) stands in _PAIRS."""
    low, high = min(i, j), max(i, j)
    return high - 1 if low == 0 else low + high


@formula
def _cross(base, k, m, e, row):
    """Row of e = the cross product of two vectors of the superbase."""
    e[row, 0] = base[k, 1] * base[m, 2] - base[k, 2] * base[m, 1]
    e[row, 1] = base[k, 2] * base[m, 0] - base[k, 0] * base[m, 2]
    e[row, 2] = base[k, 0] * base[m, 1] - base[k, 1] * base[m, 0]
