"""How good a stationary density on a grid is: what coarser grids say, and what the box cuts off."""

import numpy as np

from dynsim.errors import ArgumentError, NotApplicable, Unresolved
from dynsim.grid import Grid
from dynsim.results import Density

_BOUNDARY_SHARE = 0.01  # of the cells along an axis, at either end: their mass tells that the bounds are too narrow
_LOOK_OUTSIDE = 1e-4  # mass there from which on a larger box is tried
_MOST_CUT_OFF = 1e-2  # mass outside the box that is refused
_PROPOSED_OUTSIDE = 1e-3  # and that a proposed box may leave outside
_LARGEST_GAP = 0.25
_SMALL_GAP = 0.02  # below it the order does not matter
_LEAST_ORDER = 0.7
_PEAK_WIDTH = 16  # a peak is the highest of its surroundings, so large a part of the grid to each side
_PEAK_MOVE = 0.5  # in the logarithm of a peak's mass
LEAST_CELLS, _ORDER_CELLS = 4, 8  # along an axis of a coarser grid, and of one coarser still for the order
_OUTER_CELLS = {1: 8000, 2: 160, 3: 40}  # at most, along an axis of the larger box
_NO_NEARER = 0.97  # mass of a ring twice as far out, in terms of the ring: p ~ 1/|x|^dim has 1


def assessed(process) -> Density:
    """The stationary density of a :class:`FokkerPlanck`, or the reason why it is not to be trusted."""
    levels = [process.grid]
    while len(levels) < 3 and min(levels[-1].shape) >= 2 * (LEAST_CELLS, _ORDER_CELLS)[len(levels) - 1]:
        levels.append(levels[-1].coarsened())
    laws = [process.law, *map(process.law_on, levels[1:])]
    gaps = [gap(a, la[0], b, lb[0]) for a, la, b, lb in zip(levels, laws, levels[1:], laws[1:], strict=False)]
    order = float(np.log2(gaps[1] / gaps[0])) if len(gaps) == 2 and gaps[0] > 0 and gaps[1] > 0 else np.nan
    density: Density | None = None
    for level in reversed(range(min(2, len(levels)))):
        grid, (log_mass, residual, negative) = levels[level], laws[level]
        density = Density(
            x=grid.x,
            log_mass=log_mass,
            grid=grid,
            residual=residual,
            boundary_mass=boundary_mass(grid, log_mass),
            refinement_gap=gaps[level] if level < len(gaps) else np.nan,
            label=process.label,
            settings=process.settings,
            observed_order=order if level == 0 else np.nan,
            negative_mass=negative,
            coarser=density,
            details=process.details if level == 0 else {},
        )
    assert density is not None
    _refuse_cut_off(process, density)
    _refuse_unresolved(density)
    return density


def refuse_unresolved_times(times):
    """Raise if half as many cells make a great difference to the longest of some passage times."""
    finite = np.isfinite(times.coarser.values)
    if not finite.any():
        return
    far = np.flatnonzero(finite)[np.argmax(times.coarser.values[finite])]
    coarse, fine = times.coarser.values[far], float(times(times.coarser.x[far]))
    if coarse > 0 and fine > 0 and abs(np.log(coarse / fine)) > _PEAK_MOVE:
        raise Unresolved(
            f"the grid does not resolve the {times.label}: from {np.round(times.coarser.x[far], 6).tolist()} it is "
            f"{fine:.4g}, and {coarse:.4g} with half as many cells along each axis; use more cells "
            "(the result is in .result)",
            times,
            abs(fine - coarse),
        )


def gap(grid: Grid, log_mass, coarse: Grid, coarse_log_mass) -> float:
    """Total variation distance, or change of a mean or deviation in deviations: the largest."""
    merged = np.exp(grid.merged(log_mass))
    mass, coarse_mass = np.exp(log_mass), np.exp(coarse_log_mass)
    changes = [0.5 * np.abs(merged - coarse_mass).sum()]
    for j in range(grid.dim):
        mean, deviation = _moments(mass, grid.x[:, j])
        other_mean, other_deviation = _moments(coarse_mass, coarse.x[:, j])
        unit = deviation or np.ptp(grid.x[:, j]) / grid.size
        changes += [abs(mean - other_mean) / unit, abs(deviation - other_deviation) / unit]
    return float(max(changes))


def _moments(mass, x):
    mean = mass @ x
    return mean, np.sqrt(mass @ (x - mean) ** 2)


def boundary_mass(grid, log_mass, sides=None):
    """Mass of the outermost cells at the sides (pairs (axis, end)) that are not periodic."""
    outer = np.zeros(grid.size, dtype=bool)
    for axis in range(grid.dim):
        for end in (0, 1):
            if not grid.periodic[axis] and (sides is None or (axis, end) in sides):
                outer |= grid.on_side(axis, end, max(1, round(_BOUNDARY_SHARE * grid.shape[axis])))
    return float(np.exp(log_mass[outer]).sum())


def _refuse_unresolved(density):
    gap_, order = density.refinement_gap, density.observed_order
    reason = None
    if gap_ > _LARGEST_GAP:
        reason = f"half as many cells along each axis change it by {gap_:.2g}"
    elif gap_ > _SMALL_GAP and order < _LEAST_ORDER:
        reason = f"half as many cells change it by {gap_:.2g}, with an observed order of {order:.2g}"
    elif density.coarser is not None:
        moved, where = _peak_move(density)
        if moved > _PEAK_MOVE:
            reason = f"with half as many cells the logarithm of the mass of the peak at {where} changes by {moved:.2g}"
            gap_ = moved
    if reason is not None:
        raise Unresolved(
            f"the grid does not resolve the stationary density of {density.label}: {reason}; "
            "use more cells, or narrower bounds (the result is in .result)",
            density,
            gap_,
        )


def _peak_move(density):
    """The largest change of the log-mass of a peak that both grids have, and where."""
    from scipy.ndimage import maximum_filter

    coarse = density.coarser
    shape, modes = coarse.grid.shape, ["wrap" if periodic else "nearest" for periodic in coarse.grid.periodic]
    merged = density.grid.merged(density.log_mass)
    peaks = np.ones(shape, dtype=bool)
    for log_mass in (coarse.log_mass, merged):
        log_density = (log_mass - np.log(coarse.grid.volumes)).reshape(shape)
        around = tuple(1 + 2 * max(1, n // _PEAK_WIDTH) for n in shape)
        top = (log_density == maximum_filter(log_density, around, mode=modes)) & (log_density > -np.inf)
        peaks &= maximum_filter(top, 3, mode=modes)
    peaks = peaks.ravel()
    with np.errstate(invalid="ignore"):
        moved = np.where(peaks, np.abs(merged - coarse.log_mass), 0.0)
    worst = int(np.argmax(moved))
    return float(moved[worst]), np.round(coarse.x[worst], 6).tolist()


def _refuse_cut_off(process, density):
    """If mass lies at open sides, solve on a box four times as large and see what lies outside."""
    sides = [
        (axis, end)
        for axis, pair in enumerate(process.sides)
        for end in (0, 1)
        if pair[end] == "open" and boundary_mass(density.grid, density.log_mass, {(axis, end)}) > _LOOK_OUTSIDE
    ]
    if not sides:
        return
    larger = [_enlarged(density.grid, sides, factor) for factor in (2, 4)]
    try:
        log_mass = process.law_on(larger[1])[0]
    except (ArgumentError, NotApplicable):
        return  # no coefficients out there, or no law: the side is one of the process
    s, mass = larger[1].coordinates(larger[1].x), np.exp(log_mass)
    outside = [~_within(s, grid) for grid in (density.grid, larger[0])]
    cut, far = float(mass[outside[0]].sum()), float(mass[outside[1]].sum())
    if cut < _MOST_CUT_OFF:
        return
    if far >= _NO_NEARER * (cut - far):
        raise NotApplicable(
            f"{process.label} has no stationary density on the whole space: its tail cannot be normalized (of a box "
            f"four times as large, {cut:.2g} of the mass lies outside bounds, and {far:.2g} outside twice bounds); "
            "sides='reflecting' solves on the box as it is"
        )
    raise Unresolved(
        f"bounds cut off {cut:.2g} of the mass of {process.label}; "
        f"{_proposal(larger[1], mass, far)}, or say sides='reflecting' if the box is meant",
        density,
        cut,
    )


def _enlarged(grid, sides, factor):
    """The same grid in a box that reaches ``factor`` times as far from its middle on the given sides."""
    faces = []
    for axis, u in enumerate(grid.faces):
        half = (factor - 1) * 0.5 * (u[-1] - u[0])
        low, high = (half * ((axis, end) in sides) for end in (0, 1))
        n = round((u.size - 1) * (1 + (low + high) / (u[-1] - u[0])))
        n = max(u.size - 1, min(n, _OUTER_CELLS[grid.dim]))
        before = np.linspace(u[0] - low, u[0], max(2, round(n * low / (low + high + u[-1] - u[0]))) + 1)[:-1]
        after = np.linspace(u[-1], u[-1] + high, max(2, round(n * high / (low + high + u[-1] - u[0]))) + 1)[1:]
        faces.append(np.concatenate([before if low else [], u, after if high else []]))
    return Grid(tuple(faces), grid.periodic, grid.stretch, grid.axes, grid.breaks)


def _within(u, grid):
    low, high = (np.array([faces[end] for faces in grid.faces]) for end in (0, -1))
    return ((u > low) & (u < high)).all(axis=1)


def _proposal(grid, mass, far):
    """Bounds that leave little mass outside, in words."""
    if far > _MOST_CUT_OFF:
        return "use much larger bounds with stretch=(center, width) for its tails"
    bounds = []
    for axis, edges in enumerate(grid.edges):
        others = tuple(j for j in range(grid.dim) if j != axis)
        cumulative = np.cumsum(mass.reshape(grid.shape).sum(axis=others))
        share = _PROPOSED_OUTSIDE / (4 * grid.dim)
        low = edges[np.searchsorted(cumulative, share)]
        high = edges[min(np.searchsorted(cumulative, 1 - share) + 1, edges.size - 1)]
        bounds.append((float(f"{low:.3g}"), float(f"{high:.3g}")))
    return f"use bounds={bounds[0] if len(bounds) == 1 else tuple(bounds)}"
