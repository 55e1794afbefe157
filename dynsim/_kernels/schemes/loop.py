"""The time loop of all schemes for SDEs, on blocks of paths."""

import numpy as np
from numba import types

from dynsim._kernels.bridge import fill_refined
from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import (
    BLOCKS,
    FLOAT,
    INT,
    INTS,
    KEY,
    SAVES,
    VECTOR,
    addresses_of,
    function_at,
    kernel,
    widest_vectors,
)
from dynsim._kernels.observing import OBSERVATION, observe
from dynsim._kernels.schemes.blocks import STEP
from dynsim._kernels.span import FIRST_PATH, FIRST_STEP, LAST_STEP, SAVE_EVERY

# addresses of step, drift and diffusion, number of scratch blocks, params
EQUATION = types.Tuple([INTS, INT, VECTOR])
# key, prime factors of the refinement, standard deviation, kinds, components
NOISE = types.Tuple([KEY, INTS, FLOAT, INT, INT])

_step_at, _drift_at, _diffusion_at = function_at(*STEP), function_at(*DRIFT), function_at(*DIFFUSION)


def addresses(step, drift, diffusion):
    """What the loop is told of an equation and a scheme."""
    return addresses_of((step, STEP), (drift, DRIFT), (diffusion, DIFFUSION))


@kernel(types.void(EQUATION, NOISE, FLOAT, OBSERVATION, INTS, BLOCKS, SAVES))
def advance(equation, noise, dt, observation, span, x, out):
    """Steps span[1] ≤ k < span[2] of blocks x (blocks, d, W), in place; every span[3]-th state into out.

    The steps are h = dt/r long, and their noise is that of steps dt, refined by r, the product of the factors.
    """
    widest_vectors()
    addresses, n_work, params = equation
    step, drift, diffusion = _step_at(addresses[0]), _drift_at(addresses[1]), _diffusion_at(addresses[2])
    key, factors, scale, kinds, m = noise
    first, last, save_every = span[FIRST_STEP], span[LAST_STEP], span[SAVE_EVERY]
    watched = observation[0].shape[0] > 0
    n_blocks, dim, width = x.shape
    r = factors.prod()
    h = dt / r
    steps = 2 * r  # that one call for noise serves
    xi = np.empty((steps, kinds, m, width))
    work = np.empty((n_work, max(dim, m), width))
    for b in range(n_blocks):
        path = span[FIRST_PATH] + b * width
        if watched and first == 0:
            observe(0, 0.0, path, b, x[b], observation)
        for pair in range(first // steps, (last + steps - 1) // steps):
            fill_refined(key, path, pair, factors, scale, xi)
            for k in range(max(first, steps * pair), min(last, steps * (pair + 1))):
                step(drift, diffusion, params, k * h, h, xi[k - steps * pair], work, x[b])
                if watched:
                    observe(k + 1, (k + 1) // r * dt, path, b, x[b], observation)
                if (k + 1) % save_every == 0:
                    out[b, (k + 1) // save_every - first // save_every - 1] = x[b]
