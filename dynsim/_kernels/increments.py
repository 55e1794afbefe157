"""Brownian increments as an array, for whoever wants to drive another integrator with the same noise."""

from numba import types

from dynsim._kernels.bridge import fill_refined
from dynsim._kernels.jit import BLOCKS, FLOAT, INTS, KEY, kernel


@kernel(types.void(KEY, FLOAT, INTS, BLOCKS))
def fill_increments(key, sqrt_h, factors, out):
    """out[k, c, i] = ΔW of step k, component c and path i, (steps, m, n_paths); steps a multiple of 2 r."""
    steps = 2 * factors.prod()
    for pair in range(out.shape[0] // steps):
        part = out[steps * pair : steps * (pair + 1)]
        fill_refined(key, 0, pair, factors, sqrt_h, part.reshape(steps, 1, out.shape[1], out.shape[2]))
