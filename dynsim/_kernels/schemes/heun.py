"""Stochastic Heun, the trapezoidal rule for drift and noise: converges to the Stratonovich solution. Rümelin (1982).

Its drift is the Stratonovich one.
"""

from numba import types

from dynsim._kernels.jit import kernel, widest_vectors
from dynsim._kernels.schemes.blocks import STEP, add, set_sum


@kernel(types.void(*STEP))
def step(drift, diffusion, params, t, h, noise, work, x):
    """X̂ = X + h μ(t, X) + σ(t, X) ΔW;  X ← X + ½ (h μ + σ ΔW)(t, X) + ½ (h μ + σ ΔW)(t + h, X̂); noise[0] is ΔW/h."""
    widest_vectors()
    dim = x.shape[0]
    y, ahead, y_ahead = work[0][:dim], work[1][:dim], work[2][:dim]
    drift(t, x, params, y)
    diffusion(t, x, noise[0], params, y)
    set_sum(ahead, x, h, y)
    drift(t + h, ahead, params, y_ahead)
    diffusion(t + h, ahead, noise[0], params, y_ahead)
    add(x, 0.5 * h, y)
    add(x, 0.5 * h, y_ahead)
