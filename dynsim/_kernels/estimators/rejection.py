"""Draws by gradient norm from bounds of the norms, as a rule without looking at all terms."""

import numpy as np

from dynsim._kernels.draw import draw_by_sums, draw_fixed, sum_proportions
from dynsim._kernels.estimators.common import (
    BATCH,
    BROKEN,
    N_PATHS,
    ON_DEMAND,
    add_terms,
    divide,
    estimator,
    fill_norms,
    is_finite,
    proportions_of,
)
from dynsim._kernels.threefry import fill_uniforms

BOUNDS = 4  # row of the table below those of a draw from a_n M_n: the bounds M_n
MOST_PROPOSALS = 1 << 10  # for a weight, and for a draw, before all terms are looked at
COMPONENTS = 2 * MOST_PROPOSALS + 1  # of the noise that a member of the batch may use
_EXACT, _N_PROPOSALS = 1, 2


@estimator
def rejection(problem, sampling, draws, theta, space, g):
    """Term n proposed in proportion to a_n M_n, taken with probability ‖∇l_n‖/M_n; reweighted by Ĉ/‖∇l_n‖.

    Ĉ is C = Σ a_n‖∇l_n‖, or its unbiased estimate, the mean of Q ‖∇l_m‖/M_m over proposals m of their own, where
    Q = Σ a_n M_n = numbers[0]. Where many proposals are refused, a term is drawn by looking at all. Counts gradients of
    real paths above their bounds. work: gradient of a term, scale, norm, Ĉ, two rows of uniforms, norm of what was
    taken (−1: nothing), its term, and what drawing by proportions needs.
    """
    integers, numbers, table = sampling
    memory, work, term = space
    key, path, k, u = draws
    params, weights = problem[1], problem[2]
    dim, width, exact = g.shape[0], g.shape[1], integers[_EXACT] != 0
    scale, norm, estimate, even, odd = work[dim], work[dim + 1], work[dim + 2], work[dim + 3], work[dim + 4]
    taken, chosen, scratch = work[dim + 5], work[dim + 6], work[dim + 7 :]
    proportions = proportions_of(problem)
    if exact:
        sum_proportions(proportions, theta, params, weights, 1.0, scratch)
    n_estimates = 0 if exact else integers[_N_PROPOSALS]
    for member in range(integers[BATCH]):
        component = ON_DEMAND + member * COMPONENTS
        missing = 0
        for i in range(width):
            nothing = exact and not scratch[0, i] > 0.0  # no gradient anywhere: no step
            taken[i] = np.inf if nothing else -1.0
            missing += 0 if nothing else 1
            estimate[i] = scratch[0, i] if exact else 0.0
            chosen[i] = 0.0
        proposal = 0
        while proposal < n_estimates or (missing > 0 and proposal < n_estimates + MOST_PROPOSALS):
            fill_uniforms(key, path, k, component + proposal, even, odd)
            draw_fixed(even, table, term, scale)
            fill_norms(problem, theta, term, work[:dim], norm)
            for i in range(width):
                bound = table[BOUNDS, term[i]]
                if norm[i] > bound * (1.0 + 1e-12) and path + i < integers[N_PATHS] and is_finite(theta, i):
                    integers[BROKEN] += 1
                if proposal < n_estimates:
                    estimate[i] += numbers[0] * norm[i] / (bound * n_estimates)
                elif taken[i] < 0.0 and not odd[i] * bound >= norm[i]:  # a NaN is taken, so that it shows
                    taken[i] = norm[i]
                    chosen[i] = term[i]
                    missing -= 1
            proposal += 1
        if missing > 0:
            fill_uniforms(key, path, k, component + proposal, even, odd)
            if not exact:
                sum_proportions(proportions, theta, params, weights, 1.0, scratch)
            draw_by_sums(even, proportions, theta, params, weights, 1.0, scratch, term, scale)
            fill_norms(problem, theta, term, work[:dim], norm)
            for i in range(width):
                if taken[i] < 0.0:
                    taken[i] = norm[i] if norm[i] > 0.0 else np.inf
                    chosen[i] = term[i]
        for i in range(width):
            term[i] = int(chosen[i])
            scale[i] = estimate[i] / taken[i]
        add_terms(problem, theta, term, scale, member, work[:dim], g)
    divide(g, integers[BATCH])
