"""RMSProp, elementwise and with one second moment for all."""

import numpy as np

from dynsim._kernels.jit import widest_vectors
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
