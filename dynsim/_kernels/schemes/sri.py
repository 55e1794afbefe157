"""SRIW1, strong order 1.5 for scalar or diagonal noise. Rößler (2010), (6.1) with the coefficients of Table 6.3."""

import numpy as np
from numba import types

from dynsim._kernels.jit import formula, kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, fill, set_sum

_SQRT3 = np.sqrt(3.0)


@formula
def _combine(noise, h, b1, b2, b3, b4, out):
    """b₁ I₁ + b₂ I₁₁/√h + b₃ I₁₀/h + b₄ I₁₁₁/h, by Hermite polynomials of ΔW."""
    widest_vectors()
    sqrt_h = np.sqrt(h)
    for c in range(out.shape[0]):
        for i in range(out.shape[1]):
            w = noise[0, c, i]
            i11 = 0.5 * (w * w - h)
            i111 = w * (w * w - 3.0 * h) / 6.0
            i10 = 0.5 * (w + noise[1, c, i] / _SQRT3)  # over h
            out[c, i] = b1 * w + b2 * i11 / sqrt_h + b3 * i10 + b4 * i111 / h


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Two values μ₁, μ₂ of the drift and four of σ, times combinations of I₁, I₁₁, I₁₀ and I₁₁₁, per component.

    H₂ = X + ¾ h μ₁ + (3/2) σ(t, X) I₁₀/h,                K₂ = X + ¼ h μ₁ + ½ √h σ(t, X),
    K₃ = X + h μ₁ − √h σ(t, X),                           K₄ = X + ¼ h μ₁ + √h (−5 σ₁ + 3 σ₂ + ½ σ₃).
    """
    widest_vectors()
    dim, width = x.shape
    m = noise.shape[1]
    mu, stage, last = work[0][:dim], work[1][:dim], work[2][:dim]
    y, v = work[3][:dim], work[4][:m]
    sqrt_h = np.sqrt(h)

    drift(t, x, params, mu)
    set_sum(y, x, h / 3.0, mu)
    set_sum(last, x, 0.25 * h, mu)  # becomes K₄

    _combine(noise, h, -1.0, -1.0, 2.0, -2.0, v)
    diffusion(t, x, v, params, y)
    fill(v, -5.0 * sqrt_h)
    diffusion(t, x, v, params, last)

    set_sum(stage, x, 0.25 * h, mu)  # K₂
    fill(v, 0.5 * sqrt_h)
    diffusion(t, x, v, params, stage)
    _combine(noise, h, 4.0 / 3.0, 4.0 / 3.0, -4.0 / 3.0, 5.0 / 3.0, v)
    diffusion(t + 0.25 * h, stage, v, params, y)
    fill(v, 3.0 * sqrt_h)
    diffusion(t + 0.25 * h, stage, v, params, last)

    set_sum(stage, x, h, mu)  # K₃
    fill(v, -sqrt_h)
    diffusion(t, x, v, params, stage)
    _combine(noise, h, 2.0 / 3.0, -1.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0, v)
    diffusion(t + h, stage, v, params, y)
    fill(v, 0.5 * sqrt_h)
    diffusion(t + h, stage, v, params, last)

    set_sum(stage, x, 0.75 * h, mu)  # H₂
    for c in range(m):
        for i in range(width):
            v[c, i] = 0.75 * (noise[0, c, i] + noise[1, c, i] / _SQRT3)
    diffusion(t, x, v, params, stage)

    _combine(noise, h, 0.0, 0.0, 0.0, 1.0, v)
    diffusion(t + 0.25 * h, last, v, params, y)

    drift(t + 0.75 * h, stage, params, mu)
    set_sum(x, y, 2.0 / 3.0 * h, mu)
