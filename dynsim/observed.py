"""What observers have found: frozen values, with standard errors from the scatter between independent paths."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.errors import NotApplicable


def _ratio_stderr(parts, wholes):
    """Standard error of Σ parts / Σ wholes over independent groups, the first axis of both."""
    g = parts.shape[0]
    if g < 2:
        return np.full(parts.shape[1:], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = wholes.sum(axis=0)
        deviation = parts - wholes * (parts.sum(axis=0) / total)
        return np.sqrt(g / (g - 1) * (deviation**2).sum(axis=0)) / total


@dataclass(frozen=True, eq=False)
class _PerPath:
    """``n`` is the number of observations of each path; ``valid`` (n_paths,) leaves out those that diverged."""

    n: int

    def _between(self, values):
        """Mean over the valid paths, and its standard error (NaN for a single path)."""
        kept = values[self.valid]
        n = kept.shape[0]
        if n == 0 or self.n == 0:
            return np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
        mean = kept.mean(axis=0)
        stderr = kept.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(values.shape[1:], np.nan)
        return mean, stderr


@dataclass(frozen=True, eq=False)
class Averages(_PerPath):
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
class BatchedMeans(_PerPath):
    """Means of φ over consecutive batches of observations.

    Attributes
    ----------
    means : ndarray, shape (n_paths, n_batches, q)
        Of the full batches.
    batch_size : int
        Observations in each.
    valid : ndarray of bool, shape (n_paths,)
        False for paths that have diverged; they are left out below.
    """

    means: np.ndarray = field(repr=False)
    batch_size: int
    valid: np.ndarray = field(repr=False)

    @property
    def value(self) -> np.ndarray:
        """Average over batches and paths, shape (q,)."""
        return self._between(self._averages())[0]

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of ``value``, shape (q,): from the scatter between paths; for one path, of 16 long batches.

        The latter is right only if a sixteenth of the run is much longer than the correlation time.
        """
        if self.valid.sum() > 1:
            return self._between(self._averages())[1]
        n_batches = self.means.shape[1]
        if n_batches < 16 or not self.valid.any():
            return np.full(self.means.shape[2:], np.nan)
        size = n_batches // 16
        long = self.means[self.valid][0, n_batches - 16 * size :].reshape(16, size, -1).mean(axis=1)
        return long.std(axis=0, ddof=1) / 4.0

    def _averages(self):
        return self.means.sum(axis=1) / max(self.means.shape[1], 1)


@dataclass(frozen=True, eq=False)
class MomentEstimates(_PerPath):
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
class Extreme(_PerPath):
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


@dataclass(frozen=True, eq=False)
class Counts:
    """A histogram in one or two dimensions.

    Attributes
    ----------
    n : int
        Observations of each path.
    edges : tuple of ndarray
        Edges of the bins along each axis.
    groups : ndarray, shape (n_groups, n_bins + 1)
        Counts of each group of paths (or stretch of time), bins in C order, the last for what lies in no bin.
    n_diverged : int
        Paths that have diverged; what they did before and after is counted like the rest.
    """

    n: int
    edges: tuple
    groups: np.ndarray = field(repr=False)
    n_diverged: int

    @property
    def counts(self) -> np.ndarray:
        """How often each bin was seen, shape of the bins; as in ``numpy.histogram``."""
        return self._shaped(self.groups.sum(axis=0)[:-1])

    @property
    def outside(self) -> float:
        """Fraction of the observations in no bin."""
        total = self.groups.sum()
        return float(self.groups[:, -1].sum() / total) if total else np.nan

    @property
    def probability(self) -> np.ndarray:
        """Fraction of all observations in each bin; the bins and ``outside`` add up to 1."""
        total = self.groups.sum()
        return self.counts / total if total else np.full_like(self.counts, np.nan)

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of ``probability``, from the scatter between groups; NaN with a single group."""
        weights = self.groups.sum(axis=1)
        used = weights > 0
        return self._shaped(_ratio_stderr(self.groups[used, :-1], weights[used, None]))

    @property
    def density(self) -> np.ndarray:
        """``probability`` over the length or area of the bin."""
        return self.probability / self._sizes()

    @property
    def density_stderr(self) -> np.ndarray:
        """Standard error of ``density``."""
        return self.stderr / self._sizes()

    def plot(self, ax=None, **style):
        """Draw the density, with a band of ± 2 standard errors in one dimension, and return the Axes."""
        from dynsim.plot import plot_counts

        return plot_counts(self, ax, **style)

    def _shaped(self, values):
        return values.reshape([edges.size - 1 for edges in self.edges])

    def _sizes(self):
        sizes = np.diff(self.edges[0])
        return sizes if len(self.edges) == 1 else sizes[:, None] * np.diff(self.edges[1])


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
class Visited(_PerPath):
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
        return _ratio_stderr(self.moves[self.valid], self.interval * self.after[self.valid][:, :, None])
