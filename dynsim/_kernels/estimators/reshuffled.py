"""Each term once in each epoch."""

import numpy as np

from dynsim._kernels.estimators.common import BATCH, SHUFFLE, add_terms, divide, estimator
from dynsim._kernels.threefry import fill_uniforms

_STEPS_PER_EPOCH = 1


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
