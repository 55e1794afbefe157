"""What update rules are given, and what they share."""

import numpy as np
from numba import types

from dynsim._kernels.estimators.common import PROBLEM
from dynsim._kernels.jit import BLOCK, INT, VECTOR, formula, kernel

# problem, step, rates of the step (m,), estimated gradient (d, W), uniforms (n, W), params, state (rows, W): θ, then
# the memory of the method
UPDATE = (PROBLEM, INT, VECTOR, BLOCK, BLOCK, VECTOR, BLOCK)

_SMALLEST, _LARGEST = 1e-280, 1e280  # squares between them have lost nothing


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
def length(g, i):
    """‖g[:, i]‖, also where its square over- or underflows."""
    square = squared_norm(g, i)
    if _SMALLEST < square < _LARGEST:
        return np.sqrt(square)
    largest = 0.0
    for j in range(g.shape[0]):
        largest = max(largest, abs(g[j, i]))
    if not 0.0 < largest < np.inf:
        return np.sqrt(square)
    square = 0.0
    for j in range(g.shape[0]):
        square += (g[j, i] / largest) * (g[j, i] / largest)
    return largest * np.sqrt(square)


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
        norm = length(g, i)
        factor = longest / norm if norm > longest else 1.0
        for j in range(g.shape[0]):
            g[j, i] *= factor
