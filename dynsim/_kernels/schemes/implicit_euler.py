"""Drift-implicit Euler, X' = X + h μ(t + h, X') + σ(t, X) ΔW: stable for stiff drift.

Solved for each path by Newton's method with a Jacobian of difference quotients. Kloeden & Platen (1992), (12.2.2).
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import formula, kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add, fill

_MOST_ITERATIONS = 50
_TOLERANCE = 1e-12  # of a Newton step, relative to 1 + |X|
_PROBE = 1.5e-8  # of the difference quotients, relative to 1 + |X|: √ε


@formula
def _solve(matrix, right, i):
    """Lane i of right (d, W) ← matrix⁻¹ right, matrix (d, rows, W), by elimination with pivoting, in place."""
    dim = right.shape[0]
    for p in range(dim):
        best = p
        for row in range(p + 1, dim):
            if abs(matrix[row, p, i]) > abs(matrix[best, p, i]):
                best = row
        if best != p:
            right[p, i], right[best, i] = right[best, i], right[p, i]
            for j in range(p, dim):
                matrix[p, j, i], matrix[best, j, i] = matrix[best, j, i], matrix[p, j, i]
        for row in range(p + 1, dim):
            factor = matrix[row, p, i] / matrix[p, p, i]
            right[row, i] -= factor * right[p, i]
            for j in range(p, dim):
                matrix[row, j, i] -= factor * matrix[p, j, i]
    for p in range(dim - 1, -1, -1):
        for j in range(p + 1, dim):
            right[p, i] -= matrix[p, j, i] * right[j, i]
        right[p, i] /= matrix[p, p, i]


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Noise[0] is ΔW; a path whose equation is not solved after 50 iterations becomes NaN, and so counts as diverged.

    work has 5 + d blocks, the last d for the Jacobian. Each path iterates on its own, whatever its block does.
    """
    widest_vectors()
    dim, width = x.shape
    target, mu, probed, y, pending = work[0][:dim], work[1][:dim], work[2][:dim], work[3][:dim], work[4][0]
    jacobian = work[5:]
    target[:] = x
    fill(y, 0.0)
    diffusion(t, x, noise[0], params, y)
    add(target, 1.0, y)  # X + σ ΔW
    for i in range(width):
        pending[i] = 1.0
    for _ in range(_MOST_ITERATIONS):
        drift(t + h, x, params, mu)
        for column in range(dim):
            probed[:] = x
            for i in range(width):
                probed[column, i] += _PROBE * (1.0 + abs(x[column, i]))
            drift(t + h, probed, params, y)
            for row in range(dim):
                delta = 1.0 if row == column else 0.0
                for i in range(width):
                    quotient = (y[row, i] - mu[row, i]) / (probed[column, i] - x[column, i])
                    jacobian[row, column, i] = delta - h * quotient
        for j in range(dim):
            for i in range(width):
                y[j, i] = x[j, i] - target[j, i] - h * mu[j, i]
        n_pending = 0
        for i in range(width):
            if pending[i] != 0.0:
                _solve(jacobian, y, i)
                size, move = 0.0, 0.0
                for j in range(dim):
                    x[j, i] -= y[j, i]
                    size = max(size, abs(x[j, i]))
                    move = max(move, abs(y[j, i]))
                    if not np.isfinite(y[j, i]):
                        move = np.nan
                if move <= _TOLERANCE * (1.0 + size) or move != move:
                    pending[i] = 0.0
                else:
                    n_pending += 1
        if n_pending == 0:
            break
    for i in range(width):
        if pending[i] != 0.0:
            for j in range(dim):
                x[j, i] = np.nan
