"""Whether φ has a variance, from the second moments of its batches."""

import numpy as np

from dynsim.averages.batches import Batches

_TOP = 10  # batches that are looked at, without the largest
_FEWEST = 64  # batches in all, to say anything
_SHARE = 0.35  # of the second moment: in the limit 0.55 for a tail index of 1.5 (median), 0.9 of 1, and 0 above 2 …
_SLOWLY = 5.0  # … which is slow: of Student's t with 3 degrees, 1 000 values have 0.27, one time in a hundred 0.45
_GAP = 12.0  # times the average: of a thousand exponentials, the largest is above it one time in 150
_SPREAD = 2.0  # largest over smallest of the values that dominate these batches: for values with a bound near 1


def infinite_variance(batches: Batches, tau: np.ndarray) -> tuple[int, float] | None:
    """The first φ that has no variance, and its tail index; None if all have one.

    The second moments of batches longer than the correlation time ``tau`` (q,), in observations, have a tail of index
    α/2. If that is below 1, the few largest of them are a fixed share of their sum, however many there are.
    """
    for j in range(batches.means.shape[2]):
        means, squares = _merged(batches, j, tau[j])
        if means.size < _FEWEST:
            continue
        order = np.argpartition(squares, -_TOP - 1)[-_TOP - 1 :]
        order = order[np.argsort(squares[order])[::-1]]
        top = order[1:]
        share = squares[top].sum() / max(squares.sum() - squares[order[0]], np.finfo(float).tiny)
        threshold = _SHARE + _SLOWLY * np.sqrt(tau[j] / (batches.n_paths * batches.n))
        if share > threshold and squares[top[-1]] > 0:
            size = _dominating(means[order], squares[order], batches.size)
            if size.max() > _SPREAD * size.min() and _smooth(squares):
                largest = np.log(np.sort(squares)[-max(_TOP, squares.size // 20) - 1 :])
                return j, float(min(2 / (largest[1:] - largest[0]).mean(), 2.0))  # Hill's estimator
    return None


def _merged(batches, j, tau):
    """Means and second moments about the median mean of batches that are longer than ``tau``, flat."""
    means, squares = batches.means[..., j], batches.variances[..., j] + batches.means[..., j] ** 2
    size = batches.size
    while size < tau and means.shape[1] >= 2:
        k = means.shape[1] // 2
        means = means[:, : 2 * k].reshape(-1, k, 2).mean(axis=2)
        squares = squares[:, : 2 * k].reshape(-1, k, 2).mean(axis=2)
        size *= 2
    center = np.median(means)
    squares = squares - 2 * center * means + center**2
    return means.ravel() - center, np.maximum(squares.ravel(), 0.0)


def _smooth(squares):
    """Whether the upper third is without a gap, as below rare visits of a φ with bounds to values that it seldom has.

    Of a power law, i (log X_i − log X_{i+1}) of the values in decreasing order are independent exponentials.
    """
    third = np.log(np.maximum(np.sort(squares)[::-1][: squares.size // 3 + 1], np.finfo(float).tiny))
    spacings = -np.diff(third) * np.arange(1, third.size)
    return spacings.max() < _GAP * spacings.mean()


def _dominating(means, squares, size):
    """The value that makes up most of each batch: second moment over mean, for it cannot be above √(size·squares)."""
    with np.errstate(divide="ignore"):
        return np.minimum(squares / abs(means), np.sqrt(size * squares))
