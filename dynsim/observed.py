"""What observers have found: frozen values, with standard errors from the scatter between independent paths."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.averages import Batches, Estimate, estimate
from dynsim.errors import NotApplicable

_MOST_LISTED = 5  # numbers of paths in a message


def _listed(what, numbers):
    """For a message: path 3; paths 3 and 5; paths 1, 2, 3, 4, 5 and 12 more."""
    first, more = [str(number) for number in numbers[:_MOST_LISTED]], len(numbers) - _MOST_LISTED
    if more > 0:
        first.append(f"{more} more")
    return f"{what} {first[0]}" if len(first) == 1 else f"{what}s {', '.join(first[:-1])} and {first[-1]}"


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
                f"φ is not finite on {_listed('path', paths)}; on path {paths[0]} first between "
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
        return estimate(
            self.batches(positions),
            method=method,
            burn_in=burn_in,
            shape=self.shape,
            names=self.names,
            n_diverged=int((~self.valid).sum()),
        )

    def _averages(self):
        full = self.batch_size * self.means.sum(axis=1)
        return (full + self.n_rest * self.rest) / max(self.n, 1)


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
