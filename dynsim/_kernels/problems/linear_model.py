"""Losses φ(θ·x_n − y_n) of a linear model. params: the rows [x_n, y_n], one after the other."""

import numpy as np
from numba import types

from dynsim._kernels.elementary import exp
from dynsim._kernels.fields import GRADIENTS, PROPORTIONS
from dynsim._kernels.jit import formula, kernel, widest_vectors


@formula
def residual(theta, n, params):
    """θ·x_n − y_n."""
    dim = theta.shape[0]
    row = n * (dim + 1)
    r = -params[row + dim]
    for j in range(dim):
        r += params[row + j] * theta[j]
    return r


@formula
def _times_row(slope, theta, n, params, out):
    dim = theta.shape[0]
    row = n * (dim + 1)
    for j in range(dim):
        out[j] = slope * params[row + j]


@formula
def square_loss(theta, n, params):
    """φ(r) = r²/2, AY (3.7)."""
    r = residual(theta, n, params)
    return 0.5 * r * r


@formula
def square_gradient(theta, n, params, out):
    """R x_n."""
    _times_row(residual(theta, n, params), theta, n, params, out)


@formula
def welsch_loss(theta, n, params):
    """φ(r) = 1 − exp(−r²/2), AY (4.1)."""
    r = residual(theta, n, params)
    q = 0.5 * r * r
    series = q * (1.0 - q / 2.0 * (1.0 - q / 3.0 * (1.0 - q / 4.0)))
    return series if q < 1e-4 else 1.0 - exp(-q)  # the difference loses all digits as q → 0


@formula
def welsch_gradient(theta, n, params, out):
    """R exp(−r²/2) x_n."""
    r = residual(theta, n, params)
    _times_row(r * exp(-0.5 * r * r), theta, n, params, out)


@formula
def _fill_residuals(x, n, params, c, out):
    """out[c, i] = θ_i·x_n − y_n, for all lanes; and ‖x_n‖."""
    widest_vectors()
    dim = x.shape[0]
    row = n * (dim + 1)
    target, feature = params[row + dim], params[row]
    square = feature * feature
    for i in range(x.shape[1]):
        out[c, i] = feature * x[0, i] - target
    for j in range(1, dim):
        feature = params[row + j]
        square += feature * feature
        for i in range(x.shape[1]):
            out[c, i] += feature * x[j, i]
    return np.sqrt(square)


@kernel(types.void(*PROPORTIONS))
def square_norms(x, params, weights, first, out):
    """out[c, i] = a_n |r| ‖x_n‖, n = first + c: gradient_norms_field with the lanes innermost throughout."""
    widest_vectors()
    for c in range(out.shape[0]):
        n = first + c
        scale = weights[n] * _fill_residuals(x, n, params, c, out)
        for i in range(x.shape[1]):
            out[c, i] = scale * abs(out[c, i])


@kernel(types.void(*PROPORTIONS))
def welsch_norms(x, params, weights, first, out):
    """out[c, i] = a_n |r| exp(−r²/2) ‖x_n‖, n = first + c."""
    widest_vectors()
    for c in range(out.shape[0]):
        n = first + c
        scale = weights[n] * _fill_residuals(x, n, params, c, out)
        for i in range(x.shape[1]):
            r = out[c, i]
            out[c, i] = scale * abs(r) * exp(-0.5 * r * r)


@formula
def _fill_drawn_residuals(x, params, term, r):
    """r[i] = θ_i·x_n − y_n for the term n = term[i] of each lane: gathers, with the lanes innermost."""
    widest_vectors()
    dim = x.shape[0]
    for i in range(x.shape[1]):
        r[i] = -params[term[i] * (dim + 1) + dim]
    for j in range(dim):
        for i in range(x.shape[1]):
            r[i] += params[term[i] * (dim + 1) + j] * x[j, i]


@formula
def _fill_drawn_gradients(slope, params, term, out):
    """out[:, i] = slope[i] x_n."""
    widest_vectors()
    dim = out.shape[0]
    for j in range(dim):
        for i in range(out.shape[1]):
            out[j, i] = slope[i] * params[term[i] * (dim + 1) + j]


@kernel(types.void(*GRADIENTS))
def square_gradients(x, params, term, out):
    """out[:, i] = r x_n, n = term[i]: gradients_field with the lanes innermost throughout."""
    slope = np.empty(x.shape[1])
    _fill_drawn_residuals(x, params, term, slope)
    _fill_drawn_gradients(slope, params, term, out)


@kernel(types.void(*GRADIENTS))
def welsch_gradients(x, params, term, out):
    """out[:, i] = r exp(−r²/2) x_n, n = term[i]."""
    widest_vectors()
    slope = np.empty(x.shape[1])
    _fill_drawn_residuals(x, params, term, slope)
    for i in range(x.shape[1]):
        slope[i] *= exp(-0.5 * slope[i] * slope[i])
    _fill_drawn_gradients(slope, params, term, out)
