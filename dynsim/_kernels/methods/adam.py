"""Adam, elementwise and with one second moment for all."""

import numpy as np

from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.methods.common import squared_norm, update_rule


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
