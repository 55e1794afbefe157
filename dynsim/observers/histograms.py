"""Observers that count."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.observed import Counts
from dynsim.observers.base import Observer

_GROUPS = 32  # of paths, between which the error of a histogram is estimated, to a relative 1/√62


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
