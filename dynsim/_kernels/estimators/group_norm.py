"""One random term of each group, one of which is drawn by gradient norm."""

from dynsim._kernels.draw import draw_fixed
from dynsim._kernels.estimators.common import BATCH, add_terms, divide, estimator, fill_norms

ORDER, GROUP_WEIGHT = 4, 5  # rows of the table below those of a draw: terms sorted by group, weights of the groups
_N_GROUPS = 1


@estimator
def group_norm(problem, sampling, draws, theta, space, g):
    """Group j with probability A_j‖∇l_{n_j}‖ / S, S = Σ A_k‖∇l_{n_k}‖, reweighted by S/‖∇l_{n_j}‖.

    n_j is drawn from group j in proportion to the weights, which sum to A_j in it. The table has the cumulative weights
    of the terms in the order of their groups. work: gradient of a term, scale, norm, running sum, the groups' norms and
    terms.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    dim, width, n_groups = g.shape[0], g.shape[1], integers[_N_GROUPS]
    scale, norm, total = work[dim], work[dim + 1], work[dim + 2]
    drawn, norms = work[dim + 3 : dim + 3 + n_groups], work[dim + 3 + n_groups :]
    for member in range(integers[BATCH]):
        u = draws[3][member * (n_groups + 1) : (member + 1) * (n_groups + 1)]
        total[:] = 0.0
        start = 0.0
        for j in range(n_groups):
            weight = table[GROUP_WEIGHT, j]
            for i in range(width):
                norms[j, i] = min(start + weight * u[j, i], 1.0 - 1.2e-16)
            draw_fixed(norms[j], table, term, scale)
            for i in range(width):
                term[i] = int(table[ORDER, term[i]])
                drawn[j, i] = term[i]
            fill_norms(problem, theta, term, work[:dim], norm)
            for i in range(width):
                norms[j, i] = weight * norm[i]
                total[i] += norms[j, i]
            start += weight
        for i in range(width):
            running, chosen = 0.0, 0
            for j in range(n_groups):
                if norms[j, i] > 0.0 and running <= u[n_groups, i] * total[i]:
                    chosen = j
                running += norms[j, i]
            term[i] = int(drawn[chosen, i])
            scale[i] = total[i] * table[GROUP_WEIGHT, chosen] / norms[chosen, i] if total[i] > 0.0 else 0.0
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
