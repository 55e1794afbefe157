"""Empirical measures of paths: what they say, and how far they are from a law or from each other."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike, Region
from dynsim.averages import Estimate, estimate
from dynsim.ergodic.averages import not_finite, states_of, time_average
from dynsim.ergodic.bin_errors import of_bins
from dynsim.ergodic.chance import Distance, below, cells, distance_of_variation, distance_of_wasserstein, fractions
from dynsim.ergodic.convergence import ConvergenceCurve, convergence_curve
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.saved import evenly
from dynsim.results import Density, Trajectories
from dynsim.stationary.distances import log_on_bins, total_variation, wasserstein

_LEAST = 3  # states of a path


@dataclass(frozen=True, eq=False, repr=False)
class EmpiricalMeasure:
    """The empirical measure of paths, μ_n = (1/n) Σ_t δ_{θ_t} of Z (6.3), with the same weight for all of them.

    Made by :meth:`of`. Errors are those of :func:`dynsim.time_average`: they know of correlation in time, and are
    refused (``TooShort``) where the paths do not show them. Distances have a floor: what chance alone gives.

    Attributes
    ----------
    x : ndarray, shape (n_paths, n, dim)
        The states.
    start, interval : float
        Time of the first, and between two, in the unit of the run.
    n_diverged : int
        Paths left out because they blew up.
    settings : dict
        What made the run.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.ergodic import EmpiricalMeasure
    >>> ou = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> run = ds.integrate(ou, 0.0, 500.0, dt=0.05, n_paths=20, rng=0, save_every=4)
    >>> mu = EmpiricalMeasure.of(run, burn_in=10.0)
    >>> rho = ds.stationary_density(ou, (-5.0, 5.0), 400)
    >>> mu.wasserstein(rho).differs
    False
    """

    x: np.ndarray
    start: float
    interval: float
    n_diverged: int = 0
    settings: dict = field(default_factory=dict)

    @classmethod
    def of(cls, source: Trajectories | ArrayLike, burn_in: float = 0.0) -> "EmpiricalMeasure":
        """The empirical measure of a run from some time on.

        Parameters
        ----------
        source : Trajectories or array_like, shape (n_paths, n, dim)
            States at equally spaced times, at least 3; the last one of a run is left out if it falls out of step. The
            start counts as a state: ``burn_in=1`` leaves it out of a chain, as (6.3) does.
        burn_in : float, optional
            Time before which states are left out, in the unit of the run; of an array a number of states.

        Raises
        ------
        ArgumentError
            If the shape is wrong, states are not finite or not equally spaced, or fewer than 3 are left.
        NotApplicable
            If all paths have diverged.
        """
        burn_in = _check.real("burn_in", burn_in)
        if isinstance(source, Trajectories):
            whole = ~np.isfinite(source.diverged)
            if not whole.any():
                raise NotApplicable(f"all {source.n_paths} paths have diverged, so they have no empirical measure")
            if where := not_finite(source.x[whole], np.flatnonzero(whole)):
                raise ArgumentError(f"source is {where}")
            x, t, settings = source.x[whole], np.asarray(source.t, dtype=np.float64), source.settings
            n = evenly("source", t)
            x, t = x[:, :n], t[:n]
        else:
            x, settings = states_of("source", source), {}
            t, whole = np.arange(x.shape[1], dtype=np.float64), np.ones(len(x), dtype=bool)
        kept = t >= burn_in
        if kept.sum() < _LEAST:
            raise ArgumentError(
                f"source must have at least {_LEAST} states from burn_in = {burn_in:g} on, got {kept.sum()}"
            )
        first = int(kept.argmax())
        return cls(x[:, first:], float(t[first]), float(t[1] - t[0]), int((~whole).sum()), settings)

    @property
    def n_paths(self) -> int:
        """Number of paths."""
        return self.x.shape[0]

    @property
    def n(self) -> int:
        """States of each path."""
        return self.x.shape[1]

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.x.shape[2]

    @property
    def points(self) -> np.ndarray:
        """All states, shape (n_paths · n, dim)."""
        return self.x.reshape(-1, self.dim)

    @property
    def mean(self) -> np.ndarray:
        """Mean, shape (dim,); :meth:`average` of the coordinates has its error."""
        return self.points.mean(axis=0)

    @property
    def cov(self) -> np.ndarray:
        """Covariance, shape (dim, dim)."""
        centered = self.points - self.mean
        return centered.T @ centered / len(centered)

    @property
    def law(self) -> Density:
        """The same as a measure on states, one for each point."""
        points = self.points
        log_mass = np.full(len(points), -np.log(len(points)))
        return Density(points, log_mass, None, 0.0, 0.0, 0.0, "empirical measure", self.settings)

    def part(self, paths: ArrayLike, n: int) -> "EmpiricalMeasure":
        """That of the first n states of some of the paths, given by their numbers."""
        if _check.count("n", n) > self.n:
            raise ArgumentError(f"n must be at most {self.n}, the states of each path, got {n}")
        rows = np.asarray(paths)
        numbers = rows.ndim == 1 and rows.size > 0 and rows.dtype.kind in "iu"
        if not (numbers and (rows >= 0).all() and (rows < self.n_paths).all()):
            raise ArgumentError(
                f"paths must be numbers of paths from 0 to {self.n_paths - 1}, at least one, got {paths!r}"
            )
        return replace(self, x=self.x[rows, :n])

    def average(self, phi: Callable | Mapping[str, Callable]) -> Estimate:
        """μ_n(φ) of Z (6.4) with its error; see :func:`dynsim.time_average`, which makes it, nothing being left out.

        Parameters
        ----------
        phi : callable or dict of callables
            φ of x (..., dim), vectorized: values (...) or (..., q).
        """
        t = self.start + self.interval * np.arange(self.n)
        run = Trajectories(self.x, t, np.full(self.n_paths, np.inf), self.settings)
        return self._known(time_average(run, phi, burn_in=0.0))

    def probability(self, region: Region) -> Estimate:
        """Probability of a region, a function theta (..., dim) -> bool (...), with its error."""
        _check.region("region", region, self.x[:1, :1])
        return self.average(region)

    def quantile(self, level: float | Sequence[float], *, coordinate: int = 0) -> Estimate:
        """Quantiles of a coordinate with their errors.

        Q(p) has the error of the time average of the indicator of θ ≤ Q(p), carried over by the quantiles one such
        error below and above (Woodruff 1952): half of Q(p + s) − Q(p − s). So no density is estimated. Far out,
        where p ± s meets 0 or 1, it is too small.

        Parameters
        ----------
        level : float or sequence of float
            p, between 0 and 1.
        coordinate : int, optional

        Returns
        -------
        Estimate
            Of the shape of ``level``.
        """
        try:
            levels = np.asarray(level, dtype=np.float64)
        except (TypeError, ValueError):
            levels = np.empty(0)
        if levels.ndim > 1 or levels.size == 0 or not ((levels > 0) & (levels < 1)).all():
            raise ArgumentError(f"level must be a number between 0 and 1, or a sequence of them, got {level!r}")
        if _check.count("coordinate", coordinate, least=0) >= self.dim:
            raise ArgumentError(f"coordinate must be below dim = {self.dim}, got {coordinate}")
        values = np.sort(self.points[:, coordinate])
        flat = levels.reshape(-1)
        at = np.quantile(values, flat, method="inverted_cdf")
        batches = below(self, self.x[:, :, coordinate], at)
        found = self._known(estimate(batches, burn_in=0.0, shape=levels.shape))
        s = found.stderr.reshape(-1)
        ends = [np.quantile(values, np.clip(flat + sign * s, 0.0, 1.0), method="inverted_cdf") for sign in (-1, 1)]
        stderr = 0.5 * (ends[1] - ends[0])
        slope = np.divide(stderr, s, out=np.zeros_like(s), where=s > 0)
        return replace(
            found,
            value=at.reshape(levels.shape),
            stderr=stderr.reshape(levels.shape),
            cov=found.cov * np.outer(slope, slope),
            batches=None,
        )

    def histogram(self, *edges: ArrayLike) -> Estimate:
        """Probabilities of bins with their errors, in C order, shape (n_bins,); over the widths they are densities.

        Where a bin has 20 states or more its error is that of :meth:`probability`, nan where that is refused; if all
        such bins are, so is the histogram. With fewer it is √(p(1 − p)/n), p at least 1/n, of n independent states: as
        many as these bins together are worth.

        Parameters
        ----------
        *edges : array_like
            Increasing edges, one sequence for each coordinate.
        """
        bins = self._edges(edges)
        n_bins = math.prod(e.size - 1 for e in bins)
        _check.fits_in_memory("the bins of all paths", (self.n_paths, 32, n_bins, 3), instead="take fewer bins")
        found = fractions(self, cells(self.x, bins), n_bins + 1)
        found = replace(
            found, means=found.means[..., :-1], variances=found.variances[..., :-1], rest=found.rest[..., :-1]
        )
        return self._known(of_bins(found))

    def wasserstein(self, other: "Density | EmpiricalMeasure") -> Distance:
        """W1 to a law or to another empirical measure: exact in dimension 1, sliced in others.

        See :func:`dynsim.compare_densities` for what that is. The floor is what W1 is by chance: for a law the mean
        distance of a run of this length from its own, ∫ E|δF| dt with errors δF of the cumulative function; for
        another run that with the errors of both. They are normal, with the covariance of the time averages of the
        indicators of θ ≤ t, where a run has 20 states or more on both sides of t. Farther out they are those of numbers
        of independent visits, with the probabilities of ``other``; so a place that a run has never seen, but would
        stay in for long, counts for less than it should.

        Examples
        --------
        >>> import dynsim as ds
        >>> from dynsim.ergodic import EmpiricalMeasure
        >>> problem = ds.problems.two_valleys()
        >>> run = ds.iterate(problem, ds.SGD(0.04), x0=-1.0, n_steps=4000, n_paths=16, rng=0)
        >>> mu = ds.markov_chain(problem, ds.SGD(0.04), x0=-1.0).stationary()
        >>> EmpiricalMeasure.of(run, burn_in=1).wasserstein(mu).differs
        False
        """
        law, measures = self._other(other)
        return distance_of_wasserstein(wasserstein(self.law, law), measures, law)

    def total_variation(self, other: "Density | EmpiricalMeasure", *edges: ArrayLike) -> Distance:
        """Total variation distance to a law or to another empirical measure on bins, what lies outside being one more.

        Points have distance 1 from any density in the limit of fine bins: the number belongs to the width of the bins.

        Parameters
        ----------
        other : Density or EmpiricalMeasure
        *edges : array_like
            Increasing edges, one sequence for each coordinate.
        """
        law, measures = self._other(other)
        bins = self._edges(edges)
        shares = np.exp(log_on_bins(law, bins))
        gap = np.exp(log_on_bins(self.law, bins)) - shares
        return distance_of_variation(total_variation(self.law, law, bins), measures, bins, gap, shares)

    def curve(self, other: "Density | EmpiricalMeasure", *, n_times: int = 16) -> ConvergenceCurve:
        """W1 between ``other`` and the empirical measures μ_n of the first n states, for longer and longer n.

        Parameters
        ----------
        other : Density or EmpiricalMeasure
            To what they may converge.
        n_times : int, optional
            Lengths, at least 4.
        """
        law, _ = self._other(other)
        alone = distance_of_wasserstein(0.0, (self,), self.law)
        return convergence_curve(self, law, alone.floor, n_times, {**self.settings, "to": law.label})

    def plot(self, ax=None, **style):
        """Draw the histogram with a band of 2 standard errors, or an image in two dimensions, and return the Axes."""
        from dynsim.plot import plot_empirical_measure

        return plot_empirical_measure(self, ax, **style)

    def _known(self, found):
        return replace(found, n_diverged=self.n_diverged)

    def _edges(self, edges):
        if len(edges) != self.dim:
            raise ArgumentError(f"edges must be one sequence for each of {self.dim} coordinates, got {len(edges)}")
        bins = tuple(_check.array("edges", e, ndim=1) for e in edges)
        if any(e.size < 2 or not (np.diff(e) > 0).all() for e in bins):
            raise ArgumentError("edges must be increasing, at least two of them")
        return bins

    def _other(self, other):
        """The law of what this is compared with, and the measures that are known by chance only."""
        if not isinstance(other, (Density, EmpiricalMeasure)):
            raise ArgumentError(f"other must be a Density or an EmpiricalMeasure, got {type(other).__name__}")
        if other.dim != self.dim:
            raise ArgumentError(f"other must have the same dimension, {self.dim}, got {other.dim}")
        return (other, (self,)) if isinstance(other, Density) else (other.law, (self, other))

    def __repr__(self):
        lost = f", {self.n_diverged} diverged" if self.n_diverged else ""
        return (
            f"EmpiricalMeasure({self.n_paths} paths of {self.n} states, dim {self.dim}, from {self.start:g} on{lost})"
        )
