"""The states that a chain with finitely many outcomes can reach, found by hashing.

A point is looked up by its cell, a cube of side ``resolution``; one within rounding of a face is looked up on the other
side too. Points may be stored before they are known to be reached (guesses): these hold the outcomes of a step from
there, and give way to any state that is found to lie beside them.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from dynsim._kernels.jit import BLOCK, BLOCKS, FLOAT, INT, INTS, formula, kernel

NUMBERS = INT[:, ::1]
REACHED, EVALUATED = 1, 2  # bits of the flags
N_POINTS, N_REACHED, N_READY, N_DONE, N_PENDING = range(5)  # of the counts
DONE, FULL, TOO_CLOSE, TOO_MANY, UNRESOLVED, NOT_FINITE = range(6)
ROUNDING = 4096.0  # units in the last place within which two computations of one state agree, and one more each step
EPS = np.finfo(np.float64).eps
_MOST_FACES = 12  # of its cell beyond which a point is looked up


class Store(NamedTuple):
    """Rows: points, the steps that led to them, outcomes with probabilities, and the rows that these are."""

    points: np.ndarray  # (capacity, dim)
    steps: np.ndarray  # (capacity, dim)
    cells: np.ndarray  # (capacity, dim)
    targets: np.ndarray  # (capacity, n_outcomes, dim)
    probabilities: np.ndarray  # (capacity, n_outcomes)
    edges: np.ndarray  # (capacity, n_outcomes)
    flags: np.ndarray  # (capacity,)
    depths: np.ndarray  # (capacity,): length of the path by which it was found
    ready: np.ndarray  # (capacity,): reached and evaluated, in this order; N_DONE of them have been looked at
    pending: np.ndarray  # (capacity,): reached before they were evaluated
    table: np.ndarray  # (a power of 2,): 0, or a row + 1
    counts: np.ndarray  # (5,)
    work: np.ndarray  # (3, dim)


_STORE = types.NamedTuple(
    [BLOCK, BLOCK, NUMBERS, BLOCKS, BLOCK, NUMBERS, INTS, INTS, INTS, INTS, INTS, INTS, NUMBERS], Store
)


@formula
def _row_of(cell, cells, table):
    """The row whose cell this is, or −1 − slot, the place of the table where it belongs."""
    h = np.uint64(0)
    for j in range(cell.size):
        h = (h ^ np.uint64(cell[j])) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(32)
    slot = np.int64(h & np.uint64(table.size - 1))
    while table[slot] != 0:
        row = table[slot] - 1
        same = True
        for j in range(cell.size):
            same = same and cells[row, j] == cell[j]
        if same:
            return row
        slot = (slot + 1) & (table.size - 1)
    return -1 - slot


@formula
def rounding(x, depth, size):
    """How far the same state may lie off x when it is computed another way, in so many steps."""
    largest = size
    for j in range(x.size):
        largest = max(largest, abs(x[j]))
    return (ROUNDING + depth) * EPS * largest


@formula
def _is_near(x, y, near):
    close = True
    for j in range(x.size):
        close = close and abs(x[j] - y[j]) <= near
    return close


@formula
def _match(x, near, resolution, points, cells, table, work):
    """The row of a state within ``near`` of x, or −1. Leaves the cell of x in work[0]."""
    cell, beyond, face = work[0], work[1], work[2]
    faces = 0
    for j in range(x.size):
        scaled = x[j] / resolution + 0.5
        cell[j] = np.int64(np.floor(scaled))
        within = (scaled - cell[j]) * resolution
        side = -1 if within <= near else 1 if resolution - within <= near else 0
        if side != 0 and faces < _MOST_FACES:
            face[faces] = 2 * j + (side + 1) // 2
            faces += 1
    for chosen in range(1 << faces):
        for j in range(x.size):
            beyond[j] = cell[j]
        for f in range(faces):
            if chosen >> f & 1:
                beyond[face[f] // 2] += 2 * (face[f] % 2) - 1
        row = _row_of(beyond, cells, table)
        if row >= 0 and _is_near(x, points[row], near):
            return row
    return np.int64(-1)


@formula
def _place(x, row, points, cells, table, work):
    """Write x, whose cell is in work[0], to a new row."""
    table[-1 - _row_of(work[0], cells, table)] = row + 1
    for j in range(x.size):
        points[row, j] = x[j]
        cells[row, j] = work[0, j]


@kernel(types.void(_STORE))
def rebuild(store):
    """Fill an empty table with all rows."""
    for row in range(store.counts[N_POINTS]):
        store.table[-1 - _row_of(store.cells[row], store.cells, store.table)] = row + 1


@kernel(types.void(BLOCK, INTS, FLOAT, FLOAT, _STORE))
def guess(guesses, parents, size, resolution, store):
    """Give each point (q, dim) a row of its own where none lies in its cell.

    ``parents`` (q,) holds the rows of the states that the guesses continue, and then their own rows, or −1.
    """
    points, cells, table, counts, work = store.points, store.cells, store.table, store.counts, store.work
    depths = store.depths
    for i in range(guesses.shape[0]):
        x = guesses[i]
        near = rounding(x, depths[parents[i]], size)
        parents[i] = -1
        if not near <= resolution / 4 or _match(x, near, resolution, points, cells, table, work) >= 0:
            continue
        if _row_of(work[0], cells, table) < 0 and counts[N_POINTS] < points.shape[0]:
            parents[i] = counts[N_POINTS]
            counts[N_POINTS] += 1
            _place(x, parents[i], points, cells, table, work)


@kernel(INT(INT, FLOAT, FLOAT, _STORE))
def explore(max_states, size, resolution, store):
    """Look up the outcomes of all ready states, and of those that become ready by it. Returns what stopped it."""
    points, cells, table, counts, work = store.points, store.cells, store.table, store.counts, store.work
    flags, depths, edges, probabilities = store.flags, store.depths, store.edges, store.probabilities
    ready, pending, steps, targets = store.ready, store.pending, store.steps, store.targets
    while counts[N_DONE] < counts[N_READY]:
        row = ready[counts[N_DONE]]
        for n in range(probabilities.shape[1]):
            if probabilities[row, n] == 0:
                edges[row, n] = -1
                continue
            x, depth = targets[row, n], depths[row] + 1
            near = rounding(x, depth, size)
            if not near <= resolution / 4:
                return UNRESOLVED if np.isfinite(near) else NOT_FINITE
            found = _match(x, near, resolution, points, cells, table, work)
            if found < 0:
                found = _row_of(work[0], cells, table)
                if found < 0:
                    found = counts[N_POINTS]
                    if found == points.shape[0]:
                        return FULL
                    counts[N_POINTS] += 1
                    _place(x, found, points, cells, table, work)
                elif flags[found] & REACHED:
                    return TOO_CLOSE
                else:  # a wrong guess
                    flags[found] = 0
                    for j in range(x.size):
                        points[found, j] = x[j]
            if not flags[found] & REACHED:
                if counts[N_REACHED] == max_states:
                    return TOO_MANY
                for j in range(x.size):
                    steps[found, j] = x[j] - points[row, j]
                depths[found] = depth
                counts[N_REACHED] += 1
                if flags[found] & EVALUATED:
                    ready[counts[N_READY]] = found
                    counts[N_READY] += 1
                else:
                    pending[counts[N_PENDING]] = found
                    counts[N_PENDING] += 1
                flags[found] |= REACHED
            edges[row, n] = found
        counts[N_DONE] += 1
    return DONE
