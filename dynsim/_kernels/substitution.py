"""Linear systems by the factors of :mod:`dynsim._kernels.elimination`: what a stationary law does without."""

import numpy as np
from numba import types

from dynsim._kernels.elimination import FACTORS, PANEL, TREE
from dynsim._kernels.jit import BLOCK, kernel


@kernel(types.void(TREE, FACTORS, BLOCK))
def solve(tree, factors, x):
    """(D − R) x = b for columns of x (m, c), overwritten: b_Q += W b_P, then x_P = G (b_P + V x_Q) backwards from 0."""
    starts, _, pointers, borders = tree
    inverses, ws, vs = factors
    columns = x.shape[1]
    at_inverse, at_border = 0, 0
    for node in range(starts.size - 1):
        first, own = starts[node], starts[node + 1] - starts[node]
        border = borders[pointers[node] : pointers[node + 1]]
        for done in range(0, own, PANEL):
            p = min(PANEL, own - done)
            rest = done + p
            q = own + border.size - rest
            w = ws[at_border : at_border + p * q].reshape(q, p)
            at_border += p * q
            at_inverse += p * p
            for i in range(q):
                state = first + rest + i if rest + i < own else border[rest + i - own]
                for k in range(p):
                    for c in range(columns):
                        x[state, c] += w[i, k] * x[first + done + k, c]
    x[starts[starts.size - 1] :] = 0.0  # the root
    for node in range(starts.size - 2, -1, -1):
        first, own = starts[node], starts[node + 1] - starts[node]
        border = borders[pointers[node] : pointers[node + 1]]
        n_panels = (own + PANEL - 1) // PANEL
        for panel in range(n_panels - 1, -1, -1):
            done = panel * PANEL
            p = min(PANEL, own - done)
            rest = done + p
            q = own + border.size - rest
            at_border -= p * q
            at_inverse -= p * p
            v = vs[at_border : at_border + p * q].reshape(p, q)
            g = inverses[at_inverse : at_inverse + p * p].reshape(p, p)
            right = np.empty((p, columns))
            for k in range(p):
                for c in range(columns):
                    right[k, c] = x[first + done + k, c]
                for i in range(q):
                    state = first + rest + i if rest + i < own else border[rest + i - own]
                    for c in range(columns):
                        right[k, c] += v[k, i] * x[state, c]
            for k in range(p):
                for c in range(columns):
                    total = 0.0
                    for j in range(p):
                        total += g[k, j] * right[j, c]
                    x[first + done + k, c] = total


@kernel(types.void(TREE, FACTORS, BLOCK))
def solve_left(tree, factors, x):
    """Y (D − R) = c for columns of x (m, c), overwritten: z_P = c_P G, c_Q += z_P V, y_P = z_P + y_Q W backwards."""
    starts, _, pointers, borders = tree
    inverses, ws, vs = factors
    columns = x.shape[1]
    at_inverse, at_border = 0, 0
    for node in range(starts.size - 1):
        first, own = starts[node], starts[node + 1] - starts[node]
        border = borders[pointers[node] : pointers[node + 1]]
        for done in range(0, own, PANEL):
            p = min(PANEL, own - done)
            rest = done + p
            q = own + border.size - rest
            v = vs[at_border : at_border + p * q].reshape(p, q)
            g = inverses[at_inverse : at_inverse + p * p].reshape(p, p)
            at_border += p * q
            at_inverse += p * p
            z = np.zeros((p, columns))
            for i in range(p):
                for k in range(p):
                    for c in range(columns):
                        z[k, c] += x[first + done + i, c] * g[i, k]
            for k in range(p):
                for c in range(columns):
                    x[first + done + k, c] = z[k, c]
                for i in range(q):
                    state = first + rest + i if rest + i < own else border[rest + i - own]
                    for c in range(columns):
                        x[state, c] += z[k, c] * v[k, i]
    x[starts[starts.size - 1] :] = 0.0  # the root
    for node in range(starts.size - 2, -1, -1):
        first, own = starts[node], starts[node + 1] - starts[node]
        border = borders[pointers[node] : pointers[node + 1]]
        n_panels = (own + PANEL - 1) // PANEL
        for panel in range(n_panels - 1, -1, -1):
            done = panel * PANEL
            p = min(PANEL, own - done)
            rest = done + p
            q = own + border.size - rest
            at_border -= p * q
            w = ws[at_border : at_border + p * q].reshape(q, p)
            for i in range(q):
                state = first + rest + i if rest + i < own else border[rest + i - own]
                for k in range(p):
                    for c in range(columns):
                        x[first + done + k, c] += x[state, c] * w[i, k]
