"""How orbits come back: exactly after a period, or to the bands of a chaotic attractor in turn."""

import math

import numpy as np

from dynsim.dynamics.system import outside, separation

_ROUNDING = 1e-12  # relative: what is left of |x_{k+p} − x_k| by rounding on an attracting cycle
_CENTERS = 31  # balls to which returns are counted; a prime number, so that they do not all lie in one band
NEIGHBORS = 100  # points in such a ball: so many times between returns have no common divisor by chance


def periods(path: np.ndarray, modulo: np.ndarray, *, tolerance: float, most: int) -> np.ndarray:
    """The period of each path (m, n, d) over its whole length, up to ``most`` ≤ n/3, or 0: (m,).

    That is p if every |x_{k+p} − x_k| is at most the tolerance and either has come down to rounding or shrinks in
    geometric progression, so that what is left of the way to the cycle, the sum of the progression, is within the
    tolerance as well. A cycle whose points then coincide as far as is known is one of the divisor of p.
    """
    found = np.zeros(path.shape[0], dtype=np.int64)
    open_ = ~outside(path).any(axis=1)
    for p in range(1, most + 1):
        near = np.flatnonzero(open_ & (found == 0))
        near = near[separation(path[near, -1], path[near, -1 - p], modulo) <= tolerance]
        if near.size:
            left = _way_left(path[near], p, modulo, tolerance)
            near, left = near[np.isfinite(left)], left[np.isfinite(left)]
            found[near] = p
            for q in reversed([q for q in range(1, p) if p % q == 0]):
                ends = path[near, -p:], path[near, -p - q : path.shape[1] - q]
                found[near[separation(*ends, modulo).max(axis=1) <= 4 * left]] = q
    return found


def _way_left(path, p, modulo, tolerance):
    """How far from a cycle of period p the ends of paths still are, inf where they do not settle on one, (m,)."""
    gap = separation(path[:, p:], path[:, :-p], modulo)
    first, last = gap[:, :p].max(axis=1), gap[:, -p:].max(axis=1)
    floor = _ROUNDING * (1 + np.abs(path).max(axis=(1, 2)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (last / first) ** (p / (gap.shape[1] - p))  # from one period to the next
        left = np.where(ratio < 1, last * ratio / (1 - ratio), np.inf)
    left = np.where(last <= floor, floor, np.maximum(left, floor))
    return np.where((gap.max(axis=1) <= tolerance) & (left <= tolerance), left, np.inf)


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
