"""The same Brownian path on a finer grid, by Brownian bridges of W and of its time integral.

A step is described by two independent normals: ζ of its increment, ΔW = √h ζ, and υ of the area under the path,
∫∫ dW ds = h^{3/2} (ζ + υ/√3)/2. Split into p equal parts with normals (w_i, u_i) of their own, i = 0 … p − 1, the
parts must give the whole:

    Σ w_i = √p ζ,    Σ (c_i w_i + u_i/√12) = p^{3/2} υ/√12,    c_i = (p − 1)/2 − i.

The two conditions are orthogonal, of squared lengths p and p³/12; so fresh normals are made to fulfill them by
adding the multiples of (1, 0) and (c_i, 1/√12) that are missing. A refinement by r is done prime factor by prime
factor, so that the path for r is that of every divisor reached on the way, refined further.
"""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.threefry import fill_normals

# Each level of refinement, and each kind of noise, has a key of its own: the run's, with odd multiples of these added.
_LEVEL_KEY = np.uint64(0x9E3779B97F4A7C15)
_KIND_KEY = np.uint64(0xD1B54A32D192ED03)
_SQRT12 = np.sqrt(12.0)


@formula
def _key_of(key, level, kind):
    result = key.copy()
    result[0] += _KIND_KEY * np.uint64(kind)
    result[1] += _LEVEL_KEY * np.uint64(level)
    return result


@formula
def _fill(key, path, first, component, scale, out, spare):
    """Normals of steps first, first + 1, … (first even) into out (steps, W); spare (W,) takes a last odd one."""
    for a in range(0, out.shape[0], 2):
        odd = out[a + 1] if a + 1 < out.shape[0] else spare
        fill_normals(key, path, (first + a) // 2, component, scale, out[a], odd)


@formula
def _split_one(p, w, u, zeta, upsilon):
    """Make w and u (p, W), fresh normals, the parts of a step with zeta (W,) and upsilon (W,); these are lost."""
    widest_vectors()
    for i in range(zeta.shape[0]):
        zeta[i] *= np.sqrt(p)
        upsilon[i] *= p * np.sqrt(p) / _SQRT12
    for a in range(p):
        c = 0.5 * (p - 1) - a
        for i in range(zeta.shape[0]):
            zeta[i] -= w[a, i]
            upsilon[i] -= c * w[a, i] + u[a, i] / _SQRT12
    for a in range(p):
        c = 0.5 * (p - 1) - a
        for i in range(zeta.shape[0]):
            beta = 12.0 / (p * p * p) * upsilon[i]
            w[a, i] += zeta[i] / p + c * beta
            u[a, i] += beta / _SQRT12


@formula
def _split(key, path, k, component, factors, scale, w, u, parent):
    """Split w[0], u[0] (W,), the normals of step k, into those of r = Π factors parts; parent (3, W) is scratch."""
    parts = 1
    for level in range(factors.shape[0]):
        p = factors[level]
        w_key, u_key = _key_of(key, level + 1, 0), _key_of(key, level + 1, 1)
        even = p + p % 2  # counters of one parent, so that each starts with a pair
        for a in range(parts - 1, -1, -1):  # from the last on: children never overwrite a parent yet to be split
            parent[0], parent[1] = w[a], u[a]
            children = slice(a * p, (a + 1) * p)
            _fill(w_key, path, (k * parts + a) * even, component, scale, w[children], parent[2])
            _fill(u_key, path, (k * parts + a) * even, component, scale, u[children], parent[2])
            _split_one(p, w[children], u[children], parent[0], parent[1])
        parts *= p


@formula
def fill_refined(key, path, pair, factors, scale, xi):
    """Normals N(0, scale²) of the 2 r fine steps in the coarse steps 2·pair and 2·pair + 1: xi (2 r, kinds, m, W).

    Kind 0 is ζ, kind 1 is υ; further ones are independent numbers that belong to no path.
    """
    widest_vectors()
    r = xi.shape[0] // 2
    kinds, m, width = xi.shape[1], xi.shape[2], xi.shape[3]
    if r == 1:
        for c in range(m):
            fill_normals(key, path, pair, c, scale, xi[0, 0, c], xi[1, 0, c])
        for kind in range(1, kinds):
            kind_key = _key_of(key, 0, kind)
            for c in range(m):
                fill_normals(kind_key, path, pair, c, scale, xi[0, kind, c], xi[1, kind, c])
        return
    w, u, parent = np.empty((2, r, width)), np.empty((2, r, width)), np.empty((3, width))
    area_key = _key_of(key, 0, 1)
    for c in range(m):
        fill_normals(key, path, pair, c, scale, w[0, 0], w[1, 0])
        fill_normals(area_key, path, pair, c, scale, u[0, 0], u[1, 0])
        for half in range(2):
            _split(key, path, 2 * pair + half, c, factors, scale, w[half], u[half], parent)
            for a in range(r):
                xi[half * r + a, 0, c] = w[half, a]
                if kinds > 1:
                    xi[half * r + a, 1, c] = u[half, a]
    for kind in range(2, kinds):
        kind_key = _key_of(key, 1, kind)
        for c in range(m):
            for a in range(0, 2 * r, 2):
                fill_normals(kind_key, path, pair * r + a // 2, c, scale, xi[a, kind, c], xi[a + 1, kind, c])
