"""The discrete chain θ ← θ − η_k (a_n/p_n) ∇l_n(θ), AY (3.2) and (3.5), for blocks of paths."""

import numpy as np
from numba import types

from dynsim._kernels.draw import TILE, draw_by_proportions, draw_equal, draw_fixed
from dynsim._kernels.fields import GRADIENTS, PROPORTIONS
from dynsim._kernels.jit import (
    BLOCK,
    BLOCKS,
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
from dynsim._kernels.span import DRAW, EQUAL, FIRST_PATH, FIRST_STEP, FIXED, LAST_STEP, SAVE_EVERY
from dynsim._kernels.threefry import fill_uniforms

# addresses of the gradients of the terms and of the proportions to draw them in, params, table of the draw
METHOD = types.Tuple([INTS, VECTOR, BLOCK])

_gradients_at, _proportions_at = function_at(*GRADIENTS), function_at(*PROPORTIONS)


def addresses(gradients, proportions):
    """What the loop is told of a problem and a method."""
    return addresses_of((gradients, GRADIENTS), (proportions, PROPORTIONS))


@kernel(types.void(METHOD, KEY, VECTOR, OBSERVATION, INTS, BLOCKS, SAVES))
def advance_chain(method, key, step_sizes, observation, span, x, out):
    """Steps span[1] ≤ k < span[2] of blocks x (blocks, d, W), in place; every span[3]-th state into out.

    span[4] says how terms are drawn: by the field ``proportions``, by the fixed ones of ``table``, or all alike.
    """
    widest_vectors()
    addresses, params, table = method
    gradients, proportions = _gradients_at(addresses[0]), _proportions_at(addresses[1])
    first, last, save_every, draw = span[FIRST_STEP], span[LAST_STEP], span[SAVE_EVERY], span[DRAW]
    watched = observation[0].shape[0] > 0
    n_blocks, dim, width = x.shape
    u = np.empty((2, width))
    work = np.empty((2 + TILE + (table.shape[1] + TILE - 1) // TILE, width))
    g = np.empty((dim, width))
    scale = np.empty(width)
    term = np.empty(width, dtype=np.int64)
    for b in range(n_blocks):
        theta = x[b]
        path = span[FIRST_PATH] + b * width
        if watched and first == 0:
            observe(0, 0.0, path, b, theta, observation)
        for pair in range(first >> 1, (last + 1) >> 1):
            fill_uniforms(key, path, pair, 0, u[0], u[1])
            for half in range(2):
                k = 2 * pair + half
                if k < first or k >= last:
                    continue
                if draw == EQUAL:
                    draw_equal(u[half], table, term, scale)
                elif draw == FIXED:
                    draw_fixed(u[half], table, term, scale)
                else:
                    draw_by_proportions(u[half], proportions, theta, params, table[0], work, term, scale)
                gradients(theta, params, term, g)
                eta = step_sizes[k - first]
                for j in range(dim):
                    for i in range(width):
                        theta[j, i] -= eta * scale[i] * g[j, i]
                if watched:
                    observe(k + 1, float(k + 1), path, b, theta, observation)
                if (k + 1) % save_every == 0:
                    out[b, (k + 1) // save_every - first // save_every - 1] = theta
