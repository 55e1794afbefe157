"""Observers: statistics that a run keeps while it runs, in memory that does not grow with the number of steps.

Pass one, several, or a dict of them as ``observe`` to :func:`dynsim.iterate` or :func:`dynsim.integrate`; what they
have found is in ``result.observed``, by name. An observer sees the states after steps ``burn_in``, ``burn_in + every``,
…; step 0 is the start. Standard errors come from the scatter between paths, which are independent.

>>> import dynsim as ds
>>> sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
>>> positive = ds.observers.Average(lambda x: x[..., 0] > 0, burn_in=500)
>>> run = ds.integrate(sde, 0.0, 100.0, dt=0.01, n_paths=200, rng=0, save_every=None, observe={"positive": positive})
>>> found = run.observed["positive"]
>>> bool(abs(found.value[0] - 0.5) < 5 * found.stderr[0])
True
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike, Region
from dynsim.errors import ArgumentError
from dynsim.observed import Averages, BatchedMeans, Counts, Extreme, MomentEstimates, Passages, Visited

__all__ = [
    "Average",
    "BatchMeans",
    "Custom",
    "Extremes",
    "FirstPassage",
    "Histogram",
    "Histogram2D",
    "Moments",
    "Observer",
    "Visits",
]

_GROUPS = 32  # of paths, between which the error of a histogram is estimated, to a relative 1/√62


@dataclass(frozen=True, eq=False, kw_only=True)
class Observer:
    """What all observers have in common.

    Parameters
    ----------
    burn_in : int, optional
        The first step whose state is observed.
    every : int, optional
        Observe every so many-th step from there.
    """

    burn_in: int = 0
    every: int = 1

    def __post_init__(self):
        _check.count("burn_in", self.burn_in, least=0)
        _check.count("every", self.every)

    @property
    def name(self) -> str:
        """The name under which the result is found, if it is given none."""
        words = "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__)
        return words.lstrip("_").replace("2_d", "2d")

    # What a kind of observer says of itself: its kernel, its parameters, the first values of its rows for each path,
    # the size of the tally that paths share, and what it makes of these.

    def _kernel(self, dim):
        raise NotImplementedError

    def _params(self, dim, n_paths, n_steps):
        return []

    def _start(self, dim):
        return []

    def _tally_size(self):
        return 0

    def _result(self, lanes, tally, n, diverged, end, unit):
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Moments(Observer):
    """Mean and covariance, by Welford's recursion for each path. Result: :class:`~dynsim.observed.MomentEstimates`."""

    def _kernel(self, dim):
        from dynsim._kernels import observers

        return observers.moments

    def _start(self, dim):
        return [0.0] * (dim + dim * (dim + 1) // 2)

    def _result(self, lanes, tally, n, diverged, end, unit):
        dim = (math.isqrt(9 + 8 * lanes.shape[1]) - 3) // 2  # rows = dim + dim (dim + 1)/2
        lower = np.tril_indices(dim)
        covs = np.zeros((lanes.shape[0], dim, dim))
        covs[:, lower[0], lower[1]] = lanes[:, dim:] / max(n, 1)
        covs[:, lower[1], lower[0]] = lanes[:, dim:] / max(n, 1)
        return MomentEstimates(n, lanes[:, :dim].copy(), covs, np.isinf(diverged))


@dataclass(frozen=True, eq=False, kw_only=True)
class Extremes(Observer):
    """Smallest and largest value of each coordinate. Result: :class:`~dynsim.observed.Extreme`."""

    def _kernel(self, dim):
        from dynsim._kernels import observers

        return observers.extremes

    def _start(self, dim):
        return [math.inf] * dim + [-math.inf] * dim

    def _result(self, lanes, tally, n, diverged, end, unit):
        low, high = np.split(lanes, 2, axis=1)
        return Extreme(n, low.copy(), high.copy(), np.isinf(diverged))


def _edges(name, edges):
    edges = _check.array(name, edges, ndim=1)
    if edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ArgumentError(f"{name} must be increasing, at least two of them")
    if not np.isfinite(edges[-1] - edges[0]):
        raise ArgumentError(f"{name} must span a length that is a number, got {edges[0]:g} to {edges[-1]:g}")
    return edges


def _groups(observer, n_paths, n_steps):
    """Number of groups, and of observations if the groups are stretches of time: for too few paths."""
    n_observations = (n_steps - observer.burn_in) // observer.every + 1
    return [_GROUPS, 0 if n_paths >= _GROUPS else max(n_observations, 1)]


@dataclass(frozen=True, eq=False)
class Histogram(Observer):
    """Counts of one coordinate in bins. Result: :class:`~dynsim.observed.Counts`.

    Parameters
    ----------
    edges : array_like, shape (n_bins + 1,)
        Increasing edges of the bins; as in ``numpy.histogram`` all are open on the right but the last.
    coordinate : int, optional
        Which coordinate.
    burn_in, every : int, optional
        As in :class:`Observer`.

    Notes
    -----
    The standard error comes from 32 groups of paths; with fewer than 32 paths from 32 stretches of time, which must
    then be longer than the correlation time for it to be right.
    """

    edges: ArrayLike
    coordinate: int = 0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "edges", _edges("edges", self.edges))
        _check.count("coordinate", self.coordinate, least=0)

    def _kernel(self, dim):
        from dynsim._kernels import observers

        _check_coordinate(self.coordinate, dim)
        return observers.histogram

    def _params(self, dim, n_paths, n_steps):
        return [self.coordinate, self.edges.size - 1, *_groups(self, n_paths, n_steps), *self.edges]

    def _tally_size(self):
        return _GROUPS * self.edges.size

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Counts(n, (self.edges,), tally.reshape(_GROUPS, -1), int(np.isfinite(diverged).sum()))


@dataclass(frozen=True, eq=False)
class Histogram2D(Observer):
    """Counts of two coordinates in rectangular bins. Result: :class:`~dynsim.observed.Counts`.

    Parameters
    ----------
    edges : pair of array_like, shapes (n₀ + 1,) and (n₁ + 1,)
        Edges of the bins along both coordinates.
    coordinates : pair of int, optional
        Which coordinates.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    edges: tuple
    coordinates: tuple = (0, 1)

    def __post_init__(self):
        super().__post_init__()
        try:
            first, second = self.edges
            one, other = self.coordinates
        except (TypeError, ValueError):
            raise ArgumentError("edges and coordinates must be pairs, one for each of two coordinates") from None
        object.__setattr__(self, "edges", (_edges("edges[0]", first), _edges("edges[1]", second)))
        pair = (_check.count("coordinates[0]", one, least=0), _check.count("coordinates[1]", other, least=0))
        object.__setattr__(self, "coordinates", pair)

    def _kernel(self, dim):
        from dynsim._kernels import observers

        for coordinate in self.coordinates:
            _check_coordinate(coordinate, dim)
        return observers.histogram_2d

    def _params(self, dim, n_paths, n_steps):
        bins = [edges.size - 1 for edges in self.edges]
        return [*self.coordinates, *bins, *_groups(self, n_paths, n_steps), *self.edges[0], *self.edges[1]]

    def _tally_size(self):
        return _GROUPS * ((self.edges[0].size - 1) * (self.edges[1].size - 1) + 1)

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Counts(n, self.edges, tally.reshape(_GROUPS, -1), int(np.isfinite(diverged).sum()))


def _check_coordinate(coordinate, dim):
    if not 0 <= coordinate < dim:
        raise ArgumentError(f"coordinate must be between 0 and {dim - 1} for dim = {dim}, got {coordinate}")


@dataclass(frozen=True, eq=False)
class Average(Observer):
    """Time average of a function φ. Result: :class:`~dynsim.observed.Averages`.

    Parameters
    ----------
    function : callable
        φ(x) for x (..., dim): a number, a truth value (an indicator), or a tuple of numbers. Compiled by dynsim: write
        ``x[..., 0]`` for the first coordinate; arithmetic, comparisons, ``&``, ``|`` and NumPy's functions of numbers.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        return _compile("function", user_observers.average, self.function, _shape("function", self.function, dim))

    def _start(self, dim):
        return [0.0] * math.prod(_shape("function", self.function, dim))

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Averages(n, lanes / max(n, 1), np.isinf(diverged))


@dataclass(frozen=True, eq=False)
class BatchMeans(Observer):
    """Means of φ over 128 to 256 batches of consecutive observations. Result: :class:`~dynsim.observed.BatchedMeans`.

    Parameters
    ----------
    function : callable
        φ, as in :class:`Average`.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        return _compile("function", user_observers.batch_means, self.function, _shape("function", self.function, dim))

    def _start(self, dim):
        from dynsim._kernels.user_observers import BATCHES

        return [0.0] * (BATCHES * math.prod(_shape("function", self.function, dim)))

    def _result(self, lanes, tally, n, diverged, end, unit):
        from dynsim._kernels.user_observers import BATCHES, batch_size

        size = batch_size(n)
        means = lanes.reshape(lanes.shape[0], -1, BATCHES)[:, :, : n // size]
        return BatchedMeans(n, means.transpose(0, 2, 1).copy(), size, np.isinf(diverged))


@dataclass(frozen=True, eq=False)
class FirstPassage(Observer):
    """The first time at which each path is seen in a region. Result: :class:`~dynsim.observed.Passages`.

    Parameters
    ----------
    region : callable
        x (..., dim) -> bool (...), written like φ in :class:`Average`.
    burn_in, every : int, optional
        As in :class:`Observer`. A visit between two observed steps goes unseen.
    """

    region: Region

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        _shape("region", self.region, dim, indicator=True)
        return _compile("region", user_observers.first_passage, self.region)

    def _start(self, dim):
        return [math.inf]

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Passages(n, lanes[:, 0].copy(), np.minimum(diverged, end))


@dataclass(frozen=True, eq=False)
class Visits(Observer):
    """Time spent in basins, and transitions between them. Result: :class:`~dynsim.observed.Visited`.

    A transition from basin a to basin b is counted when a path is seen in b and a is the last other basin it was in,
    however long it has been in none of them on the way; so basins with a gap between them count no mere recrossings.

    Parameters
    ----------
    basins : mapping of str to callable, or sequence of callable
        Regions, written like φ in :class:`Average`; where they overlap the first counts.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    basins: Mapping[str, Region] | Sequence[Region]

    def __post_init__(self):
        super().__post_init__()
        basins = self.basins
        if not isinstance(basins, Mapping):
            try:
                basins = {str(b): region for b, region in enumerate(basins)}
            except TypeError:
                raise ArgumentError(f"basins must be regions, by name or in a sequence, got {basins!r}") from None
        if not basins:
            raise ArgumentError("basins must name at least one region")
        object.__setattr__(self, "basins", dict(basins))

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        for name, region in self.basins.items():
            _shape(f"basins[{name!r}]", region, dim, indicator=True)
        return _compile("basins", user_observers.visits, tuple(self.basins.values()))

    def _start(self, dim):
        m = len(self.basins)
        return [-1.0] + [0.0] * (2 * m + m * m)

    def _result(self, lanes, tally, n, diverged, end, unit):
        m = len(self.basins)
        seen, after, moves = (part.copy() for part in np.split(lanes[:, 1:], [m, 2 * m], axis=1))
        return Visited(
            n, tuple(self.basins), seen, after, moves.reshape(-1, m, m), self.every * unit, np.isinf(diverged)
        )


@dataclass(frozen=True, eq=False)
class Custom(Observer):
    """An observer of your own. Result: the array of tallies, shape (n_paths, size).

    Parameters
    ----------
    function : callable
        ``function(t, x, tally)``, for one path: x (dim,) is its state at t, the time of an SDE or the step of a chain;
        it updates tally (size,) in place. Plain Python with ``math`` or NumPy scalars; dynsim compiles it.
    start : sequence of float
        What tally is at first; its length is ``size``.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable
    start: ArrayLike

    def __post_init__(self):
        super().__post_init__()
        try:
            start = np.atleast_1d(np.asarray(self.start, dtype=np.float64))
        except (TypeError, ValueError):
            raise ArgumentError(f"start must be a sequence of numbers, got {self.start!r}") from None
        if start.ndim != 1 or start.size == 0 or np.isnan(start).any():
            raise ArgumentError(f"start must be a sequence of numbers, got {self.start!r}")
        object.__setattr__(self, "start", start)

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        _check.probed("function", lambda x: _plain(self.function)(0.0, np.full(dim, x), self.start.copy()))
        return _compile("function", user_observers.custom, self.function)

    def _start(self, dim):
        return self.start.tolist()

    def _result(self, lanes, tally, n, diverged, end, unit):
        return lanes.copy()


_COMPILED: dict = {}
_MOST_COMPILED = 64


def _plain(function):
    return getattr(function, "py_func", function)


def _shape(name, function, dim, *, indicator=False):
    """The shape of what φ returns at one point, checked."""
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of x (..., dim), got {type(function).__name__}")
    value = np.asarray(_check.probed(name, lambda x: _plain(function)(np.full(dim, x))))
    if indicator and (value.dtype != bool or value.shape != ()):
        raise ArgumentError(
            f"{name} must return a boolean for each point, got {value.dtype} of shape {value.shape}; "
            "for dim = 1 write x[..., 0], not x"
        )
    if value.dtype.kind not in "bif" or value.ndim > 1 or value.size == 0:
        raise ArgumentError(f"{name} must return a number or a tuple of numbers, got {value.dtype} {value.shape}")
    return value.shape


def _compile(name, make, *arguments):
    """A compiled observer, or the one made before of functions with the same code and values that it refers to."""
    from dynsim._kernels.user_fields import DoesNotCompile

    key = (make.__name__, fingerprint(*arguments))
    if key not in _COMPILED:
        if len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.pop(next(iter(_COMPILED)))
        try:
            _COMPILED[key] = make(*arguments)
        except DoesNotCompile as reason:
            raise ArgumentError(f"{name} cannot be compiled: {reason}") from None
    return _COMPILED[key]
