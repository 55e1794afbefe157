"""Whether a computed law has a density, and of which dimension it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

_FEWEST_BOXES = 8  # 1/Σm², in one dimension: with fewer one sees the outline of a law, not its structure
_POINTS = 2.5  # with fewer it is mass in a few points
_FEWEST_LEVELS = 3  # for a slope with a standard error
_CONVERGES, _STALLS = 0.75, 0.9  # ratio of distances under halving of the cells, ½ for a smooth density, 1 for none
_SAME = 1e-9  # distance of laws that are the same but for rounding
_LESS, _MUCH_LESS = 0.05, 0.25  # than the dimension of the space: edges of a density alone may look like 0.2
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class Verdict:
    """Whether a law has a density, from :func:`density_or_singular`.

    Attributes
    ----------
    kind : {"density", "singular", "undecided"}
    dimension : float
        Correlation dimension D₂; nan where the law covers too few cells to tell.
    stderr : float
        Its standard error, from the scatter about the power law; inf where it cannot be told.
    distances : tuple of float
        Total variation distances of the laws for cells h and 2h, for 2h and 4h, …
    """

    kind: str
    dimension: float
    stderr: float
    distances: tuple[float, ...]

    def __str__(self):
        law = {"density": "has a density", "singular": "is singular: what is shown is its mass at the scale of a cell"}
        distances = " ".join(f"{d:.2g}" for d in self.distances)
        return (
            f"the law {law.get(self.kind, 'may or may not have a density')} (correlation dimension "
            f"{self.dimension:.3f} ± {self.stderr:.3f}, distances from twice as large cells {distances})"
        )


def density_or_singular(masses: Sequence[ArrayLike]) -> Verdict:
    """Whether masses of cells are those of a density, or of a singular law at the scale of a cell.

    A density ρ has ``½ Σ|m_h − m_2h| → 0`` as cells of width h shrink, m_2h spread evenly over the smaller cells, and
    correlation dimension D₂ = lim ln Σ m_i² / ln h equal to the dimension of the space if ρ is square integrable. A
    singular law keeps a distance, and most have a smaller D₂.

    Parameters
    ----------
    masses : sequence of at least 2 array_like
        The law computed on grids of cells h, 2h, 4h, …: finest first, each with half as many uniform cells along each
        of its axes. Two laws give a verdict only where the distance is already negligible or the dimension clear.

    Returns
    -------
    Verdict
        "density": the distances shrink and D₂ does not differ from the dimension of the space; "singular": they do not
        shrink and D₂ is less; else "undecided". A law within a few cells looks singular whatever it is.

    Notes
    -----
    D₂: Grassberger & Procaccia, Physica D 9 (1983) 189. Scales at which 1/Σm² is less than 8^d are left out, unless
    all are: mass in a few points. So is the finest scale, and the next one where enough are left, which Ulam's method
    smooths. The standard error does not count that edges of the support take some 0.02 off at 1000 cells.

    Examples
    --------
    >>> import numpy as np
    >>> density_or_singular([np.full(n, 1 / n) for n in (256, 128, 64)]).kind
    'density'
    """
    laws = _laws(masses)
    distances = tuple(float(0.5 * np.abs(fine - _spread(coarse)).sum()) for fine, coarse in pairwise(laws))
    dimension, stderr = correlation_dimension(laws[0])
    space = laws[0].ndim
    less = dimension < space - max(_LESS, _STANDARD_ERRORS * stderr)
    full = dimension > space - max(_MUCH_LESS, _STANDARD_ERRORS * stderr) and stderr < 1
    if distances[0] < _SAME:
        kind = "density" if full else "undecided"
    elif len(distances) > 1:
        shrinks, stalls = distances[0] < _CONVERGES * distances[1], distances[0] > _STALLS * distances[1]
        kind = "density" if shrinks and full else "singular" if stalls and less else "undecided"
    else:
        kind = "undecided"
    return Verdict(kind, dimension, stderr, distances)


def correlation_dimension(mass: ArrayLike) -> tuple[float, float]:
    """Correlation dimension of a law on uniform cells, mass (m_1, …, m_d), and its standard error.

    The slope of ln S(h) against ln h, S(h) the mean of Σ m_i² over all positions of a grid of boxes of h = 2, 4, 8, …
    cells, ``S(h) = Σ_ij m_i m_j Π_k (1 − |i_k − j_k|/h)₊``; (nan, inf) where the law covers too few cells.

    Examples
    --------
    >>> correlation_dimension([0.0] * 32 + [1.0] + [0.0] * 31)  # a point
    (0.0, 0.0)
    """
    mass = np.asarray(mass, dtype=np.float64)
    axes, longest = tuple(range(mass.ndim)), max(mass.shape)
    padded = (2 * longest,) * mass.ndim  # so that no pair is counted across the ends
    pairs = np.fft.irfftn(np.abs(np.fft.rfftn(mass, padded, axes)) ** 2, padded, axes)
    apart = np.minimum(np.arange(2 * longest), 2 * longest - np.arange(2 * longest))
    sums = []
    for level in range(1, longest.bit_length()):
        together = np.maximum(0.0, 1 - apart / 2**level)
        total = pairs
        for _ in axes:
            total = together @ total
        sums.append(total)
    boxes = 1 / np.array(sums)
    if boxes[:1] >= _FEWEST_BOXES:
        boxes = boxes[boxes >= _FEWEST_BOXES**mass.ndim]
    elif boxes[:1] > _POINTS:
        return float("nan"), float("inf")
    log_sums = -np.log2(boxes[1:] if boxes.size > _FEWEST_LEVELS else boxes)
    n = len(log_sums)
    if n < _FEWEST_LEVELS:
        return float("nan"), float("inf")
    x = np.arange(n) - 0.5 * (n - 1)
    slope = x @ log_sums / (x @ x)
    residual = log_sums - np.mean(log_sums) - slope * x
    return float(slope) + 0.0, float(np.sqrt(residual @ residual / (n - 2) / (x @ x)))


def _spread(mass):
    """Each mass shared evenly by the halves of its cell."""
    for axis in range(mass.ndim):
        mass = 0.5 * np.repeat(mass, 2, axis=axis)
    return mass


def _laws(masses):
    laws = [np.asarray(m, dtype=np.float64) for m in masses]
    if len(laws) < 2 or any(not (np.isfinite(m).all() and (m >= 0).all() and m.sum() > 0) for m in laws):
        raise ArgumentError("masses must be at least 2 arrays of nonnegative numbers, not all 0")
    for fine, coarse in pairwise(laws):
        if fine.shape != tuple(2 * n for n in coarse.shape):
            raise ArgumentError(
                f"masses must be on grids that halve along each axis, got shapes {[m.shape for m in laws]}"
            )
    return [m / m.sum() for m in laws]
