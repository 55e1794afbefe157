"""Jumps over the edge of a region: where they cross it, so that passage times are of second order in the cell width.

A jump from a cell center into the region ends on the region's edge, a share s of its length away; that it is shorter
is made up for in its rate f and in the rate g of the jump in the opposite direction, of share t, so that drift and
diffusion along them stay the same (Shortley & Weller 1938):

    f' = ((f + g) + t (f − g)) / (s (s + t)),    g' = ((f + g) − s (f − g)) / (t (s + t)).
"""

import numpy as np
from scipy import sparse

from dynsim import _check

_BISECTIONS = 40
_LEAST = 1e-6  # share of a jump: a center closer than that to the edge counts as being there


def stopped(process, regions, masks):
    """Rates among the cells outside all regions, and into each region, (m,)."""
    grid, m = process.grid, process.grid.size
    rates = process.rates.tocoo()
    region_of = np.full(m, -1)
    for number, mask in enumerate(masks):
        region_of[mask] = number
    alive = region_of[rates.row] < 0
    rows, columns, values = (
        rates.row[alive].astype(np.int64),
        rates.col[alive].astype(np.int64),
        rates.data[alive].copy(),
    )
    crossing = np.flatnonzero(region_of[columns] >= 0)
    share = np.ones(rows.size)
    functions = list(regions.values())
    for number, function in enumerate(functions):
        some = crossing[region_of[columns[crossing]] == number]
        if some.size and function is not None:
            share[some] = _shares(function, grid.x[rows[some]], grid.displacements(rows[some], columns[some]))

    key = rows * m + columns
    order = np.argsort(key)
    opposite = _opposite(grid, rows[crossing], columns[crossing])
    wanted = rows[crossing] * m + opposite
    found = order[np.minimum(np.searchsorted(key, wanted, sorter=order), order.size - 1)]
    there = (opposite >= 0) & (key[found] == wanted) & (found != crossing)
    f, s = values[crossing], share[crossing]
    g = np.where(there, values[found], 0.0)
    t = np.where(there, share[found], 1.0)
    both = there & (g > 0)
    changed = np.where(both, ((f + g) + t * (f - g)) / (s * (s + t)), f / s)
    other = ((f + g) - s * (f - g)) / (t * (s + t))
    new = values.copy()
    new[crossing] = changed
    once = both & (region_of[columns[found]] < 0)  # where both cross, each is changed as a crossing of its own
    new[found[once]] = other[once]

    into = []
    for number in range(len(masks)):
        ends = region_of[columns] == number
        into.append(np.bincount(rows[ends], new[ends], minlength=m))
    inner = region_of[columns] < 0
    return sparse.csr_array((new[inner], (rows[inner], columns[inner])), shape=(m, m)), into


def _shares(region, start, step):
    """The share of each step at which it enters the region, by bisection."""
    low, high = np.zeros(len(start)), np.ones(len(start))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        inside = _check.region("region", region, start + middle[:, None] * step)
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return np.maximum(high, _LEAST)


def _opposite(grid, rows, columns):
    """The cell as far from ``rows`` on the other side as ``columns`` is; -1 outside the grid."""
    result = np.zeros(rows.size, dtype=np.int64)
    valid = np.ones(rows.size, dtype=bool)
    for i, k, n, periodic in zip(
        np.unravel_index(rows, grid.shape),
        np.unravel_index(columns, grid.shape),
        grid.shape,
        grid.periodic,
        strict=True,
    ):
        step = k - i
        if periodic:
            step = step - n * np.rint(step / n).astype(np.int64)
            index = (i - step) % n
        else:
            index = i - step
        valid &= (index >= 0) & (index < n)
        result = result * n + np.clip(index, 0, n - 1)
    return np.where(valid, result, -1)
