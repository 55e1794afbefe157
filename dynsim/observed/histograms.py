"""Counts in bins."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.observed.base import ratio_stderr


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
        return self._shaped(ratio_stderr(self.groups[used, :-1], weights[used, None]))

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
