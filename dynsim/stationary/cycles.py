"""Cycles of multilevel aggregation, which find the stationary masses of an irreducible chain of jumps.

A cycle smooths the masses p by Gauss–Seidel sweeps, adds up cells to aggregates, whose chain has the rates
R_IJ = Σ_{i∈I, j∈J} p_i R_ij / p_I, solves that chain in the same way, twice, and multiplies the masses within each
aggregate by what it gained (Horton & Leutenegger 1994). The smallest chain is solved by elimination without
subtraction. All that is sums of products of nonnegative numbers: masses stay positive, and those of wells that exchange
1e-50 of their mass come out right, for their balance is struck by rates, not by differences.

Convergence is sped up in the logarithms of the masses: by Aitken's extrapolation of the two visits of each level, and
by Anderson's of the cycles. The aggregates are blocks of the grid; where those converge slowly (strong coupling along
some direction), pairs of pairs of cells that exchange most. Blocks may mix two wells, whose balance then moves so
slowly that it seems to stand still; masses count as found only if a cycle with pairs, which keep wells apart, leaves
them as they are.
"""

import numpy as np
from scipy.sparse.csgraph import connected_components

from dynsim.errors import NotApplicable
from dynsim.stationary import hierarchy

_SWEEPS = 2  # before and after each visit of the coarser level
_MOST_STRETCH = 5.0  # of Aitken's extrapolation
_HISTORY = 4  # differences of cycles in Anderson's extrapolation
_NEARLY_LINEAR = 1.0  # change of a log-mass in a cycle up to which the cycles are extrapolated
_DAMPING = 0.3  # the extrapolation weighs the relative change of a cell by this power of its mass
_SETTLED = 1e-9  # change of all log-masses in a cycle at which they count as found
_PATIENCE = 12  # cycles after which the aggregates are chosen anew …
_PROGRESS = 1e-3  # … unless the changes have shrunk by this factor
_SMALL, _LENIENCE = 1e-50, 1e-3  # changes of smaller masses count less: they hang on the others and settle last
_TINY = 1e-200  # smaller masses are found afterwards, from those around them; where possible, all below _SMALL
_MARGIN = 1e15  # fluxes that tie states together exceed by this factor those of masses not found yet


def _core(jumps, mass, least):
    """The states tied together by fluxes to which masses below ``least`` add nothing; None if others weigh as much."""
    flux = jumps.copy()
    flux.data *= np.repeat(mass, np.diff(jumps.indptr))
    flux.data[flux.data < _MARGIN * least] = 0
    flux.eliminate_zeros()
    _, labels = connected_components(flux, connection="strong")
    core = labels == labels[np.argmax(mass)]
    return core if (mass[~core] < 1e3 * _MARGIN * least).all() else None


def iterate(rates, shape, cells, mass, tolerance, max_cycles):
    """Cycles until the residual and the changes of the log-masses are small; also returns whose masses are found."""
    from dynsim._kernels import aggregation as kernels

    finest = hierarchy.finest_level(rates, shape, cells)
    levels = hierarchy.blocks(finest, shape, cells)
    in_blocks, last_choice, paired_at, small_tried = True, 0, -1, False
    history: list[tuple[np.ndarray, np.ndarray]] = []
    changes: list[float] = []
    np.maximum(mass, kernels.FLOOR, out=mass)
    before = np.log(mass)
    for n in range(1, max_cycles + 1):
        _cycle(kernels, levels, 0, mass)
        _scale(kernels, mass, 1.0)
        after = np.log(mass)
        step = after - before
        change, wide = np.abs(step[mass > _SMALL]).max(), np.abs(step[mass > _TINY]).max()
        changes.append(max(change, _LENIENCE * wide))
        residual = kernels.residual(*finest.chain, mass)
        settled = changes[-1] <= _SETTLED
        if residual <= tolerance and change <= _SETTLED and (settled or not small_tried):
            core = _core(rates, mass, _TINY if settled else _SMALL)
            small_tried = small_tried or core is None
            if core is not None and paired_at == n - 1:
                return mass, core, residual, n
            if core is None and settled:
                raise NotApplicable(
                    f"parts of the chain exchange less than {_MARGIN * _TINY:g} of the mass; use elimination"
                )
            if core is not None:
                levels, in_blocks, paired_at, last_choice = hierarchy.pairs(finest, shape, cells, mass), False, n, n
                history.clear()
                before = after
                continue
        if n - last_choice >= _PATIENCE and changes[-1] > _PROGRESS * changes[-_PATIENCE]:
            if min(changes[-3 * _PATIENCE :]) > 0.5 * min(changes[: -3 * _PATIENCE], default=np.inf):
                break
            in_blocks, last_choice = not in_blocks, n
            if in_blocks:
                levels = hierarchy.blocks(finest, shape, cells)
            else:
                levels = hierarchy.pairs(finest, shape, cells, mass)
            history.clear()
        if wide > _NEARLY_LINEAR or (n > 1 and changes[-1] > 2 * changes[-2]):
            history.clear()
        before = _extrapolated(history, after, step, mass**_DAMPING)
        mass = np.exp(before - before.max())
        _scale(kernels, mass, 1.0)
        before = np.log(mass)
    raise NotApplicable(
        f"aggregation does not converge: after {n} cycles the residual is {residual:.1e} (tolerance {tolerance:g}) and "
        f"log-masses still change by {changes[-1]:.1e}; use elimination"
    )


def _extrapolated(history, after, step, weight):
    """Anderson's combination of the last cycles: the one whose step, in the weighted norm, would be least."""
    history.append((after, step))
    del history[: -_HISTORY - 1]
    if len(history) == 1:
        return after
    differences = np.stack([s - step for _, s in history[:-1]])
    weighted = differences * weight
    shares = np.linalg.lstsq(weighted @ differences.T, -weighted @ step, rcond=1e-14)[0]
    move = sum(share * (a - after) for share, (a, _) in zip(shares, history[:-1], strict=True))
    return after + move * min(1.0, 3 * max(_NEARLY_LINEAR, np.abs(step).max()) / (np.abs(move).max() or 1.0))


def _cycle(kernels, levels, depth, mass):
    """One cycle on the level ``depth`` and those below; changes ``mass`` in place."""
    level = levels[depth]
    if depth == len(levels) - 1:
        place = np.empty(mass.size, np.int32)
        place[np.argsort(-mass)] = np.arange(mass.size)
        kernels.eliminate(*level.chain[:3], place, np.empty((mass.size, mass.size)), mass)
        return
    for _ in range(_SWEEPS):
        kernels.sweep(next(level.orders), *level.chain, mass)
    coarse = levels[depth + 1]
    _, source, rate, leaving = coarse.chain
    before, once, twice = coarse.masses
    kernels.aggregate(*level.chain[1:3], mass, *coarse.within, before, rate, source, leaving)
    total = before.sum()
    once[:] = before
    _cycle(kernels, levels, depth + 1, once)
    _scale(kernels, once, total)
    twice[:] = once
    if depth + 2 < len(levels):
        _cycle(kernels, levels, depth + 1, twice)
        _scale(kernels, twice, total)
        kernels.extrapolate(before, once, twice, _MOST_STRETCH, coarse.steps)
        _scale(kernels, twice, total)
    kernels.disaggregate(coarse.within[0], before, twice, mass)
    for _ in range(_SWEEPS):
        kernels.sweep(next(level.orders), *level.chain, mass)


def _scale(kernels, mass, total):
    mass *= total / mass.sum()
    np.maximum(mass, kernels.FLOOR, out=mass)
