"""The box in which stationary points are looked for, and the scales in it that tolerances are relative to."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.smooth import length


@dataclass(frozen=True, eq=False)
class Box:
    """Bounds (dim, 2) with the median length of the gradient and the spread of the loss at points in them."""

    bounds: np.ndarray
    slope: float = 1.0
    spread: float = 1.0

    @property
    def diagonal(self):
        """Its length."""
        return float(length(self.bounds[:, 1] - self.bounds[:, 0]))

    def holds(self, x):
        """Which points lie inside, to rounding."""
        margin = 1e-9 * self.diagonal
        return ((x >= self.bounds[:, 0] - margin) & (x <= self.bounds[:, 1] + margin)).all(axis=-1)

    def near(self, x):
        """Which points lie inside or at most half a diagonal away from it."""
        margin = 0.5 * self.diagonal
        return ((x >= self.bounds[:, 0] - margin) & (x <= self.bounds[:, 1] + margin)).all(axis=-1)

    def points(self, n, generator):
        """A Kronecker lattice of n points, shifted at random: even, and for any dim without tables."""
        dim = self.bounds.shape[0]
        ratio = 2.0
        for _ in range(64):  # the root of ratio^(dim + 1) = ratio + 1, the golden ratio in one dimension
            ratio = (1 + ratio) ** (1 / (dim + 1))
        lattice = generator.random(dim) + np.arange(n)[:, None] * ratio ** -np.arange(1.0, dim + 1)
        return self.bounds[:, 0] + (lattice % 1.0) * (self.bounds[:, 1] - self.bounds[:, 0])


def checked_bounds(problem, bounds):
    """Bounds as (dim, 2): those given, or else the problem's."""
    if bounds is None:
        if problem.bounds is None:
            raise NotApplicable(f"{problem.name} knows no box worth looking at; give bounds, shape ({problem.dim}, 2)")
        return problem.bounds
    return _check.box("bounds", bounds, problem.dim)


def measured(problem, bounds, starts):
    """The box with its scales, from the values at the starts (P, dim), which must be finite."""
    with np.errstate(all="ignore"):
        losses, slopes = problem.loss(starts), length(problem.gradient(starts))
    bad = ~(np.isfinite(losses) & np.isfinite(slopes))
    if bad.any():
        raise ArgumentError(
            f"bounds must be a box in which loss and gradient are finite, but at θ = {starts[bad][0].tolist()} they "
            f"are not"
        )
    slope, spread = float(np.median(slopes) or np.mean(slopes) or 1.0), float(np.ptp(losses) or 1.0)
    return Box(bounds, slope, spread)
