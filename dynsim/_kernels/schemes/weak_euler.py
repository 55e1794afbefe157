"""Euler with two-point noise, X ← X + h μ + σ √h sgn(ΔW): weak order 1. Kloeden & Platen (1992), (14.1.2)."""

import numpy as np
from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Noise[0] is ΔW; only its sign counts."""
    widest_vectors()
    y, two_point = work[0][: x.shape[0]], work[1][: noise.shape[1]]
    rate = 1.0 / np.sqrt(h)
    for c in range(noise.shape[1]):
        for i in range(x.shape[1]):
            two_point[c, i] = np.copysign(rate, noise[0, c, i])
    drift(t, x, params, y)
    diffusion(t, x, two_point, params, y)
    add(x, h, y)
