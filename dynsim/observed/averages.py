"""Averages over time, and over batches of it."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.averages import Batches, Estimate, estimate
from dynsim.errors import NotApplicable, TooShort
from dynsim.observed.base import PerPath, listed

_FEWEST = 3  # observations of a path


@dataclass(frozen=True, eq=False)
class Averages(PerPath):
    """Time averages of φ.

    Attributes
    ----------
    per_path : ndarray, shape (n_paths, q)
        The average along each path.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    """

    per_path: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)

    @property
    def value(self) -> np.ndarray:
        """Average over paths, shape (q,)."""
        return self._between(self.per_path)[0]

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of ``value``, shape (q,); NaN for a single path."""
        return self._between(self.per_path)[1]


@dataclass(frozen=True, eq=False)
class BatchedMeans(PerPath):
    """Means and variances of φ over consecutive batches of observations.

    Attributes
    ----------
    means : ndarray, shape (n_paths, n_batches, q)
        Of the full batches.
    batch_size : int
        Observations in each.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    variances : ndarray, shape (n_paths, n_batches, q)
        Of the observations in each batch about its mean, divided by ``batch_size``.
    rest : ndarray, shape (n_paths, q)
        Mean of the ``n_rest`` observations after the last full batch; 0 if there are none.
    n_rest : int
        Less than ``batch_size``.
    start, interval : float
        When the first observation was made, and the time between two.
    shape : tuple of int
        Of φ's value: () for one number, else (q,).
    names : tuple of str
        Of several φ that were given by name.
    """

    means: np.ndarray = field(repr=False)
    batch_size: int
    valid: np.ndarray = field(repr=False)
    variances: np.ndarray = field(repr=False)
    rest: np.ndarray = field(repr=False)
    n_rest: int
    start: float
    interval: float
    shape: tuple
    names: tuple = ()

    @property
    def value(self) -> np.ndarray:
        """Average over all observations of all valid paths, shape (q,)."""
        return self._between(self._averages())[0]

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of ``value``, shape (q,): from the scatter between paths; for one path, of 16 long batches.

        The latter is right only if a sixteenth of the run is much longer than the correlation time, and both only if
        the run is much longer than its transient: :meth:`estimate` looks into both.
        """
        if self.valid.sum() > 1:
            return self._between(self._averages())[1]
        n_batches = self.means.shape[1]
        if n_batches < 16 or not self.valid.any():
            return np.full(self.means.shape[2:], np.nan)
        size = n_batches // 16
        long = self.means[self.valid][0, n_batches - 16 * size :].reshape(16, size, -1).mean(axis=1)
        return long.std(axis=0, ddof=1) / 4.0

    def batches(self, positions: np.ndarray | None = None) -> Batches:
        """What estimators start from: the batches of the valid paths.

        Parameters
        ----------
        positions : ndarray, shape (n_paths, dim), optional
            Where the paths were at last: by which a message about chains that disagree can tell them apart.

        Raises
        ------
        NotApplicable
            If all paths have diverged, nothing has been observed yet, or φ was not finite on a path: on which.
        """
        if not self.valid.any():
            raise NotApplicable(f"all {self.valid.size} paths have diverged, so there is no average over time")
        if self.n == 0:
            raise NotApplicable(f"nothing has been observed: the run ended before burn_in, t = {self.start:g}")
        finite = np.isfinite(self.means).all(axis=2) & np.isfinite(self.variances).all(axis=2)
        finite = np.column_stack([finite, np.isfinite(self.rest).all(axis=1)]) | ~self.valid[:, None]
        if not finite.all():
            paths = np.flatnonzero(~finite.all(axis=1))
            batch = int(np.argmin(finite[paths[0]]))
            span = self.batch_size * self.interval
            raise NotApplicable(
                f"φ is not finite on {listed('path', paths)}; on path {paths[0]} first between "
                f"t = {self.start + batch * span:g} and {self.start + (batch + 1) * span:g}"
            )
        return Batches(
            self.means[self.valid],
            self.variances[self.valid],
            self.batch_size,
            self.rest[self.valid],
            self.n_rest,
            self.start,
            self.interval,
            None if positions is None else positions[self.valid],
        )

    def estimate(
        self, *, burn_in: float | str = "auto", method: str = "autoregressive", positions: np.ndarray | None = None
    ) -> Estimate:
        """The average with its error, as :func:`dynsim.time_average` of this gives it.

        Parameters
        ----------
        burn_in, method
            As in :func:`dynsim.time_average`.
        positions
            As in :meth:`batches`.
        """
        batches = self.batches(positions)
        if self.n < _FEWEST:  # one value, or two, may seem to be constant
            raise TooShort(f"φ was observed {self.n} times on each path, too few to average over: make the run longer")
        return estimate(
            batches,
            method=method,
            burn_in=burn_in,
            shape=self.shape,
            names=self.names,
            n_diverged=int((~self.valid).sum()),
        )

    def _averages(self):
        full = self.batch_size * self.means.sum(axis=1)
        return (full + self.n_rest * self.rest) / max(self.n, 1)
