"""An ensemble of paths."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import Observe, Region
from dynsim.averages import Estimate
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.observed import BatchedMeans
from dynsim.results.common import xarray_module


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
    averaged : BatchedMeans or None
        What ``average`` is estimated from; ``averaged.estimate(burn_in=…, method=…)`` for one of your own choice.
    """

    x: np.ndarray
    t: np.ndarray
    diverged: np.ndarray
    settings: dict = field(repr=False)
    complete: bool = True
    observed: dict = field(default_factory=dict, repr=False)
    averaged: BatchedMeans | None = field(default=None, repr=False)

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

    @property
    def average(self) -> Estimate:
        """The average that the run was asked for, ``average=φ``, with its error.

        Raises
        ------
        NotApplicable
            If the run was not asked for one, all paths have diverged, or φ was not finite on one.
        TooShort, InfiniteVariance
            If the error cannot be told; the estimate is in the exception.
        """
        if self.averaged is None:
            raise NotApplicable("this run was asked for no average; run it with average=φ, or use dynsim.time_average")
        return self.averaged.estimate(positions=self.x[:, -1])

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
        return xarray_module().DataArray(
            self.x, dims=("path", "t", "coordinate"), coords={"t": self.t}, name="x", attrs=self.settings
        )

    def __repr__(self):
        blown = f", {self.n_diverged} diverged" if self.n_diverged else ""
        cut = "" if self.complete else ", interrupted"
        saved = f"{self.n_paths} paths, {self.t.size} saved, dim {self.dim}, t to {self.t[-1]:g}"
        return f"Trajectories({saved}{blown}{cut})"
