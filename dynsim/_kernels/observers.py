"""The observers: ``observe(n, t, path, live, x, params, lanes, tally)``, see observing.py for the arguments."""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.observing import observer_kernel


@observer_kernel
def moments(n, t, path, live, x, params, lanes, tally):
    """Welford's recursion: lanes are the mean (d rows) and Σ (x − mean)(x − mean)ᵀ (its lower triangle by rows)."""
    widest_vectors()
    dim, width = x.shape
    share = 1.0 / (n + 1)
    row = dim
    for j in range(dim):
        for r in range(j + 1):
            for i in range(width):
                lanes[row, i] += (1.0 - share) * (x[j, i] - lanes[j, i]) * (x[r, i] - lanes[r, i])
            row += 1
    for j in range(dim):
        for i in range(width):
            lanes[j, i] += share * (x[j, i] - lanes[j, i])


@observer_kernel
def extremes(n, t, path, live, x, params, lanes, tally):
    """Smallest (d rows) and largest (d rows); NaN changes neither."""
    widest_vectors()
    dim, width = x.shape
    for j in range(dim):
        for i in range(width):
            lanes[j, i] = x[j, i] if x[j, i] < lanes[j, i] else lanes[j, i]
            lanes[dim + j, i] = x[j, i] if x[j, i] > lanes[dim + j, i] else lanes[dim + j, i]


@formula
def bins_per_length(first, n_bins, params):
    """How many of the bins between the edges params[first : first + n_bins + 1] a unit of length has on average."""
    return n_bins / (params[first + n_bins] - params[first])


@formula
def bin_of(value, first, n_bins, scale, params):
    """The bin of value between those edges, the last one closed; −1 if in none.

    A guess for equal bins, mended by comparing with the edges, so that the answer is that of a search.
    """
    low, high = params[first], params[first + n_bins]
    if not (low <= value <= high):
        return -1
    b = max(min(np.int64((value - low) * scale), n_bins - 1), 0)
    while value < params[first + b]:
        b -= 1
    while b + 1 < n_bins and value >= params[first + b + 1]:
        b += 1
    return b


@formula
def _first_group(n, path, n_observations, n_groups):
    """Group of the first lane: paths in turn if n_observations is 0, else stretches of so many observations in all."""
    return path % n_groups if n_observations == 0 else min(n * n_groups // n_observations, n_groups - 1)


@formula
def _next_group(group, n_observations, n_groups):
    """Group of the next lane."""
    if n_observations != 0:
        return group
    return group + 1 if group + 1 < n_groups else 0


@observer_kernel
def histogram(n, t, path, live, x, params, lanes, tally):
    """Tally (groups, bins + 1), the last for outside. params: coordinate, bins, groups, observations or 0, edges."""
    j, n_bins = np.int64(params[0]), np.int64(params[1])
    n_groups, n_observations = np.int64(params[2]), np.int64(params[3])
    scale = bins_per_length(4, n_bins, params)
    group = _first_group(n, path, n_observations, n_groups)
    for i in range(live):
        b = bin_of(x[j, i], 4, n_bins, scale, params)
        tally[group * (n_bins + 1) + (b if b >= 0 else n_bins)] += 1.0
        group = _next_group(group, n_observations, n_groups)


@observer_kernel
def histogram_2d(n, t, path, live, x, params, lanes, tally):
    """Tally (groups, bins₀ bins₁ + 1). params: coordinates, bins of both, groups, observations or 0, edges of both."""
    j0, j1, n0, n1 = np.int64(params[0]), np.int64(params[1]), np.int64(params[2]), np.int64(params[3])
    n_groups, n_observations = np.int64(params[4]), np.int64(params[5])
    scale0, scale1 = bins_per_length(6, n0, params), bins_per_length(6 + n0 + 1, n1, params)
    group = _first_group(n, path, n_observations, n_groups)
    for i in range(live):
        b0 = bin_of(x[j0, i], 6, n0, scale0, params)
        b1 = bin_of(x[j1, i], 6 + n0 + 1, n1, scale1, params)
        b = n0 * n1 if b0 < 0 or b1 < 0 else b0 * n1 + b1
        tally[group * (n0 * n1 + 1) + b] += 1.0
        group = _next_group(group, n_observations, n_groups)
