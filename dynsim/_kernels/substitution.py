"""Linear systems by the factors of :mod:`dynsim._kernels.elimination`: what a stationary law does without."""

import numpy as np
from numba import types

from dynsim._kernels.elimination import FACTORS, PANEL, PANELS, TREE, left_after
from dynsim._kernels.jit import BLOCK, kernel


@kernel(types.void(TREE, PANELS, FACTORS, BLOCK))
def solve(tree, panels, factors, x):
    """(D − R) x = b for columns of x (m, c), overwritten: b_Q += W b_P, then x_P = G (b_P + V x_Q) backwards from 0."""
    inverses, ws, vs = factors
    m, columns = x.shape
    states = np.empty(m, dtype=np.int64)
    right = np.empty((PANEL, columns))
    for panel in panels:
        first, p = panel[0], panel[1]
        q = left_after(panel, tree, states)
        w = ws[panel[4] : panel[4] + p * q].reshape(q, p)
        for i in range(q):
            for k in range(p):
                for c in range(columns):
                    x[states[i], c] += w[i, k] * x[first + k, c]
    x[tree[0][-1] :] = 0.0  # the root
    for panel in panels[::-1]:
        first, p = panel[0], panel[1]
        q = left_after(panel, tree, states)
        g = inverses[panel[3] : panel[3] + p * p].reshape(p, p)
        v = vs[panel[4] : panel[4] + p * q].reshape(p, q)
        for k in range(p):
            for c in range(columns):
                right[k, c] = x[first + k, c]
            for i in range(q):
                for c in range(columns):
                    right[k, c] += v[k, i] * x[states[i], c]
        for k in range(p):
            for c in range(columns):
                total = 0.0
                for j in range(p):
                    total += g[k, j] * right[j, c]
                x[first + k, c] = total


@kernel(types.void(TREE, PANELS, FACTORS, BLOCK))
def solve_left(tree, panels, factors, x):
    """Y (D − R) = c for columns of x (m, c), overwritten: z_P = c_P G, c_Q += z_P V, y_P = z_P + y_Q W backwards."""
    inverses, ws, vs = factors
    m, columns = x.shape
    states = np.empty(m, dtype=np.int64)
    z = np.empty((PANEL, columns))
    for panel in panels:
        first, p = panel[0], panel[1]
        q = left_after(panel, tree, states)
        g = inverses[panel[3] : panel[3] + p * p].reshape(p, p)
        v = vs[panel[4] : panel[4] + p * q].reshape(p, q)
        z[:p] = 0.0
        for i in range(p):
            for k in range(p):
                for c in range(columns):
                    z[k, c] += x[first + i, c] * g[i, k]
        for k in range(p):
            for c in range(columns):
                x[first + k, c] = z[k, c]
            for i in range(q):
                for c in range(columns):
                    x[states[i], c] += z[k, c] * v[k, i]
    x[tree[0][-1] :] = 0.0  # the root
    for panel in panels[::-1]:
        first, p = panel[0], panel[1]
        q = left_after(panel, tree, states)
        w = ws[panel[4] : panel[4] + p * q].reshape(q, p)
        for i in range(q):
            for k in range(p):
                for c in range(columns):
                    x[first + k, c] += x[states[i], c] * w[i, k]
