"""The discrete chain: an estimate of the gradient, noise, an update; for blocks of paths."""

import numpy as np
from numba import types

from dynsim._kernels.estimators.common import ESTIMATOR, NOISE_COMPONENTS, PROBLEM, SAMPLING
from dynsim._kernels.fields import NOISE
from dynsim._kernels.jit import (
    BLOCK,
    BLOCKS,
    INTS,
    KEY,
    SAVES,
    VECTOR,
    addresses_of,
    formula,
    function_at,
    kernel,
    widest_vectors,
)
from dynsim._kernels.methods.common import UPDATE
from dynsim._kernels.observing import OBSERVATION, observe
from dynsim._kernels.span import FIRST_PATH, FIRST_STEP, LAST_STEP, SAVE_EVERY
from dynsim._kernels.threefry import fill_uniforms

# Layout of a path's state, and what a step needs: rows of θ, first row of the point where the gradient is estimated,
# first row of the memory of the estimator; uniforms of the estimator, of both; scratch rows; whether there is noise
DIM, QUERY, MEMORY, DRAWN, UNIFORMS, WORK, NOISY = 0, 1, 2, 3, 4, 5, 6
# addresses of estimator, noise and update; layout; params of the noise, of the update
METHOD = types.Tuple([INTS, INTS, VECTOR, VECTOR])

_estimator_at, _noise_at, _update_at = function_at(*ESTIMATOR), function_at(*NOISE), function_at(*UPDATE)
_MADE_ANEW = -1.0  # what scratch is filled with before a block's first step


def addresses(estimator, noise, update):
    """What the loop is told of a method."""
    return addresses_of((estimator, ESTIMATOR), (noise, NOISE), (update, UPDATE))


@formula
def _add(noise, g):
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            g[j, i] += noise[j, i]


@kernel(types.void(PROBLEM, SAMPLING, METHOD, KEY, BLOCK, OBSERVATION, INTS, types.Tuple([BLOCKS, SAVES])))
def advance_chain(problem, sampling, method, key, rates, observation, span, paths):
    """Steps span[1] ≤ k < span[2] of blocks x (blocks, rows, W), in place; every span[3]-th θ (d, W) into out.

    rates (steps, m): η_k, and what else the method takes from schedules.
    """
    widest_vectors()
    addresses, layout, noise_params, params = method
    x, out = paths
    estimator, update, noise = _estimator_at(addresses[0]), _update_at(addresses[2]), _noise_at(addresses[1])
    first, last, save_every = span[FIRST_STEP], span[LAST_STEP], span[SAVE_EVERY]
    watched, noisy = observation[0].shape[0] > 0, layout[NOISY] != 0
    dim, query, drawn, width = layout[DIM], layout[QUERY], layout[DRAWN], x.shape[2]
    u = np.empty((2, layout[UNIFORMS], width))
    xi = np.empty((2, dim, width))
    g = np.empty((dim, width))
    work = np.empty((layout[WORK], width))
    term = np.empty(width, dtype=np.int64)
    for b in range(x.shape[0]):
        state = x[b]
        theta, point, memory = state[:dim], state[query : query + dim], state[layout[MEMORY] :]
        path = span[FIRST_PATH] + b * width
        work[:] = _MADE_ANEW
        if watched and first == 0:
            observe(0, 0.0, path, b, theta, observation)
        for pair in range(first >> 1, (last + 1) >> 1):
            for c in range(u.shape[1]):
                fill_uniforms(key, path, pair, c, u[0, c], u[1, c])
            if noisy:
                noise(key, path, pair, NOISE_COMPONENTS, noise_params, xi[0], xi[1])
            for half in range(2):
                k = 2 * pair + half
                if k < first or k >= last:
                    continue
                estimator(problem, sampling, (key, path, k, u[half]), point, (memory, work, term), g)
                if noisy:
                    _add(xi[half], g)
                update(problem, k, rates[k - first], g, u[half, drawn:], params, state)
                if watched:
                    observe(k + 1, float(k + 1), path, b, theta, observation)
                if (k + 1) % save_every == 0:
                    out[b, (k + 1) // save_every - first // save_every - 1] = theta
