"""Where a run has become stationary."""

import itertools

import numpy as np

from dynsim.averages.batches import Batches

MANY = 8  # chains whose scatter tells the error of their mean
_LEVEL = 5e-4  # on each side: of about ten stretches that are tested, one in a hundred runs fails
_WILD = 10  # ranges: of one chain among many, which its own size hides from Student's t
_MARGIN = 0.1  # ranges of batches of the second half, outside of which a chain has not arrived
_SHARE = 16  # the longest stretch is so small a part of the run


def settled(batches: Batches) -> int:
    """Number of batches, at most half, after which no stretch of the averages over chains stands out.

    The first half is cut into stretches of 1, 1, 2, 4, … batches, and the last that differs from the second half ends
    the burn-in; so does the last chain to arrive where any are in the second half. Of many chains, which are
    exchangeable, differences are judged by Student's t between chains; of few, by the range of the averages over
    equally long stretches of the second half, so that a cycle is not mistaken for a transient. A single wild value
    stands out of that range however large it makes every variance: rules that maximize an effective sample size keep
    it, because what dominates the variance is uncorrelated.
    """
    means = batches.means
    k = means.shape[1]
    ends = _ends(k)
    sums = np.cumsum(means - means[:, k // 2 :].mean(axis=(0, 1)), axis=1)
    sums = np.concatenate([np.zeros_like(sums[:, :1]), sums], axis=1)
    late = _stragglers(means)
    for first, last in reversed(list(itertools.pairwise(ends))):
        if _stands_out(sums, first, last, k // 2):
            return max(last, late)
    return late


def _stragglers(means):
    """The most batches, at most half, that any chain begins with that no chain ever reaches in the second half."""
    half = means.shape[1] // 2
    first, second = means[:, :half], means[:, half:]
    low, high = second.min(axis=(0, 1)), second.max(axis=(0, 1))
    slack = _MARGIN * (high - low) + 1e-9 * (abs(low) + abs(high))
    outside = (first < low - slack) | (first > high + slack)
    return int(np.cumprod(outside, axis=1).sum(axis=1).max(initial=0))


def _ends(k):
    longest, ends = max(k // _SHARE, 1), [0]
    length = 1
    while ends[-1] + length <= k // 2:
        ends.append(ends[-1] + length)
        length = min(max(ends[-1], 1), longest)
    return ends


def _stands_out(sums, first, last, half):
    """Whether batches ``first`` to ``last`` differ from those after ``half``, in any φ; ``sums`` up to each batch."""
    length = last - first
    stretch = (sums[:, last] - sums[:, first]) / length
    others = (sums[:, half + length :] - sums[:, half:-length]).mean(axis=0) / length
    low, high = others.min(axis=0), others.max(axis=0)
    slack = 1e-9 * (abs(low) + abs(high))
    many = len(stretch) >= MANY
    value = stretch.mean(axis=0)
    reach = (_WILD if many else 1) * (high - low) + slack
    if ((value < low - reach) | (value > high + reach)).any():
        return True
    outside = (value < low - slack) | (value > high + slack)
    if not (many and outside.any()):
        return False
    rest = (sums[:, -1] - sums[:, half]) / (sums.shape[1] - 1 - half)
    return differ(stretch[:, outside], rest[:, outside], _LEVEL)


def differ(one, other, level):
    """Whether two averages of each chain (n_paths, q) differ on the average over chains, in any φ (one-sided level)."""
    from scipy.special import stdtrit

    difference = one - other
    m = len(difference)
    stderr = difference.std(axis=0, ddof=1) / np.sqrt(m)
    slack = 1e-12 * (abs(one) + abs(other)).mean(axis=0)
    return bool((abs(difference.mean(axis=0)) > -stdtrit(m - 1, level) * stderr + slack).any())
