"""Draws by the gradient norms that were last seen."""

from dynsim._kernels.estimators.common import BATCH, add, divide, estimator, fill_norms, proportions_of

_REFRESH = 1


@estimator
def stale(problem, sampling, draws, theta, space, g):
    """Term n with probability t s_n/Σs + (1−t) a_n, s_n = a_n‖∇l_n‖ where it was last drawn, or all were looked at.

    All are looked at every integers[1]-th step; t = numbers[0]. memory: s (n). work: gradient of a term, scale, norm,
    sum, terms and norms of the batch.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    weights, share = problem[2], numbers[0]
    dim, width, n_terms, n_batch = g.shape[0], g.shape[1], weights.shape[0], integers[BATCH]
    seen = memory[:n_terms]
    scale, norm, total = work[dim], work[dim + 1], work[dim + 2]
    drawn, norms = work[dim + 3 : dim + 3 + n_batch], work[dim + 3 + n_batch :]
    if draws[2] % integers[_REFRESH] == 0:
        proportions_of(problem)(theta, problem[1], weights, 0, seen)
    total[:] = 0.0
    for n in range(n_terms):
        for i in range(width):
            total[i] += seen[n, i]
    for member in range(n_batch):
        for i in range(width):
            mixed = share if total[i] > 0.0 else 0.0
            factor = mixed / total[i] if total[i] > 0.0 else 0.0
            u, running, n = draws[3][member, i], 0.0, 0
            for n in range(n_terms):
                p = factor * seen[n, i] + (1.0 - mixed) * weights[n]
                running += p
                if running > u:
                    break
            term[i] = n
            scale[i] = weights[n] / p
            drawn[member, i] = n
        fill_norms(problem, theta, term, work[:dim], norm)
        add(work[:dim], scale, member, g)
        for i in range(width):
            norms[member, i] = weights[term[i]] * norm[i]
    for member in range(n_batch):
        for i in range(width):
            seen[int(drawn[member, i]), i] = norms[member, i]
    divide(g, n_batch)
