"""What the verbs return: frozen values that carry the settings and the seed that made them."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike, Observe, Region
from dynsim.errors import ArgumentError, NotApplicable


@dataclass(frozen=True, eq=False)
class Trajectories:
    """An ensemble of paths, from :func:`dynsim.iterate` or :func:`dynsim.integrate`.

    Attributes
    ----------
    x : ndarray, shape (n_paths, n_saved, dim)
        Positions, from the start ``x[:, 0]`` to the end ``x[:, -1]``.
    t : ndarray, shape (n_saved,)
        Step numbers of a chain, times of an SDE.
    diverged : ndarray, shape (n_paths,)
        When a path left the ball max|x| ≤ 1e100, in the unit of ``t`` and to the step; inf where it never did. (A path
        that comes back from out there within a chunk of steps goes unnoticed.)
    settings : dict
        What made the run, ``"seed"`` included: the same call with ``rng=settings["seed"]`` gives the same numbers.
    complete : bool
        False if the run was interrupted; ``t[-1]`` says how far it got.
    observed : dict
        What the observers of the run have found, by name; see :mod:`dynsim.observers`.
    """

    x: np.ndarray
    t: np.ndarray
    diverged: np.ndarray
    settings: dict = field(repr=False)
    complete: bool = True
    observed: dict = field(default_factory=dict, repr=False)

    @property
    def n_paths(self) -> int:
        """Number of paths."""
        return self.x.shape[0]

    @property
    def dim(self) -> int:
        """Dimension of the state."""
        return self.x.shape[2]

    @property
    def n_diverged(self) -> int:
        """How many paths blew up."""
        return int(np.isfinite(self.diverged).sum())

    def fraction(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        """Fraction of the paths inside a region at each saved time, and its standard error.

        Paths that have diverged by then count as outside. The standard error is that of a binomial proportion with
        the add-two rule, √(p̃(1 − p̃)/(n + 4)), p̃ = (k + 2)/(n + 4), so that it is not 0 where none or all are inside.

        Parameters
        ----------
        region : callable
            ``region(theta)`` for theta of shape (..., dim) returns booleans of shape (...).

        Returns
        -------
        fraction, stderr : ndarray, each of shape (n_saved,)
        """
        inside = _check.region("region", region, self.x) & (self.t < self.diverged[:, None])
        k, n = inside.sum(axis=0), self.n_paths
        shrunk = (k + 2) / (n + 4)
        return k / n, np.sqrt(shrunk * (1 - shrunk) / (n + 4))

    def observe(self, observe: Observe) -> dict:
        """What observers find in the states that were kept, by name: to the bit what they find during the run.

        Parameters
        ----------
        observe : observer, sequence or dict of observers
            From :mod:`dynsim.observers`; ``burn_in`` and ``every`` count the steps of the run, not the saved states.
        """
        from dynsim._kernels.observing import observe_saved
        from dynsim._observation import Observation, named_observers

        unit = self.settings.get("dt", 1)
        steps = np.rint(self.t / unit).astype(np.int64)
        observers = named_observers(observe)
        for name, observer in observers.items():
            if missing := set(range(observer.burn_in, int(steps[-1]) + 1, observer.every)) - set(steps.tolist()):
                raise ArgumentError(
                    f"observe[{name!r}] wants to see step {min(missing)}, which this run has not kept "
                    f"(save_every={self.settings.get('save_every')}); choose burn_in and every among the steps kept"
                )
        observation = Observation(observers, dim=self.dim, n_paths=self.n_paths, n_steps=int(steps[-1]))
        observation.lay_out(1, self.n_paths, 1)
        blocks = np.ascontiguousarray(self.x.transpose(1, 2, 0))[None]
        observe_saved(observation.arguments(slice(0, 1), 0), steps, self.t.astype(np.float64), blocks)
        return observation.results(int(steps[-1]), self.diverged, unit)

    def plot(self, ax=None, *, n_paths=20, coordinate=0, **style):
        """Draw the first ``n_paths`` paths of one coordinate against time and return the Axes."""
        from dynsim.plot import plot_trajectories

        return plot_trajectories(self, ax, n_paths=n_paths, coordinate=coordinate, **style)

    def to_xarray(self):
        """The paths as an ``xarray.DataArray`` with dimensions path, t and coordinate (needs the extra ``xarray``)."""
        return _xarray().DataArray(
            self.x, dims=("path", "t", "coordinate"), coords={"t": self.t}, name="x", attrs=self.settings
        )

    def __repr__(self):
        blown = f", {self.n_diverged} diverged" if self.n_diverged else ""
        cut = "" if self.complete else ", interrupted"
        saved = f"{self.n_paths} paths, {self.t.size} saved, dim {self.dim}, t to {self.t[-1]:g}"
        return f"Trajectories({saved}{blown}{cut})"


@dataclass(frozen=True, eq=False)
class Density:
    """A probability measure on the cells of a 1-D grid or on the states of a chain.

    Attributes
    ----------
    x : ndarray, shape (m, dim)
        Centers of the cells, or the states.
    log_mass : ndarray, shape (m,)
        Logarithm of the probability of each; exact to relative accuracy also where the probability underflows.
    edges : ndarray of shape (m + 1,) or None
        Faces of the cells; None for a measure on states.
    residual : float
        How far the masses are from solving their equations: Σ|Gᵀm| / Σ|G_ii| m for a generator or chain.
    boundary_mass : float
        Probability of the outermost 1 % of the cells at both ends; 0 for states. Not small: widen ``bounds``.
    refinement_gap : float
        How much half as many cells would change: the largest of the total variation distance and the changes of mean
        and standard deviation, in standard deviations; 0 where nothing is discretized.
    label : str
        What this is the density of.
    settings : dict
        What made it.
    """

    x: np.ndarray
    log_mass: np.ndarray
    edges: np.ndarray | None
    residual: float
    boundary_mass: float
    refinement_gap: float
    label: str
    settings: dict = field(repr=False)

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

    def probability(self, region: Region) -> float:
        """Probability of a region, a function theta (..., dim) -> bool (...), judged at the points ``x``."""
        return float(np.exp(self.log_probability(region)))

    def log_probability(self, region: Region) -> float:
        """Logarithm of :meth:`probability`, right also where that underflows; -inf for an empty region."""
        inside = self.log_mass[_check.region("region", region, self.x)]
        return float(np.logaddexp.reduce(inside)) if inside.size else -np.inf

    def __call__(self, theta: ArrayLike) -> np.ndarray:
        """Density at points theta (..., 1): the mass of the cell they lie in over its width, 0 outside the grid."""
        if self.edges is None:
            raise NotApplicable(f"{self.label} is a measure on states, it has no density; use probability(region)")
        points = _check.points("theta", theta, 1)[..., 0]
        cell = np.searchsorted(self.edges, points, side="right") - 1
        inside = (cell >= 0) & (cell < self.log_mass.size)
        cell = np.clip(cell, 0, self.log_mass.size - 1)
        return np.where(inside, np.exp(self.log_mass[cell]) / np.diff(self.edges)[cell], 0.0)

    def on_bins(self, edges: ArrayLike) -> np.ndarray:
        """Probability of each bin between consecutive ``edges``, shape (len(edges) − 1,); cells are cut in proportion.

        What a histogram of samples is compared with.
        """
        bins = _check.array("edges", edges, ndim=1)
        if bins.size < 2 or not (np.diff(bins) > 0).all():
            raise ArgumentError("edges must be increasing, at least two of them")
        if self.x.shape[1] != 1:
            raise NotApplicable(f"on_bins is for dim 1, {self.label} has dim {self.x.shape[1]}")
        if self.edges is None:
            return np.histogram(self.x[:, 0], bins=bins, weights=self.mass)[0]
        cumulative = np.append(0.0, np.cumsum(self.mass))
        return np.diff(np.interp(bins, self.edges, cumulative))

    def plot(self, ax=None, **style):
        """Draw the density (or, for states, their masses) and return the Axes."""
        from dynsim.plot import plot_density

        return plot_density(self, ax, **style)

    def to_xarray(self):
        """Masses as an ``xarray.DataArray`` over the coordinate theta (needs the extra ``xarray``)."""
        if self.x.shape[1] == 1:
            coords, dims = {"theta": self.x[:, 0]}, ("theta",)
        else:
            coords, dims = {"theta": (("state", "coordinate"), self.x)}, ("state",)
        return _xarray().DataArray(self.mass, dims=dims, coords=coords, name="mass", attrs=self.settings)

    def __repr__(self):
        kind = "states" if self.edges is None else "cells"
        return (
            f"Density({self.label}: {self.log_mass.size} {kind}, residual {self.residual:.1e}, "
            f"boundary mass {self.boundary_mass:.1e}, refinement gap {self.refinement_gap:.1e})"
        )


@dataclass(frozen=True)
class StepSizeRange:
    """The step sizes 0 < η ≤ ``max`` for which a criterion of stability holds.

    Attributes
    ----------
    max : float
        The largest step size that is certain to hold; equal to ``lower``.
    criterion : str
        Name of the criterion.
    exact : bool
        Whether ``lower`` and ``upper`` are the same number.
    lower, upper : float
        Certified bounds on the critical step size.
    direction : ndarray of shape (dim,) or None
        The unit direction in which stability is lost first (for bounds: a direction that shows ``upper``).
    details : dict
        What the criterion also found.
    """

    max: float
    criterion: str
    exact: bool
    lower: float
    upper: float
    direction: np.ndarray | None = field(compare=False, repr=False)
    details: dict = field(compare=False, repr=False)

    def plot(self, ax=None, **style):
        """Draw the range as a bar over the step size and return the Axes."""
        from dynsim.plot import plot_step_size_range

        return plot_step_size_range(self, ax, **style)

    def to_xarray(self):
        """The bounds as an ``xarray.DataArray`` (needs the extra ``xarray``)."""
        return _xarray().DataArray(
            [self.lower, self.upper],
            dims=("bound",),
            coords={"bound": ["lower", "upper"]},
            name="step_size",
            attrs={"criterion": self.criterion, "exact": self.exact},
        )


def _xarray():
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: pip install 'dynsim[xarray]'") from None
    return xarray
