"""Batches of terms drawn independently, with fixed probabilities or with ones that depend on θ."""

from dynsim._kernels.draw import draw_by_proportions, draw_equal, draw_fixed
from dynsim._kernels.estimators.common import BATCH, add_terms, divide, estimator, proportions_of


@estimator
def equal(problem, sampling, draws, theta, space, g):
    """Each of the n terms with the same probability. work: gradient of a term, scale."""
    integers, numbers, table = sampling
    memory, work, term = space
    dim, scale = g.shape[0], work[g.shape[0]]
    for member in range(integers[BATCH]):
        draw_equal(draws[3][member], table, term, scale)
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])


@estimator
def fixed(problem, sampling, draws, theta, space, g):
    """Term n with probability f_n. work: gradient of a term, scale."""
    integers, numbers, table = sampling
    memory, work, term = space
    dim, scale = g.shape[0], work[g.shape[0]]
    for member in range(integers[BATCH]):
        draw_fixed(draws[3][member], table, term, scale)
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])


@estimator
def by_proportions(problem, sampling, draws, theta, space, g):
    """Term n with probability t q_n(θ)/Σq + (1−t) a_n, q the field of proportions and t = numbers[0].

    work: gradient of a term, scale, and what draw_by_proportions needs.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    dim, scale = g.shape[0], work[g.shape[0]]
    proportions, share = proportions_of(problem), numbers[0]
    for member in range(integers[BATCH]):
        u, scratch = draws[3][member], work[dim + 1 :]
        draw_by_proportions(u, proportions, theta, problem[1], problem[2], share, scratch, term, scale)
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
