"""Gradient descent."""

from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.methods.common import descend, update_rule


@update_rule
def sgd(problem, k, rates, g, u, params, state):
    """θ ← θ − η g."""
    widest_vectors()
    descend(rates[0], g, state)
