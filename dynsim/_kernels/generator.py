"""The rows of the generator matrix of an Itô diffusion on a product grid: see dynsim.stationary.generator."""

import math

import numpy as np
from numba import types

from dynsim._kernels.elementary import expm1
from dynsim._kernels.jit import BLOCK, BLOCKS, FLOAT, INT, INTS, VECTOR, formula, kernel
from dynsim._kernels.selling import reduce
from dynsim._kernels.tensors import decompose, is_well_conditioned, solve, solve_in_range

EXPONENTIAL, HYBRID, CENTRAL = 0, 1, 2
REFLECTING, PERIODIC, ABSORBING = 0, 1, 2
DONE, NOT_FINITE, NOT_SEMIDEFINITE = 0, 1, 2
ENTRIES = (2, 12, 33)  # no row has more, by dimension: two a vector, one an axis, two a vector along a face

_INDEFINITE = 1e-12  # of the trace: eigenvalues below minus this are no rounding
_NEGLIGIBLE = 1e-13  # of the drift: a remainder of less is rounding
_PURE_DRIFT = 1e8  # |z| from which B(|z|) is 0 for any purpose
_NO_NOISE = 1e-290  # traces of which quotients would overflow
_WORTHWHILE = 0.25  # of the spread: for less, rates stay in detailed balance with β
_SHIFTS, _SHIFT_RATIO = 8, 0.125  # from an eighth of the trace to 6e-8
_LINKS = 9  # six vectors and three axes; up to three along a face come after them
_SLIDE_REACH = 4  # of the links along a face: what is added to D there matters little


@formula
def _advance(cell, box, d):
    """The next cell in C order."""
    for a in range(d - 1, -1, -1):
        cell[a] += 1
        if cell[a] < box[a, 0]:
            return
        cell[a] = 0


@formula
def _status(drift, tensor, d, trace, eigen):
    """Whether the coefficients of a cell can be used; a tensor that is indefinite by rounding is lifted."""
    total = trace
    for a in range(d):
        total += abs(drift[a])
        for b in range(d):
            total += abs(tensor[a, b])
    if not math.isfinite(total):
        return NOT_FINITE
    if is_well_conditioned(tensor, d):
        return DONE
    decompose(tensor, d, eigen)
    lowest = eigen[6, :d].min()
    if lowest < -_INDEFINITE * max(trace, 0.0):
        return NOT_SEMIDEFINITE
    if lowest < 0.0:
        for a in range(d):
            tensor[a, a] -= lowest
    return DONE


@formula
def _split_drift(drift, d, links, e, w, v, tensor, eigen, solved):
    """Write μ = Σ_k v_k e_k: v_k = w_k e_k·β with D β the part of μ in the range of D, the rest along the axes.

    The axes are links without noise. Return the number of links. Where an eigenvalue of D goes to 0, the share that D
    carries of the drift along its vector does so continuously.
    """
    if d == 1:
        e[0, 0] = 1
        w[0] *= links
        v[0] = drift[0]
        return 1
    largest = 0.0
    for a in range(d):
        largest = max(largest, abs(drift[a]))
        for b in range(d):
            tensor[a, b] = 0.0
            for k in range(links):
                tensor[a, b] += w[k] * e[k, a] * e[k, b]
    whole = links > 0 and is_well_conditioned(tensor, d)
    if whole:
        eigen[:3] = tensor
        solve(eigen, drift, d, solved)
    elif links > 0:
        solve_in_range(tensor, drift, d, eigen, solved)
    if _lessen_spread(drift, d, links, e, w, tensor, eigen, solved):
        whole = False
    for k in range(links):
        v[k] = 0.0
        for a in range(d):
            v[k] += e[k, a] * solved[a]
        v[k] *= w[k]
    if whole:
        return links
    with_noise = links
    for a in range(d):
        rest = drift[a]
        for k in range(with_noise):
            rest -= v[k] * e[k, a]
        if abs(rest) > _NEGLIGIBLE * largest:
            for b in range(d):
                e[links, b] = 1 if a == b else 0
            w[links], v[links] = 0.0, rest
            links += 1
    return links


@formula
def _lessen_spread(drift, d, links, e, w, tensor, scratch, solved):
    """Take β = (D + s I)⁻¹ μ, and leave s β to the axes, where that spreads far less; return whether it does.

    A drift across an elongated D would ride on long vectors, forth on one and back on the next: a spread of |e|³.
    """
    long = False
    for k in range(links):
        square, x = 0, 0.0
        for a in range(d):
            square += e[k, a] * e[k, a]
            x += e[k, a] * solved[a]
        long = long or (w[k] > 0.0 and square > d and abs(x) > 1.0)
    if not long:
        return False
    trial, found, shift = scratch[6], False, 0.0
    least = _WORTHWHILE * _spread(drift, d, links, e, w, solved)
    for a in range(d):
        shift += tensor[a, a]
    for _ in range(_SHIFTS):
        shift *= _SHIFT_RATIO
        for a in range(d):
            for b in range(d):
                scratch[a, b] = tensor[a, b] + (shift if a == b else 0.0)
        solve(scratch, drift, d, trial)
        spread = _spread(drift, d, links, e, w, trial)
        if spread < least:
            least, found = spread, True
            for a in range(d):
                solved[a] = trial[a]
    return found


@formula
def _spread(drift, d, links, e, w, beta):
    """About the trace of the noise that the rates add: Σ_k w_k |e_k|² (x coth x − 1), x = e_k·β, and |μ − D β|₁."""
    total = 0.0
    for k in range(links):
        square, x = 0, 0.0
        for a in range(d):
            square += e[k, a] * e[k, a]
            x += e[k, a] * beta[a]
        total += w[k] * square * x * x / (3.0 + abs(x))
    for a in range(d):
        rest = drift[a]
        for k in range(links):
            x = 0.0
            for b in range(d):
                x += e[k, b] * beta[b]
            rest -= w[k] * x * e[k, a]
        total += abs(rest)
    return total


@formula
def _add_jumps(cell, d, box, first, last, e, w, v, central, start, end, indices, rates):
    """Put the jumps of some links out of a cell into its row from ``start`` on; return (new end, killing rate)."""
    killed, here = 0.0, 0
    for a in range(d):
        here = here * box[a, 0] + cell[a]
    for k in range(first, last):
        for sign in (1, -1):
            target, fraction, side = _target(cell, d, box, e[k], sign)
            if side == REFLECTING or (side == PERIODIC and target == here):
                continue
            rate = _outflow(w[k] / fraction, sign * v[k], central)
            if rate == 0.0:
                continue
            if side == ABSORBING:
                killed += rate
            else:
                end = _insert(target, rate, start, end, indices, rates)
    return end, killed


@formula
def _slide(face, layer, d, links, e, w, v, solved, crossing, along, base):
    """Links along a reflecting face, in place of the jumps across it; write them after the others, return their end.

    Half of what those jumps carry along the face is lost with them. No flux across makes it S (β − ½ ∇ ln p) p, with
    2 S = C_tt − C_tn C_nt / C_nn of C = Σ_k w_k e_k e_kᵀ over the jumps that cross.
    """
    trace = 0.0
    for a in range(d):
        for b in range(d):
            crossing[a, b] = 0.0
            for k in range(links):
                if abs(e[k, face]) > layer:
                    crossing[a, b] += w[k] * e[k, a] * e[k, b]
        trace += crossing[a, a]
    if trace == crossing[face, face]:
        return _LINKS
    for a in range(d - 1):
        for b in range(d - 1):
            i, j = a + (a >= face), b + (b >= face)
            lost = crossing[i, face] * crossing[face, j] / crossing[face, face]
            along[a, b] = 0.5 * (crossing[i, j] - lost)
    vectors, _ = reduce(along, d - 1, trace, _SLIDE_REACH, e[_LINKS:], w[_LINKS:], base)
    for k in range(_LINKS, _LINKS + vectors):
        for a in range(d - 1, -1, -1):
            e[k, a] = 0 if a == face else e[k, a - (a > face)]
        v[k] = 0.0
        for a in range(d):
            v[k] += w[k] * e[k, a] * solved[a]
    return _LINKS + vectors


@formula
def _add_bend(noise, i, face, cell, d, box, links, e, w, v):
    """What a change of the direction D n of reflection adds to the drift along a face, −¼ (D n·∇) (D n)_t / D_nn."""
    for t in range(d):
        if t == face:
            continue
        change, stride = 0.0, 1
        for b in range(d - 1, -1, -1):
            before = i - stride if cell[b] > 0 else i
            after = i + stride if cell[b] < box[b, 0] - 1 else i
            if after > before and noise[before, face, face] > 0.0 and noise[after, face, face] > 0.0:
                slope = noise[after, face, t] / noise[after, face, face]
                slope -= noise[before, face, t] / noise[before, face, face]
                change += noise[i, face, b] * slope * stride / (after - before)
            stride *= box[b, 0]
        change = min(max(change, -noise[i, t, t]), noise[i, t, t])  # where D n turns abruptly
        if change != 0.0:
            for b in range(d):
                e[links, b] = 1 if b == t else 0
            w[links], v[links] = 0.0, -0.25 * change
            links += 1
    return links


@formula
def _target(cell, d, box, e, sign):
    """Where a jump ends: (cell, part of it up to the first side that it crosses, the kind of that side).

    The kind is PERIODIC for a jump that stays inside, the part 1.
    """
    target, fraction, side = 0, 1.0, PERIODIC
    for a in range(d):
        n = box[a, 0]
        x = cell[a] + sign * e[a]
        if x < 0 or x >= n:
            kind = box[a, 1] if x < 0 else box[a, 2]
            if kind == PERIODIC:
                x %= n
            else:
                until = (cell[a] + 0.5 if x < 0 else n - 0.5 - cell[a]) / abs(e[a])
                if until < fraction or (until == fraction and kind == ABSORBING):
                    fraction, side = until, kind
        target = target * n + x
    return target, fraction, side


@formula
def _outflow(w, v, central):
    """½ w B(−2v/w), B(z) = z/(e^z − 1), or its expansion ½ w + ½ v; max(v, 0) without noise."""
    if central:
        return 0.5 * (w + v)
    if abs(v) >= _PURE_DRIFT * w:
        return max(v, 0.0)
    x = 2.0 * v / w
    size = abs(x)
    return 0.5 * w * ((size / expm1(size) if size > 0.0 else 1.0) + max(x, 0.0))


@formula
def _insert(target, rate, start, end, indices, rates):
    """Add an entry to a sorted row; return its new end."""
    at = end
    while at > start and indices[at - 1] > target:
        at -= 1
    if at > start and indices[at - 1] == target:
        rates[at - 1] += rate
        return end
    for j in range(end, at, -1):
        indices[j], rates[j] = indices[j - 1], rates[j - 1]
    indices[at], rates[at] = target, rate
    return end + 1


@kernel(
    types.Tuple((INT, INT, INT, FLOAT, INT))(
        BLOCK, BLOCKS, INT[:, ::1], INTS, types.int32[::1], types.int32[::1], VECTOR, VECTOR
    )
)
def fill_rows(drift, noise, box, choices, indptr, indices, rates, killing):
    """Row by row in CSR; return (status, cell, reach, largest relative addition to D, cells that fell back).

    drift (m, d), noise (m, d, d); box (d, 3): cells, low side, high side; choices: scheme, longest reach.
    """
    m, d = drift.shape
    scheme, limit = choices[0], choices[1]
    cell, extent = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    e, base = np.zeros((_LINKS + 5, 3), dtype=np.int64), np.zeros((4, 3), dtype=np.int64)
    w, v = np.zeros(_LINKS + 5), np.zeros(_LINKS + 5)
    tensor, eigen, solved = np.zeros((3, 3)), np.zeros((7, 3)), np.zeros(3)
    reach, most_added, fallbacks = 0, 0.0, 0
    for i in range(m):
        trace = 0.0
        for a in range(d):
            trace += noise[i, a, a]
            for b in range(d):
                tensor[a, b] = noise[i, a, b]
        status = _status(drift[i], tensor, d, trace, eigen)
        if status != DONE:
            return status, i, reach, most_added, fallbacks
        links, added = 0, 0.0
        if trace > _NO_NOISE:
            links, added = reduce(tensor, d, trace, limit, e, w, base)
            most_added = max(most_added, added / trace)
        for a in range(d):
            extent[a] = 0
            for k in range(links):
                extent[a] = max(extent[a], abs(e[k, a]) if w[k] > 0.0 else 0)
            reach = max(reach, extent[a])
        links = _split_drift(drift[i], d, links, e, w, v, tensor, eigen, solved)
        central = scheme == CENTRAL
        if scheme == HYBRID:
            central = True
            for k in range(links):
                central = central and abs(v[k]) <= w[k]
            fallbacks += not central
        start = indptr[i]
        end, killing[i] = _add_jumps(cell, d, box, 0, links, e, w, v, central, start, start, indices, rates)
        for a in range(d if d > 1 else 0):
            for side in range(2):
                layer = cell[a] if side == 0 else box[a, 0] - 1 - cell[a]
                if box[a, 1 + side] == REFLECTING and layer < extent[a]:
                    last = _slide(a, layer, d, links, e, w, v, solved, tensor, eigen, base)
                    if layer == 0:
                        last = _add_bend(noise, i, a, cell, d, box, last, e, w, v)
                    end, more = _add_jumps(cell, d, box, _LINKS, last, e, w, v, False, start, end, indices, rates)
                    killing[i] += more
        indptr[i + 1] = end
        if scheme == CENTRAL and indptr[i + 1] > indptr[i] and rates[indptr[i] : indptr[i + 1]].min() < 0.0:
            fallbacks += 1
        _advance(cell, box, d)
    return DONE, m, reach, most_added, fallbacks
