"""Euler–Maruyama, X ← X + h (μ(t, X) + σ(t, X) ΔW/h) (Itô). Maruyama (1955)."""

from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """Noise[0] is ΔW/h here, and not ΔW: that saves one pass over the block."""
    widest_vectors()
    y = work[0][: x.shape[0]]
    drift(t, x, params, y)
    diffusion(t, x, noise[0], params, y)
    add(x, h, y)
