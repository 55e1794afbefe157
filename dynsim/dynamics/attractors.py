"""Basins of attraction: which attractor the orbit from each cell of a grid goes to."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.dynamics.recurrence import leaving, periods
from dynsim.dynamics.system import Map, advanced, check_map, followed, multipliers, outside
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results.common import xarray_module

UNDECIDED, DIVERGED = -1, -2
_TOGETHER = 2**22  # coordinates of orbits that are looked at together
_KEPT = 4  # times the largest period: so many states at the end of an orbit are looked at
_TAIL = 8  # the last states of an orbit, all of which must be near an attractor
_LONG = 4096  # steps by which an orbit without a period is prolonged, to see what it fills
_SHARE_OF_BOX = 0.01  # distance at which two attractors are one, by default
_TOLERANCE = 1e-6  # distance from a cycle that counts as on it, by default, in sides of the box
_RECURRENT = 0.1  # of its own size: how close a chaotic orbit must come to where it was before
_REPELLING = 1 + 1e-6  # multiplier beyond which a cycle does not attract
_EARLY = 8  # of the steps, after a fraction of which it is seen what has settled
_MOST_ATTRACTORS = 256
_MOST_LOST, _LEAST_LOST = 64, 8  # orbits prolonged to no avail: of all, and of those that are looked at together
_PROLONGED = 8  # orbits at once
_SHUFFLE = 0  # seed of the order in which orbits without a period are prolonged, so that no region hides another


@dataclass(frozen=True, eq=False, repr=False)
class BasinsOfAttraction:
    """Which attractor each cell of a grid goes to, from :func:`dynsim.dynamics.basins`.

    Attributes
    ----------
    labels : ndarray of int, shape (n,) or (n0, n1)
        The number of the attractor; −1 where none was found: convergence that is not complete, or a start on the
        boundary between basins, or a drift; −2 where the orbit has diverged, or grows as in :class:`Bifurcation`.
    points : tuple of ndarray, each of shape (p, d)
        The θ of each attractor, that of the largest basin first: the cycle, or 2048 points of a chaotic one.
    period : ndarray of int, shape (k,)
        Of each attractor; 0 for one that is not periodic.
    share : ndarray, shape (k,)
        Fraction of the cells that go to each.
    undecided, diverged : float
        Fraction of the cells that go to none. ``share``, ``undecided`` and ``diverged`` add up to 1.
    bounds : ndarray, shape (d, 2)
        The box.
    settings : dict
        What was asked for.
    """

    labels: np.ndarray
    points: tuple[np.ndarray, ...]
    period: np.ndarray
    share: np.ndarray
    undecided: float
    diverged: float
    bounds: np.ndarray
    settings: dict = field(repr=False)

    @property
    def centers(self) -> tuple[np.ndarray, ...]:
        """Centers of the cells along each axis, where the orbits begin."""
        return _centers(self.bounds, self.labels.shape)

    def __call__(self, theta: ArrayLike) -> np.ndarray:
        """The label of the cell that holds θ: (..., d) -> (...)."""
        theta = _check.points("theta", theta, len(self.bounds))
        inside = (self.bounds[:, 0] <= theta) & (theta <= self.bounds[:, 1])
        if not inside.all():
            raise ArgumentError(
                f"theta must lie in the box {self.bounds.tolist()}, {np.sum(~inside.all(-1))} points do not"
            )
        n_cells = np.array(self.labels.shape)
        cell = ((theta - self.bounds[:, 0]) / np.ptp(self.bounds, axis=1) * n_cells).astype(np.int64)
        return self.labels[tuple(np.moveaxis(np.minimum(cell, n_cells - 1), -1, 0))]

    def plot(self, ax=None, **style):
        """Draw the basins as colors with the attractors as points, and return the Axes."""
        from dynsim.plot import plot_basins

        return plot_basins(self, ax, **style)

    def to_xarray(self):
        """The labels as an ``xarray.DataArray`` over the centers of the cells (needs the extra ``xarray``)."""
        names = [f"theta{j}" for j in range(self.labels.ndim)]
        coords = dict(zip(names, self.centers, strict=True))
        return xarray_module().DataArray(self.labels, dims=names, coords=coords, name="attractor", attrs=self.settings)

    def __repr__(self):
        found = ", ".join(f"{share:.3g} to {_kind(p)}" for p, share in zip(self.period, self.share, strict=True))
        rest = "".join(f", {s:.3g} {what}" for what in ("undecided", "diverged") if (s := getattr(self, what)))
        return f"BasinsOfAttraction({self.settings['map']}: {found or 'no attractor'}{rest})"


def _kind(period):
    return {0: "an aperiodic attractor", 1: "a fixed point"}.get(int(period), f"a {period}-cycle")


def basins(
    system: Map,
    bounds: ArrayLike,
    n_cells: int | tuple[int, int],
    *,
    n_steps: int = 2000,
    tolerance: float | None = None,
    most: int = 32,
    same: float | None = None,
) -> BasinsOfAttraction:
    """Which attractor the orbit from the center of each cell goes to, in one or two dimensions.

    Orbits are run for ``n_steps``. What they have settled on by then is a cycle (:meth:`Orbit.period`), or else, if a
    prolonged orbit keeps coming back to where it was, a chaotic or quasiperiodic attractor; attractors closer to each
    other than ``same`` are one. A cycle with a multiplier beyond 1 attracts nothing: a cell that begins on it to the
    last bit is undecided.

    Parameters
    ----------
    system : Map
        Whose θ has one or two coordinates; what a method remembers is as at the start of a run.
    bounds : array_like, shape (d, 2) or (2,)
        The box.
    n_cells : int or pair of int
        Number of cells along each axis.
    n_steps : int, optional
        Number of steps, at least four times ``most``.
    tolerance, most : optional
        As for :meth:`Orbit.period`, the tolerance by default a millionth of the longest side of the box.
    same : float, optional
        A distance; by default a hundredth of the longest side of the box. Give a larger one where cycles fill a
        continuum, as those of gradient descent at a kink do.

    Returns
    -------
    BasinsOfAttraction

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    NotApplicable
        If θ has more than two coordinates, or there are more than 256 attractors.

    Examples
    --------
    >>> import dynsim as ds, numpy as np
    >>> wells = ds.dynamics.Map(lambda x: x - 0.1 * (x**3 - x), 1)
    >>> found = ds.dynamics.basins(wells, (-2, 2), 100)
    >>> found
    BasinsOfAttraction(map: 0.5 to a fixed point, 0.5 to a fixed point)
    >>> [p.round(6).tolist() for p in found.points], found([[-0.3], [0.3]]).tolist()
    ([[[-1.0]], [[1.0]]], [0, 1])
    """
    check_map("system", system)
    if system.n_observed > 2:
        raise NotApplicable(f"basins are for one or two coordinates, {system.name} has {system.n_observed}")
    box = _check.box("bounds", bounds, system.n_observed)
    sizes = (
        tuple(np.broadcast_to(np.asarray(n_cells, dtype=object), (system.n_observed,)).tolist())
        if np.size(n_cells) in (1, system.n_observed)
        else ()
    )
    if not sizes:
        raise ArgumentError(f"n_cells must be a number or {system.n_observed} of them, got {n_cells!r}")
    sizes = tuple(_check.count("n_cells", n) for n in sizes)
    n_steps, most = _check.count("n_steps", n_steps), _check.count("most", most)
    if n_steps < _KEPT * most:
        raise ArgumentError(f"n_steps must be at least {_KEPT} times most = {most}, got {n_steps}")
    side = float(np.ptp(box, axis=1).max())
    same = _SHARE_OF_BOX * side if same is None else _check.positive("same", same)
    tolerance = _TOLERANCE * side if tolerance is None else _check.positive("tolerance", tolerance)
    _check.fits_in_memory("the cells", (*sizes, system.dim, 4), instead="use fewer of them")
    starts = system.states(np.stack(np.meshgrid(*_centers(box, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes)))
    together = max(1, _TOGETHER // (_KEPT * most * system.dim))
    most_lost = max(_LEAST_LOST, _MOST_LOST * together // len(starts))
    search = _Search(system, same, tolerance, most, np.abs(box).max(axis=1), min(most_lost, _MOST_LOST))
    labels = np.concatenate([search.labels(starts[k : k + together], n_steps) for k in range(0, len(starts), together)])
    settings = {"map": system.name, "n_steps": n_steps, "tolerance": tolerance, "most": most, "same": same}
    return _sorted(labels.reshape(sizes), search, box, settings)


def _centers(box, sizes):
    return tuple(low + (np.arange(n) + 0.5) / n * (high - low) for (low, high), n in zip(box, sizes, strict=True))


def _sorted(labels, search, box, settings):
    """The result, attractors in the order of their shares."""
    found, modulo = search.found, search.modulo
    shares = np.array([(labels == k).mean() for k in range(len(found))])
    order = sorted(range(len(found)), key=lambda k: (-shares[k], found[k].points.min(axis=0).round(6).tolist()))
    number = np.append(np.argsort(order), [DIVERGED, UNDECIDED]).astype(np.int64)  # of label −2 and −1, the last two
    return BasinsOfAttraction(
        number[labels],
        tuple(_into_the_box(found[k].points, box, modulo) for k in order),
        np.array([found[k].period for k in order], dtype=np.int64),
        shares[order],
        float((labels == UNDECIDED).mean()),
        float((labels == DIVERGED).mean()),
        box,
        settings,
    )


def _into_the_box(points, box, modulo):
    """The same points, angles within one period from the lower end of the box."""
    points = points.copy()
    for j in np.flatnonzero(np.isfinite(modulo)):
        points[:, j] = box[j, 0] + (points[:, j] - box[j, 0]) % modulo[j]
    return points


@dataclass(frozen=True)
class _Attractor:
    """Points (p, d) and their tree, the distance from them that still is the attractor, the period or 0."""

    points: np.ndarray
    tree: cKDTree
    reach: float
    period: int


class _Search:
    """The attractors met so far, and where orbits go."""

    def __init__(self, system, same, tolerance, most, corner, most_lost):
        self.system, self.same, self.tolerance, self.most = system, same, tolerance, most
        self.corner, self.most_lost = corner, most_lost
        self.modulo = system.modulo[: system.n_observed]
        self.found: list[_Attractor] = []

    def labels(self, states, n_steps):
        """Those of the orbits from states (m, dim)."""
        ends, path, period = self._settled(states, n_steps)
        gone = leaving(self.system, ends, path)
        labels = np.where(gone, DIVERGED, UNDECIDED)
        open_ = np.random.default_rng(_SHUFFLE).permutation(np.flatnonzero(~gone))
        open_ = np.concatenate([np.sort(open_[period[open_] > 0]), open_[period[open_] == 0]])
        lost = 0
        for number, attractor in enumerate(self.found):
            open_ = self._take(labels, open_, path, number, attractor)
        longer: dict[int, np.ndarray] = {}
        while open_.size and lost < self.most_lost:
            leader = int(open_[0])
            if period[leader] == 0 and leader not in longer:
                some = open_[:_PROLONGED]
                longer = dict(
                    zip(some.tolist(), advanced(self.system, ends[some], _LONG, n_kept=_LONG)[1], strict=True)
                )
            attractor = (
                self._cycle(ends[leader], path[leader], int(period[leader]))
                if period[leader]
                else self._aperiodic(longer[leader])
            )
            if attractor is None:
                lost += period[leader] == 0  # prolonged, which is long
                open_ = open_[1:]
                continue
            if len(self.found) == _MOST_ATTRACTORS:
                raise NotApplicable(
                    f"there are more than {_MOST_ATTRACTORS} attractors at a distance of {self.same:.3g}, perhaps a "
                    "continuum of them; give a larger distance, same=…, at which they count as one"
                )
            self.found.append(attractor)
            labels[leader] = len(self.found) - 1
            open_ = self._take(labels, open_[1:], path, len(self.found) - 1, attractor)
        return labels

    def _take(self, labels, open_, path, number, attractor):
        """Label the orbits that end on an attractor; return the others."""
        candidates = open_
        for k in range(1, _TAIL + 1):
            last, limit = self._wrapped(path[candidates, -k]), attractor.reach * (1 + 1e-9)
            distance, _ = attractor.tree.query(last, p=np.inf, distance_upper_bound=limit)
            candidates = candidates[np.isfinite(distance)]
        labels[candidates] = number
        return open_[~np.isin(open_, candidates)]

    def _settled(self, states, n_steps):
        """The ends of orbits, the paths before, and their periods; those that have settled early are not prolonged."""
        n_kept = _KEPT * self.most
        early = n_steps if n_steps < 2 * n_kept else max(n_kept, n_steps // _EARLY)
        ends, path = advanced(self.system, states, early, n_kept=n_kept)
        period = self._periods(path)
        late = np.flatnonzero((period == 0) & ~outside(path).any(axis=1))
        if late.size and n_steps > early:
            ends[late], path[late] = advanced(self.system, ends[late], n_steps - early, n_kept=n_kept)
            period[late] = self._periods(path[late])
        return ends, path, period

    def _periods(self, path):
        corner = np.broadcast_to(self.corner, (len(path), self.corner.size))
        return periods(path, self.modulo, corner, tolerance=self.tolerance, most=self.most)

    def _cycle(self, end, path, period):
        """The cycle that an orbit has settled on, None if it does not attract."""
        cycle = followed(self.system, end[None], period - 1)[0]
        repelling = abs(multipliers(self.system, cycle)[0]) > _REPELLING
        return None if repelling else self._made(path[-period:], self.same, period)

    def _aperiodic(self, path):
        """What a prolonged orbit (n, d) fills, None if it does not come back to where it was."""
        if outside(path).any():
            return None
        if self._periods(path[None, -_KEPT * self.most :])[0]:
            return None  # which takes longer than the steps allowed for: most orbits to it would be undecided
        middle = _LONG // 2
        later = self._made(path[middle:], self.same, 0)
        gap = float(later.tree.query(self._wrapped(path[:middle]), p=np.inf)[0].max())
        if gap > _RECURRENT * float(np.ptp(path[middle:], axis=0).max()):
            return None
        return self._made(path[middle:], max(self.same, 2 * gap), 0)

    def _made(self, points, reach, period):
        circles = np.where(np.isfinite(self.modulo), self.modulo, 0.0)
        return _Attractor(points, cKDTree(self._wrapped(points), boxsize=circles), reach, period)

    def _wrapped(self, theta):
        """Angles in [0, period)."""
        theta = np.array(theta)
        for j in np.flatnonzero(np.isfinite(self.modulo)):
            theta[..., j] %= self.modulo[j]
            theta[..., j][theta[..., j] >= self.modulo[j]] = 0.0  # a tiny negative angle, rounded
        return theta
