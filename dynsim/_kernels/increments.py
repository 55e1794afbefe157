"""Brownian increments as an array, for whoever wants to drive another integrator with the same noise."""

from numba import types

from dynsim._kernels.jit import BLOCKS, FLOAT, KEY, kernel
from dynsim._kernels.threefry import fill_normals


@kernel(types.void(KEY, FLOAT, BLOCKS))
def fill_increments(key, sqrt_h, out):
    """out[k, c, i] = ΔW of step k, component c and path i, (an even number of steps, m, n_paths)."""
    for pair in range(out.shape[0] // 2):
        for c in range(out.shape[1]):
            fill_normals(key, 0, pair, c, sqrt_h, out[2 * pair, c], out[2 * pair + 1, c])
