"""Elimination without subtraction of a sparse Markov chain: Grassmann, Taksar & Heyman (1985) on fronts of BLAS size.

(D − R) x = b, R ≥ 0 the rates between states, D = diag(Σ_j R_ij + e_i), e ≥ 0 the rates of leaving. States are taken
out a panel P of them at a time. With Q what is left, M = D_PP − R_PP, and G = M⁻¹ ≥ 0,

    W = R_QP G,   R_QQ += W R_PQ,   e_Q += W e_P,

where the diagonal of M is summed anew from the rates out of P: all is sums and products of nonnegative numbers, so each
entry, however small, has a small relative error. G, W and V = R_PQ are kept, panel after panel.

The order is that of :mod:`dynsim._kernels.dissection`: fronts of a separator and its border, update matrices on a stack
(Duff & Reid 1983). ``tree`` is (starts, children, pointers of borders, borders).
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import INT, INTS, VECTOR, formula, kernel
from dynsim._kernels.products import add_product

PANEL = 48
_UNDERFLOWS = 1e-280  # sums below have lost digits
PANELS = INT[:, ::1]
TREE = types.Tuple((INTS, INTS, INTS, INTS))
MATRIX = types.Tuple((INTS, INTS, VECTOR))  # compressed sparse rows
FACTORS = types.Tuple((VECTOR, VECTOR, VECTOR))  # G, W, V


@kernel(types.Tuple((PANELS, INTS))(TREE))
def layout(tree):
    """The panels in the order of elimination, and how large all is.

    A panel has its first state, its size, its node, and where its G and its W (or V) begin in the factors. The sizes
    are the numbers that G takes, those that W takes (and V), the width of the largest front, the stack of updates.
    """
    starts, children, pointers, _ = tree
    n = starts.size - 1
    n_panels = 0
    for node in range(n):
        n_panels += (starts[node + 1] - starts[node] + PANEL - 1) // PANEL
    panels = np.empty((n_panels, 5), dtype=np.int64)
    n_inverse, n_border, widest, height, peak = 0, 0, 0, 0, 0
    waiting = np.empty(n + 1, dtype=np.int64)
    n_waiting, k = 0, 0
    for node in range(n):
        own = starts[node + 1] - starts[node]
        width = own + pointers[node + 1] - pointers[node]
        widest = max(widest, width)
        for done in range(0, own, PANEL):
            p = min(PANEL, own - done)
            panels[k, 0], panels[k, 1], panels[k, 2] = starts[node] + done, p, node
            panels[k, 3], panels[k, 4] = n_inverse, n_border
            n_inverse += p * p
            n_border += p * (width - done - p)
            k += 1
        for _ in range(children[node]):
            n_waiting -= 1
            height -= waiting[n_waiting]
        waiting[n_waiting] = (width - own) ** 2
        height += waiting[n_waiting]
        n_waiting += 1
        peak = max(peak, height)
    return panels, np.array([n_inverse, n_border, widest, peak])


@formula
def left_after(panel, tree, states):
    """Fill in the states of a panel's front that are left when it has been taken out; returns their number q."""
    starts, _, pointers, borders = tree
    q = 0
    for state in range(panel[0] + panel[1], starts[panel[2] + 1]):
        states[q] = state
        q += 1
    for e in range(pointers[panel[2]], pointers[panel[2] + 1]):
        states[q] = borders[e]
        q += 1
    return q


@formula
def _invert(a, leaving, inverse):
    """G = (D − A)⁻¹ of rates A (p, p) with rates ``leaving`` (p,) out of the panel; A is overwritten.

    Returns the first state that cannot be left at its turn, or -1.
    """
    p = a.shape[0]
    pivot = np.empty(p)
    for k in range(p):
        total = leaving[k]
        for j in range(k + 1, p):
            total += a[k, j]
        if not total > 0.0:
            return k
        pivot[k] = total
        for i in range(k + 1, p):
            share = a[i, k] / total
            a[i, k] = share
            if share > 0.0:
                leaving[i] += share * leaving[k]
                for j in range(k + 1, p):
                    a[i, j] += share * a[k, j]
    for k in range(p):  # (I − L)⁻¹, by rows
        for j in range(p):
            inverse[k, j] = 0.0
        inverse[k, k] = 1.0
        for i in range(k):
            share = a[k, i]
            if share > 0.0:
                for j in range(i + 1):
                    inverse[k, j] += share * inverse[i, j]
    for k in range(p - 1, -1, -1):  # (D − U)⁻¹ of it
        for i in range(k + 1, p):
            share = a[k, i]
            if share > 0.0:
                for j in range(p):
                    inverse[k, j] += share * inverse[i, j]
        for j in range(p):
            inverse[k, j] /= pivot[k]
    return -1


@formula
def _assemble(rates, transposed, first, last, border, place, front):
    """Put the rates into and out of states first..last into their front, and note the place of each state in it."""
    indptr, indices, data = rates
    back_ptr, back_indices, back_data = transposed
    width = last - first + border.size
    front[: width * width] = 0.0
    for v in range(first, last):
        place[v] = v - first
    for k in range(border.size):
        place[border[k]] = last - first + k
    for v in range(first, last):
        for e in range(indptr[v], indptr[v + 1]):
            if indices[e] >= first and indices[e] != v:
                front[(v - first) * width + place[indices[e]]] += data[e]
        for e in range(back_ptr[v], back_ptr[v + 1]):
            if back_indices[e] >= last:
                front[place[back_indices[e]] * width + v - first] += back_data[e]


@kernel(INT(MATRIX, MATRIX, VECTOR, TREE, FACTORS, INTS))
def eliminate(rates, transposed, leaving, tree, factors, size):
    """Fill the factors; rates and their transpose in the order of elimination, ``leaving`` (m,) is overwritten.

    V may be empty: then it is not kept. ``size`` is from :func:`layout`. Returns -1, or the state at which it ended
    because it is never left.
    """
    starts, children, pointers, borders = tree
    inverses, ws, vs = factors
    front = np.empty(size[2] ** 2)  # by rows
    corner = np.empty((PANEL, PANEL))
    out = np.empty(PANEL)
    stack = np.empty(size[3])
    waiting = np.empty(starts.size, dtype=np.int64)
    place = np.zeros(leaving.size, dtype=np.int64)
    n_waiting, height, at_inverse, at_border = 0, 0, 0, 0
    for node in range(starts.size - 1):
        first, last = starts[node], starts[node + 1]
        border = borders[pointers[node] : pointers[node + 1]]
        own = last - first
        width = own + border.size
        _assemble(rates, transposed, first, last, border, place, front)
        for _ in range(children[node]):
            n_waiting -= 1
            child = waiting[n_waiting]
            theirs = borders[pointers[child] : pointers[child + 1]]
            n = theirs.size
            height -= n * n
            for i in range(n):
                row = place[theirs[i]] * width
                for j in range(n):
                    front[row + place[theirs[j]]] += stack[height + i * n + j]

        for done in range(0, own, PANEL):
            p = min(PANEL, own - done)
            rest = done + p
            q = width - rest
            for k in range(p):
                row = (done + k) * width
                total = leaving[first + done + k]
                for j in range(row + rest, row + width):
                    total += front[j]
                out[k] = total
                for j in range(p):
                    corner[k, j] = front[row + done + j]
                if vs.size > 0:
                    vs[at_border + k * q : at_border + (k + 1) * q] = front[row + rest : row + width]
            stuck = _invert(corner[:p, :p], out, inverses[at_inverse : at_inverse + p * p].reshape(p, p))
            if stuck >= 0:
                return first + done + stuck
            if q > 0:
                w = ws[at_border : at_border + p * q]
                add_product(w, p, 0.0, front[rest * width + done :], width, inverses[at_inverse:], p, q, p, p)
                v, onto = front[done * width + rest :], front[rest * width + rest :]
                add_product(onto, width, 1.0, w, p, v, width, q, p, q)
                for i in range(q):
                    state = first + rest + i if rest + i < own else border[rest + i - own]
                    for k in range(p):
                        leaving[state] += w[i * p + k] * leaving[first + done + k]
            at_inverse += p * p
            at_border += p * q

        n = border.size
        for i in range(n):
            row = (own + i) * width + own
            stack[height + i * n : height + (i + 1) * n] = front[row : row + n]
        height += n * n
        waiting[n_waiting] = node
        n_waiting += 1
    return -1


@kernel(types.void(TREE, PANELS, VECTOR, VECTOR))
def log_stationary(tree, panels, ws, log_p):
    """Logarithms of p with p R = p D: p_P = p_Q W, backwards from the last state, whose log_p is given.

    Sums are taken in units of their largest term: only what W itself has no number for is lost.
    """
    states = np.empty(log_p.size, dtype=np.int64)
    known = np.empty(log_p.size)
    total = np.empty(PANEL)
    for panel in panels[::-1]:
        first, p = panel[0], panel[1]
        q = left_after(panel, tree, states)
        w = ws[panel[4] : panel[4] + p * q].reshape(q, p)
        largest = -np.inf
        for i in range(q):
            known[i] = log_p[states[i]]
            largest = max(largest, known[i])
        total[:p] = 0.0
        for i in range(q):
            mass = np.exp(known[i] - largest)
            for k in range(p):
                total[k] += mass * w[i, k]
        for k in range(p):
            if total[k] > _UNDERFLOWS:
                log_p[first + k] = np.log(total[k]) + largest
                continue
            most = -np.inf  # its neighbors are not among the likely ones
            for i in range(q):
                if w[i, k] > 0.0:
                    most = max(most, known[i] + np.log(w[i, k]))
            mass = 0.0
            for i in range(q):
                if w[i, k] > 0.0 and most > -np.inf:
                    mass += np.exp(known[i] + np.log(w[i, k]) - most)
            log_p[first + k] = np.log(mass) + most if mass > 0.0 else -np.inf
