"""Energies of AY §4.2: exponentials of quadratic forms around fixed atoms, and pairs of atoms that all move."""

import functools

import numpy as np
from numba import types

from dynsim._kernels.elementary import exp
from dynsim._kernels.fields import PROPORTIONS
from dynsim._kernels.jit import formula, kernel_of, widest_vectors


@formula
def exponential(theta, n, params):
    """A exp(a Δx² + b ΔxΔy + c Δy²), AY (C.1). params: the rows [A, a, b, c, x, y]."""
    height, a, b, c = params[6 * n], params[6 * n + 1], params[6 * n + 2], params[6 * n + 3]
    dx, dy = theta[0] - params[6 * n + 4], theta[1] - params[6 * n + 5]
    return height * exp(a * dx * dx + b * dx * dy + c * dy * dy)


@formula
def exponential_gradient(theta, n, params, out):
    """(2a Δx + b Δy, b Δx + 2c Δy) times the term."""
    height, a, b, c = params[6 * n], params[6 * n + 1], params[6 * n + 2], params[6 * n + 3]
    dx, dy = theta[0] - params[6 * n + 4], theta[1] - params[6 * n + 5]
    value = height * exp(a * dx * dx + b * dx * dy + c * dy * dy)
    out[0] = value * (2.0 * a * dx + b * dy)
    out[1] = value * (b * dx + 2.0 * c * dy)


@formula
def lennard_jones_pair(s, depth, radius, stiffness):
    """(V, 2 dV/ds) at the squared distance s: ε (q⁶ − 2 q³), q = r0²/s."""
    q = radius * radius / s
    cube = q * q * q
    return depth * cube * (cube - 2.0), 12.0 * depth * cube * (1.0 - cube) / s


@formula
def morse_pair(s, depth, radius, stiffness):
    """(V, 2 dV/ds): ε ((1 − e^{−a(r − r0)})² − 1)."""
    r = np.sqrt(s)
    decay = exp(-stiffness * (r - radius))
    slope = 2.0 * depth * stiffness * decay * (1.0 - decay)
    return depth * decay * (decay - 2.0), slope / (r if r > 0.0 else 1.0)


@formula
def gaussian_pair(s, depth, radius, stiffness):
    """(V, 2 dV/ds): −ε exp(−s/(2 r0²))."""
    value = depth * exp(-0.5 * s / (radius * radius))
    return -value, value / (radius * radius)


def _terms(potential):
    """Formulas of V(‖z_i − z_j‖²) for the pair (i, j). params: [ε, r0, a, d], then [i, j] for each pair."""

    def loss(theta, n, params):
        space = np.int64(params[3])
        first, second = np.int64(params[4 + 2 * n]) * space, np.int64(params[5 + 2 * n]) * space
        s = 0.0
        for c in range(space):
            s += (theta[first + c] - theta[second + c]) * (theta[first + c] - theta[second + c])
        return potential(s, params[0], params[1], params[2])[0]

    def gradient(theta, n, params, out):
        space = np.int64(params[3])
        first, second = np.int64(params[4 + 2 * n]) * space, np.int64(params[5 + 2 * n]) * space
        s = 0.0
        for c in range(space):
            s += (theta[first + c] - theta[second + c]) * (theta[first + c] - theta[second + c])
        slope = potential(s, params[0], params[1], params[2])[1]
        for j in range(theta.shape[0]):
            out[j] = 0.0
        for c in range(space):
            force = slope * (theta[first + c] - theta[second + c])
            out[first + c] = force
            out[second + c] = -force

    name = potential.__name__.removesuffix("_pair")
    loss.__name__ = loss.__qualname__ = name  # under which this module has them: see jit.kernel_of
    gradient.__name__ = gradient.__qualname__ = f"{name}_gradient"
    return formula(loss), formula(gradient)


lennard_jones, lennard_jones_gradient = _terms(lennard_jones_pair)
morse, morse_gradient = _terms(morse_pair)
gaussian, gaussian_gradient = _terms(gaussian_pair)

PAIRS = {"lennard_jones": lennard_jones_pair, "morse": morse_pair, "gaussian": gaussian_pair}


@functools.cache
def norms_field(potential, cache=True):
    """out[c, i] = a_n √2 |V'(r)|, n = first + c: gradient_norms_field without the zeros of all atoms but two."""

    @kernel_of(potential, types.void(*PROPORTIONS), cache=cache)
    def norms(x, params, weights, first, out):
        widest_vectors()
        depth, radius, stiffness, space = params[0], params[1], params[2], np.int64(params[3])
        for c in range(out.shape[0]):
            n = first + c
            scale = weights[n] * np.sqrt(2.0)
            one, other = np.int64(params[4 + 2 * n]) * space, np.int64(params[5 + 2 * n]) * space
            for i in range(x.shape[1]):
                out[c, i] = 0.0
            for j in range(space):
                for i in range(x.shape[1]):
                    out[c, i] += (x[one + j, i] - x[other + j, i]) * (x[one + j, i] - x[other + j, i])
            for i in range(x.shape[1]):
                s = out[c, i]
                out[c, i] = scale * abs(potential(s, depth, radius, stiffness)[1]) * np.sqrt(s)

    return norms
