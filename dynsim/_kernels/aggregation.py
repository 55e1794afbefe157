"""Steps of the multilevel aggregation of a Markov chain; every quantity is a sum of products of nonnegative numbers.

A level is a chain with rates in the order of their targets: ``rate[k]`` leads from ``source[k]`` to the cell i with
``first[i] ≤ k < first[i + 1]``; ``leaving[i]`` is the sum of the rates out of cell i; ``mass`` (m,) is the iterate.
"""

import numpy as np
from numba import types

from dynsim._kernels.jit import BLOCK, FLOAT, INT, VECTOR, kernel

SHORTS = types.int32[::1]  # (n,)
FLOOR = 1e-290  # of the mass of a cell: positive, so that no aggregate is empty


@kernel(INT(SHORTS, SHORTS, SHORTS, VECTOR, VECTOR, VECTOR))
def sweep(order, first, source, rate, leaving, mass):
    """Gauss–Seidel: p_i = Σ_j p_j R_ji / D_i, cell by cell in the given order."""
    for n in range(order.size):
        i = order[n]
        inflow = 0.0
        for k in range(first[i], first[i + 1]):
            inflow += mass[source[k]] * rate[k]
        mass[i] = max(inflow / leaving[i], FLOOR)
    return 0


@kernel(FLOAT(SHORTS, SHORTS, VECTOR, VECTOR, VECTOR))
def residual(first, source, rate, leaving, mass):
    """Σ_i |(Gᵀp)_i| / Σ_i D_i p_i."""
    total, flow = 0.0, 0.0
    for i in range(mass.size):
        inflow = 0.0
        for k in range(first[i], first[i + 1]):
            inflow += mass[source[k]] * rate[k]
        outflow = leaving[i] * mass[i]
        total += abs(inflow - outflow)
        flow += outflow
    return total / flow


@kernel(INT(VECTOR, VECTOR, VECTOR, FLOAT, BLOCK))
def extrapolate(before, once, twice, most, steps):
    """Aitken's extrapolation of three successive iterates in their logarithms, into ``twice``; steps (2, m) is scratch.

    With f = ln(once/before), g = ln(twice/once): ln p = ln once + t g, t = −f·(g − f) / |g − f|², from 1 to ``most``.
    """
    product, square = 0.0, 0.0
    for i in range(before.size):
        steps[0, i] = np.log(once[i] / before[i])
        steps[1, i] = np.log(twice[i] / once[i])
        change = steps[1, i] - steps[0, i]
        product -= steps[0, i] * change
        square += change * change
    t = min(product / square, most) if square > 0 else 1.0
    if t > 1:
        for i in range(before.size):
            twice[i] = max(twice[i] * np.exp((t - 1) * steps[1, i]), FLOOR)
    return 0


@kernel(INT(SHORTS, SHORTS, SHORTS, SHORTS, SHORTS, SHORTS, SHORTS, SHORTS))
def join(first, source, group, members, bounds, coarse_first, coarse_source, place):
    """The pattern of the aggregated chain; ``place[k]`` is where rate k goes in it, −1 if it stays within its group.

    ``members[bounds[g]:bounds[g + 1]]`` are the cells of group g. Returns the number of rates.
    """
    seen = np.full(bounds.size, -1, np.int32)
    n = 0
    for g in range(bounds.size - 1):
        begin = n
        coarse_first[g] = n
        for a in range(bounds[g], bounds[g + 1]):
            i = members[a]
            for k in range(first[i], first[i + 1]):
                h = group[source[k]]
                if h == g:
                    place[k] = -1
                    continue
                if seen[h] < begin:
                    seen[h] = n
                    coarse_source[n] = h
                    n += 1
                place[k] = seen[h]
    coarse_first[bounds.size - 1] = n
    return n


@kernel(INT(SHORTS, VECTOR, VECTOR, SHORTS, SHORTS, VECTOR, VECTOR, SHORTS, VECTOR))
def aggregate(source, rate, mass, group, place, coarse_mass, coarse_rate, coarse_source, coarse_leaving):
    """p_I = Σ_{i∈I} p_i and R_IJ = Σ_{i∈I, j∈J} p_i R_ij / p_I, with what leaves each group."""
    coarse_mass[:] = 0
    coarse_rate[:] = 0
    coarse_leaving[:] = 0
    for i in range(mass.size):
        coarse_mass[group[i]] += mass[i]
    for k in range(rate.size):
        if place[k] >= 0:
            i = source[k]
            coarse_rate[place[k]] += mass[i] / coarse_mass[group[i]] * rate[k]
    for k in range(coarse_rate.size):
        coarse_leaving[coarse_source[k]] += coarse_rate[k]
    return 0


@kernel(INT(SHORTS, VECTOR, VECTOR, VECTOR))
def disaggregate(group, before, after, mass):
    """p_i ← p_i p'_I / p_I: the new masses of the groups, the old shares within."""
    for i in range(mass.size):
        mass[i] = max(mass[i] * (after[group[i]] / before[group[i]]), FLOOR)
    return 0


@kernel(INT(SHORTS, SHORTS, VECTOR, SHORTS, BLOCK, VECTOR))
def eliminate(first, source, rate, place, a, mass):
    """The stationary masses by elimination without subtraction (Grassmann, Taksar & Heyman 1985); a (m, m) is scratch.

    ``place`` says which state comes where; the last is eliminated first. Where those left can no longer be reached,
    their masses are too small to be told; so the heaviest should come first.
    """
    m = mass.size
    a[:] = 0
    for j in range(m):
        for k in range(first[j], first[j + 1]):
            a[place[source[k]], place[j]] = rate[k]
    root = 0
    for k in range(m - 1, 0, -1):
        leaving = 0.0
        for j in range(k):
            leaving += a[k, j]
        if leaving < FLOOR:
            root = k
            break
        for i in range(k):
            share = a[i, k] / leaving
            a[i, k] = share
            if share > 0:
                for j in range(k):
                    a[i, j] += share * a[k, j]
    for k in range(m):  # masses go to the diagonal, which nothing else needs
        inflow = 1.0 if k == root else 0.0
        for i in range(root, k):
            inflow += a[i, i] * a[i, k]
        a[k, k] = inflow
        if inflow > 1:
            for i in range(root, k + 1):
                a[i, i] = a[i, i] / inflow
    total = 0.0
    for k in range(root, m):
        total += a[k, k]
    for j in range(m):
        mass[j] = max(a[place[j], place[j]] / total, FLOOR)
    return 0


@kernel(INT(SHORTS, SHORTS, VECTOR, FLOAT, VECTOR, SHORTS))
def match(first, neighbor, flux, weakest, total, group):
    """Pair each cell i with the free neighbor j of largest flux F_ij / min(F_i, F_j), F_i = Σ_j F_ij.

    Only if that is at least ``weakest``. Writes F_i to ``total`` and the number of the pair of each cell to ``group``;
    returns the number of pairs.
    """
    for i in range(group.size):
        group[i] = -1
        total[i] = 0.0
        for k in range(first[i], first[i + 1]):
            total[i] += flux[k]
    n = 0
    for i in range(group.size):
        if group[i] >= 0:
            continue
        best, partner = weakest, -1
        for k in range(first[i], first[i + 1]):
            j = neighbor[k]
            if j != i and group[j] < 0:
                strength = flux[k] / min(total[i], total[j])
                if strength > best:
                    best, partner = strength, j
        group[i] = n
        if partner >= 0:
            group[partner] = n
        n += 1
    return n
