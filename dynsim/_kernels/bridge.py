"""The same Brownian path on a finer grid, by Brownian bridges.

An increment Z over a step, in units of its standard deviation, is split into p equal parts
Z_i = Z/√p + z_i − z̄ with fresh normals z_i: the parts are independent N(0, 1) in units of theirs, and add up to √p Z.
A refinement by r is done prime factor by prime factor, so that the path for r is that of every divisor reached on the
way, refined further.
"""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.threefry import fill_normals

# Each level of refinement has a key of its own: the run's, with an odd multiple of this added.
_LEVEL_KEY = np.uint64(0x9E3779B97F4A7C15)


@formula
def _split(key, path, k, component, factors, scale, fine, rest):
    """Split fine[0] (W,), the increment of step k, into fine[0] … fine[r − 1], r = Π factors; rest (2, W) is lost."""
    level_key = key.copy()
    width = fine.shape[1]
    parts = 1
    for p in factors:
        level_key[1] += _LEVEL_KEY
        share = 1.0 / np.sqrt(np.float64(p))
        for a in range(
            parts - 1, -1, -1
        ):  # from the last on: children never overwrite a parent that is yet to be split
            first_pair = (k * parts + a) * ((p + 1) // 2)
            for i in range(width):
                rest[0, i] = share * fine[a, i]  # Z/√p, and in the end Z/√p − z̄
            for c in range(p):
                child = fine[a * p + c]
                if c % 2 == 0:
                    other = fine[a * p + c + 1] if c + 1 < p else rest[1]
                    fill_normals(level_key, path, first_pair + c // 2, component, scale, child, other)
                for i in range(width):
                    rest[0, i] -= child[i] / p
            for c in range(p):
                for i in range(width):
                    fine[a * p + c, i] += rest[0, i]
        parts *= p


@formula
def fill_refined(key, path, pair, factors, scale, xi):
    """Normals N(0, scale²) of the 2 r fine steps in the coarse steps 2·pair and 2·pair + 1: xi (2 r, m, W)."""
    widest_vectors()
    r = xi.shape[0] // 2
    for c in range(xi.shape[1]):
        fill_normals(key, path, pair, c, scale, xi[0, c], xi[r, c])
    if r == 1:
        return
    fine = np.empty((r, xi.shape[2]))
    rest = np.empty((2, xi.shape[2]))
    for c in range(xi.shape[1]):
        for half in range(2):
            fine[0] = xi[half * r, c]
            _split(key, path, 2 * pair + half, c, factors, scale, fine, rest)
            for a in range(r):
                xi[half * r + a, c] = fine[a]
