"""All terms: no estimate at all."""

from dynsim._kernels.estimators.common import add_terms, estimator
from dynsim._kernels.jit import widest_vectors


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
