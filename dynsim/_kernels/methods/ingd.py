"""Interpolated normalized gradient descent, one call of the gradient oracle a step. Z Algorithms 2 and 3."""

import numpy as np

from dynsim._kernels.estimators.common import losses_at
from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.methods.common import squared_norm, update_rule


@formula
def _fill_losses(problem, x, values):
    """values[i] = L(x_i)."""
    losses = losses_at(problem[0][0])
    term, one = np.empty(x.shape[1], dtype=np.int64), np.empty(x.shape[1])
    values[:] = 0.0
    for n in range(problem[2].shape[0]):
        term[:] = n
        losses(x, problem[1], term, one)
        for i in range(x.shape[1]):
            values[i] += problem[2][n] * one[i]


@update_rule
def ingd(problem, k, rates, g, u, params, state):
    """Z Algorithm 2: m, a convex combination of gradients within δ of θ, until ‖m‖ ≤ ε or −δ m/‖m‖ descends enough.

    params: δ, ε, L, K. memory: y (d), where g is; m (d); how many gradients are in m, −1 where the path has ended.
    """
    widest_vectors()
    dim, width = g.shape
    delta, eps, lipschitz, most = params[0], params[1], params[2], params[3]
    theta, y, m, count = state[:dim], state[dim : 2 * dim], state[2 * dim : 3 * dim], state[3 * dim]
    for i in range(width):
        square = squared_norm(m, i)
        four = 4.0 * lipschitz * lipschitz
        beta = (four - square) / (four + 2.0 * square) if count[i] > 0.0 else 0.0
        if count[i] >= 0.0:
            for j in range(dim):
                m[j, i] = beta * m[j, i] + (1.0 - beta) * g[j, i]
            count[i] = -1.0 if squared_norm(m, i) <= eps * eps else count[i] + 1.0
    trial, before, after = np.empty((dim, width)), np.empty(width), np.empty(width)
    for i in range(width):
        norm = np.sqrt(squared_norm(m, i))
        for j in range(dim):
            trial[j, i] = theta[j, i] - delta * m[j, i] / norm if norm > 0.0 else theta[j, i]
    _fill_losses(problem, theta, before)
    _fill_losses(problem, trial, after)
    for i in range(width):
        if count[i] < 0.0:
            continue
        norm = np.sqrt(squared_norm(m, i))
        if after[i] - before[i] < -0.25 * delta * norm:
            count[i] = 0.0
            for j in range(dim):
                theta[j, i] = trial[j, i]
                y[j, i] = trial[j, i]
        elif count[i] >= most:
            count[i] = 0.0
            for j in range(dim):
                y[j, i] = theta[j, i]
        else:
            for j in range(dim):
                y[j, i] = theta[j, i] + u[0, i] * (trial[j, i] - theta[j, i])


@update_rule
def stochastic_ingd(problem, k, rates, g, u, params, state):
    """m ← β m + (1−β) g, θ' = θ − m/(p‖m‖ + q), y uniform between θ and θ'; Z Algorithm 3.

    params: p, q, β. memory: y (d), where g is; m (d).
    """
    widest_vectors()
    dim, width = g.shape
    p, q, beta = params[0], params[1], params[2] if k > 0 else 0.0
    for i in range(width):
        for j in range(dim):
            state[2 * dim + j, i] = beta * state[2 * dim + j, i] + (1.0 - beta) * g[j, i]
        size = p * np.sqrt(squared_norm(state[2 * dim : 3 * dim], i)) + q
        for j in range(dim):
            step = -state[2 * dim + j, i] / size
            state[dim + j, i] = state[j, i] + u[0, i] * step
            state[j, i] += step
