"""A probability measure on cells or states."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike, Region, Seed
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid
from dynsim.results.common import xarray_module

_BATCH = 4096  # cells cut in parts at a time
# into so many parts along each axis a cell is cut, to see whether the edge of a region passes through it, and where
_PARTS = {1: (8, 64), 2: (3, 9), 3: (2, 4)}


@dataclass(frozen=True, eq=False)
class Density:
    """A probability measure on the cells of a grid or on the states of a chain.

    Attributes
    ----------
    x : ndarray, shape (m, dim)
        Centers of the cells, or the states.
    log_mass : ndarray, shape (m,)
        Logarithm of the probability of each; exact to relative accuracy also where the probability underflows.
    grid : Grid or None
        The cells; None for a measure on states.
    residual : float
        How far the masses are from solving their equations: Σ|Gᵀm| / Σ|G_ii| m for a generator or chain.
    boundary_mass : float
        Probability of the outermost 1 % of the cells at each open or reflecting side; 0 for states.
    refinement_gap : float
        How much half as many cells along each axis would change: the largest of the total variation distance and the
        changes of means and standard deviations, in standard deviations; 0 where nothing is discretized.
    label : str
        What this is the density of.
    settings : dict
        What made it.
    observed_order : float
        Order in the cell width at which these changes shrink, from three grids; nan where it was not observed.
    negative_mass : float
        Total of the masses that came out negative and were made 0: only ``scheme="central"`` does that.
    coarser : Density or None
        The same on half as many cells along each axis, which the gap is taken from.
    details : dict
        What else is known, by name.
    """

    x: np.ndarray
    log_mass: np.ndarray
    grid: Grid | None
    residual: float
    boundary_mass: float
    refinement_gap: float
    label: str
    settings: dict = field(repr=False)
    observed_order: float = np.nan
    negative_mass: float = 0.0
    coarser: "Density | None" = field(default=None, repr=False)
    details: dict = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.x.shape[1]

    @property
    def edges(self) -> np.ndarray:
        """Faces of the cells, shape (m + 1,), for dim 1; for more dimensions see ``grid.edges``."""
        if self.grid is None or self.dim != 1:
            raise NotApplicable(f"{self.label} has no edges: it is not on a grid of dim 1")
        return self.grid.edges[0]

    @property
    def mass(self) -> np.ndarray:
        """Probability of each cell or state, shape (m,)."""
        return np.exp(self.log_mass)

    @property
    def mean(self) -> np.ndarray:
        """Mean, shape (dim,)."""
        return self.mass @ self.x

    @property
    def cov(self) -> np.ndarray:
        """Covariance, shape (dim, dim), of the masses placed at the points ``x``."""
        centered = self.x - self.mean
        return (self.mass[:, None] * centered).T @ centered

    def entropy(self) -> float:
        """−∫ p ln p of the density, in nats; for a measure on states −Σ m ln m."""
        mass = self.mass
        volumes = 1.0 if self.grid is None else self.grid.volumes
        positive = mass > 0
        return float(-(mass * (self.log_mass - np.log(volumes)))[positive].sum())

    def probability(self, region: Region) -> float:
        """Probability of a region, a function theta (..., dim) -> bool (...).

        A cell that the region's edge passes through counts by the part of it inside; a state counts or does not.
        """
        return float(np.exp(self.log_probability(region)))

    def log_probability(self, region: Region) -> float:
        """Logarithm of :meth:`probability`, right also where that underflows; -inf for an empty region."""
        share = self._shares(region)
        inside = share > 0
        return float(np.logaddexp.reduce(self.log_mass[inside] + np.log(share[inside]))) if inside.any() else -np.inf

    def log_error(self, region: Region) -> float:
        """How much :meth:`log_probability` of a region changes from half as many cells; 0 where nothing is discretized.

        With order 2 the error that is left is about a third of it.
        """
        if self.coarser is None:
            return 0.0
        fine, coarse = self.log_probability(region), self.coarser.log_probability(region)
        return 0.0 if fine == coarse else abs(fine - coarse)

    def marginal(self, coordinates: int | tuple[int, ...]) -> "Density":
        """The law of some of the coordinates.

        Parameters
        ----------
        coordinates : int or tuple of int
            Increasing.
        """
        chosen = tuple(_check.count("coordinates", j, least=0) for j in np.atleast_1d(coordinates).tolist())
        if not chosen or list(chosen) != sorted(set(chosen)) or chosen[-1] >= self.dim:
            raise ArgumentError(f"coordinates must be increasing numbers below dim = {self.dim}, got {coordinates!r}")
        label = f"coordinates {list(chosen)} of {self.label}"
        if self.grid is None:
            x, cell = np.unique(self.x[:, chosen], axis=0, return_inverse=True)
            mass = np.full(len(x), -np.inf)
            np.logaddexp.at(mass, cell.ravel(), self.log_mass)
            return Density(x, mass, None, self.residual, 0.0, 0.0, label, self.settings)
        if self.grid.axes is not None:
            raise NotApplicable("marginal needs a grid along the coordinates, this one is turned by axes")
        others = tuple(j for j in range(self.dim) if j not in chosen)
        log_mass = np.logaddexp.reduce(self.log_mass.reshape(self.grid.shape), axis=others) if others else self.log_mass
        grid = self.grid.marginal(chosen)
        quality = (self.residual, self.boundary_mass, self.refinement_gap)
        coarser = None if self.coarser is None else self.coarser.marginal(chosen)
        return Density(grid.x, log_mass.ravel(), grid, *quality, label, self.settings, coarser=coarser)

    def sample(self, size: int, rng: Seed = None) -> np.ndarray:
        """Draw points, shape (size, dim): uniform in the cell that was drawn.

        Parameters
        ----------
        size : int
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness (SPEC 7).
        """
        generator = np.random.default_rng(rng)
        cumulative = np.cumsum(self.mass)
        drawn = np.searchsorted(cumulative, cumulative[-1] * generator.random(_check.count("size", size)), side="right")
        drawn = np.minimum(drawn, self.log_mass.size - 1)
        if self.grid is None:
            return self.x[drawn]
        return self.grid.points_within(drawn, generator.random((size, self.dim)))

    def __call__(self, theta: ArrayLike) -> np.ndarray:
        """Density at points theta (..., dim): the mass of the cell they lie in over its volume, 0 outside the grid."""
        if self.grid is None:
            raise NotApplicable(f"{self.label} is a measure on states, it has no density; use probability(region)")
        cell = self.grid.find(theta)
        return np.where(cell >= 0, np.exp(self.log_mass[cell]) / self.grid.volumes[cell], 0.0)

    def on_bins(self, *edges: ArrayLike) -> np.ndarray:
        """Probability of each bin between consecutive ``edges``, one sequence for each coordinate.

        What a histogram of samples is compared with: shape (len(edges) − 1,) for each. Cells are cut in proportion.
        """
        if len(edges) != self.dim:
            raise ArgumentError(f"on_bins needs edges for each of {self.dim} coordinates, got {len(edges)}")
        bins = [_check.array("edges", e, ndim=1) for e in edges]
        if any(b.size < 2 or not (np.diff(b) > 0).all() for b in bins):
            raise ArgumentError("edges must be increasing, at least two of them")
        if self.grid is None:
            return np.histogramdd(self.x, bins=bins, weights=self.mass)[0]
        if self.grid.axes is not None:
            raise NotApplicable("on_bins needs a grid along the coordinates, this one is turned by axes")
        result = self.mass.reshape(self.grid.shape)
        for j, (b, faces) in enumerate(zip(bins, self.grid.edges, strict=True)):
            cumulative = np.cumsum(np.moveaxis(result, j, 0), axis=0)
            cumulative = np.concatenate([np.zeros_like(cumulative[:1]), cumulative])
            k = np.clip(np.searchsorted(faces, b, side="right") - 1, 0, faces.size - 2)
            share = np.clip((b - faces[k]) / np.diff(faces)[k], 0.0, 1.0).reshape(-1, *[1] * (self.dim - 1))
            at = (1 - share) * cumulative[k] + share * cumulative[k + 1]
            result = np.moveaxis(np.maximum(np.diff(at, axis=0), 0.0), 0, j)  # rounding may leave less than nothing
        return result

    def plot(self, ax=None, **style):
        """Draw the density, or for states their masses, and return the Axes: a curve, or an image in two dimensions."""
        from dynsim.plot import plot_density

        return plot_density(self, ax, **style)

    def to_xarray(self):
        """Masses as an ``xarray.DataArray`` over theta, or theta_0, theta_1 … (needs the extra ``xarray``)."""
        arrays = xarray_module()
        if self.grid is None and self.dim > 1:
            coords = {"theta": (("state", "coordinate"), self.x)}
            return arrays.DataArray(self.mass, dims=("state",), coords=coords, name="mass", attrs=self.settings)
        if self.dim == 1:
            shape, dims, values = self.log_mass.shape, ("theta",), [self.x[:, 0]]
        else:
            shape, dims = self.grid.shape, tuple(f"theta_{j}" for j in range(self.dim))
            values = [0.5 * (e[1:] + e[:-1]) for e in self.grid.edges]
        coords = dict(zip(dims, values, strict=True))
        return arrays.DataArray(self.mass.reshape(shape), dims=dims, coords=coords, name="mass", attrs=self.settings)

    def _shares(self, region):
        """Which part of each cell lies in a region, (m,)."""
        share = _check.region("region", region, self.x).astype(np.float64)
        if self.grid is None:
            return share
        from scipy.ndimage import maximum_filter, minimum_filter

        few, many = _PARTS[self.dim]
        cells = np.flatnonzero(self.log_mass > -np.inf)
        share[cells] = self._share_of(region, cells, few)
        block = share.reshape(self.grid.shape)
        mixed = (maximum_filter(block, 3) != minimum_filter(block, 3)).ravel() | ((share > 0) & (share < 1))
        cut = cells[mixed[cells]]
        share[cut] = self._share_of(region, cut, many)
        return share

    def _share_of(self, region, cells, parts):
        """Which part of some cells lies in a region, by points that cut them in so many parts along each axis."""
        middle = (np.arange(parts) + 0.5) / parts
        shares = np.stack(np.meshgrid(*[middle] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
        result = np.empty(cells.size)
        for first in range(0, cells.size, _BATCH):
            some = slice(first, first + _BATCH)
            points = self.grid.points_within(cells[some, None], shares)
            result[some] = _check.region("region", region, points).mean(axis=1)
        return result

    def __repr__(self):
        kind = "states" if self.grid is None else "cells"
        return (
            f"Density({self.label}: {self.log_mass.size} {kind}, residual {self.residual:.1e}, "
            f"boundary mass {self.boundary_mass:.1e}, refinement gap {self.refinement_gap:.1e})"
        )
