"""Gradient descent on clipped gradients."""

from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.methods.common import descend, scale_to, update_rule


@update_rule
def clipped(problem, k, rates, g, u, params, state):
    """θ ← θ − η min(1, τ/‖g‖) g, Z (3.5) and (GClip); rates: η_k, τ_k."""
    widest_vectors()
    scale_to(rates[1], g)
    descend(rates[0], g, state)


@update_rule
def projected(problem, k, rates, g, u, params, state):
    """The same, then θ onto the ball about params[1:] with radius params[0]; Z (proj-GClip)."""
    widest_vectors()
    dim = g.shape[0]
    scale_to(rates[1], g)
    descend(rates[0], g, state)
    for j in range(dim):
        for i in range(g.shape[1]):
            state[j, i] -= params[1 + j]
    scale_to(params[0], state[:dim])
    for j in range(dim):
        for i in range(g.shape[1]):
            state[j, i] += params[1 + j]


@update_rule
def coordinates_clipped(problem, k, rates, g, u, params, state):
    """θ_j ← θ_j − η min(1, τ_j/|g_j|) g_j, Z (CClip); rates: η_k, τ_k, times params (d,)."""
    widest_vectors()
    for j in range(g.shape[0]):
        bound = rates[1] * params[j]
        for i in range(g.shape[1]):
            state[j, i] -= rates[0] * min(max(g[j, i], -bound), bound)
