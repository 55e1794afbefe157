"""Which term each lane draws, by inverting the cumulative proportions at one uniform number.

Inversion, not an alias table: two schemes driven by the same uniforms then tend to draw the same terms.
"""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors

# Rows of the table that describes a sampling scheme with fixed proportions f_n.
WEIGHTS, REWEIGHTING, CUMULATIVE, GUIDE = 0, 1, 2, 3
TILE = 16  # terms whose proportions are looked at together
SCRATCH = 3 + TILE  # rows that drawing by proportions needs besides one for each tile
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
def draw_equal(u, table, term, scale):
    """Each of n terms with the same probability."""
    widest_vectors()
    n_terms = table.shape[1]
    for i in range(u.shape[0]):
        term[i] = np.int64(u[i] * n_terms)
        scale[i] = table[REWEIGHTING, term[i]]


@formula
def _mixed(factor, q, weight):
    """The share of q and that of the weights; the latter alone for factor 0, whatever q is."""
    return weight + (factor * q if factor > 0.0 else 0.0)


@formula
def sum_proportions(proportions, theta, params, weights, share, work):
    """Prepare draws of term n with probability p_n = t q_n/Σq + (1−t) a_n, t = share; p = a where t < 1 and not Σq > 0.

    The field q is evaluated for one tile of terms after the other, of which only the sums are kept, and their total in
    the first row of work (SCRATCH + tiles, W), 0 where nothing can be drawn.
    """
    widest_vectors()
    n_terms, width = weights.shape[0], theta.shape[1]
    total, factor, tile, sums = work[0], work[2], work[3 : 3 + TILE], work[3 + TILE :]
    n_tiles = (n_terms + TILE - 1) // TILE
    for i in range(width):
        total[i] = 0.0
    for g in range(n_tiles):
        rows = tile[: min(TILE, n_terms - g * TILE)]
        proportions(theta, params, weights, g * TILE, rows)
        for i in range(width):
            sums[g, i] = rows[0, i]
        for c in range(1, rows.shape[0] - 1, 2):  # by twos: half as often through the sums
            for i in range(width):
                sums[g, i] += rows[c, i] + rows[c + 1, i]
        if rows.shape[0] % 2 == 0:
            for i in range(width):
                sums[g, i] += rows[-1, i]
        for i in range(width):
            total[i] += sums[g, i]
    if share < 1.0:
        for i in range(width):
            factor[i] = share / total[i] if total[i] > 0.0 else 0.0
            total[i] = 1.0 if total[i] > 0.0 else 1.0 - share
        for g in range(n_tiles):
            weight = (1.0 - share) * weights[g * TILE : (g + 1) * TILE].sum()
            for i in range(width):
                sums[g, i] = _mixed(factor[i], sums[g, i], weight)
        if n_tiles == 1:
            for n in range(n_terms):
                for i in range(width):
                    tile[n, i] = _mixed(factor[i], tile[n, i], (1.0 - share) * weights[n])


@formula
def draw_by_sums(u, proportions, theta, params, weights, share, work, term, scale):
    """Term n with probability p_n, and its reweighting a_n/p_n, after sum_proportions; weight 0 where there is none.

    Each lane alone looks at the tile that its draw falls into.
    """
    widest_vectors()
    n_terms, width, dim = weights.shape[0], u.shape[0], theta.shape[0]
    total, running, factor, tile, sums = work[0], work[1], work[2], work[3 : 3 + TILE], work[3 + TILE :]
    n_tiles = (n_terms + TILE - 1) // TILE
    if n_tiles == 1:
        _count_below(tile[:n_terms], u, total, running, term, scale)
        for i in range(width):
            drawn = tile[term[i], i]
            scale[i] = weights[term[i]] * total[i] / drawn if total[i] > 0.0 else 0.0
        return
    _count_below(sums[:n_tiles], u, total, running, term, scale)
    point, p = np.empty((dim, 1)), np.empty((TILE, 1))
    for i in range(width):
        g = term[i]
        for j in range(dim):
            point[j, 0] = theta[j, i]
        rows = p[: min(TILE, n_terms - g * TILE)]
        proportions(point, params, weights, g * TILE, rows)
        if share < 1.0:
            for c in range(rows.shape[0]):
                rows[c, 0] = _mixed(factor[i], rows[c, 0], (1.0 - share) * weights[g * TILE + c])
        last = -1
        for c in range(rows.shape[0]):
            if rows[c, 0] > 0.0:
                last = c
                running[i] += rows[c, 0]
                if running[i] > u[i] * total[i]:
                    break
        term[i] = g * TILE + max(last, 0)
        scale[i] = weights[term[i]] * total[i] / rows[last, 0] if last >= 0 else 0.0


@formula
def _count_below(p, u, total, running, count, scratch):
    """How many of the running sums of p (n, W) are at most u·total, and the largest of those, into running.

    u < 1 keeps u·total below total, so the count stays below n, and stops at no p that is 0.
    """
    widest_vectors()
    for i in range(u.shape[0]):
        count[i] = 0
        running[i] = 0.0
        scratch[i] = 0.0
    for n in range(p.shape[0] - 1):
        for i in range(u.shape[0]):
            scratch[i] += p[n, i]
            passed = scratch[i] <= u[i] * total[i]
            count[i] += 1 if passed else 0
            running[i] = scratch[i] if passed else running[i]
