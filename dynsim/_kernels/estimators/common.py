"""What the estimators and the update rules are given, and what they share."""

import numpy as np
from numba import types

from dynsim._kernels.fields import GRADIENTS, LOSSES, PROPORTIONS
from dynsim._kernels.jit import BLOCK, INT, INTS, KEY, VECTOR, addresses_of, formula, function_at, kernel

# addresses of the terms' losses and gradients and of the proportions to draw them in; params; weights (n,)
PROBLEM = types.Tuple([INTS, VECTOR, VECTOR])
# batch size first, then what each scheme needs, last the number of paths and a count of broken promises; numbers; a
# table of the terms (rows, n)
SAMPLING = types.Tuple([INTS, VECTOR, BLOCK])
# key, path of the first lane, step, uniforms (n_uniforms, W)
DRAWS = types.Tuple([KEY, INT, INT, BLOCK])
# memory (rows, W), work (rows, W) with the gradient of one term in its first dim rows, term (W,)
SPACE = types.Tuple([BLOCK, BLOCK, INTS])

ESTIMATOR = (PROBLEM, SAMPLING, DRAWS, BLOCK, SPACE, BLOCK)  # …, where to estimate (dim, W), …, g (dim, W)

BATCH, N_PATHS, BROKEN = 0, -2, -1
# Components of the noise: those below are a step's uniforms, the others as they are named, up to 2^24
NOISE_COMPONENTS, ON_DEMAND, SHUFFLE = 1 << 20, 1 << 21, 1 << 22

losses_at, gradients_at, proportions_at = function_at(*LOSSES), function_at(*GRADIENTS), function_at(*PROPORTIONS)
_GRADIENTS, _PROPORTIONS = 1, 2


def problem_addresses(losses, gradients, proportions):
    """The first entry of PROBLEM."""
    return addresses_of((losses, LOSSES), (gradients, GRADIENTS), (proportions, PROPORTIONS))


def estimator(function):
    """Compile an estimator."""
    return kernel(types.void(*ESTIMATOR))(function)


@formula
def gradients_of(problem):
    """The field of the terms' gradients."""
    return gradients_at(problem[0][_GRADIENTS])


@formula
def proportions_of(problem):
    """The field of the proportions to draw terms in."""
    return proportions_at(problem[0][_PROPORTIONS])


@formula
def add_terms(problem, theta, term, scale, member, one, g):
    """g = or += scale[i] ∇l_term[i](θ_i), the first member of a batch beginning the sum; one (dim, W) is scratch."""
    if member == 0:
        gradients_of(problem)(theta, problem[1], term, g)
        for j in range(g.shape[0]):
            for i in range(g.shape[1]):
                g[j, i] *= scale[i]
    else:
        gradients_of(problem)(theta, problem[1], term, one)
        add(one, scale, member, g)


@formula
def add(one, scale, member, g):
    """g = or += scale[i] one[:, i]."""
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            g[j, i] = scale[i] * one[j, i] + (g[j, i] if member > 0 else 0.0)


@formula
def is_finite(theta, i):
    """Whether lane i is at a finite point, that is, has not blown up."""
    total = 0.0
    for j in range(theta.shape[0]):
        total += abs(theta[j, i])
    return total < np.inf


@formula
def divide(g, count):
    """g /= count, which for a batch of one changes nothing and costs nothing."""
    if count > 1:
        share = 1.0 / count
        for j in range(g.shape[0]):
            for i in range(g.shape[1]):
                g[j, i] *= share


@formula
def fill_norms(problem, theta, term, one, norm):
    """one = ∇l_term(θ), norm[i] = ‖one[:, i]‖."""
    gradients_of(problem)(theta, problem[1], term, one)
    for i in range(norm.shape[0]):
        norm[i] = 0.0
    for j in range(one.shape[0]):
        for i in range(norm.shape[0]):
            norm[i] += one[j, i] * one[j, i]
    for i in range(norm.shape[0]):
        norm[i] = np.sqrt(norm[i])
