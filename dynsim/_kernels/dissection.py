"""Nested dissection: an order of elimination for a sparse matrix whose unknowns are points in space.

A set of points is cut in two by a plane through its mean across its longest extent; what touches the other half
separates the halves, is eliminated after both, and the halves are cut in turn. George (1973), for any graph with
coordinates.
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import BLOCK, INT, INTS, kernel


@kernel(types.Tuple((INTS, INTS, INTS))(INTS, INTS, BLOCK, INT, INT))
def dissect(indptr, indices, points, leaf, root):
    """Order of elimination of a symmetric pattern, the tree of separators, and their numbers of children.

    ``points`` (d, m) are coordinates; ``root`` is a point that comes last, -1 for none. Returns the points in their
    order (m,), where each separator begins in it (n + 1,), children before parents, and how many children each has
    (n,).
    """
    m = indptr.size - 1
    d = points.shape[0]
    side = np.full(m, -1, dtype=np.int64)
    members = np.empty(m, dtype=np.int64)
    buffer = np.empty(m, dtype=np.int64)
    count = 0
    for v in range(m):
        if v != root:
            members[count] = v
            count += 1
    stack = np.empty((512, 3), dtype=np.int64)  # low, high, parent; its depth is that of the tree
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, count, -1
    depth = 1
    node_low = np.empty(2 * m + 2, dtype=np.int64)
    node_high = np.empty(2 * m + 2, dtype=np.int64)
    children = np.zeros(2 * m + 2, dtype=np.int64)
    nodes = 0
    mark = 0
    while depth > 0:
        depth -= 1
        low, high, parent = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        node = nodes
        nodes += 1
        if parent >= 0:
            children[parent] += 1
        cut = -1
        if high - low > leaf and depth < 500:
            widest = 0.0
            for j in range(d):
                least = np.inf
                most = -np.inf
                for k in range(low, high):
                    x = points[j, members[k]]
                    least = min(least, x)
                    most = max(most, x)
                if most - least > widest:
                    widest = most - least
                    cut = j
        if cut < 0:
            node_low[node], node_high[node] = low, high
            continue

        values = np.empty(high - low)
        middle = 0.0
        for k in range(low, high):
            values[k - low] = points[cut, members[k]]
            middle += values[k - low] / (high - low)
        mark += 1
        n_left = 0
        for k in range(low, high):
            left = values[k - low] < middle
            side[members[k]] = 2 * mark if left else 2 * mark + 1
            n_left += left
        if n_left == 0 or n_left == high - low:  # points that differ by rounding only
            node_low[node], node_high[node] = low, high
            continue
        # the separator is taken from the larger half
        other = 2 * mark + 1 if 2 * n_left >= high - low else 2 * mark
        first, last = low, high - 1
        middle_count = 0
        for k in range(low, high):
            v = members[k]
            if side[v] == other:
                buffer[last] = v
                last -= 1
            else:
                touches = False
                for e in range(indptr[v], indptr[v + 1]):
                    if side[indices[e]] == other:
                        touches = True
                        break
                if touches:
                    values[middle_count] = v
                    middle_count += 1
                else:
                    buffer[first] = v
                    first += 1
        # [first half | separator | second half]
        for k in range(middle_count):
            buffer[first + k] = np.int64(values[k])
        for k in range(low, high):
            members[k] = buffer[k]
        for k in range(first, first + middle_count):
            side[members[k]] = -1
        node_low[node], node_high[node] = first, first + middle_count
        if first > low:
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = low, first, node
            depth += 1
        if last + 1 < high:
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = first + middle_count, high, node
            depth += 1

    order = np.empty(m, dtype=np.int64)
    starts = np.empty(nodes + 1, dtype=np.int64)
    counts = np.empty(nodes, dtype=np.int64)
    position = 0
    for k in range(nodes):
        node = nodes - 1 - k
        starts[k] = position
        counts[k] = children[node]
        for e in range(node_low[node], node_high[node]):
            order[position] = members[e]
            position += 1
    starts[nodes] = position
    if root >= 0:
        order[position] = root
    return order, starts, counts


@kernel(types.Tuple((INTS, INTS))(INTS, INTS, INTS, INTS))
def borders(indptr, indices, starts, children):
    """What each separator of a tree in its order of elimination is connected with when its turn comes: later points.

    The pattern is symmetric and in the order of elimination. Returns pointers (n + 1,) and points.
    """
    m = indptr.size - 1
    n = starts.size - 1
    seen = np.full(m, -1, dtype=np.int64)
    pointers = np.zeros(n + 1, dtype=np.int64)
    found = np.empty(max(1024, 8 * m), dtype=np.int64)
    waiting = np.empty(n + 1, dtype=np.int64)  # nodes whose parent is still to come
    n_waiting = 0
    for node in range(n):
        begin = pointers[node]
        end = begin
        last = starts[node + 1]
        if begin + m > found.size:
            larger = np.empty(2 * found.size + m, dtype=np.int64)
            larger[:begin] = found[:begin]
            found = larger
        for v in range(starts[node], last):
            for e in range(indptr[v], indptr[v + 1]):
                w = indices[e]
                if w >= last and seen[w] != node:
                    seen[w] = node
                    found[end] = w
                    end += 1
        for c in range(n_waiting - children[node], n_waiting):
            child = waiting[c]
            for e in range(pointers[child], pointers[child + 1]):
                w = found[e]
                if w >= last and seen[w] != node:
                    seen[w] = node
                    found[end] = w
                    end += 1
        pointers[node + 1] = end
        n_waiting -= children[node]
        waiting[n_waiting] = node
        n_waiting += 1
    return pointers, found[: pointers[n]].copy()
