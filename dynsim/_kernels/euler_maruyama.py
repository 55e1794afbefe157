"""Euler–Maruyama, X ← X + h (μ(t, X) + σ(t, X) ΔW/h) (Itô), for blocks of paths."""

import numpy as np
from numba import types

from dynsim._kernels.bridge import fill_refined
from dynsim._kernels.chain import FIRST_PATH, FIRST_STEP, LAST_STEP, SAVE_EVERY
from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import BLOCKS, FLOAT, INT, INTS, KEY, SAVES, VECTOR, function_pointer, kernel, widest_vectors


@kernel(
    types.void(
        function_pointer(*DRIFT), function_pointer(*DIFFUSION), VECTOR, FLOAT, INT, INTS, BLOCKS, INTS, KEY, SAVES
    )
)
def advance_euler_maruyama(drift, diffusion, params, h, noise_dim, factors, x, span, key, out):
    """Steps span[1] ≤ k < span[2] of blocks x (blocks, d, W), in place; every span[3]-th state into out.

    The noise is that of steps r h, refined by r, the product of ``factors``.
    """
    widest_vectors()
    first, last, save_every = span[FIRST_STEP], span[LAST_STEP], span[SAVE_EVERY]
    n_blocks, dim, width = x.shape
    rate = 1.0 / np.sqrt(h)  # of the noise ξ = ΔW/h: one pass over the block less than with ΔW itself
    steps = 2 * factors.prod()  # that one call for noise serves
    xi = np.empty((steps, noise_dim, width))
    y = np.empty((dim, width))
    for b in range(n_blocks):
        state = x[b]
        path = span[FIRST_PATH] + b * width
        for pair in range(first // steps, (last + steps - 1) // steps):
            fill_refined(key, path, pair, factors, rate, xi)
            for k in range(max(first, steps * pair), min(last, steps * (pair + 1))):
                drift(k * h, state, params, y)
                diffusion(k * h, state, xi[k - steps * pair], params, y)
                for j in range(dim):
                    for i in range(width):
                        state[j, i] += h * y[j, i]
                if (k + 1) % save_every == 0:
                    out[b, (k + 1) // save_every - first // save_every - 1] = state
