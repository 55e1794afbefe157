"""Drift-implicit Euler, X' = X + h μ(t + h, X') + σ(t, X) ΔW: stable for stiff drift.

Solved for each path by Newton's method, damped, with a Jacobian of difference quotients. In one dimension bisection
follows where that fails: at a downward jump of the drift the solution is the place of the jump.
Kloeden & Platen (1992), (12.2.2).
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import formula, kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add, fill

_MOST_ITERATIONS = 60
_MOST_BISECTIONS = 1100  # from the largest number to the smallest
_TOLERANCE = 1e-12  # of a Newton step, relative to the larger of |X| and |X + σ ΔW|
_PROBE = 1.5e-8  # of the difference quotients, relative to the same: √ε
_LEAST_PROBE = 1e-150
_LEAST_FRACTION = 1e-9  # of a Newton step, tried by halves
PENDING, REACHED, FRACTION, SCALE = 0, 1, 2, 3
_SOLVED, _OPEN, _FAILED = 0.0, 1.0, 2.0


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


@formula
def _largest(block, i):
    """max_j |block[j, i]|, NaN if one is."""
    result = 0.0
    for j in range(block.shape[0]):
        result = abs(block[j, i]) if not abs(block[j, i]) <= result else result
    return result


@formula
def _newton(i, x, residual, jacobian, old, direction, lane):
    """One decision for lane i: take the step that was tried and find the next one, or try half of it."""
    r = _largest(residual, i)
    if r <= lane[REACHED, i] * (1.0 - 1e-4 * lane[FRACTION, i]) or r == 0.0:
        _solve(jacobian, residual, i)
        lane[REACHED, i], lane[FRACTION, i] = r, 1.0
        for j in range(x.shape[0]):
            old[j, i] = x[j, i]
            direction[j, i] = -residual[j, i]
        if not np.isfinite(_largest(direction, i)):
            lane[PENDING, i] = _FAILED
            return
        if _largest(direction, i) <= _TOLERANCE * lane[SCALE, i]:
            lane[PENDING, i] = _SOLVED
    else:
        lane[FRACTION, i] *= 0.5
        if lane[FRACTION, i] < _LEAST_FRACTION:
            lane[PENDING, i] = _FAILED
    for j in range(x.shape[0]):
        x[j, i] = old[j, i] + lane[FRACTION, i] * direction[j, i]


@formula
def _bisect(drift, t, h, params, target, mu, x, probed, y, lane):
    """For dim 1: a sign change of x − h μ(x) − target in the lanes that have failed; NaN where none is found."""
    width = x.shape[1]
    for i in range(width):  # probed is the lower end, y the upper one
        gap = _LEAST_PROBE + 1e-3 * abs(target[0, i])
        probed[0, i], y[0, i] = target[0, i] - gap, target[0, i] + gap
    for side in (-1.0, 1.0):
        for _ in range(_MOST_BISECTIONS):
            outside = 0
            end = probed if side < 0.0 else y
            drift(t, end, params, mu)
            for i in range(width):
                value = end[0, i] - h * mu[0, i] - target[0, i]
                if lane[PENDING, i] == _FAILED and value * side < 0.0:
                    end[0, i] = target[0, i] + 2.0 * (end[0, i] - target[0, i])
                    outside += 1
            if outside == 0:
                break
    for _ in range(_MOST_BISECTIONS):
        wide = 0
        for i in range(width):
            if lane[PENDING, i] == _FAILED:
                x[0, i] = probed[0, i] + 0.5 * (y[0, i] - probed[0, i])
                wide += 1 if probed[0, i] < x[0, i] < y[0, i] else 0
        if wide == 0:
            break
        drift(t, x, params, mu)
        for i in range(width):
            value = x[0, i] - h * mu[0, i] - target[0, i]
            if lane[PENDING, i] == _FAILED:
                if value < 0.0:
                    probed[0, i] = x[0, i]
                else:
                    y[0, i] = x[0, i] if value == value else np.nan


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Noise[0] is ΔW; a path whose equation is not solved becomes NaN, and so counts as diverged.

    work has 6 + d blocks, the last d for the Jacobian. Each path iterates on its own, whatever its block does.
    """
    widest_vectors()
    dim, width = x.shape
    target, mu, probed, y = work[0][:dim], work[1][:dim], work[2][:dim], work[3][:dim]
    old, direction, jacobian = work[4][:dim], work[5][:dim], work[6:]
    lane = np.empty((4, width))
    target[:] = x
    fill(y, 0.0)
    diffusion(t, x, noise[0], params, y)
    add(target, 1.0, y)  # X + σ ΔW
    for i in range(width):
        lane[PENDING, i] = _OPEN if np.isfinite(_largest(target, i)) else _SOLVED
        lane[REACHED, i], lane[FRACTION, i] = np.inf, 1.0
        if lane[PENDING, i] == _SOLVED:
            for j in range(dim):
                x[j, i] = np.nan
    for _ in range(_MOST_ITERATIONS):
        drift(t + h, x, params, mu)
        for i in range(width):
            lane[SCALE, i] = max(_largest(x, i), _largest(target, i))
        for column in range(dim):
            probed[:] = x
            for i in range(width):
                probed[column, i] += _PROBE * lane[SCALE, i] + _LEAST_PROBE
            drift(t + h, probed, params, y)
            for row in range(dim):
                delta = 1.0 if row == column else 0.0
                for i in range(width):
                    quotient = (y[row, i] - mu[row, i]) / (probed[column, i] - x[column, i])
                    jacobian[row, column, i] = delta - h * quotient
        for j in range(dim):
            for i in range(width):
                y[j, i] = x[j, i] - target[j, i] - h * mu[j, i]
        n_open = 0
        for i in range(width):
            if lane[PENDING, i] == _OPEN:
                _newton(i, x, y, jacobian, old, direction, lane)
                n_open += 1
        if n_open == 0:
            break
    n_failed = 0
    for i in range(width):
        if lane[PENDING, i] != _SOLVED:
            lane[PENDING, i] = _FAILED
            n_failed += 1
            for j in range(dim):
                x[j, i] = np.nan
    if dim == 1 and n_failed > 0:
        _bisect(drift, t + h, h, params, target, mu, x, probed, y, lane)
