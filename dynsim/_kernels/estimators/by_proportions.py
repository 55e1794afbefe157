"""Terms drawn independently, with probabilities that depend on θ."""

from dynsim._kernels.draw import draw_by_sums, sum_proportions
from dynsim._kernels.estimators.common import (
    BATCH,
    BROKEN,
    N_PATHS,
    add_terms,
    divide,
    estimator,
    is_finite,
    proportions_of,
)

_STRICT = 1


@estimator
def by_proportions(problem, sampling, draws, theta, space, g):
    """Term n with probability t q_n(θ)/Σq + (1−t) a_n, q the field of proportions and t = numbers[0].

    Where integers[1] is set, a real path at a finite θ must have a Σq > 0 if t = 1; those that have not are counted.
    work: gradient of a term, scale, and what drawing by proportions needs.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    dim, scale, scratch = g.shape[0], work[g.shape[0]], work[g.shape[0] + 1 :]
    proportions, share = proportions_of(problem), numbers[0]
    sum_proportions(proportions, theta, problem[1], problem[2], share, scratch)
    if integers[_STRICT] and share == 1.0:
        for i in range(scale.shape[0]):
            if not scratch[0, i] > 0.0 and draws[1] + i < integers[N_PATHS] and is_finite(theta, i):
                integers[BROKEN] += 1
    for member in range(integers[BATCH]):
        u = draws[3][member]
        draw_by_sums(u, proportions, theta, problem[1], problem[2], share, scratch, term, scale)
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
