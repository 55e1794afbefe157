"""What can be compared as a probability measure: laws, histograms and samples, the last two with their noise."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid
from dynsim.observed import Counts
from dynsim.results import Density, Trajectories

_MOST_DIMS = 3
GROUPS = 32  # of samples, as in observers.Histogram
_SCOTT = 3.5  # bins of samples are 3.5 σ n^(−1/(d+2)) wide (Scott 1979)
_STATES_IN_A_BIN = 4  # on average, where states are put on bins
_SAME_STATE = 1e-9  # relative distance
_FINE = {1: 1024, 2: 48, 3: 16}  # bins along each axis on which the noise of samples is looked at


@dataclass(frozen=True, eq=False)
class Measure:
    """One of the measures compared.

    Attributes
    ----------
    name : str
    law : Density
        Its masses: a histogram's on its bins, those of samples as states. They add up to 1.
    kind : str
        "cells", "states", "histogram" or "samples".
    tally : ndarray, shape (n_groups, n_bins + 1), or None
        Counts of independent groups in the bins of a histogram.
    group : ndarray of int, shape (n,), or None
        To which group each sample belongs.
    notes : tuple of str
        What was left out.
    """

    name: str
    law: Density
    kind: str
    tally: np.ndarray | None = field(default=None, repr=False)
    group: np.ndarray | None = field(default=None, repr=False)
    notes: tuple = ()

    @property
    def is_noisy(self) -> bool:
        """Whether it comes from a run."""
        return self.kind in ("histogram", "samples")

    def counts(self, space) -> np.ndarray:
        """Counts of the groups, (n_groups, n + 1), in bins between edges, or of samples at states (n, dim).

        The last is for what is in none of them.
        """
        if isinstance(space, tuple):
            return self._counts_in_bins(space)
        from scipy.spatial import cKDTree

        distance, nearest = cKDTree(space).query(self.law.x)
        elsewhere = distance > _SAME_STATE * (1 + np.abs(space).max())
        return self._grouped(np.where(elsewhere, len(space), nearest), len(space) + 1)

    @property
    def in_no_bin(self) -> float:
        """The share of a run that its own histogram has no bins for."""
        return 0.0 if self.tally is None else float(self.tally[:, -1].sum() / self.tally.sum())

    @staticmethod
    def residuals(counts) -> np.ndarray:
        """How far the groups are from the whole, in probability: a bin has standard error √Σ_g r²; nan for one."""
        size, total = counts.sum(axis=1, keepdims=True), counts.sum()
        n = len(counts)
        if n < 2:
            return np.full(counts.shape, np.nan)
        return np.sqrt(n / (n - 1)) * (counts - size * (counts.sum(axis=0) / total)) / total

    def binned(self) -> Density:
        """The law on cells, as it can be drawn: where it is on states or samples, on bins that hold several of them."""
        return self.law if self.law.grid is not None else on_bins(self.law, uniform_edges([self]))

    def fine_edges(self):
        """Bins in which to look at the noise of the cumulative function."""
        if self.kind == "histogram":
            return self.law.grid.edges
        return _uniform(self.law.x.min(axis=0), self.law.x.max(axis=0), [_FINE[self.law.dim]] * self.law.dim)

    def bin_widths(self) -> np.ndarray:
        """Widths of bins, along each axis, that hold enough states or samples."""
        n, dim = self.law.x.shape
        if self.kind == "samples":
            return _SCOTT * self.law.x.std(axis=0) * n ** (-1 / (dim + 2))
        return np.ptp(self.law.x, axis=0) * (_STATES_IN_A_BIN / n) ** (1 / dim)

    def _counts_in_bins(self, edges):
        if self.kind == "histogram":
            if same_edges(self.law.grid, edges):
                return self.tally
            sizes = self.tally.sum(axis=1, keepdims=True)
            cut = [_on_grid(row[:-1], self.law.grid).on_bins(*edges).ravel() * row[:-1].sum() for row in self.tally]
            return np.append(cut, sizes - np.sum(cut, axis=1, keepdims=True), axis=1)
        cell = np.zeros(len(self.law.x), dtype=np.int64)
        outside = np.zeros(cell.size, dtype=bool)
        for x, e in zip(self.law.x.T, edges, strict=True):
            k = np.where(x == e[-1], e.size - 2, np.searchsorted(e, x, side="right") - 1)
            outside |= (k < 0) | (k > e.size - 2)
            cell = cell * (e.size - 1) + np.clip(k, 0, e.size - 2)
        n_bins = int(np.prod([e.size - 1 for e in edges]))
        return self._grouped(np.where(outside, n_bins, cell), n_bins + 1)

    def _grouped(self, cell, n_cells):
        n_groups = int(self.group.max()) + 1
        flat = np.bincount(self.group * n_cells + cell, minlength=n_groups * n_cells)
        return flat.reshape(n_groups, n_cells).astype(np.float64)


def measure(name: str, value, burn_in: float) -> Measure:
    """A measure from what a user gives."""
    if isinstance(value, Density):
        return _of_density(name, value)
    if isinstance(value, Counts):
        return _of_counts(name, value)
    if isinstance(value, Trajectories):
        return _of_trajectories(name, value, burn_in)
    if hasattr(value, "stationary"):
        raise ArgumentError(f"{name} must be a law, got {type(value).__name__}: pass its .stationary()")
    if not isinstance(value, (np.ndarray, list, tuple)):
        raise ArgumentError(
            f"{name} must be a Density, a histogram, Trajectories or an array of samples, got {type(value).__name__}"
        )
    try:
        x = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be numbers, as many in each row") from None
    if x.ndim not in (1, 2, 3) or x.size == 0:
        raise ArgumentError(
            f"{name} must have samples of shape (n,), (n, dim) or (n_paths, n_times, dim), got shape {x.shape}"
        )
    x = _check.array(name, x, ndim=x.ndim)
    return _of_samples(name, x[:, None, None] if x.ndim == 1 else x[:, None] if x.ndim == 2 else x, ())


def default_name(value, taken) -> str:
    """What to call a measure that was given without a name."""
    if isinstance(value, Density):
        name = value.label
    else:
        name = {Counts: "histogram", Trajectories: "run"}.get(type(value), "samples")
    k = 1
    while (unique := f"{name} ({k})" if k > 1 else name) in taken:
        k += 1
    return unique


def coarsened(edges, widths) -> tuple[np.ndarray, ...]:
    """Every second of the edges left out, along each axis, until bins are as wide as they must be, or two are left."""
    result = []
    for e, width in zip(edges, widths, strict=True):
        while np.diff(e).mean() < width and e.size > 3:
            e = np.append(e[:-1:2], e[-1])
        result.append(e)
    return tuple(result)


def uniform_edges(measures) -> tuple[np.ndarray, ...]:
    """Equal bins over the states or samples of some measures, wide enough for all."""
    x = [part for m in measures for part in (m.law.x.min(axis=0), m.law.x.max(axis=0))]
    low, high = np.min(x, axis=0), np.max(x, axis=0)
    widths = np.max([m.bin_widths() for m in measures], axis=0)
    counts = [max(int(s / w), 2) if w > 0 else 2 for s, w in zip(high - low, widths, strict=True)]
    return _uniform(low, high, counts)


def equal_edges(measures, n) -> tuple[np.ndarray, ...]:
    """So many equal bins along each axis, over all that any of some measures covers."""
    own = [m.law.grid.edges if m.law.grid is not None else uniform_edges([m]) for m in measures]
    return tuple(
        np.linspace(min(e[0] for e in along), max(e[-1] for e in along), n + 1) for along in zip(*own, strict=True)
    )


def on_bins(law: Density, edges) -> Density:
    """A law given that it is in some bins, as a density on them."""
    if law.grid is not None and same_edges(law.grid, edges):
        return law
    return _on_grid(law.on_bins(*edges), Grid(tuple(edges)), law.label)


def same_edges(grid, edges) -> bool:
    """Whether a grid has these edges."""
    return grid.axes is None and all(np.array_equal(e, f) for e, f in zip(grid.edges, edges, strict=True))


def _uniform(low, high, counts):
    pad = np.where(high > low, 1e-3 * (high - low), 0.5 * np.maximum(np.abs(low), 1.0) * 1e-3)  # no state on an edge
    return tuple(np.linspace(a, b, n + 1) for a, b, n in zip(low - pad, high + pad, counts, strict=True))


def _on_grid(mass, grid, label="bins"):
    mass = np.asarray(mass, dtype=np.float64).ravel()
    total = mass.sum()
    if not total > 0:
        raise ArgumentError(
            f"{label} has no mass in the bins between {[f'{e[0]:g} and {e[-1]:g}' for e in grid.edges]}"
        )
    with np.errstate(divide="ignore"):
        log_mass = np.log(mass / total)
    return Density(grid.x, log_mass, grid, 0.0, 0.0, 0.0, label, {})


def _of_density(name, law):
    _few_axes(name, law.dim)
    notes = []
    total = np.logaddexp.reduce(law.log_mass)
    if abs(total) > 1e-6:
        notes.append(f"{name}: masses add up to {np.exp(total):.6g} and were divided by that")
    if law.negative_mass > 0:
        notes.append(f"{name}: negative masses of {law.negative_mass:.2g} were made 0")
    return Measure(name, law, "states" if law.grid is None else "cells", notes=tuple(notes))


def _of_counts(name, counts):
    inside = counts.groups[:, :-1].sum()
    if not inside > 0:
        raise ArgumentError(f"{name} must have counts in its bins, this histogram is empty")
    notes = []
    if counts.outside > 0:
        notes.append(f"{name}: {counts.outside:.2g} of it lies in no bin; W1 is for what lies in them")
    if counts.n_diverged:
        notes.append(f"{name}: {_paths(counts.n_diverged)} diverged, what they did before and after is in the counts")
    law = _on_grid(counts.counts, Grid(counts.edges), name)
    return Measure(name, law, "histogram", tally=counts.groups[counts.groups.sum(axis=1) > 0], notes=tuple(notes))


def _of_trajectories(name, run, burn_in):
    kept = run.t >= burn_in
    if not kept.any():
        raise ArgumentError(f"burn_in must be at most {run.t[-1]:g}, the end of {name}, got {burn_in:g}")
    whole = np.isinf(run.diverged) & np.isfinite(run.x[:, kept]).all(axis=(1, 2))
    if not whole.any():
        raise ArgumentError(f"{name} must have paths that have not diverged, all {_paths(run.n_paths)} have")
    lost = run.n_paths - int(whole.sum())
    notes = (f"{name}: {_paths(lost)} of {run.n_paths} diverged and were left out",) if lost else ()
    return _of_samples(name, run.x[whole][:, kept], notes)


def _of_samples(name, x, notes):
    n_paths, n_times, dim = x.shape
    _few_axes(name, dim)
    of_path = np.arange(n_paths) % GROUPS
    stretch = np.arange(n_times) * GROUPS // n_times  # for too few paths
    group = of_path[:, None] if n_paths >= GROUPS or n_times < GROUPS else stretch[None, :]
    group = np.broadcast_to(group, (n_paths, n_times)).ravel()
    points = x.reshape(-1, dim)
    log_mass = np.full(len(points), -np.log(len(points)))
    law = Density(points, log_mass, None, 0.0, 0.0, 0.0, name, {})
    return Measure(name, law, "samples", group=group, notes=notes)


def _few_axes(name, dim):
    if dim > _MOST_DIMS:
        raise NotApplicable(
            f"{name} has {dim} dimensions, densities are compared in at most {_MOST_DIMS}: use marginals"
        )


def _paths(n):
    return "1 path" if n == 1 else f"{n} paths"
