"""RMSProp, Adam and ACClip."""

import numpy as np

from dynsim._kernels.elementary import exp, guarded_log
from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.methods.common import squared_norm, update_rule


@update_rule
def rmsprop(problem, k, rates, g, u, params, state):
    """v ← α v + (1 − α) g², θ ← θ − η g/(ε + √v), elementwise; params: α, ε; memory: v (d)."""
    widest_vectors()
    dim, alpha, eps = g.shape[0], params[0], params[1]
    for j in range(dim):
        for i in range(g.shape[1]):
            v = alpha * state[dim + j, i] + (1.0 - alpha) * g[j, i] * g[j, i]
            state[dim + j, i] = v
            state[j, i] -= rates[0] * g[j, i] / (eps + np.sqrt(v))


@update_rule
def rmsprop_scalar(problem, k, rates, g, u, params, state):
    """The same with ‖g‖² for g², L §3.2; memory: v (1)."""
    widest_vectors()
    dim, alpha, eps = g.shape[0], params[0], params[1]
    for i in range(g.shape[1]):
        v = alpha * state[dim, i] + (1.0 - alpha) * squared_norm(g, i)
        state[dim, i] = v
        factor = rates[0] / (eps + np.sqrt(v))
        for j in range(dim):
            state[j, i] -= factor * g[j, i]


@update_rule
def adam(problem, k, rates, g, u, params, state):
    """m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η m̂/(ε + √v̂), m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ), t = k + 1.

    Elementwise; params: β₁, β₂, ε; memory: m (d), v (d).
    """
    widest_vectors()
    dim, beta1, beta2, eps = g.shape[0], params[0], params[1], params[2]
    step = rates[0] / (1.0 - beta1 ** (k + 1))
    unbias = 1.0 / (1.0 - beta2 ** (k + 1))
    for j in range(dim):
        for i in range(g.shape[1]):
            m = beta1 * state[dim + j, i] + (1.0 - beta1) * g[j, i]
            v = beta2 * state[2 * dim + j, i] + (1.0 - beta2) * g[j, i] * g[j, i]
            state[dim + j, i] = m
            state[2 * dim + j, i] = v
            state[j, i] -= step * m / (eps + np.sqrt(unbias * v))


@update_rule
def adam_scalar(problem, k, rates, g, u, params, state):
    """The same with ‖g‖² for g², L §3.2; memory: m (d), v (1)."""
    widest_vectors()
    dim, beta1, beta2, eps = g.shape[0], params[0], params[1], params[2]
    step = rates[0] / (1.0 - beta1 ** (k + 1))
    unbias = 1.0 / (1.0 - beta2 ** (k + 1))
    for i in range(g.shape[1]):
        v = beta2 * state[2 * dim, i] + (1.0 - beta2) * squared_norm(g, i)
        state[2 * dim, i] = v
        factor = step / (eps + np.sqrt(unbias * v))
        for j in range(dim):
            m = beta1 * state[dim + j, i] + (1.0 - beta1) * g[j, i]
            state[dim + j, i] = m
            state[j, i] -= factor * m


@formula
def _power(x, exponent):
    """x^exponent for x ≥ 0."""
    if exponent == 1.0:
        return x
    return exp(exponent * guarded_log(x)) if x > 0.0 else 0.0


@update_rule
def acclip(problem, k, rates, g, u, params, state):
    """m ← β₁m + (1−β₁)g, τ^α ← β₂τ^α + (1−β₂)|g|^α, θ ← θ − η min(τ/(|m| + ε), 1) m; Z Algorithm 1.

    Elementwise, 0/0 = 1; params: α, β₁, β₂, ε; memory: m (d), τ^α (d).
    """
    widest_vectors()
    dim, alpha, beta1, beta2, eps = g.shape[0], params[0], params[1], params[2], params[3]
    for j in range(dim):
        for i in range(g.shape[1]):
            m = beta1 * state[dim + j, i] + (1.0 - beta1) * g[j, i]
            power = beta2 * state[2 * dim + j, i] + (1.0 - beta2) * _power(abs(g[j, i]), alpha)
            state[dim + j, i] = m
            state[2 * dim + j, i] = power
            tau, size = _power(power, 1.0 / alpha), abs(m) + eps
            state[j, i] -= rates[0] * (m * (tau / size) if tau < size else m)
