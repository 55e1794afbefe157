"""How far an empirical measure is from its own law by chance, from the errors of its probabilities."""

from dataclasses import dataclass, replace

import numpy as np

from dynsim.averages import Batches, Estimate, estimate
from dynsim.averages.batches import MOST
from dynsim.errors import TooShort
from dynsim.stationary.distances import directions, integral_of_modulus

_RUNS = 400  # imagined repetitions of a run
_SPREADS = 5.0  # above the floor, from where on a distance is more than chance
_THRESHOLDS = 24  # of a cumulative function at equal distances, and as many at equal shares
_DIRECTIONS = 4  # out of those of sliced W1
_TAIL = 0.01  # of the points beyond the outermost thresholds, where their error would be that of too few
_NUMBERS = 2**23  # probabilities of batches that are kept at a time
_FEWEST_BATCHES = 32
_PROBES = 5  # φ out of many whose error is estimated
_MOST_LONG = 512  # batches of all paths together
_VALUES = ("means", "variances", "rest")  # of batches, the last axis of which numbers the φ


@dataclass(frozen=True)
class Distance:
    """A distance of an empirical measure from another measure, with what it is by chance.

    Attributes
    ----------
    value : float
    stderr : float
        Standard error of ``value`` where it is well above the floor; below, ``floor_spread`` is what counts.
    floor : float
        Mean distance of a run of this length from its own law; of two runs from each other where two are compared. nan
        where the run is too short to tell (``average`` says why).
    floor_spread : float
        Standard deviation of that distance.
    """

    value: float
    stderr: float
    floor: float
    floor_spread: float

    @property
    def by_chance(self) -> float:
        """floor + 5 floor_spread: what the distance of a run from its own law stays below."""
        return self.floor + _SPREADS * self.floor_spread

    @property
    def differs(self) -> bool:
        """Whether ``value`` is above ``by_chance``; False where that is not known."""
        return bool(self.value > self.by_chance)


def fractions(measure, cell: np.ndarray, n_cells: int, *, cumulative: bool = False) -> Batches:
    """Batches of the indicators of cells, of states that lie in the cells (n_paths, n), or of the cells up to each."""
    m, n = cell.shape
    most = min(MOST, max(_FEWEST_BATCHES, _NUMBERS // (m * n_cells)))
    size = 1
    while most * size < n:
        size *= 2
    k = n // size
    means = _shares(cell[:, : k * size].reshape(m * k, size), n_cells).reshape(m, k, n_cells)
    n_rest = n - k * size
    rest = _shares(cell[:, k * size :], n_cells) if n_rest else np.zeros((m, n_cells))
    if cumulative:
        means, rest = np.cumsum(means, axis=-1), np.cumsum(rest, axis=-1)
    means = np.clip(means, 0.0, 1.0)
    where = measure.x.mean(axis=1)
    return Batches(means, means * (1 - means), size, rest, n_rest, measure.start, measure.interval, where)


def _shares(cell, n_cells):
    rows, size = cell.shape
    flat = np.bincount((cell + n_cells * np.arange(rows)[:, None]).ravel(), minlength=rows * n_cells)
    return flat.reshape(rows, n_cells) / size


def below(measure, values: np.ndarray, thresholds: np.ndarray) -> Batches:
    """Batches of the indicators of values (n_paths, n) ≤ t, for thresholds t in any order."""
    t, where = np.unique(thresholds, return_inverse=True)
    found = fractions(measure, np.searchsorted(t, values, side="left"), t.size + 1, cumulative=True)
    return replace(found, **{name: getattr(found, name)[..., where] for name in _VALUES})


def cells(x: np.ndarray, edges) -> np.ndarray:
    """Which bin states (..., dim) lie in, in C order; the number of bins for those outside. As in numpy.histogram."""
    cell, outside, n_bins = np.zeros(x.shape[:-1], dtype=np.int64), np.zeros(x.shape[:-1], dtype=bool), 1
    for j, e in enumerate(edges):
        k = np.where(x[..., j] == e[-1], e.size - 2, np.searchsorted(e, x[..., j], side="right") - 1)
        outside |= (k < 0) | (k > e.size - 2)
        cell, n_bins = cell * (e.size - 1) + np.clip(k, 0, e.size - 2), n_bins * (e.size - 1)
    return np.where(outside, n_bins, cell)


def distance_of_variation(value: float, measures, edges, gap: np.ndarray) -> Distance:
    """The total variation on bins, and what it is by chance, from the difference of the probabilities of bins."""
    n_bins = int(np.prod([e.size - 1 for e in edges]))
    drawn = sum(
        _drawn(fractions(m, cells(m.x, edges), n_bins + 1), sign) for m, sign in zip(measures, (0, 1), strict=False)
    )
    return _distance(value, 0.5 * np.abs(drawn).sum(axis=1), 0.5 * np.abs(gap + drawn).sum(axis=1))


def distance_of_wasserstein(value: float, measures, law) -> Distance:
    """W1, sliced for more than one dimension, and what it is by chance; ``law`` is that of the second measure."""
    first = measures[0]
    turns = directions(first.dim)
    turns = turns[:: max(1, len(turns) // _DIRECTIONS)]
    every = max(1, first.n_paths * first.n // 50_000)
    points = np.concatenate([m.points[::every] for m in measures])
    thresholds = [_thresholds(points @ turn) for turn in turns]
    chance, moved = np.zeros(_RUNS), np.zeros(_RUNS)
    for turn, t in zip(turns, thresholds, strict=True):
        part = sum(_drawn(below(m, m.x @ turn, t), number) for number, m in enumerate(measures))
        gap = _cumulative(first.law, turn, t) - _cumulative(law, turn, t)
        chance += integral_of_modulus(t, part[:, :-1], part[:, 1:]) / len(turns)
        moved += integral_of_modulus(t, (gap + part)[:, :-1], (gap + part)[:, 1:]) / len(turns)
    return _distance(value, chance, moved)


def _distance(value, chance, moved):
    return Distance(float(value), float(moved.std(ddof=1)), float(chance.mean()), float(chance.std(ddof=1)))


def _thresholds(values):
    """Where a cumulative function is looked at: at equal distances and at equal shares of the points."""
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    half = _THRESHOLDS
    return np.unique(
        np.concatenate([np.linspace(low, high, half), np.quantile(values, np.linspace(_TAIL, 1 - _TAIL, half))])
    )


def _cumulative(law, turn, t):
    along = law.x @ turn
    order = np.argsort(along)
    total = np.concatenate([[0.0], np.cumsum(law.mass[order])])
    return total[np.searchsorted(along[order], t, side="right")] / total[-1]


def _drawn(batches, number):
    """Errors of the averages of some batches as they may be by chance, (_RUNS, q); nan where the run does not tell.

    Sums of the residuals of long batches with normal factors, which have their joint covariance, times what correlation
    between these batches adds to the standard error, as estimated for a few of the φ and interpolated between them.
    """
    q = batches.means.shape[-1]
    probes = np.unique(np.linspace(0, q - 1, min(q, _PROBES) + 2).astype(np.int64)[1:-1])
    few = replace(batches, **{name: getattr(batches, name)[..., probes] for name in _VALUES})
    residuals = _long(batches)
    spread = np.linalg.norm(residuals, axis=0)
    try:
        found: Estimate = estimate(few, burn_in=0.0, shape=probes.shape)
    except TooShort:
        return np.full((_RUNS, q), np.nan)
    ratio = np.divide(found.stderr, spread[probes], out=np.ones(probes.size), where=spread[probes] > 0)
    z = np.random.default_rng(number).normal(size=(_RUNS, len(residuals)))
    return z @ residuals * np.interp(np.arange(q), probes, ratio)


def _long(batches):
    """Residuals of the means of long batches of all paths over their number, (n, q): √Σr² is a standard error."""
    means = batches.means
    while means.shape[0] * means.shape[1] > _MOST_LONG and means.shape[1] >= 2:
        k = means.shape[1] // 2
        means = means[:, : 2 * k].reshape(means.shape[0], k, 2, -1).mean(axis=2)
    flat = means.reshape(-1, means.shape[-1])
    return (flat - flat.mean(axis=0)) / np.sqrt(len(flat) * max(len(flat) - 1, 1))
