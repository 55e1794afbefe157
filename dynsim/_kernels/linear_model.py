"""Losses φ(θ·x_n − y_n) of a linear model. params: the rows [x_n, y_n], one after the other."""

import numpy as np
from numba import types

from dynsim._kernels.elementary import exp
from dynsim._kernels.fields import PROPORTIONS
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
def _fill_residuals(x, n, params, out):
    widest_vectors()
    dim = x.shape[0]
    row = n * (dim + 1)
    for i in range(x.shape[1]):
        out[i] = -params[row + dim]
    for j in range(dim):
        for i in range(x.shape[1]):
            out[i] += params[row + j] * x[j, i]


@formula
def _scale(weight, n, dim, params):
    square = 0.0
    for j in range(dim):
        square += params[n * (dim + 1) + j] ** 2
    return weight * np.sqrt(square)


@kernel(types.void(*PROPORTIONS))
def square_norms(x, params, weights, out):
    """out[n, i] = a_n |r| ‖x_n‖: gradient_norms_field with the lanes innermost throughout."""
    widest_vectors()
    for n in range(weights.shape[0]):
        _fill_residuals(x, n, params, out[n])
        scale = _scale(weights[n], n, x.shape[0], params)
        for i in range(x.shape[1]):
            out[n, i] = scale * abs(out[n, i])


@kernel(types.void(*PROPORTIONS))
def welsch_norms(x, params, weights, out):
    """out[n, i] = a_n |r| exp(−r²/2) ‖x_n‖."""
    widest_vectors()
    for n in range(weights.shape[0]):
        _fill_residuals(x, n, params, out[n])
        scale = _scale(weights[n], n, x.shape[0], params)
        for i in range(x.shape[1]):
            r = out[n, i]
            out[n, i] = scale * abs(r) * exp(-0.5 * r * r)
