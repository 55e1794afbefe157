"""Series of φ along chains, reduced to at most 256 batches of each: what every estimator starts from."""

from dataclasses import dataclass, field, replace

import numpy as np

MOST = 256  # batches of a chain; where there would be more, neighbors are merged, so that 129 to 256 are left


@dataclass(frozen=True, eq=False)
class Batches:
    """Means and variances of φ over consecutive batches of equally many observations, for each chain.

    Attributes
    ----------
    means : ndarray, shape (n_paths, n_batches, q)
        Of the full batches.
    variances : ndarray, shape (n_paths, n_batches, q)
        Within each batch, about its own mean, divided by ``size``.
    size : int
        Observations in a batch, a power of two.
    rest : ndarray, shape (n_paths, q)
        Mean of the ``n_rest`` observations after the last full batch; 0 if there are none.
    n_rest : int
        Less than ``size``.
    start, interval : float
        When the first observation was made, and the time between two, in the unit of the run: steps of a chain.
    positions : ndarray, shape (n_paths, dim), optional
        Where each chain was on average, or at last: by which messages tell chains apart.
    start_point : ndarray, shape (dim,), optional
        Where all chains started, if that was one point.
    """

    means: np.ndarray = field(repr=False)
    variances: np.ndarray = field(repr=False)
    size: int
    rest: np.ndarray = field(repr=False)
    n_rest: int
    start: float = 0.0
    interval: float = 1.0
    positions: np.ndarray | None = field(default=None, repr=False)
    start_point: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def of_series(cls, values, *, start=0.0, interval=1.0, positions=None, start_point=None):
        """From values (n_paths, n, q), as they come."""
        m, n, q = values.shape
        size = 1
        while MOST * size < n:
            size *= 2
        k = n // size
        parts = values[:, : k * size].reshape(m, k, size, q)
        rest = values[:, k * size :]
        return cls(
            parts.mean(axis=2),
            parts.var(axis=2),
            size,
            rest.mean(axis=1) if rest.shape[1] else np.zeros((m, q)),
            rest.shape[1],
            start,
            interval,
            positions,
            start_point,
        )

    @property
    def n_paths(self) -> int:
        """Number of chains."""
        return self.means.shape[0]

    @property
    def n(self) -> int:
        """Observations of each chain."""
        return self.means.shape[1] * self.size + self.n_rest

    def after(self, n_batches: int) -> "Batches":
        """The same without the first batches."""
        return replace(
            self,
            means=self.means[:, n_batches:],
            variances=self.variances[:, n_batches:],
            start=self.start + n_batches * self.size * self.interval,
        )

    def of_one(self, j: int) -> "Batches":
        """The same of one φ only."""
        some = slice(j, j + 1)
        parts = {name: getattr(self, name)[..., some] for name in ("means", "variances", "rest")}
        return replace(self, **parts)

    def of_one_chain(self) -> "Batches":
        """The same of the first chain only."""
        parts = {name: getattr(self, name)[:1] for name in ("means", "variances", "rest")}
        return replace(self, **parts, positions=self.positions[:1] if self.positions is not None else None)

    def averages(self) -> np.ndarray:
        """The average of all observations of each chain, (n_paths, q)."""
        full = self.means.sum(axis=1) * self.size
        return (full + self.rest * self.n_rest) / self.n

    def variance(self) -> np.ndarray:
        """Variance of single observations about the mean of all chains, (q,)."""
        center = self.means.mean(axis=(0, 1))
        return self.variances.mean(axis=(0, 1)) + ((self.means - center) ** 2).mean(axis=(0, 1))


def merged(means: np.ndarray, group: int) -> np.ndarray:
    """Means of ``group`` successive batches each, from (n_paths, n_batches, q) to (n_paths, n_batches // group, q)."""
    m, k, q = means.shape
    count = k // group
    return means[:, : count * group].reshape(m, count, group, q).mean(axis=2)
