"""How far an empirical measure is from its own law by chance, from the errors of its probabilities."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from dynsim.averages import Batches, estimate
from dynsim.averages.batches import MOST
from dynsim.errors import InfiniteVariance, PoorMixing, TooShort
from dynsim.stationary.distances import directions, integral_of_modulus

_RUNS = 400  # imagined repetitions of a run
_SPREADS = 5.0  # above the floor, from where on a distance is more than chance
_THRESHOLDS = 24  # of a cumulative function at equal distances, and as many at equal shares
_TAIL = 6  # thresholds on each side at shares that fall to one point, and so far from the end of the range
_ATOMS = 48  # of a law up to which each of them is a threshold
_DIRECTIONS = 4  # out of those of sliced W1
_UNSEEN = 0.01  # expected points beyond which a law is not looked at
_LEAST_TAU = 0.5  # states to an independent value, where few visits tell it
FEW = 20  # states of a run in a cell, from which on their scatter is an error
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


def distance_of_variation(value: float, measures, edges, gap: np.ndarray, law: np.ndarray) -> Distance:
    """The total variation on bins, and what it is by chance.

    ``gap`` is the difference of the probabilities of bins, ``law`` those of the second measure; what lies outside is
    the last bin.
    """
    batches = [fractions(m, cells(m.x, edges), law.size) for m in measures]
    drawn = _drawn(batches, law)
    return _distance(value, 0.5 * np.abs(drawn).sum(axis=1), 0.5 * np.abs(gap + drawn).sum(axis=1))


def distance_of_wasserstein(value: float, measures, law) -> Distance:
    """W1, sliced for more than one dimension, and what it is by chance; ``law`` is that of the second measure."""
    first = measures[0]
    turns = directions(first.dim)
    turns = turns[:: max(1, len(turns) // _DIRECTIONS)]
    points = np.concatenate([m.points for m in measures])
    chance, moved = np.zeros(_RUNS), np.zeros(_RUNS)
    for turn in turns:
        along = _Line(law, turn)
        t = _thresholds(points @ turn, along)
        batches = [below(m, m.x @ turn, t) for m in measures]
        part = _drawn(batches, np.diff(along.below(t), prepend=0.0, append=1.0), cumulative=True)
        gap = batches[0].averages().mean(axis=0) - along.below(t)
        chance += integral_of_modulus(t, part[:, :-1], part[:, 1:]) / len(turns)
        moved += integral_of_modulus(t, (gap + part)[:, :-1], (gap + part)[:, 1:]) / len(turns)
    return _distance(value, chance, moved)


def _distance(value, chance, moved):
    return Distance(float(value), float(moved.std(ddof=1)), float(chance.mean()), float(chance.std(ddof=1)))


class _Line:
    """A law along a direction, as atoms at the places of its states or cells."""

    def __init__(self, law, turn):
        along = law.x @ turn
        order = np.argsort(along)
        self.at = along[order]
        total = np.concatenate([[0.0], np.cumsum(law.mass[order])])
        self.total = total / total[-1]
        self.is_atoms = law.grid is None and along.size <= _ATOMS

    def below(self, t):
        """Probabilities of θ ≤ t."""
        return self.total[np.searchsorted(self.at, t, side="right")]

    def quantile(self, level):
        """The first atom up to which the probability is at least ``level``."""
        return self.at[np.clip(np.searchsorted(self.total, level) - 1, 0, self.at.size - 1)]


def _thresholds(values, line):
    """Where a cumulative function is looked at: at equal distances and shares over the whole range of both measures."""
    end = min(_UNSEEN / values.size, 0.25)
    some = values[:: max(1, values.size // 50_000)]
    both = np.concatenate([some, line.quantile((np.arange(some.size) + 0.5) / some.size)])
    low, high = np.minimum(values.min(), line.quantile(end)), np.maximum(values.max(), line.quantile(1 - end))
    out = np.geomspace(1 / values.size, 1 / _THRESHOLDS, _TAIL)
    shares = np.concatenate([np.linspace(0, 1, _THRESHOLDS), out, 1 - out])
    outward = (high - low) * np.geomspace(1e-3, 1 / _THRESHOLDS, _TAIL)
    t = [np.linspace(low, high, _THRESHOLDS), np.quantile(both, shares), low + outward, high - outward]
    if line.is_atoms:
        t += [line.at, np.nextafter(line.at, -np.inf)]  # between atoms it is constant
    return np.unique(np.concatenate(t))


def _drawn(batches, law, *, cumulative=False):
    """Errors of the probabilities of cells, or of the cells up to each, as they may be by chance, (_RUNS, q).

    ``law`` has those of the cells under the measure that one run, the first of ``batches``, is compared with; of two
    runs the error is that of their difference. nan where the runs do not tell.

    Where a run has been often its errors are normal, see :func:`_normal`. Where it has hardly been its scatter is no
    error: there they are those of numbers of independent visits. For a law these have its probabilities; two runs share
    the visits that both have made.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorMixing)  # of cells that nobody has asked for
        found = [_normal(part, number) for number, part in enumerate(batches)]
    drawn = sum(sign * part for sign, (part, _, _) in zip((1, -1), found, strict=False))
    few = np.any([rare for _, rare, _ in found], axis=0)
    if not few.any() or np.isnan(drawn).all():
        return drawn
    counts = [1 / tau * part.n_paths * part.n for part, (_, _, tau) in zip(batches, found, strict=True)]
    certain = ((law == 0) | (law == 1)).all()
    if not np.isfinite(counts).all():  # a run in one place
        drawn[:, few] = 0.0 if certain and len(batches) == 1 else np.nan
        return drawn
    rng = np.random.default_rng(len(batches))
    if len(batches) == 1:
        n = max(round(counts[0]), 1)
        visits = rng.multinomial(n, law / law.sum(), size=_RUNS) / n - law
    else:
        visits = _shared(batches, counts, cumulative, rng)
    drawn[:, few] = (np.cumsum(visits, axis=1) if cumulative else visits)[:, : few.size][:, few]
    return drawn


def _shared(batches, counts, cumulative, rng):
    """Differences of the probabilities of cells, if all visits of two runs were dealt out to both at random."""
    shares = [part.averages().mean(axis=0) for part in batches]
    if cumulative:
        shares = [np.diff(share, prepend=0.0, append=1.0) for share in shares]
    a, b = (max(count, 1.0) for count in counts)
    both = np.maximum(a * shares[0] + b * shares[1], 0.0)
    whole = np.floor(both + rng.random((_RUNS, both.size))).astype(np.int64)
    first = rng.binomial(whole, a / (a + b))
    return first / a - (whole - first) / b


def _normal(batches, number):
    """Normal errors (_RUNS, q) of averages of indicators, where they are those of few states (q,), and τ of these.

    Sums of the residuals of long batches with normal factors, which have their joint covariance, times what correlation
    between these batches adds to the standard error, as estimated for a few of the φ and interpolated between them. τ,
    the states to one independent value, is that of all rarely visited cells together.
    """
    n, p = batches.n_paths * batches.n, batches.averages().mean(axis=0)
    few = n * np.minimum(p, 1 - p) < FEW
    residuals = long_residuals(batches)
    spread = np.linalg.norm(residuals, axis=0)
    probed = _probed(batches, few)
    probes = probed.means.shape[-1]
    try:
        found = estimate(probed, burn_in=0.0, shape=(probes,)) if probes else None
    except (TooShort, InfiniteVariance):
        return np.full((_RUNS, p.size), np.nan), few, np.nan
    often = np.flatnonzero(~few)
    ratio = np.ones(p.size)
    if found is not None and often.size:  # cells that are all rare have shorter memories than half of them
        own = np.linalg.norm(long_residuals(probed), axis=0)
        steps = np.divide(found.stderr, own, out=np.ones(probes), where=own > 0)
        ratio = np.interp(np.arange(p.size), _chosen(batches, few), steps)
    independent = p * (1 - p) / n
    seen = few & (independent > 0)
    where = seen if seen.any() else ~few  # never there: as where it has been
    total = independent[where].sum()
    tau = max(((spread * ratio)[where] ** 2).sum() / total, _LEAST_TAU) if total > 0 else np.nan
    z = np.random.default_rng(number).normal(size=(_RUNS, len(residuals)))
    return z @ residuals * ratio, few, tau


def _probed(batches, few):
    """Batches of the φ whose errors are estimated; of cells that are all rare, of the first half of them."""
    if not few.all():
        which = _chosen(batches, few)
        return replace(batches, **{name: getattr(batches, name)[..., which] for name in _VALUES})
    p = batches.averages().mean(axis=0)
    half = slice(0, int(np.searchsorted(np.cumsum(p), 0.5 * p.sum())) + 1)
    means, rest = batches.means[..., half].sum(axis=-1), batches.rest[..., half].sum(axis=-1)
    if not 0 < means.mean() < 1:
        return replace(batches, **{name: getattr(batches, name)[..., :0] for name in _VALUES})
    means = np.clip(means, 0.0, 1.0)
    return replace(batches, means=means[..., None], variances=(means * (1 - means))[..., None], rest=rest[..., None])


def _chosen(batches, few):
    """Numbers of φ evenly over those that are not rare, and of the one with the longest memory."""
    often = np.flatnonzero(~few)
    evenly = np.linspace(0, often.size - 1, min(often.size, _PROBES) + 2).astype(np.int64)[1:-1]
    off = batches.means[..., often] - batches.means[..., often].mean(axis=(0, 1))
    memory = (off[:, 1:] * off[:, :-1]).sum(axis=(0, 1)) / np.maximum((off**2).sum(axis=(0, 1)), 1e-300)
    return np.unique(np.append(often[evenly], often[memory.argmax()]))


def long_residuals(batches):
    """Residuals of the means of long batches of all paths over their number, (n, q): √Σr² is a standard error."""
    means = batches.means
    while means.shape[0] * means.shape[1] > _MOST_LONG and means.shape[1] >= 2:
        k = means.shape[1] // 2
        means = means[:, : 2 * k].reshape(means.shape[0], k, 2, -1).mean(axis=2)
    flat = means.reshape(-1, means.shape[-1])
    return (flat - flat.mean(axis=0)) / np.sqrt(len(flat) * max(len(flat) - 1, 1))
