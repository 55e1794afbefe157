"""Tamed Euler, X ← X + h μ/(1 + h |μ|) + σ ΔW: converges for drifts that grow faster than linearly.

Hutzenthaler, Jentzen & Kloeden (2012), (4).
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Noise[0] is ΔW."""
    widest_vectors()
    dim, width = x.shape
    mu, y, share = work[0][:dim], work[1][:dim], work[2][0]
    drift(t, x, params, mu)
    for i in range(width):
        share[i] = 0.0
    for j in range(dim):
        for i in range(width):
            y[j, i] = 0.0
            share[i] += mu[j, i] * mu[j, i]
    for i in range(width):
        share[i] = h / (1.0 + h * np.sqrt(share[i]))
    diffusion(t, x, noise[0], params, y)
    for j in range(dim):
        for i in range(width):
            x[j, i] += share[i] * mu[j, i] + y[j, i]
