"""What is found in a landscape."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.landscape.box import Box

# In this order: those before "saddle" are minima, or a floor of them
KINDS = ("minimum", "kink minimum", "saddle", "maximum", "kink", "degenerate")


@dataclass(frozen=True, eq=False)
class Found:
    """One stationary point."""

    x: np.ndarray
    loss: float
    kind: str
    gradient_norm: float
    eigenvalues: np.ndarray


@dataclass(frozen=True, eq=False)
class StationaryPoints:
    """Stationary points of a problem, from :func:`dynsim.minima`: minima by rising loss, then the others likewise.

    Attributes
    ----------
    x : ndarray, shape (k, dim)
        The points.
    loss : ndarray, shape (k,)
        L there.
    kind : tuple of str
        ``"minimum"``, ``"kink minimum"``, ``"saddle"``, ``"maximum"``; ``"kink"`` where the gradient jumps and 0 is in
        Clarke's subdifferential, but there is no minimum; ``"degenerate"`` for one point of a continuum of stationary
        points, a valley's floor or a plateau, of which one is reported for each level of L. In one dimension a
        ``"saddle"`` is where L' touches 0.
    gradient_norm : ndarray, shape (k,)
        ‖∇L‖ there; at a kink the distance of 0 from the convex hull of the gradients around it.
    eigenvalues : ndarray, shape (k, dim)
        Of the Hessian, ascending. At a kink those along which L is smooth, and NaN for the others.
    settings : dict
        What was searched for, and how, ``"seed"`` included.
    """

    x: np.ndarray
    loss: np.ndarray
    kind: tuple
    gradient_norm: np.ndarray = field(repr=False)
    eigenvalues: np.ndarray = field(repr=False)
    settings: dict = field(repr=False)
    _problem: object = field(repr=False)
    _box: Box = field(repr=False)

    @classmethod
    def of(cls, problem, box, found, settings):
        """Put the points found one below the other."""
        dim = problem.dim
        return cls(
            np.array([point.x for point in found]).reshape(-1, dim),
            np.array([point.loss for point in found]),
            tuple(point.kind for point in found),
            np.array([point.gradient_norm for point in found]),
            np.array([point.eigenvalues for point in found]).reshape(-1, dim),
            settings | {"bounds": box.bounds.tolist()},
            problem,
            box,
        )

    @property
    def n_minima(self) -> int:
        """How many are isolated minima: the first so many."""
        return sum("minimum" in kind for kind in self.kind)

    @property
    def minima(self) -> np.ndarray:
        """The isolated minima, shape (n_minima, dim), the lowest first."""
        return self.x[: self.n_minima]

    def basin(self, theta: ArrayLike) -> np.ndarray:
        """The index of the minimum that gradient flow dθ/dt = −∇L(θ) runs to from each point.

        Followed in steps along −∇L/‖∇L‖ of 1e-4 to 5e-3 of the box's diagonal in which L falls, along a kink in the
        direction of the shortest convex combination of the gradients on both sides, until a point is in a ball around
        a minimum and lower than L is anywhere on its sphere, so that it cannot leave it.

        Parameters
        ----------
        theta : array_like, shape (..., dim)
            At a kink, the side that ``problem.gradient`` takes counts.

        Returns
        -------
        ndarray of int, shape (...)
            Indices into ``x``; −1 for those that leave the box by more than half its diagonal, stay at a saddle, or end
            at no isolated minimum that was found.
        """
        from dynsim.landscape.basins import labels

        theta = _check.points("theta", theta, self.x.shape[1])
        result = labels(self._problem, self._box, self.x, self.n_minima, theta.reshape(-1, self.x.shape[1]))
        return result.reshape(theta.shape[:-1])

    def plot(self, ax=None, **options):
        """Draw the landscape with these points and return the Axes; options as of :meth:`dynsim.Problem.plot`."""
        from dynsim.plot import plot_problem

        return plot_problem(self._problem, ax, points=self, **{"bounds": self._box.bounds, **options})

    def to_xarray(self):
        """The points as an ``xarray.Dataset`` over the dimension point (needs the extra ``xarray``)."""
        from dynsim.results.common import xarray_module

        return xarray_module().Dataset(
            {
                "x": (("point", "coordinate"), self.x),
                "loss": ("point", self.loss),
                "kind": ("point", np.array(self.kind, dtype=str)),
                "gradient_norm": ("point", self.gradient_norm),
                "eigenvalues": (("point", "coordinate"), self.eigenvalues),
            },
            attrs=self.settings,
        )

    def __repr__(self):
        counts = ", ".join(f"{self.kind.count(kind)} {kind}" for kind in KINDS if kind in self.kind)
        return f"StationaryPoints({self._problem.name}: {counts or 'none'})"
