"""What update rules are given, and what they share."""

import numpy as np
from numba import types

from dynsim._kernels.estimators.common import PROBLEM
from dynsim._kernels.jit import BLOCK, INT, VECTOR, formula, kernel

# problem, step, rates of the step (m,), estimated gradient (d, W), uniforms (n, W), params, state (rows, W): θ, then
# the memory of the method
UPDATE = (PROBLEM, INT, VECTOR, BLOCK, BLOCK, VECTOR, BLOCK)


def update_rule(function):
    """Compile an update rule."""
    return kernel(types.void(*UPDATE))(function)


@formula
def squared_norm(g, i):
    """‖g[:, i]‖²."""
    total = 0.0
    for j in range(g.shape[0]):
        total += g[j, i] * g[j, i]
    return total


@formula
def descend(eta, g, state):
    """θ ← θ − η g."""
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            state[j, i] -= eta * g[j, i]


@formula
def scale_to(longest, g):
    """g ← min(1, longest/‖g‖) g."""
    for i in range(g.shape[1]):
        norm = np.sqrt(squared_norm(g, i))
        factor = longest / norm if norm > longest else 1.0
        for j in range(g.shape[0]):
            g[j, i] *= factor
