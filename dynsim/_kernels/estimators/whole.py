"""All terms, or some of them without replacement."""

import numpy as np

from dynsim._kernels.estimators.common import BATCH, SHUFFLE, add_terms, divide, estimator
from dynsim._kernels.jit import widest_vectors
from dynsim._kernels.threefry import fill_uniforms

_STEPS_PER_EPOCH, _EMPTY = 1, -1.0


@estimator
def full(problem, sampling, draws, theta, space, g):
    """∇L itself. work: gradient of a term, scale."""
    widest_vectors()
    memory, work, term = space
    dim, scale, weights = g.shape[0], work[g.shape[0]], problem[2]
    for n in range(weights.shape[0]):
        for i in range(g.shape[1]):
            term[i] = n
            scale[i] = weights[n]
        add_terms(problem, theta, term, scale, n, work[:dim], g)


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


@estimator
def reshuffled(problem, sampling, draws, theta, space, g):
    """Each term once in each epoch, in an order that is shuffled for each epoch and lane; the last batch may be short.

    The order is a function of path and epoch, so a run that begins within an epoch makes it again. work: gradient of a
    term, scale, the epoch that the order is of (before it: −1), two rows of uniforms, the order (n).
    """
    integers, numbers, table = sampling
    memory, work, term = space
    key, path, k, u = draws
    dim, n_terms, scale = g.shape[0], problem[2].shape[0], work[g.shape[0]]
    made, even, odd, order = work[dim + 1], work[dim + 2], work[dim + 3], work[dim + 4 :]
    epoch, batch = divmod(k, integers[_STEPS_PER_EPOCH])
    if made[0] != epoch:
        made[0] = epoch
        for n in range(n_terms):
            order[n, :] = n
        for n in range(n_terms - 1, 0, -1):  # Fisher & Yates
            if (n_terms - 1 - n) % 2 == 0:
                fill_uniforms(key, path, epoch, SHUFFLE + (n_terms - 1 - n) // 2, even, odd)
            for i in range(scale.shape[0]):
                other = np.int64((n + 1) * (even[i] if (n_terms - 1 - n) % 2 == 0 else odd[i]))
                drawn = order[other, i]
                order[other, i] = order[n, i]
                order[n, i] = drawn
    first = batch * integers[BATCH]
    last = min(first + integers[BATCH], n_terms)
    for n in range(first, last):
        for i in range(scale.shape[0]):
            term[i] = np.int64(order[n, i])
            scale[i] = n_terms * problem[2][term[i]]
        add_terms(problem, theta, term, scale, n - first, work[:dim], g)
    divide(g, last - first)
