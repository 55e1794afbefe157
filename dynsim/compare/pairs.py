"""The distances of two measures, with their errors and with what chance alone would give."""

from dataclasses import dataclass, replace

import numpy as np

from dynsim.compare.measures import Measure, coarsened, on_bins, uniform_edges
from dynsim.errors import ArgumentError
from dynsim.stationary.distances import (
    coarser_edges,
    common_log_masses,
    divergence,
    log_on_bins,
    same_cells,
    sliced_norm,
    wasserstein,
)

_FEWEST = 10.0  # independent observations expected in a bin; bins with fewer are put together
_RUNS = 200  # imagined repetitions of a run from which the floor is computed
_SPREADS = 5.0  # above the floor, from where on a distance is more than chance
_ROUNDING = 1e-12
LEAST_SHARE = 1e-3  # of a measure that bins given must hold, and outside of bins that is worth a note


@dataclass(frozen=True)
class Distance:
    """A distance, with what it would be by error and chance alone.

    Attributes
    ----------
    value : float
    error : float
        How much it changes when each law that has one is replaced by that on half as many cells; nan if not known.
    floor : float
        Mean distance that runs of this size have by chance from their own law, or from each other; 0 without runs, nan
        for a run that is one group.
    floor_spread : float
        Standard deviation of that distance.
    """

    value: float
    error: float
    floor: float
    floor_spread: float

    @property
    def by_chance(self) -> float:
        """floor + 5 floor_spread: what a run's distance from its own law stays below."""
        return self.floor + _SPREADS * self.floor_spread

    @property
    def differs(self) -> bool:
        """Whether the distance is larger than ``error`` and ``by_chance`` together; what is not known counts as 0.

        An infinite divergence says so only where no run takes part: a run leaves likely bins empty by chance.
        """
        if np.isinf(self.value) and self.by_chance > 0:
            return False
        return bool(self.value > _ROUNDING + np.nansum([self.error, self.by_chance]))


@dataclass(frozen=True)
class Pair:
    """The distances of two measures a and b.

    Attributes
    ----------
    total_variation : Distance
        The largest difference of the probabilities of a set, from 0 to 1, for sets of what ``where`` says.
    kullback_leibler, reverse_kullback_leibler : Distance
        KL(a‖b) and KL(b‖a) in nats, on the same; inf where the second has no mass and the first has.
    wasserstein : Distance
        W1, sliced for more than one dimension, in the unit of the coordinates.
    where : str
        On which cells, states or bins.
    widths : tuple of float
        Mean widths of these along each axis; empty for states.
    outside : tuple of float
        The shares of a and of b that lie in none of the bins, which is one bin more.
    """

    total_variation: Distance
    kullback_leibler: Distance
    reverse_kullback_leibler: Distance
    wasserstein: Distance
    where: str
    widths: tuple
    outside: tuple = (0.0, 0.0)

    def reversed(self) -> "Pair":
        """The same of b and a."""
        forth, back = self.kullback_leibler, self.reverse_kullback_leibler
        return replace(self, kullback_leibler=back, reverse_kullback_leibler=forth, outside=self.outside[::-1])


def compare_pair(a: Measure, b: Measure, edges: tuple | None) -> Pair:
    """All distances of two measures, on bins if there are edges; see :func:`dynsim.compare_densities`."""
    what, space = _space(a, b, edges)
    logs = _on_common(a, b, space)
    outside = (0.0, 0.0) if not isinstance(space, tuple) else tuple(float(np.exp(log_mass[-1])) for log_mass in logs)
    if edges is not None:
        _refuse_empty((a, b), logs)
    noise = [m.residuals(m.counts(space)) for m in (a, b) if m.is_noisy]
    rare = _rare(logs, noise)
    logs = [_merged(log_mass, rare, np.logaddexp) for log_mass in logs]
    merged = np.concatenate([np.zeros((0, logs[0].size)), *(_merged(residuals, rare, np.add) for residuals in noise)])
    z = np.random.default_rng(0).normal(size=(_RUNS, len(merged)))
    draws = z @ merged  # what the difference of the two would be by chance
    coarser = _coarser(a), _coarser(b)
    changed = w1_changed = None
    if None not in coarser:
        both_on_grids = edges is None and a.kind == b.kind == "cells"
        again = _on_common(*coarser, _space(*coarser, None)[1] if both_on_grids else space)
        changed = [_merged(log_mass, rare, np.logaddexp) for log_mass in again]
        w1_changed = _wasserstein(*coarser)
    mean = 0.5 * (np.exp(logs[0]) + np.exp(logs[1]))
    chance = 0.5 * np.abs(draws).sum(axis=1)
    nats = 0.5 * (draws[:, mean > 0] ** 2 / mean[mean > 0]).sum(axis=1)  # KL to second order
    parts = [(_variation, chance), (divergence, nats), (lambda p, q: divergence(q, p), nats)]
    values = [(d(*logs), None if changed is None else d(*changed), floor) for d, floor in parts]
    values.append((_wasserstein(a, b), w1_changed, _chance_of_wasserstein(a, b, z)))
    tv, kl, lk, w1 = (Distance(value, _gap(value, other), *_mean_and_spread(floor)) for value, other, floor in values)
    where, widths = _said(what, space, a, b)
    if rare.any():
        where += f", {rare.sum()} rare ones as one"
    return Pair(tv, kl, lk, w1, where, widths, outside)


def _space(a, b, edges):
    """On what both are compared: edges of bins, or states (m, dim), or None for the cells or states that both have."""
    kinds = {a.kind, b.kind}
    if edges is not None:
        return "bins given", edges
    if "histogram" in kinds:
        histograms = [m.law for m in (a, b) if m.kind == "histogram"]
        return "bins of the run", coarser_edges(histograms[0], histograms[-1])
    if kinds == {"cells"}:
        same = same_cells(a.law, b.law)
        return ("cells", None) if same else ("of the wider cells", coarser_edges(a.law, b.law))
    if kinds == {"states"}:
        return "states", None
    if kinds == {"states", "samples"}:
        states, samples = (a, b) if a.kind == "states" else (b, a)
        if samples.counts(states.law.x)[:, -1].sum() == 0:
            return "states", states.law.x
    if "cells" in kinds:
        cells, points = (a, b) if a.kind == "cells" else (b, a)
        return "bins", coarsened(cells.law.grid.edges, points.bin_widths())
    return "bins", uniform_edges([a, b])


def _on_common(a, b, space):
    """Logarithms of the masses of both."""
    if space is None:
        return common_log_masses(a.law, b.law)
    return tuple(_log_masses(m, space) for m in (a, b))


def _refuse_empty(measures, logs):
    for m, log_mass in zip(measures, logs, strict=True):
        share = float(np.exp(log_mass[:-1]).sum())
        if share < LEAST_SHARE:
            has = f"only {share:.2g} of its mass" if share > 0 else "no mass"
            raise ArgumentError(f"bins must be where the densities are, {m.name} has {has} in the bins")


def _log_masses(m, space):
    if m.is_noisy:
        counts = m.counts(space).sum(axis=0)
        with np.errstate(divide="ignore"):
            return np.log(counts / counts.sum())
    return log_on_bins(m.law, space) if isinstance(space, tuple) else np.append(m.law.log_mass, -np.inf)


def _rare(logs, noise):
    """Which bins have too few observations for their error to be known, or for a divergence to be finite."""
    mean = 0.5 * (np.exp(logs[0]) + np.exp(logs[1]))
    sizes = [_effective_size(residuals, mean) for residuals in noise]
    return (min(sizes, default=np.inf) * mean < _FEWEST) & (mean > 0) if sizes else np.zeros(mean.size, dtype=bool)


def _effective_size(residuals, mass):
    """Number of independent observations that would scatter as much: Σ p(1 − p)/Σ stderr²."""
    variance = (residuals**2).sum()
    return (mass * (1 - mass)).sum() / variance if variance > 0 else np.finfo(float).max


def _merged(values, rare, add):
    """Values (..., n) with the rare bins made one."""
    if not rare.any():
        return values
    return np.append(values[..., ~rare], add.reduce(values[..., rare], axis=-1, keepdims=True), axis=-1)


def _chance_of_wasserstein(a, b, z):
    parts = []
    for m in (a, b):
        if m.is_noisy:
            edges = m.fine_edges()
            parts.append((on_bins(m.law, edges), m.residuals(m.counts(edges)[:, :-1])))
    if not parts:
        return np.zeros(_RUNS)
    return sliced_norm(parts, z)


def _wasserstein(a, b):
    histograms = [m.law for m in (a, b) if m.kind == "histogram"]
    if not histograms:
        return wasserstein(a.law, b.law)
    edges = coarser_edges(histograms[0], histograms[-1])
    return wasserstein(*(on_bins(m.law, edges) for m in (a, b)))


def _variation(log_p, log_q):
    return float(0.5 * np.abs(np.exp(log_p) - np.exp(log_q)).sum())


def _coarser(m):
    """The measure on half as many cells; itself where nothing is discretized, None where that is not known."""
    if m.kind != "cells" or (m.law.coarser is None and m.law.refinement_gap == 0):
        return m
    return None if m.law.coarser is None else replace(m, law=m.law.coarser)


def _gap(value, other):
    if other is None:
        return np.nan
    return 0.0 if value == other else abs(value - other)


def _mean_and_spread(distances):
    return float(distances.mean()), float(distances.std(ddof=1))


def _said(what, space, a, b):
    """In words on what, and the mean widths."""
    if what == "states":
        return f"on {len(space) if space is not None else len(a.law.x)} states", ()
    edges = a.law.grid.edges if space is None else space
    widths = tuple(float(np.diff(e).mean()) for e in edges)
    counts = "×".join(str(e.size - 1) for e in edges)
    return f"on {counts} {what}, {' × '.join(f'{w:.3g}' for w in widths)} wide", widths
