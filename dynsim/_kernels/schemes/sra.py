"""SRA1, strong order 1.5 for noise that does not depend on X. Rößler (2010), Table 6.3."""

import numpy as np
from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, fill, set_sum

_SQRT3 = np.sqrt(3.0)


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """H = X + ¾ h μ(t, X) + (3/2) σ(t + h) I₁₀/h, with I₁₀ = ∫∫ dW ds.

    X ← X + h (⅓ μ(t, X) + ⅔ μ(t + ¾h, H)) + σ(t) I₁₀/h + σ(t + h) (ΔW − I₁₀/h).
    """
    widest_vectors()
    dim, width = x.shape
    m = noise.shape[1]
    mu, stage, y, area, rest = work[0][:dim], work[1][:dim], work[2][:dim], work[3][:m], work[4][:m]
    for c in range(m):
        for i in range(width):
            area[c, i] = 0.5 * (noise[0, c, i] + noise[1, c, i] / _SQRT3)  # I₁₀/h
            rest[c, i] = noise[0, c, i] - area[c, i]
    drift(t, x, params, mu)
    fill(y, 0.0)
    diffusion(t + h, x, area, params, y)
    for j in range(dim):
        for i in range(width):
            stage[j, i] = x[j, i] + 0.75 * h * mu[j, i] + 1.5 * y[j, i]
    set_sum(y, x, h / 3.0, mu)
    diffusion(t, x, area, params, y)
    diffusion(t + h, x, rest, params, y)
    drift(t + 0.75 * h, stage, params, mu)
    set_sum(x, y, 2.0 / 3.0 * h, mu)
