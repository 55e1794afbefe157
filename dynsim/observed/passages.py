"""First passages, and visits to basins."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.errors import NotApplicable
from dynsim.observed.base import PerPath, ratio_stderr


@dataclass(frozen=True, eq=False)
class Passages:
    """First-passage times.

    Attributes
    ----------
    n : int
        Observations of each path.
    time : ndarray, shape (n_paths,)
        When each path was first seen inside; inf for those never seen there.
    until : ndarray, shape (n_paths,)
        Until when each path was watched: to the end of the run, or to where it diverged.
    """

    n: int
    time: np.ndarray = field(repr=False)
    until: np.ndarray = field(repr=False)

    @property
    def fraction(self) -> float:
        """Fraction of the paths that have arrived."""
        return float(np.isfinite(self.time).mean())

    @property
    def mean(self) -> float:
        """Mean first-passage time: time spent on the way, by all paths, over the number that have arrived.

        The sample mean if all have; else the maximum-likelihood estimate for exponential times, right for rare escapes.
        """
        return self._estimate()[0]

    @property
    def stderr(self) -> float:
        """Standard error of ``mean``: of the sample mean if all have arrived, else mean/√(number arrived)."""
        return self._estimate()[1]

    def _estimate(self):
        arrived = np.isfinite(self.time)
        n = arrived.sum()
        spent = np.where(arrived, self.time, self.until)
        if n == 0:
            raise NotApplicable(
                f"no path has arrived by {self.until.max():g}, so there is no mean first-passage time; "
                f"with 95 % confidence it is above {spent.sum() / 3:g} if arrivals are exponential"
            )
        mean = float(spent.sum() / n)
        spread = float(spent.std(ddof=1)) if n == spent.size and n > 1 else mean
        return mean, spread / float(np.sqrt(n))


@dataclass(frozen=True, eq=False)
class Visited(PerPath):
    """Visits to basins.

    Attributes
    ----------
    names : tuple of str
        Names of the m basins.
    seen : ndarray, shape (n_paths, m)
        Observations of each path inside each basin.
    after : ndarray, shape (n_paths, m)
        Observations at which each basin was the last one visited: those inside it, and those on the way out of it.
    moves : ndarray, shape (n_paths, m, m)
        Transitions from the basin of the row to that of the column.
    interval : float
        Time between two observations.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    """

    names: tuple
    seen: np.ndarray = field(repr=False)
    after: np.ndarray = field(repr=False)
    moves: np.ndarray = field(repr=False)
    interval: float
    valid: np.ndarray = field(repr=False)

    @property
    def occupation(self) -> np.ndarray:
        """Fraction of the time inside each basin, shape (m,)."""
        return self._between(self.seen / max(self.n, 1))[0]

    @property
    def occupation_stderr(self) -> np.ndarray:
        """Standard error of ``occupation``, shape (m,)."""
        return self._between(self.seen / max(self.n, 1))[1]

    @property
    def transitions(self) -> np.ndarray:
        """Number of transitions, by all paths together, from row to column, shape (m, m)."""
        return self.moves[self.valid].sum(axis=0)

    @property
    def rates(self) -> np.ndarray:
        """Transitions per unit of time for which the basin of the row was the last one visited, shape (m, m)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.transitions / (self.interval * self.after[self.valid].sum(axis=0))[:, None]

    @property
    def rates_stderr(self) -> np.ndarray:
        """Standard error of ``rates``, shape (m, m)."""
        return ratio_stderr(self.moves[self.valid], self.interval * self.after[self.valid][:, :, None])
