"""How orbits come back: exactly after a period, or to the bands of a chaotic attractor in turn."""

import math

import numpy as np

from dynsim.dynamics.system import Map, advanced, outside, separation

_ROUNDING = 1e-12  # relative: what is left of |x_{k+p} − x_k| by rounding on an attracting cycle
_SMALL = 1e-4  # such rounding is never less than that of numbers of this size: they are inside the map, if not in x
_TOLERANCE = 1e-6  # of the extent of an orbit, by default
_GROWTH = 1.1  # from the first quarter of a path to the last: reason to look whether it leaves for infinity
_PROLONGED = 64  # times its length, for which such a path must go on growing
_CENTERS = 31  # balls to which returns are counted; a prime number, so that they do not all lie in one band
NEIGHBORS = 100  # points in such a ball: so many times between returns have no common divisor by chance


def periods(
    path: np.ndarray, modulo: np.ndarray, first: np.ndarray, *, tolerance: float | None, most: int
) -> np.ndarray:
    """The period of each path (m, n, d) over its whole length, up to ``most`` ≤ n/3, or 0: (m,).

    That is p if every |x_{k+p} − x_k| is at most the tolerance and either has come down to rounding or shrinks in
    geometric progression, so that what is left of the way to the cycle, the sum of the progression, is within the
    tolerance as well. A cycle whose points then coincide as far as is known is one of the divisor of p.

    With the points (m, d) where the orbits began, ``first``, the path shows how large rounding is, and a millionth of
    its extent is the tolerance by default.
    """
    found = np.zeros(path.shape[0], dtype=np.int64)
    open_ = ~outside(path).any(axis=1)
    floor, allowed = _scales(path, modulo, first)
    if tolerance is not None:
        allowed = np.full(len(path), tolerance)
    for p in range(1, most + 1):
        near = np.flatnonzero(open_ & (found == 0))
        near = near[separation(path[near, -1], path[near, -1 - p], modulo) <= allowed[near]]
        if near.size:
            left = _way_left(path[near], p, modulo, allowed[near], floor[near])
            near, left = near[np.isfinite(left)], left[np.isfinite(left)]
            found[near] = p
            for q in reversed([q for q in range(1, p) if p % q == 0]):
                ends = path[near, -p:], path[near, -p - q : path.shape[1] - q]
                found[near[separation(*ends, modulo).max(axis=1) <= 4 * left]] = q
    return found


def _scales(path, modulo, first):
    """How large rounding is on paths (m, n, d) that began at first (m, d), and the tolerance that goes with them."""
    with np.errstate(all="ignore"):  # paths that have diverged
        size = np.maximum(np.abs(path).max(axis=(1, 2)), np.abs(first).max(axis=1))
        extent = np.maximum(path.max(axis=1), first) - np.minimum(path.min(axis=1), first)
        floor = _ROUNDING * np.maximum(size, _SMALL)
        return floor, np.maximum(_TOLERANCE * np.minimum(extent, modulo).max(axis=1), floor)


def _way_left(path, p, modulo, tolerance, floor):
    """How far from a cycle of period p the ends of paths still are, inf where they do not settle on one, (m,)."""
    gap = separation(path[:, p:], path[:, :-p], modulo)
    first, last, largest = gap[:, :p].max(axis=1), gap[:, -p:].max(axis=1), gap.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (last / first) ** (p / (gap.shape[1] - p))  # from one period to the next
        shrinks = (ratio < 1) & (first - last > floor / 1000)  # and not by the rounding of a steady drift
        left = np.where(shrinks, last * ratio / (1 - ratio), np.inf)
    begin = path.shape[1] % p
    moved = separation(path[:, -p:], path[:, begin : begin + p], modulo).max(axis=1)
    rounding = (last <= floor) & (moved <= np.maximum(4 * largest, floor / 10))  # a drift has moved by more
    left = np.where(rounding, floor, np.maximum(left, floor))
    return np.where((largest <= tolerance) & (left <= tolerance), left, np.inf)


def growing(path: np.ndarray, modulo: np.ndarray, factor: float = _GROWTH) -> np.ndarray:
    """Whether max|x| over each quarter of paths (m, n, d) is larger than before, by the factor in all; angles apart."""
    free = np.isinf(modulo)
    if not free.any() or path.shape[1] < 4:
        return np.zeros(len(path), dtype=bool)
    size = np.abs(path[..., free]).max(axis=-1)
    quarters = np.stack([part.max(axis=1) for part in np.array_split(size, 4, axis=1)])
    with np.errstate(all="ignore"):
        return (quarters[1:] > quarters[:-1]).all(axis=0) & (quarters[-1] > factor * quarters[0])


def leaving(system: Map, ends: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Whether orbits go to infinity, by their last states (m, dim) and the paths (m, n, d) before: (m,).

    They are outside already, or grow, and go on growing until they are, or for 64 times the length of the path.
    """
    modulo, n = system.modulo[: system.n_observed], path.shape[1]
    gone = np.asarray(outside(path).any(axis=1))
    open_ = np.flatnonzero(~gone & growing(path, modulo))
    states = ends[open_]
    for _ in range(_PROLONGED):
        if not open_.size:
            break
        states, path = advanced(system, states, n, n_kept=n)
        out = outside(path).any(axis=1)
        gone[open_[out]] = True
        still = ~out & growing(path, modulo)
        open_, states = open_[still], states[still]
    gone[open_] = True
    return gone


def band_count(path: np.ndarray, modulo: np.ndarray) -> int:
    """Into how many sets, visited in turn, a recurrent path (n, d) falls.

    Returns to a ball within one of k such sets take multiples of k steps, and no larger number divides them all. The
    answer is that of most balls: some may touch two of the sets.
    """
    divisors = []
    for center in np.linspace(0, path.shape[0] - 1, _CENTERS).astype(np.int64):
        gap = separation(path, path[center], modulo)
        radius = np.partition(gap, NEIGHBORS)[NEIGHBORS]
        divisors.append(math.gcd(*np.diff(np.flatnonzero(gap <= radius)).tolist()))
    values, counts = np.unique(divisors, return_counts=True)
    return int(values[counts.argmax()])
