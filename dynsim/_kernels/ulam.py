"""Rows of a transfer matrix: boxes of mass, with or without a law of noise added, dealt out to the cells of a grid."""

import math

import numpy as np
from numba import types

from dynsim._kernels.jit import BLOCK, BLOCKS, INT, INTS, VECTOR, formula, kernel

# Laws of the noise (axes, 5, nodes), no nodes for no noise. Row 0: unit s, step du of the nodes u = i du, where
# |x| = s sinh u. Rows 1, 2: ln P(X ≤ −|x|) and its slope; rows 3, 4: ln P(X > |x|).
UNIT, STEP = 0, 1
LOWER, UPPER = 1, 3
TOO_SMALL = -1
_MOST_PANELS = 16  # of the quadrature over a box, where the noise is much narrower than it
_NODES, _WEIGHTS = (-math.sqrt(0.15), 0.0, math.sqrt(0.15)), (5 / 18, 8 / 18, 5 / 18)  # Gauss–Legendre on (−½, ½)


@formula
def _tail(law, x):
    """P(X ≤ x) for x < 0, −P(X > x) for x ≥ 0: differences of either have no cancellation in the tails."""
    row = LOWER if x < 0.0 else UPPER
    u = math.asinh(abs(x) / law[0, UNIT]) / law[0, STEP]
    if not u < law.shape[1] - 1:
        return 0.0
    i = int(u)
    t = u - i
    r = 1.0 - t
    value = r * r * ((1.0 + 2.0 * t) * law[row, i] + t * law[row + 1, i])
    value += t * t * ((1.0 + 2.0 * r) * law[row, i + 1] - r * law[row + 1, i + 1])
    return math.exp(value) if x < 0.0 else -math.exp(value)


@formula
def _cell_of(edges, x):
    """The i with edges[i] ≤ x < edges[i + 1]; −1 below and m above."""
    low, high = 0, edges.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low - 1


@formula
def _overlaps(edges, rounding, center, width, share):
    """Shares of a box in each cell of an axis: the first and last cell that have any, and what lies outside."""
    m = edges.shape[0] - 1
    low, high = center - 0.5 * width, center + 0.5 * width
    if not width > 2.0 * rounding:  # a point; on a face it belongs to the cell above, on the last one to that below
        cell = _cell_of(edges, center + rounding)
        if cell == m and center <= edges[m] + rounding:
            cell = m - 1
        if cell < 0 or cell >= m:
            return 0, -1, 1.0
        share[cell] = 1.0
        return cell, cell, 0.0
    first, last = _cell_of(edges, low + rounding), _cell_of(edges, high - rounding)
    outside = 0.0
    if first < 0:
        first = 0
        outside += min(edges[0], high) - low
    if last >= m:
        last = m - 1
        outside += high - max(edges[m], low)
    total = outside
    for i in range(first, last + 1):
        share[i] = min(high, edges[i + 1]) - max(low, edges[i])
        total += share[i]
    for i in range(first, last + 1):
        share[i] /= total
    return first, last, outside / total


@formula
def _convolved(edges, law, center, width, share):
    """The same for a box to which noise is added."""
    m = edges.shape[0] - 1
    cut = law[0, UNIT] * math.sinh(law[0, STEP] * (law.shape[1] - 1))
    first = max(0, _cell_of(edges, center - 0.5 * width - cut))
    last = min(m - 1, _cell_of(edges, center + 0.5 * width + cut))
    share[first : last + 1] = 0.0
    panels = max(1, min(_MOST_PANELS, math.ceil(width / law[0, UNIT])))
    outside = 0.0
    for panel in range(panels):
        for q in range(3):
            y = center + width * ((panel + 0.5 + _NODES[q]) / panels - 0.5)
            weight = _WEIGHTS[q] / panels
            begin, end = max(0, _cell_of(edges, y - cut)), min(m - 1, _cell_of(edges, y + cut))
            t = _tail(law, edges[0] - y)
            outside += weight * (t if edges[0] < y else 1.0 + t)
            if begin > 0:
                t = 0.0
            for i in range(begin, end + 1):
                after = _tail(law, edges[i + 1] - y)
                share[i] += weight * (after - t + (1.0 if edges[i] < y <= edges[i + 1] else 0.0))
                t = after
            t = _tail(law, edges[m] - y)
            outside += weight * (-t if edges[m] >= y else 1.0 - t)
    return first, last, outside


@formula
def _shares(edges, rounding, law, center, width, share):
    if law.shape[1] == 0:
        return _overlaps(edges, rounding, center, width, share)
    return _convolved(edges, law, center, width, share)


_GRID = types.Tuple([VECTOR, VECTOR, VECTOR, BLOCKS])  # faces of both axes, rounding (2,), laws
_BOXES = types.Tuple([INTS, BLOCKS, BLOCKS, BLOCK])  # first box of each cell (cells + 1,), center, width, mass
_ROWS = types.Tuple([INTS, INTS, VECTOR, VECTOR])  # first entry of each row (cells + 1,), column, value; leak (cells,)


@kernel(INT(_GRID, _BOXES, _ROWS))
def fill_rows(grid, boxes, rows):
    """Rows of the transfer matrix for the cells that the boxes come from.

    center, width (boxes, K, 2), mass (boxes, K): an axis that is not there has one cell, from −∞ to ∞, and width 0.
    Returns the number of entries, or TOO_SMALL where there is no room for them.
    """
    edges_0, edges_1, rounding, laws = grid
    first_box, center, width, mass = boxes
    first_entry, column, value, leak = rows
    m_0, m_1 = edges_0.shape[0] - 1, edges_1.shape[0] - 1
    share_0, share_1 = np.zeros(m_0 + 1), np.zeros(m_1 + 1)
    total, touched = np.zeros(m_0 * m_1), np.empty(m_0 * m_1, dtype=np.int64)
    n = 0
    first_entry[0] = 0
    for c in range(first_box.shape[0] - 1):
        n_touched = 0
        leak[c] = 0.0
        for b in range(first_box[c], first_box[c + 1]):
            for k in range(mass.shape[1]):
                w = mass[b, k]
                if not w > 0.0:
                    continue
                a_0, z_0, out_0 = _shares(edges_0, rounding[0], laws[0], center[b, k, 0], width[b, k, 0], share_0)
                a_1, z_1, out_1 = _shares(edges_1, rounding[1], laws[1], center[b, k, 1], width[b, k, 1], share_1)
                leak[c] += w * (out_0 + out_1 - out_0 * out_1)
                for i in range(a_0, z_0 + 1):
                    for j in range(a_1, z_1 + 1):
                        v = w * share_0[i] * share_1[j]
                        if v > 0.0:
                            t = i * m_1 + j
                            if total[t] == 0.0:
                                touched[n_touched] = t
                                n_touched += 1
                            total[t] += v
        if n + n_touched > column.shape[0]:
            return TOO_SMALL
        for r in range(n_touched):
            column[n] = touched[r]
            value[n] = total[touched[r]]
            total[touched[r]] = 0.0
            n += 1
        first_entry[c + 1] = n
    return n
