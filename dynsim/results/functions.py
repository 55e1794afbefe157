"""Functions of the starting point, and the spectrum that they are made of."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.grid import Grid
from dynsim.results.common import xarray_module


def _unknown(grid):
    """The error of what has no coarser version: none without a grid."""
    return 0.0 if grid is None else float("nan")


@dataclass(frozen=True, eq=False)
class GridFunction:
    """A function on the cells of a grid or the states of a chain; made by the verbs of :class:`dynsim.MarkovProcess`.

    Attributes
    ----------
    x : ndarray, shape (m, dim)
        Centers of the cells, or the states.
    values : ndarray, shape (m,)
        Its values there.
    grid : Grid or None
        The cells; None for states.
    label : str
        What it is.
    coarser : GridFunction or None
        The same on half as many cells along each axis; None where nothing is discretized, or it was not computed.
    """

    x: np.ndarray
    values: np.ndarray
    grid: Grid | None
    label: str
    coarser: "GridFunction | None" = field(default=None, repr=False)

    def error(self, theta: ArrayLike) -> np.ndarray:
        """How much values at points theta (..., dim) change from half as many cells; 0 where nothing is discretized.

        With order 2 the error that is left is about a third of it. nan where it is not known.
        """
        values = self(theta)
        if self.coarser is None:
            return np.full(values.shape, _unknown(self.grid))
        coarse = self.coarser(theta)
        return np.abs(np.where(values == coarse, 0.0, values - coarse))

    def __call__(self, theta: ArrayLike) -> np.ndarray:
        """Values at points theta (..., dim): linear between the centers of cells, nan outside; or at a state.

        A scalar will do for dim 1.
        """
        dim = self.x.shape[1]
        theta = np.asarray(theta, dtype=np.float64)
        if theta.ndim == 0 and dim == 1:
            theta = theta[None]
        theta = _check.points("theta", theta, dim)
        if self.grid is not None:
            return self.grid.interpolate(self.values, theta)
        from scipy.spatial import cKDTree

        distance, nearest = cKDTree(self.x).query(theta)
        if (distance > 1e-9 * (1 + np.abs(theta).max(initial=0.0))).any():
            raise ArgumentError(
                f"theta must be states of the chain, {theta.reshape(-1, dim)[np.argmax(distance)]} is none"
            )
        return self.values[nearest]

    def plot(self, ax=None, **style):
        """Draw it and return the Axes: a curve, or an image in two dimensions."""
        from dynsim.plot import plot_function

        return plot_function(self, ax, **style)

    def to_xarray(self):
        """The values as an ``xarray.DataArray`` (needs the extra ``xarray``)."""
        coords = {"theta": (("point", "coordinate"), self.x)}
        return xarray_module().DataArray(self.values, dims=("point",), coords=coords, name="values")

    def __repr__(self):
        return (
            f"GridFunction({self.label}: {self.values.size} values, {self.values.min():.4g} to {self.values.max():.4g})"
        )


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The slowest modes of a Markov process.

    Attributes
    ----------
    eigenvalues : ndarray of complex, shape (k,)
        Of the generator, 0 first; of the transition matrix, 1 first. From slow to fast.
    rates : ndarray, shape (k,)
        At which the modes decay: −Re λ of a generator, per unit of time; −ln|λ| of a chain, per step. ``rates[1]`` is
        the spectral gap.
    functions : ndarray of complex, shape (k, m)
        Right eigenvectors, functions of the start, with largest modulus 1; the first is constant.
    residuals : ndarray, shape (k,)
        ``‖G f − λ f‖ / ‖diag G‖``, in the largest modulus, of each pair.
    coarser : Spectrum or None
        The same on half as many cells along each axis; None where nothing is discretized, or it was not computed.
    """

    eigenvalues: np.ndarray
    rates: np.ndarray
    functions: np.ndarray = field(repr=False)
    residuals: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    grid: Grid | None = field(repr=False)
    label: str
    coarser: "Spectrum | None" = field(default=None, repr=False)

    @property
    def errors(self) -> np.ndarray:
        """How much the rates change from half as many cells, shape (k,); 0 where nothing is discretized.

        With order 2 the error that is left is about a third of it. nan where it is not known.
        """
        if self.coarser is None:
            return np.full(self.rates.size, _unknown(self.grid))
        return np.abs(self.rates - self.coarser.rates)

    def function(self, mode: int) -> GridFunction:
        """Real part of a right eigenvector, which can be called at points."""
        if _check.count("mode", mode, least=0) >= self.rates.size:
            raise ArgumentError(f"mode must be below {self.rates.size}, got {mode}")
        return GridFunction(self.x, self.functions[mode].real, self.grid, f"mode {mode} of {self.label}")

    def plot(self, ax=None, **style):
        """Draw the eigenvalues in the complex plane and return the Axes."""
        from dynsim.plot import plot_spectrum

        return plot_spectrum(self, ax, **style)

    def to_xarray(self):
        """Rates as an ``xarray.DataArray`` over the mode (needs the extra ``xarray``)."""
        return xarray_module().DataArray(self.rates, dims=("mode",), name="rate")


@dataclass(frozen=True, eq=False)
class ReactiveFlux:
    """How a process goes from a set A to a set B in the stationary state; E & Vanden-Eijnden (2006).

    Attributes
    ----------
    rate : float
        Passages from A to B per unit of time or step.
    log_rate : float
        Its logarithm, right also where it underflows.
    mean_time : float
        Expected time from entering A, coming last from B, to entering B: P(coming last from A)/rate.
    forward, backward : GridFunction
        Probabilities of reaching B before A, and of having been in A later than in B.
    current : ndarray, shape (m, dim)
        Current of the passages at each cell, per volume; for states per state.
    coarser : ReactiveFlux or None
        The same on half as many cells along each axis; None where nothing is discretized, or it was not computed.
    """

    rate: float
    log_rate: float
    mean_time: float
    forward: GridFunction = field(repr=False)
    backward: GridFunction = field(repr=False)
    current: np.ndarray = field(repr=False)
    coarser: "ReactiveFlux | None" = field(default=None, repr=False)

    @property
    def error(self) -> float:
        """How much the rate changes from half as many cells; 0 where nothing is discretized, nan if not known."""
        return _unknown(self.forward.grid) if self.coarser is None else abs(self.rate - self.coarser.rate)
