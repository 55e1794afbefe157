"""The Itô limits of SGD as block fields: dΘ = −∇L dt + √η Σ(Θ)^½ dW and its second order. params: limit_terms.py."""

import functools

import numpy as np
from numba import types

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import formula, kernel_of, widest_vectors
from dynsim._kernels.limit_sums import add_gradient, fill_mean
from dynsim._kernels.limit_terms import rule_of

_STEP = 1e-3  # of a difference of fourth order, relative to max(1, |x|): h⁴ and 1e-16/h are then both small
# (shift in steps, weight) of the derivative in a direction
_STENCIL = ((1.0, 2.0 / 3.0), (-1.0, -2.0 / 3.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))


def compiled(function, gradient, scheme, variant, signature):
    """Compile a field of these formulas, cached under all their names; one of a user's scheme is not cached."""
    name, move = scheme[0], scheme[-1].__name__
    function.__qualname__ = f"{function.__qualname__}[{name}, {move}, {variant}]"
    return kernel_of(gradient, signature, cache=name != "custom")(function)


@functools.cache
def limit_drift(terms):
    """Out = −∇L(x)."""
    fill, gradient = terms

    @kernel_of(gradient, types.void(*DRIFT), cache=True)
    def drift(t, x, params, out):
        widest_vectors()
        out[:] = 0.0
        add_gradient((fill, gradient), x, params, -1.0, np.empty_like(x), out)

    return drift


@formula
def fill_steps(x, direction, out):
    """Out[i]: what to multiply the direction by for a step of length _STEP max(1, |x|); 0 where it is 0."""
    widest_vectors()
    for i in range(x.shape[1]):
        size, square = 1.0, 0.0
        for j in range(x.shape[0]):
            size = max(size, abs(x[j, i]))
            square += direction[j, i] * direction[j, i]
        out[i] = _STEP * size / np.sqrt(square) if square > 0.0 else 0.0


@functools.cache
def second_order_drift(terms):
    """Out = −∇L − (η/2) ∇²L ∇L, the product by a difference of ∇L in its direction; number of the rule: η."""
    fill, gradient = terms

    @kernel_of(gradient, types.void(*DRIFT), cache=True)
    def drift2(t, x, params, out):
        widest_vectors()
        dim, width = x.shape
        half = 0.5 * rule_of(params, dim)[0]
        g, slope = np.empty((dim, width)), np.zeros((dim, width))
        shifted, change, step = np.empty((dim, width)), np.zeros((dim, width)), np.empty(width)
        add_gradient((fill, gradient), x, params, 1.0, g, slope)
        fill_steps(x, slope, step)
        for shift, weight in _STENCIL:
            for j in range(dim):
                for i in range(width):
                    shifted[j, i] = x[j, i] + shift * step[i] * slope[j, i]
            add_gradient((fill, gradient), shifted, params, weight, g, change)
        for j in range(dim):
            for i in range(width):
                product = change[j, i] / step[i] if step[i] > 0.0 else 0.0
                out[j, i] = -slope[j, i] - half * product

    return drift2


@functools.cache
def limit_diffusion(terms, scheme, add):
    """Out += √amplitude Cov(G)^½ dw + √e dw; ``add`` is one of the three formulas of limit_sums.py."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def diffusion(t, x, dw, params, out):
        add((fill, gradient), (prepare, weigh, finish, move), x, dw, params, out)

    return compiled(diffusion, gradient, scheme, add.__name__, types.void(*DIFFUSION))


@functools.cache
def moved_drift(terms, scheme):
    """Out = −E φ(G) for one drawn term, φ the ``move`` of the scheme."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def drift_moved(t, x, params, out):
        fill_mean((fill, gradient), (prepare, weigh, finish, move), x, params, out)
        for j in range(x.shape[0]):
            for i in range(x.shape[1]):
                out[j, i] = -out[j, i]

    return compiled(drift_moved, gradient, scheme, "mean", types.void(*DRIFT))
