"""Gradient descent with steps of one length, or nearly so."""

from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.methods.common import length, update_rule


@update_rule
def normalized(problem, k, rates, g, u, params, state):
    """θ ← θ − η/(‖g‖ + β) g, Z (3.6), β = params[0]; no step where both are 0."""
    widest_vectors()
    eta, beta, dim = rates[0], params[0], g.shape[0]
    for i in range(g.shape[1]):
        size = length(g, i) + beta
        factor = eta / size if size > 0.0 else 0.0
        for j in range(dim):
            state[j, i] -= factor * g[j, i]
