"""Draws by gradient norm from bounds of the norms, without looking at all terms."""

import numpy as np

from dynsim._kernels.draw import draw_fixed
from dynsim._kernels.estimators.common import (
    BATCH,
    ON_DEMAND,
    add_terms,
    divide,
    estimator,
    fill_norms,
    proportions_of,
)
from dynsim._kernels.threefry import fill_uniforms

BOUNDS = 4  # row of the table below those of a draw from a_n M_n: the bounds M_n
EXACT, N_PROPOSALS, BROKEN, EXHAUSTED = 1, 2, 3, 4  # the last two are counted by the kernel
_MOST_ATTEMPTS = 1 << 14
_ATTEMPTS_OF_A_MEMBER = 1 << 15


@estimator
def rejection(problem, sampling, draws, theta, space, g):
    """Term n proposed in proportion to a_n M_n, taken with probability ‖∇l_n‖/M_n; reweighted by Ĉ/‖∇l_n‖.

    Ĉ is C = Σ a_n‖∇l_n‖, or its unbiased estimate, the mean of Q ‖∇l_m‖/M_m over proposals m of their own, where
    Q = Σ a_n M_n = numbers[0]. Counts gradients above their bounds, and lanes where nothing was taken. work: gradient
    of a term, scale, norm, Ĉ, two rows of uniforms, norm of what was taken, its term, a tile of proportions.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    key, path, k, u = draws
    dim, width, n_terms = g.shape[0], g.shape[1], problem[2].shape[0]
    scale, norm, total, even, odd = work[dim], work[dim + 1], work[dim + 2], work[dim + 3], work[dim + 4]
    taken, chosen, tile = work[dim + 5], work[dim + 6], work[dim + 7 :]
    for member in range(integers[BATCH]):
        total[:] = 0.0
        if integers[EXACT]:
            for first in range(0, n_terms, tile.shape[0]):
                rows = tile[: min(tile.shape[0], n_terms - first)]
                proportions_of(problem)(theta, problem[1], problem[2], first, rows)
                for c in range(rows.shape[0]):
                    for i in range(width):
                        total[i] += rows[c, i]
        counter = ON_DEMAND + member * _ATTEMPTS_OF_A_MEMBER
        attempt, missing = 0, width
        taken[:] = 0.0
        while missing > 0 and attempt < _MOST_ATTEMPTS:
            fill_uniforms(key, path, k, counter + attempt, even, odd)
            draw_fixed(even, table, term, scale)
            fill_norms(problem, theta, term, work[:dim], norm)
            for i in range(width):
                bound = table[BOUNDS, term[i]]
                if norm[i] > bound * (1.0 + 1e-12):
                    integers[BROKEN] += 1
                if not integers[EXACT] and attempt < integers[N_PROPOSALS]:  # these are for Ĉ alone
                    total[i] += numbers[0] * norm[i] / (bound * integers[N_PROPOSALS])
                elif taken[i] == 0.0 and odd[i] * bound < norm[i]:
                    taken[i] = norm[i]
                    chosen[i] = term[i]
                    missing -= 1
            if integers[EXACT]:
                for i in range(width):
                    if total[i] == 0.0 and taken[i] == 0.0:  # no gradient anywhere: no step
                        taken[i] = np.inf
                        chosen[i] = 0.0
                        missing -= 1
            attempt += 1
        for i in range(width):
            if taken[i] == 0.0:
                integers[EXHAUSTED] += 1
            term[i] = int(chosen[i]) if taken[i] > 0.0 else 0
            scale[i] = total[i] / taken[i] if taken[i] > 0.0 else 0.0
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
