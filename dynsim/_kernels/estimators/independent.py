"""Terms drawn independently, with fixed probabilities."""

from dynsim._kernels.draw import draw_equal, draw_fixed
from dynsim._kernels.estimators.common import BATCH, add_terms, divide, estimator

_ALL_ALIKE = 1


@estimator
def independent(problem, sampling, draws, theta, space, g):
    """Term n with probability f_n; integers[1] says that they are all alike. work: gradient of a term, scale."""
    integers, numbers, table = sampling
    memory, work, term = space
    dim, scale = g.shape[0], work[g.shape[0]]
    for member in range(integers[BATCH]):
        if integers[_ALL_ALIKE]:
            draw_equal(draws[3][member], table, term, scale)
        else:
            draw_fixed(draws[3][member], table, term, scale)
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
