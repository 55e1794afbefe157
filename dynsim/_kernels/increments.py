"""The noise of a run as arrays, for whoever wants to drive another integrator with it."""

from numba import types

from dynsim._kernels.bridge import fill_refined
from dynsim._kernels.jit import BLOCK, BLOCKS, FLOAT, INT, INTS, KEY, kernel
from dynsim._kernels.threefry import fill_uniforms


@kernel(types.void(KEY, FLOAT, INTS, BLOCKS))
def fill_increments(key, sqrt_h, factors, out):
    """out[k, c, i] = ΔW of step k, component c and path i, (steps, m, n_paths); steps a multiple of 2 r."""
    steps = 2 * factors.prod()
    for pair in range(out.shape[0] // steps):
        part = out[steps * pair : steps * (pair + 1)]
        fill_refined(key, 0, pair, factors, sqrt_h, part.reshape(steps, 1, out.shape[1], out.shape[2]))


@kernel(types.void(KEY, INT, INT, BLOCK))
def fill_step_uniforms(key, pair, component, out):
    """out[h, i]: the uniform number of step 2·pair + h, one component and path i, (2, n_paths)."""
    fill_uniforms(key, 0, pair, component, out[0], out[1])
