"""Milstein's scheme without derivatives, X ← X + h μ + Σ_j σ_j ΔW_j + ½ Σ_jl (L^j σ_l) (ΔW_j ΔW_l − δ_jl h).

L^j σ_l = (∇σ_l) σ_j is the difference quotient (σ_l(X + √h σ_j) − σ_l(X))/√h. Kloeden & Platen (1992), (11.1.3).
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add, fill


@kernel(types.void(*STEP))
def step_diagonal(drift, diffusion, params, t, h, noise, work, x):
    """For L^j σ_l = 0 unless j = l: all columns of σ at once."""
    widest_vectors()
    dim, width = x.shape
    m = noise.shape[1]
    dw = noise[0]
    y, support, v = work[0][:dim], work[1][:dim], work[2][:m]
    sqrt_h = np.sqrt(h)
    support[:] = x
    fill(v, sqrt_h)
    diffusion(t, x, v, params, support)
    for c in range(m):
        for i in range(width):
            v[c, i] = 0.5 * (dw[c, i] * dw[c, i] - h) / sqrt_h
    drift(t, x, params, y)
    for j in range(dim):
        for i in range(width):
            y[j, i] *= h
    diffusion(t, support, v, params, y)
    for c in range(m):
        for i in range(width):
            v[c, i] = dw[c, i] - v[c, i]
    diffusion(t, x, v, params, y)
    add(x, 1.0, y)


@kernel(types.void(*STEP))
def step_commutative(drift, diffusion, params, t, h, noise, work, x):
    """For L^j σ_l = L^l σ_j: one column of σ after the other."""
    widest_vectors()
    dim, width = x.shape
    m = noise.shape[1]
    dw = noise[0]
    y, support, v, rest = work[0][:dim], work[1][:dim], work[2][:m], work[3][:m]
    sqrt_h = np.sqrt(h)
    drift(t, x, params, y)
    for j in range(dim):
        for i in range(width):
            y[j, i] *= h
    rest[:] = dw
    for r in range(m):
        support[:] = x
        fill(v, 0.0)
        for i in range(width):
            v[r, i] = sqrt_h
        diffusion(t, x, v, params, support)
        for c in range(m):
            delta = h if c == r else 0.0
            for i in range(width):
                v[c, i] = 0.5 * (dw[r, i] * dw[c, i] - delta) / sqrt_h
        diffusion(t, support, v, params, y)
        add(rest, -1.0, v)
    diffusion(t, x, rest, params, y)
    add(x, 1.0, y)
