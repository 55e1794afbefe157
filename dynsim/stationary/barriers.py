"""Exponents of a one-dimensional process with little noise: its quasi-potential, barriers, and who wins."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable, Unresolved
from dynsim.sde import SDE

_NODES, _WEIGHTS = (0.5 * (a + b) for a, b in zip(np.polynomial.legendre.leggauss(3), (1.0, 0.0), strict=True))
_PURE_DRIFT = 1e12  # a barrier between the ends of the interval that is infinite for any purpose
_LOOSE = 1e-3  # of a barrier: a change that is not of high order any more
_TIE = 1e-9  # exponents that differ by less than this part of the largest are equal


@dataclass(frozen=True, eq=False)
class QuasiPotential:
    """Exponents of a process with little noise: masses exp(−V(θ)/η), times exp(ΔV/η); from :func:`large_deviations`.

    Attributes
    ----------
    x : ndarray, shape (m + 1,)
        Faces of the cells; minima, maxima and jumps of the drift among them.
    up, down : ndarray, shape (m,)
        What it costs to cross a cell from left to right, ∫ max(V', 0), and back, ∫ max(−V', 0); inf where no noise
        works against the drift.
    minima : ndarray, shape (k,)
        The points to which the mean step leads, in increasing order.
    error : float
        By how much halving the cells changed a barrier or the climb to an end of the interval, at most.
    label : str
    settings : dict
    """

    x: np.ndarray
    up: np.ndarray
    down: np.ndarray
    minima: np.ndarray
    error: float
    label: str
    settings: dict = field(repr=False)

    @property
    def barrier_right(self) -> np.ndarray:
        """ΔV from each minimum to the next one on the right, shape (k,); inf if there is none or it is never reached.

        The mean time to get there is exp(ΔV/η) up to factors with a smaller logarithm.
        """
        at = np.searchsorted(self.x, self.minima)
        return np.array([*(self.up[a:b].sum() for a, b in pairwise(at)), np.inf])

    @property
    def barrier_left(self) -> np.ndarray:
        """The same to the left."""
        at = np.searchsorted(self.x, self.minima)
        return np.array([np.inf, *(self.down[a:b].sum() for a, b in pairwise(at))])

    @property
    def weights(self) -> np.ndarray:
        """V at the minima, shape (k,), 0 at the winner: the stationary mass of a valley is exp(−V/η).

        nan if the process never gets from one to the other in either direction: what is then stationary depends on
        the start. On the line the tree of Freidlin & Wentzell into a minimum is the barriers on both sides towards it.
        """
        right, left = self.barrier_right[:-1], self.barrier_left[1:]
        into = np.append(0.0, np.cumsum(right)) + np.append(np.cumsum(left[::-1])[::-1], 0.0)
        return into - into.min() if np.isfinite(into.min()) else np.full(into.size, np.nan)

    @property
    def value(self) -> np.ndarray:
        """V at the faces ``x``, shape (m + 1,): inf where the process does not go, as η → 0.

        Where ``weights`` are nan, every minimum has its own 0.
        """
        starts = np.nan_to_num(self.weights, nan=0.0)
        return (starts[:, None] + self._costs()).min(axis=0)

    @property
    def winner(self) -> float | None:
        """The minimum that has all the mass as η → 0; None if there are several, or if it depends on the start."""
        return None if self.winning is None else float(self.minima[self.winning])

    @property
    def winning(self) -> int | None:
        """Which of the ``minima`` is the ``winner``."""
        weights = self.weights
        largest = max([1e-300, *weights[np.isfinite(weights)]])
        lowest = np.flatnonzero(weights <= _TIE * largest + self.error)
        return int(lowest[0]) if lowest.size == 1 else None

    def __call__(self, theta) -> np.ndarray:
        """V at points theta (..., 1), by linear interpolation between the faces; inf outside of them."""
        points = _check.points("theta", theta, 1)[..., 0]
        with np.errstate(invalid="ignore"):
            value = np.interp(points, self.x, self.value, left=np.inf, right=np.inf)
        return np.where(np.isnan(value) & ~np.isnan(points), np.inf, value)

    def plot(self, ax=None, **style):
        """Draw V and its minima and return the Axes."""
        from dynsim.plot import plot_quasi_potential

        return plot_quasi_potential(self, ax, **style)

    def _costs(self):
        """What it costs to get from each minimum to each face, (k, m + 1)."""
        costs = np.zeros((self.minima.size, self.x.size))
        for i, at in enumerate(np.searchsorted(self.x, self.minima)):
            costs[i, at + 1 :] = np.cumsum(self.up[at:])
            costs[i, :at] = np.cumsum(self.down[:at][::-1])[::-1]
        return costs

    def __repr__(self):
        pairs = zip(self.minima, self.barrier_left, self.barrier_right, strict=True)
        shown = ", ".join(f"{x:.6g} (barriers {a:.6g} left, {b:.6g} right)" for x, a, b in pairs)
        return f"QuasiPotential({self.label}: minima {shown})"


def quasi_potential(
    sde: SDE, bounds: tuple[float, float], n_cells: int = 1000, *, step_size: float = 1.0
) -> QuasiPotential:
    """Exponents of the stationary density and of the mean passage times of a one-dimensional Itô SDE with little noise.

    V(θ) = −η ∫ 2μ/D with D = σ² = ηΣ: the density is exp(−V/η) but for factors with a smaller logarithm, the mean time
    to cross a barrier exp(ΔV/η). Piecewise constant coefficients that jump at the ``breaks`` of the SDE are integrated
    exactly, smooth ones with sixth order.

    Parameters
    ----------
    sde : SDE
        With ``dim`` 1; its coefficients are taken at t = 0.
    bounds : pair of float
        The interval, into which the drift must lead at both ends.
    n_cells : int, optional
    step_size : float, optional
        η, to compare exponents with those of :func:`large_deviations`; with 1 they are the logarithms themselves.

    Returns
    -------
    QuasiPotential

    Raises
    ------
    NotApplicable
        If the SDE is not one-dimensional, stands still somewhere, or its barriers depend on ``n_cells``.
    ArgumentError
        If an argument is out of its range, or the drift leads out of the bounds.

    Examples
    --------
    >>> import dynsim as ds
    >>> well = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.1)
    >>> well_depth = ds.quasi_potential(well, bounds=(-2, 2), step_size=0.01)
    >>> well_depth.barrier_right.round(6).tolist()
    [0.5, inf]
    """
    _check.instance("sde", sde, SDE, "an SDE, such as sde_limit(problem, method)")
    if sde.dim != 1:
        raise NotApplicable(f"quasi_potential is for dim 1, this SDE has dim {sde.dim}")
    interval = _check.interval("bounds", bounds)
    n_cells = _check.count("n_cells", n_cells, least=4)
    step_size = _check.positive("step_size", step_size)

    def mean(x):
        drift = -sde.drift(0.0, x[:, None])[:, 0]
        if not np.isfinite(drift).all():
            raise ArgumentError(f"sde has a drift that is not finite at x = {x[~np.isfinite(drift)][0]:g}")
        return drift

    def slope(x):
        return gaussian_slope(mean(x), sde.covariance(0.0, x[:, None])[:, 0, 0] / step_size, x)

    settings = {"sde": sde.name, "bounds": interval, "n_cells": n_cells, "step_size": step_size}
    return build(mean, slope, interval, n_cells, sde.breaks, sde.name, settings)


def gaussian_slope(mean, variance, x):
    """2 m/Σ, infinite where Σ is 0 or might as well be, over the distance of the points x."""
    if (still := (mean == 0) & (variance == 0)).any():
        refuse_still(x[still][0])
    if not np.isfinite(variance).all():
        raise ArgumentError(f"the noise is not finite at θ = {x[~np.isfinite(variance)][0]:g}; choose other bounds")
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(mean == 0, 0.0, 2 * mean / variance)
    return np.where(np.abs(slope) * np.ptp(x) > _PURE_DRIFT, np.copysign(np.inf, slope), slope)


def refuse_still(x):
    """Raise for a point where nothing moves."""
    raise NotApplicable(f"neither drift nor noise moves θ = {x:g}: there are no exponents where nothing moves")


def build(mean: Callable, slope: Callable, interval, n_cells, breaks, label, settings, known=()) -> QuasiPotential:
    """The quasi-potential of E ξ and V', given as functions of points (q,); ``known`` are exact zeros of E ξ."""
    corners = _corners(interval, breaks)
    turns, is_minimum = _turning_points(mean, corners, n_cells, known)
    x = _grid(np.unique(np.concatenate([corners, turns])), n_cells)
    found = []
    for faces in (x, np.sort(np.concatenate([x, 0.5 * (x[1:] + x[:-1])]))):
        up, down = _climbs(slope, faces)
        found.append(QuasiPotential(faces, up, down, turns[is_minimum], 0.0, label, settings))
    potential = found[1]
    rough, fine = (_heights(p) for p in found)
    rough, fine = rough[np.isfinite(fine)], fine[np.isfinite(fine)]
    change = np.abs(fine - rough)
    potential = replace(potential, error=float(change.max(initial=0.0)))
    if not (change <= _LOOSE * fine).all():
        raise Unresolved(
            f"barriers of {label} change by {potential.error:.2g} when {n_cells} cells are halved; take more, and "
            "if that does not help, the noise vanishes together with the drift, and there are no exponents",
            potential,
            potential.error,
        )
    return potential


def _heights(potential):
    """All barriers, and the climbs to the ends of the interval."""
    ends = potential._costs()[:, [0, -1]]
    return np.concatenate([potential.barrier_left, potential.barrier_right, ends.ravel()])


def _corners(interval, breaks):
    low, high = interval
    return np.array([low, *np.unique([b for b in breaks if low < b < high]), high])


def _grid(corners, n_cells):
    """Faces of about so many cells, corners among them, evenly between them."""
    lengths = np.diff(corners)
    counts = np.maximum(2, np.round(n_cells * lengths / lengths.sum() / 2).astype(int) * 2)
    pieces = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(corners[:-1], corners[1:], counts, strict=True)]
    return np.append(np.concatenate(pieces), corners[-1])


def _nodes(x):
    """Gauss's points in the cells between faces x, (m, 3)."""
    return x[:-1, None] + np.diff(x)[:, None] * _NODES


def _climbs(slope, x):
    """∫ max(V', 0) and ∫ max(−V', 0) over each cell."""
    values = np.diff(x)[:, None] * _WEIGHTS * slope(_nodes(x).ravel()).reshape(-1, _NODES.size)
    return np.maximum(values, 0.0).sum(axis=1), np.maximum(-values, 0.0).sum(axis=1)


def _turning_points(mean, corners, n_cells, known):
    """Where E ξ changes its sign, and which of these points are minima."""
    x = _nodes(_grid(corners, n_cells)).ravel()
    drift = -mean(x)
    sign = -np.sign(drift)
    moving = np.flatnonzero(sign)
    ends = zip(moving[:1].tolist() + moving[-1:].tolist(), (-1, 1), strict=False)
    wrong = [f"{drift[k]:+.3g} at {x[k]:.6g}" for k, inward in ends if sign[k] != inward]
    if wrong or not moving.size:
        raise ArgumentError(
            "bounds must be an interval into which the mean step leads at both ends, "
            f"got ({corners[0]:g}, {corners[-1]:g}), where the mean step over η, or the drift, "
            f"is {' and '.join(wrong) or '0 everywhere'}"
        )
    a, b = moving[:-1], moving[1:]
    a, b = a[sign[a] != sign[b]], b[sign[a] != sign[b]]
    is_minimum = sign[a] < 0
    flat = b - a > 1  # E ξ = 0 on a stretch
    left, right = np.where(flat, x[b - 1], x[a]), np.where(flat, x[a + 1], x[b])
    resolution = 2 * np.spacing(np.abs(corners).max())
    left[~flat], right[~flat] = _bisected(mean, left[~flat], right[~flat], resolution)
    turns = 0.5 * (left + right)
    exact = np.concatenate([corners, [p for p in (0.0, *known) if corners[0] < p < corners[-1]]])
    return _snapped(mean, turns, exact, 2 * resolution, np.where(flat, 0.0, np.diff(x).max())), is_minimum


def _snapped(mean, turns, exact, rounding, width):
    """The nearest of the exact points instead of a turn that is one but for the rounding of the root, or of E ξ."""
    nearest = exact[np.abs(turns[:, None] - exact).argmin(axis=1)]
    distance = np.abs(turns - nearest)
    same = distance <= rounding
    for i in np.flatnonzero(~same & (distance < width)):
        same[i] = not mean(np.linspace(turns[i], nearest[i], 5)).any()
    return np.where(same, nearest, turns)


def _bisected(mean, left, right, resolution):
    """Points so near to each other between which E ξ changes its sign, or one where it is 0."""
    before = np.sign(mean(left)) if left.size else left
    while (right - left > resolution).any():
        middle = 0.5 * (left + right)
        sign = np.sign(mean(middle))
        left, right = np.where(sign == -before, left, middle), np.where(sign == before, right, middle)
    return left, right
