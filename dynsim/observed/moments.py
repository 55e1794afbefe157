"""Means, covariances and extremes."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.observed.base import PerPath


@dataclass(frozen=True, eq=False)
class MomentEstimates(PerPath):
    """Means and covariances.

    Attributes
    ----------
    means : ndarray, shape (n_paths, dim)
        Mean along each path.
    covs : ndarray, shape (n_paths, dim, dim)
        Covariance along each path, about its own mean, divided by ``n``.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    """

    means: np.ndarray = field(repr=False)
    covs: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)

    @property
    def mean(self) -> np.ndarray:
        """Mean over times and paths, shape (dim,)."""
        return self._between(self.means)[0]

    @property
    def mean_stderr(self) -> np.ndarray:
        """Standard error of ``mean``, shape (dim,)."""
        return self._between(self.means)[1]

    @property
    def cov(self) -> np.ndarray:
        """Covariance over times and paths, shape (dim, dim)."""
        return self._between(self._about_the_mean())[0]

    @property
    def cov_stderr(self) -> np.ndarray:
        """Standard error of ``cov``, shape (dim, dim)."""
        return self._between(self._about_the_mean())[1]

    def _about_the_mean(self):
        shift = self.means - self.mean
        return self.covs + shift[:, :, None] * shift[:, None, :]


@dataclass(frozen=True, eq=False)
class Extreme(PerPath):
    """Smallest and largest values.

    Attributes
    ----------
    lows, highs : ndarray, shape (n_paths, dim)
        Of each path.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    """

    lows: np.ndarray = field(repr=False)
    highs: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)

    @property
    def min(self) -> np.ndarray:
        """Smallest over all paths, shape (dim,)."""
        return self.lows[self.valid].min(axis=0, initial=np.inf)

    @property
    def max(self) -> np.ndarray:
        """Largest over all paths, shape (dim,)."""
        return self.highs[self.valid].max(axis=0, initial=-np.inf)
