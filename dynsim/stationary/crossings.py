"""Jumps over the edge of a region: where they cross it, so that passage times are of second order in the cell width.

A jump from a cell center into the region ends on the region's edge, a share s of its length away; that it is shorter is
made up for in its rate f and in the rate g of the jump in the opposite direction, of share t, so that drift and
diffusion along them stay the same (Shortley & Weller 1938):

    f' = ((f + g) + t (f − g)) / (s (s + t)),    g' = ((f + g) − s (f − g)) / (t (s + t)).

A jump over several cells is looked at on its way, so that it does not leap over a thin region.
"""

import numpy as np
from scipy import sparse

from dynsim import _check

_BISECTIONS = 40
_LEAST = 1e-6  # share of a jump: a center closer than that to the edge counts as being there


def stopped(grid, rates, regions, masks):
    """Rates among the cells outside all regions, and into each region, (m,).

    ``regions`` are functions (or None) by name, ``masks`` say which centers they hold.
    """
    m = grid.size
    region_of = np.full(m, -1)
    for number, mask in enumerate(masks):
        region_of[mask] = number
    jumps = rates.tocoo()
    alive = region_of[jumps.row] < 0
    rows, columns = jumps.row[alive].astype(np.int64), jumps.col[alive].astype(np.int64)
    values = jumps.data[alive].copy()
    hit, share = _hits(grid, rows, columns, region_of, list(regions.values()))

    crossing = np.flatnonzero(hit >= 0)
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
    new = values.copy()
    new[crossing] = np.where(both, ((f + g) + t * (f - g)) / (s * (s + t)), f / s)
    other = ((f + g) - s * (f - g)) / (t * (s + t))
    once = both & (hit[found] < 0)  # where both cross, each is changed as a crossing of its own
    new[found[once]] = other[once]

    into = [np.bincount(rows[hit == number], new[hit == number], minlength=m) for number in range(len(masks))]
    inner = hit < 0
    return sparse.csr_array((new[inner], (rows[inner], columns[inner])), shape=(m, m)), into


def _hits(grid, rows, columns, region_of, functions):
    """The first region that each jump meets, -1 for none, and the share of its way at which it enters it."""
    lengths = np.ones(rows.size, dtype=np.int64)
    for step in _index_steps(grid, rows, columns):
        lengths = np.maximum(lengths, np.abs(step))
    hit = np.where(lengths == 1, region_of[columns], -1)
    low, high = np.zeros(rows.size), np.ones(rows.size)
    for k in range(1, int(lengths.max(initial=1)) + 1):
        some = np.flatnonzero((lengths > 1) & (lengths >= k) & (hit < 0))
        if k > 1 and not some.size:
            break
        if not some.size:
            continue
        at = k / lengths[some]
        points = grid.x[rows[some]] + at[:, None] * grid.displacements(rows[some], columns[some])
        for number, function in enumerate(functions):
            if function is None:
                continue
            inside = np.where(
                k == lengths[some], region_of[columns[some]] == number, _check.region("region", function, points)
            )
            first = inside & (hit[some] < 0)
            hit[some[first]] = number
            low[some[first]], high[some[first]] = (k - 1) / lengths[some[first]], at[first]
    share = np.ones(rows.size)
    for number, function in enumerate(functions):
        some = np.flatnonzero(hit == number)
        if function is not None and some.size:
            way = grid.displacements(rows[some], columns[some])
            share[some] = _entry(function, grid.x[rows[some]], way, low[some], high[some])
    return hit, share


def _entry(region, start, way, low, high):
    """The share of each way at which it enters the region, by bisection."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        inside = _check.region("region", region, start + middle[:, None] * way)
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    return np.maximum(high, _LEAST)


def _index_steps(grid, rows, columns):
    """How many cells each jump goes along each axis, the short way round where it is periodic."""
    for i, k, n, periodic in zip(
        np.unravel_index(rows, grid.shape),
        np.unravel_index(columns, grid.shape),
        grid.shape,
        grid.periodic,
        strict=True,
    ):
        step = k - i
        yield step - n * np.rint(step / n).astype(np.int64) if periodic else step


def _opposite(grid, rows, columns):
    """The cell as far from ``rows`` on the other side as ``columns`` is; -1 outside the grid."""
    result = np.zeros(rows.size, dtype=np.int64)
    valid = np.ones(rows.size, dtype=bool)
    steps = _index_steps(grid, rows, columns)
    for i, step, n, periodic in zip(np.unravel_index(rows, grid.shape), steps, grid.shape, grid.periodic, strict=True):
        index = (i - step) % n if periodic else i - step
        valid &= (index >= 0) & (index < n)
        result = result * n + np.clip(index, 0, n - 1)
    return np.where(valid, result, -1)
