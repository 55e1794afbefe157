"""Heavy ball and Nesterov's accelerated gradient."""

from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.methods.common import update_rule


@update_rule
def heavy_ball(problem, k, rates, g, u, params, state):
    """v ← μ v + g, θ ← θ − η v; rates: η_k, μ_k; memory: v."""
    widest_vectors()
    dim = g.shape[0]
    for j in range(dim):
        for i in range(g.shape[1]):
            state[dim + j, i] = rates[1] * state[dim + j, i] + g[j, i]
            state[j, i] -= rates[0] * state[dim + j, i]


@update_rule
def nesterov(problem, k, rates, g, u, params, state):
    """θ' = q − η g, q ← θ' + μ (θ' − θ), Z (2.4); rates: η_k, μ_k; memory: q, where g is estimated."""
    widest_vectors()
    dim = g.shape[0]
    for j in range(dim):
        for i in range(g.shape[1]):
            reached = state[dim + j, i] - rates[0] * g[j, i]
            state[dim + j, i] = reached + rates[1] * (reached - state[j, i])
            state[j, i] = reached
