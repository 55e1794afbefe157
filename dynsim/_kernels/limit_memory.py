"""Limits of methods with a memory: block fields on θ and what the method remembers. params: limit_terms.py.

Momentum: x = (θ, v), rule: η, μ, 1 for the gradient at q = θ − η μ v or 0 for that at θ.
RMSProp: x = (θ, v), rule: η, ε, κ, 1 − α. Adam: x = (θ, m, v), rule: η, ε, κ, 1 − β₂, 1 − β₁.
Their v has d rows, or one for ‖g‖²; the covariance of the gradient is κ times what the amplitude and e make of it.
"""

import functools

import numpy as np
from numba import types

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import formula, kernel_of, widest_vectors
from dynsim._kernels.limit import compiled
from dynsim._kernels.limit_sums import add_gradient, fill_covariance
from dynsim._kernels.limit_terms import rule_of

_KINDS = {False: "one v", True: "v for each coordinate"}  # in the names of kernels


@formula
def _query(x, dim, params):
    """Q = θ − η μ v, or θ."""
    eta, mu, ahead = rule_of(params, dim)[:3]
    q = np.empty((dim, x.shape[1]))
    for j in range(dim):
        for i in range(x.shape[1]):
            q[j, i] = x[j, i] - ahead * eta * mu * x[dim + j, i]
    return q


@functools.cache
def momentum_drift(terms):
    """Out = (−v, (∇L(q) − (1 − μ) v)/η)."""
    fill, gradient = terms

    @kernel_of(gradient, types.void(*DRIFT), cache=True)
    def drift_momentum(t, x, params, out):
        widest_vectors()
        dim = x.shape[0] // 2
        rule = rule_of(params, dim)
        rate, friction = 1.0 / rule[0], (1.0 - rule[1]) / rule[0]
        q = _query(x, dim, params)
        for j in range(dim):
            for i in range(x.shape[1]):
                out[j, i] = -x[dim + j, i]
                out[dim + j, i] = -friction * x[dim + j, i]
        add_gradient((fill, gradient), q, params, rate, np.empty_like(q), out[dim:])

    return drift_momentum


@functools.cache
def momentum_diffusion(terms, scheme, add):
    """Out += (0, Cov(G(q))^½ dw/√η)."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def diffusion_momentum(t, x, dw, params, out):
        dim = x.shape[0] // 2
        q = _query(x, dim, params)
        add((fill, gradient), (prepare, weigh, finish, move), q, dw, params, out[dim:])

    return compiled(diffusion_momentum, gradient, scheme, add.__name__, types.void(*DIFFUSION))


@formula
def _fill_moments(terms, scheme, dim, x, params, g, second):
    """G = ∇L(θ); second = E G_j², or E‖G‖² where it has one row."""
    widest_vectors()
    kappa = rule_of(params, dim)[2]
    sigma = np.empty((dim, x.shape[1]))
    fill_covariance(terms, scheme, False, x[:dim], params, g, sigma)
    second[:] = 0.0
    for j in range(dim):
        row = j if second.shape[0] == dim else 0
        for i in range(x.shape[1]):
            second[row, i] += kappa * sigma[j, i] + g[j, i] * g[j, i]


@formula
def _scale(v, eps):
    """1/(ε + √v), also where a time step has taken v below 0."""
    return 1.0 / (eps + (0.0 if v <= 0.0 else np.sqrt(v)))


@functools.cache
def rmsprop_drift(terms, scheme, elementwise):
    """Out = (−∇L/(ε + √v), (1 − α)/η (E G² − v))."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def drift_rmsprop(t, x, params, out):
        widest_vectors()
        dim = x.shape[0] // 2 if elementwise else x.shape[0] - 1
        rule = rule_of(params, dim)
        eps, rate = rule[1], rule[3] / rule[0]
        g, v, change = np.empty((dim, x.shape[1])), x[dim:], out[dim:]
        _fill_moments((fill, gradient), (prepare, weigh, finish, move), dim, x, params, g, change)
        for j in range(v.shape[0]):
            for i in range(x.shape[1]):
                change[j, i] = rate * (change[j, i] - v[j, i])
        for j in range(dim):
            row = j if elementwise else 0
            for i in range(x.shape[1]):
                out[j, i] = -g[j, i] * _scale(v[row, i], eps)

    return compiled(drift_rmsprop, gradient, scheme, _KINDS[elementwise], types.void(*DRIFT))


@functools.cache
def rmsprop_diffusion(terms, scheme, add, elementwise):
    """Out += (√η Cov(G)^½ dw/(ε + √v), 0)."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def diffusion_rmsprop(t, x, dw, params, out):
        widest_vectors()
        dim = x.shape[0] // 2 if elementwise else x.shape[0] - 1
        eps, noise = rule_of(params, dim)[1], np.zeros((dim, x.shape[1]))
        add((fill, gradient), (prepare, weigh, finish, move), x[:dim], dw, params, noise)
        for j in range(dim):
            row = dim + j if elementwise else dim
            for i in range(x.shape[1]):
                out[j, i] += noise[j, i] * _scale(x[row, i], eps)

    return compiled(
        diffusion_rmsprop, gradient, scheme, f"{add.__name__}, {_KINDS[elementwise]}", types.void(*DIFFUSION)
    )


@functools.cache
def adam_drift(terms, scheme, elementwise):
    """Out = (−m̂/(ε + √v̂), (1 − β₁)/η (∇L − m), (1 − β₂)/η (E G² − v)), m̂ = m/(1 − e^{−(1−β₁)t/η})."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def drift_adam(t, x, params, out):
        widest_vectors()
        dim = x.shape[0] // 3 if elementwise else (x.shape[0] - 1) // 2
        rule = rule_of(params, dim)
        eps, rate, rate_m = rule[1], rule[3] / rule[0], rule[4] / rule[0]
        g, m, v = np.empty((dim, x.shape[1])), x[dim:], x[2 * dim :]
        second = out[2 * dim :]
        _fill_moments((fill, gradient), (prepare, weigh, finish, move), dim, x, params, g, second)
        # where t = 0 the corrected moments are 0/0, and become ∇L and E G²
        step = -1.0 / np.expm1(-rate_m * t) if t > 0.0 else 0.0
        unbias = -1.0 / np.expm1(-rate * t) if t > 0.0 else 0.0
        for j in range(dim):
            row = j if elementwise else 0
            for i in range(x.shape[1]):
                first = step * m[j, i] if t > 0.0 else g[j, i]
                size = unbias * v[row, i] if t > 0.0 else second[row, i]
                out[dim + j, i] = rate_m * (g[j, i] - m[j, i])
                out[j, i] = -first * _scale(size, eps)
        for j in range(v.shape[0]):
            for i in range(x.shape[1]):
                second[j, i] = rate * (second[j, i] - v[j, i])

    return compiled(drift_adam, gradient, scheme, _KINDS[elementwise], types.void(*DRIFT))


@functools.cache
def adam_diffusion(terms, scheme, add, elementwise):
    """Out += (0, (1 − β₁)/√η Cov(G)^½ dw, 0)."""
    fill, gradient = terms
    prepare, weigh, finish, move = scheme[1:]

    def diffusion_adam(t, x, dw, params, out):
        dim = x.shape[0] // 3 if elementwise else (x.shape[0] - 1) // 2
        add((fill, gradient), (prepare, weigh, finish, move), x[:dim], dw, params, out[dim : 2 * dim])

    return compiled(diffusion_adam, gradient, scheme, f"{add.__name__}, {_KINDS[elementwise]}", types.void(*DIFFUSION))
