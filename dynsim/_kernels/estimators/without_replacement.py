"""Batches of different terms."""

import numpy as np

from dynsim._kernels.estimators.common import BATCH, add_terms, divide, estimator

_EMPTY = -1.0  # what scratch is filled with before a block's first step


@estimator
def without_replacement(problem, sampling, draws, theta, space, g):
    """A batch of different terms, all sets of that size alike; n a_n ∇l_n averaged over it.

    The first members of a shuffle of 0, 1, …, n − 1, which is undone afterwards. work: gradient of a term, scale, the
    numbers (n), what was swapped with what (batch).
    """
    integers, numbers, table = sampling
    memory, work, term = space
    dim, n_terms, scale = g.shape[0], problem[2].shape[0], work[g.shape[0]]
    cards, swapped = work[dim + 1 : dim + 1 + n_terms], work[dim + 1 + n_terms :]
    if cards[0, 0] == _EMPTY:
        for n in range(n_terms):
            cards[n, :] = n
    for member in range(integers[BATCH]):
        for i in range(scale.shape[0]):
            other = member + np.int64(draws[3][member, i] * (n_terms - member))
            swapped[member, i] = other
            drawn = cards[other, i]
            cards[other, i] = cards[member, i]
            cards[member, i] = drawn
            term[i] = np.int64(drawn)
            scale[i] = n_terms * problem[2][term[i]]
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    for member in range(integers[BATCH] - 1, -1, -1):
        for i in range(scale.shape[0]):
            other = np.int64(swapped[member, i])
            drawn = cards[member, i]
            cards[member, i] = cards[other, i]
            cards[other, i] = drawn
    divide(g, integers[BATCH])
