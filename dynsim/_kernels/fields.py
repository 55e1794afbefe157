"""Block fields: formulas written for one path, compiled for a block ``x (d, W)`` of W paths.

A kernel receives fields as function pointers, so it is compiled once and serves every problem. A factory here may
capture *formulas* (plain functions, which hash alike in every process) and still be cached on disk; it must never
capture a compiled function, which does not.
"""

import functools

import numpy as np
from numba import types

from dynsim._kernels.jit import BLOCK, FLOAT, INT, INTS, KEY, VECTOR, column, kernel, kernel_of, widest_vectors

LOSSES = (BLOCK, VECTOR, INTS, VECTOR)  # x (d, W), params, term (W,), out (W,)
GRADIENTS = (BLOCK, VECTOR, INTS, BLOCK)  # x (d, W), params, term (W,), out (d, W)
PROPORTIONS = (BLOCK, VECTOR, VECTOR, INT, BLOCK)  # x (d, W), params, weights (n,), first term, out (terms, W)
# key, first path, pair of steps, first component, params, noise of the even step (d, W), of the odd one (d, W)
NOISE = (KEY, INT, INT, INT, VECTOR, BLOCK, BLOCK)
DRIFT = (FLOAT, BLOCK, VECTOR, BLOCK)  # t, x (d, W), params, out (d, W)
DIFFUSION = (FLOAT, BLOCK, BLOCK, VECTOR, BLOCK)  # t, x (d, W), dw (m, W), params, out (d, W) += σ dw


@functools.cache
def losses_field(loss, cache=True):
    """out[i] = l_term[i](x_i)."""

    @kernel_of(loss, types.void(*LOSSES), cache=cache)
    def losses(x, params, term, out):
        widest_vectors()
        for i in range(x.shape[1]):
            out[i] = loss(column(x, i), term[i], params)

    return losses


@functools.cache
def gradients_field(gradient, cache=True):
    """out[:, i] = ∇l_term[i](x_i)."""

    @kernel_of(gradient, types.void(*GRADIENTS), cache=cache)
    def gradients(x, params, term, out):
        widest_vectors()
        for i in range(x.shape[1]):
            gradient(column(x, i), term[i], params, column(out, i))

    return gradients


@functools.cache
def gradient_norms_field(gradient, cache=True):
    """out[c, i] = a_n ‖∇l_n(x_i)‖ for n = first + c, what AY (3.5) draws term n in proportion to."""

    @kernel_of(gradient, types.void(*PROPORTIONS), cache=cache)
    def proportions(x, params, weights, first, out):
        widest_vectors()
        g = np.empty_like(x)
        for c in range(out.shape[0]):
            n = first + c
            for i in range(x.shape[1]):
                gradient(column(x, i), n, params, column(g, i))
                out[c, i] = 0.0
            for j in range(x.shape[0]):
                for i in range(x.shape[1]):
                    out[c, i] += g[j, i] * g[j, i]
            for i in range(x.shape[1]):
                out[c, i] = weights[n] * np.sqrt(out[c, i])

    return proportions


@kernel(types.void(*LOSSES))
def no_losses(x, params, term, out):
    """What a kernel is given where no losses are compared: never called."""


@kernel(types.void(*PROPORTIONS))
def no_proportions(x, params, weights, first, out):
    """What a kernel is given where the proportions do not depend on x: never called."""


@kernel(types.void(*NOISE))
def no_noise(key, path, pair, first, params, even, odd):
    """What a kernel is given where there is no noise: never called."""
