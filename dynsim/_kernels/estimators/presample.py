"""A pool drawn uniformly, from which the batch is drawn by gradient norm when that pays."""

import numpy as np

from dynsim._kernels.draw import draw_fixed
from dynsim._kernels.estimators.common import BATCH, add_terms, divide, estimator, fill_norms

_POOL = 1
_THRESHOLD, _SMOOTHING = 0, 1


@estimator
def presample(problem, sampling, draws, theta, space, g):
    """Katharopoulos & Fleuret's Algorithm 1: by norm from a pool of P terms while τ > threshold, else uniformly.

    In the pool p_m = ‖∇l_m‖/Σ‖∇l‖ and the weight is 1/(P p_m). τ ← s τ + (1 − s) √(P Σ p_m²), the factor by which the
    batch would have to grow for the same gain in variance; over the batch, P = B, where there was no pool. memory: τ.
    work: gradient of a term, scale, norm, sum of norms and of their squares, the pool's terms and norms.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    dim, width, n_batch, n_pool = g.shape[0], g.shape[1], integers[BATCH], integers[_POOL]
    scale, norm, total, squares = work[dim], work[dim + 1], work[dim + 2], work[dim + 3]
    pool, norms = work[dim + 4 : dim + 4 + n_pool], work[dim + 4 + n_pool :]
    needed = n_batch
    for i in range(width):
        if memory[0, i] > numbers[_THRESHOLD]:
            needed = n_pool
    for m in range(needed):
        draw_fixed(draws[3][m], table, term, scale)
        fill_norms(problem, theta, term, work[:dim], norm)
        for i in range(width):
            pool[m, i] = term[i]
            norms[m, i] = norm[i]
    for i in range(width):
        looked_at = n_pool if memory[0, i] > numbers[_THRESHOLD] else n_batch
        total[i] = 0.0
        squares[i] = 0.0
        for m in range(looked_at):
            total[i] += norms[m, i]
            squares[i] += norms[m, i] * norms[m, i]
        norm[i] = looked_at
    for member in range(n_batch):
        for i in range(width):
            chosen, weight = member, 1.0
            if memory[0, i] > numbers[_THRESHOLD] and total[i] > 0.0:
                running = 0.0
                for m in range(n_pool):
                    if norms[m, i] > 0.0 and running <= draws[3][n_pool + member, i] * total[i]:
                        chosen = m
                    running += norms[m, i]
                weight = total[i] / (n_pool * norms[chosen, i])
            term[i] = int(pool[chosen, i])
            scale[i] = weight
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, n_batch)
    for i in range(width):
        gain = np.sqrt(norm[i] * squares[i]) / total[i] if total[i] > 0.0 else 1.0
        memory[0, i] = numbers[_SMOOTHING] * memory[0, i] + (1.0 - numbers[_SMOOTHING]) * gain
