"""Which term each lane draws, by inverting the cumulative proportions at one uniform number.

Inversion, not an alias table: two schemes driven by the same uniforms then tend to draw the same terms.
"""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors

# Rows of the table that describes a sampling scheme with fixed proportions f_n.
WEIGHTS, REWEIGHTING, CUMULATIVE, GUIDE = 0, 1, 2, 3
_SCAN = 16  # up to so many terms, counting over all of them (SIMD) beats jumping in by the guide


@formula
def draw_fixed(u, table, term, scale):
    """Term n with probability f_n, and its reweighting a_n / f_n."""
    widest_vectors()
    n_terms = table.shape[1]
    if n_terms <= _SCAN:
        for i in range(u.shape[0]):
            term[i] = 0
        for n in range(n_terms - 1):
            bound = table[CUMULATIVE, n]
            for i in range(u.shape[0]):
                term[i] += 1 if u[i] >= bound else 0
    else:
        for i in range(u.shape[0]):
            n = np.int64(table[GUIDE, np.int64(u[i] * n_terms)])
            while table[CUMULATIVE, n] <= u[i]:
                n += 1
            term[i] = n
    for i in range(u.shape[0]):
        scale[i] = table[REWEIGHTING, term[i]]


@formula
def draw_by_proportions(u, p, table, term, scale, total):
    """Term n with probability p[n] / Σp, and its reweighting a_n Σp / p[n]; weight 0 where all p are 0."""
    widest_vectors()
    n_terms = p.shape[0]
    for i in range(u.shape[0]):
        total[i] = 0.0
        scale[i] = 0.0  # the running sum, until the last loop
        term[i] = 0
    for n in range(n_terms):
        for i in range(u.shape[0]):
            total[i] += p[n, i]
    for n in range(n_terms - 1):
        for i in range(u.shape[0]):
            scale[i] += p[n, i]
            # u < 1 keeps u·total below total, so a term with p = 0 is never the answer
            term[i] += 1 if scale[i] <= u[i] * total[i] else 0
    for i in range(u.shape[0]):
        drawn = p[term[i], i]
        scale[i] = table[WEIGHTS, term[i]] * total[i] / drawn if total[i] > 0.0 else 0.0
