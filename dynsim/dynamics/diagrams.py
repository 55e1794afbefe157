"""Bifurcation diagrams: what orbits settle on, against a parameter."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.dynamics.recurrence import leaving, periods
from dynsim.dynamics.system import Map, advanced, check_map
from dynsim.errors import ArgumentError
from dynsim.results.common import xarray_module

_KEPT = 4  # times the largest period looked for, at least so many states are kept: to see it three times and more


@dataclass(frozen=True, eq=False, repr=False)
class Bifurcation:
    """What orbits settle on, against a parameter, from :func:`dynsim.dynamics.bifurcation`.

    Attributes
    ----------
    values : ndarray, shape (m,)
        The values of the parameter.
    points : ndarray, shape (m, n_starts, n_kept)
        The observable along the end of each orbit; NaN where it has diverged.
    period : ndarray of int, shape (m, n_starts)
        The period on which an orbit has settled, 1 for a fixed point; 0 where none was found: chaos, quasiperiodic
        motion, a longer period, or convergence that is not complete.
    diverged : ndarray of bool, shape (m, n_starts)
        Whether max|x| > 1e100 at the end, or x is not finite, or max|x| grows: from quarter to quarter of the steps
        kept, by a tenth in all, and so on over 64 times as many steps or until it is 1e100. Slower growth, or a drift
        at a steady speed, has no period and is not counted here.
    parameter, observable : str
        What the axes are called.
    settings : dict
        What was asked for.
    """

    values: np.ndarray
    points: np.ndarray
    period: np.ndarray
    diverged: np.ndarray
    parameter: str
    observable: str
    settings: dict = field(repr=False)

    def plot(self, ax=None, **style):
        """Draw the points against the parameter, colored by period, and return the Axes.

        Orbits without a period are black; where all starts have diverged the background is hatched.
        """
        from dynsim.plot import plot_bifurcation

        return plot_bifurcation(self, ax, **style)

    def to_xarray(self):
        """An ``xarray.Dataset`` over the parameter, start and step (needs the extra ``xarray``)."""
        cells = (self.parameter, "start")
        return xarray_module().Dataset(
            {
                "points": ((*cells, "step"), self.points),
                "period": (cells, self.period),
                "diverged": (cells, self.diverged),
            },
            coords={self.parameter: self.values},
            attrs={name: value for name, value in self.settings.items() if value is not None},
        )

    def __repr__(self):
        counts = {
            "diverged": int(self.diverged.sum()),
            "without a period": int(((self.period == 0) & ~self.diverged).sum()),
        }
        told = "".join(f", {count} {what}" for what, count in counts.items() if count)
        m, n_starts, _ = self.points.shape
        span = f"{self.parameter} {self.values[0]:g} … {self.values[-1]:g}"
        return f"Bifurcation({span}: {m} values × {n_starts} start{'s' if n_starts > 1 else ''}{told})"


def bifurcation(
    family: Callable[[float], Map],
    values: ArrayLike,
    *,
    x0: ArrayLike,
    observable: Callable | None = None,
    burn_in: int = 2000,
    n_kept: int = 256,
    tolerance: float | None = None,
    most: int = 64,
    parameter: str = "step size",
) -> Bifurcation:
    """The attractors of a family of maps, for each value of its parameter: points, period, divergence.

    Each orbit begins anew at x0. For gradient descent over step sizes the family is
    ``lambda eta: descent(problem, SGD(eta, batch_size="full"))``; any other parameter, of the method or of the
    problem, goes the same way.

    Parameters
    ----------
    family : callable
        Value of the parameter -> :class:`Map`.
    values : array_like, shape (m,)
        Values of the parameter.
    x0 : array_like
        As for :func:`orbit`. Several starts find attractors that exist side by side; avoid starts of special symmetry.
    observable : callable, optional
        φ(θ): (..., n_observed) -> (...); by default the loss, for maps from :func:`descent`, else the first coordinate.
    burn_in : int, optional
        Steps before those that are kept. Close to a bifurcation convergence is slow and takes more.
    n_kept : int, optional
        Steps to keep, at least four times ``most``.
    tolerance, most : optional
        As for :meth:`Orbit.period`.
    parameter : str, optional
        What the parameter is called.

    Returns
    -------
    Bifurcation

    Raises
    ------
    ArgumentError
        If an argument is out of its range, ``family`` returns no map, or ``observable`` not one number for each point.
    TooLarge
        If the points would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.egg_carton()
    >>> def family(eta):
    ...     return ds.dynamics.descent(problem, ds.SGD(eta, batch_size="full"))
    >>> found = ds.dynamics.bifurcation(family, [0.01, 0.025, 0.03, 0.033, 0.04], x0=[1.0, -0.5])
    >>> found.period.ravel().tolist()
    [1, 2, 2, 2, 0]
    """
    if not callable(family):
        raise ArgumentError(f"family must be a function of the parameter, got {type(family).__name__}")
    values = _check.array("values", values, ndim=1)
    if not values.size:
        raise ArgumentError("values must have at least one value of the parameter")
    burn_in, n_kept = _check.count("burn_in", burn_in, least=0), _check.count("n_kept", n_kept)
    tolerance = None if tolerance is None else _check.positive("tolerance", tolerance)
    most = _check.count("most", most)
    if n_kept < _KEPT * most:
        raise ArgumentError(f"n_kept must be at least {_KEPT} times most = {most}, got {n_kept}")
    _check.instance("parameter", parameter, str, "a name")
    points: list[np.ndarray] = []
    found, diverged = [], []
    for value in values.tolist():
        system = check_map(f"family({value:g})", family(value))
        state = first = system.states(x0)
        if not points:
            _check.fits_in_memory("the points", (values.size, len(state), n_kept), instead="keep fewer")
        state, path = advanced(system, first, burn_in + n_kept, n_kept=n_kept)
        gone = leaving(system, state, path)
        shown = np.full(path.shape[:2], np.nan)
        if not gone.all():
            shown[~gone] = _observed(observable or system.observable, path[~gone])
        points.append(shown)
        diverged.append(gone)
        n, modulo = system.n_observed, system.modulo[: system.n_observed]
        found.append(np.where(gone, 0, periods(path, modulo, first[:, :n], tolerance=tolerance, most=most)))
    settings = {
        "map": system.name,
        "x0": first[:, : system.n_observed].tolist(),
        "burn_in": burn_in,
        "n_kept": n_kept,
        "tolerance": tolerance,
        "most": most,
    }
    shown_is = observable or system.observable
    name = getattr(shown_is, "__name__", "observable") if shown_is else "x[0]"
    name = "observable" if name == "<lambda>" else name
    return Bifurcation(values, np.array(points), np.array(found), np.array(diverged), parameter, name, settings)


def _observed(observable, path):
    """φ along paths (m, n, d), shape (m, n)."""
    if observable is None:
        return path[..., 0]
    if not callable(observable):
        raise ArgumentError(f"observable must be a function of theta (..., dim), got {type(observable).__name__}")
    shown = np.asarray(observable(path))
    if shown.shape != path.shape[:-1] or shown.dtype.kind not in "bfiu":
        raise ArgumentError(
            f"observable must return a number for each point, shape {path.shape[:-1]}, got {shown.dtype} of shape "
            f"{shown.shape}; write theta[..., 0] for the first coordinate"
        )
    return shown
