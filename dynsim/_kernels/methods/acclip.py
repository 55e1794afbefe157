"""Adaptive coordinate-wise clipping."""

from dynsim._kernels.elementary import exp, guarded_log
from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.methods.common import update_rule


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
