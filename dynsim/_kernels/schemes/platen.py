"""Platen's explicit scheme of weak order 2 for any noise. Kloeden & Platen (1992), (15.1.3)."""

import numpy as np
from numba import types

from dynsim._kernels.jit import formula, kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add, fill, set_sum


@formula
def _sign(noise, h, m, r, c, i):
    """V_rc = −V_cr = ±h with probability ½ each, V_rr = −h."""
    if r == c:
        return -h
    low, high = min(r, c), max(r, c)
    pair = high * (high - 1) // 2 + low
    v = np.copysign(h, noise[1 + pair // m, pair % m, i])
    return v if r < c else -v


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Averages of σ at X + h μ ± √h σ_r and, for the columns c ≠ r, at X ± √h σ_r; noise[0] is ΔW.

    One evaluation of σ v at each of these points, v being the factors of all columns there.
    """
    widest_vectors()
    dim, width = x.shape
    m = noise.shape[1]
    dw = noise[0]
    mu, y, moved, stage = work[0][:dim], work[1][:dim], work[2][:dim], work[3][:dim]
    column, v, rest = work[4][:dim], work[5][:m], work[6][:m]
    sqrt_h = np.sqrt(h)

    drift(t, x, params, mu)
    set_sum(moved, x, h, mu)
    set_sum(y, x, 0.5 * h, mu)
    stage[:] = moved
    diffusion(t, x, dw, params, stage)
    drift(t + h, stage, params, mu)
    add(y, 0.5 * h, mu)

    # factors of σ(t, X): ½ ΔW_c of its own, less ½ ΔW_c for each r ≠ c
    for c in range(m):
        for i in range(width):
            rest[c, i] = (1.0 - 0.5 * m) * dw[c, i]
    diffusion(t, x, rest, params, y)
    for r in range(m):
        fill(v, 0.0)
        fill(v[r : r + 1], sqrt_h)
        fill(column, 0.0)
        diffusion(t, x, v, params, column)
        for side in (1.0, -1.0):
            for c in range(m):
                for i in range(width):
                    second = (dw[c, i] * dw[r, i] + _sign(noise, h, m, r, c, i)) / sqrt_h
                    v[c, i] = 0.25 * (dw[c, i] + side * second) if c != r else 0.0
                    rest[c, i] = 0.25 * (dw[c, i] + side * second) if c == r else 0.0
            set_sum(stage, moved, side, column)
            diffusion(t + h, stage, rest, params, y)
            if m > 1:
                set_sum(stage, x, side, column)
                diffusion(t, stage, v, params, y)
    x[:] = y
