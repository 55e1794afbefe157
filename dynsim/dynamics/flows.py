"""The noise-free limit of an SDE as a map: one step of its flow."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.dynamics.system import Map, differences
from dynsim.errors import NotApplicable
from dynsim.sde import SDE

_TIMES = (0.0, 1.0, *np.geomspace(1e-3, 1e6, 37).tolist())  # at which a drift is looked at: four to the decade


def flow(sde: SDE, dt: float, *, modulo: ArrayLike = np.inf) -> Map:
    """The map x(t) ↦ x(t + dt) of dx = μ(x) dt, the noise-free limit of an SDE, by one classical Runge–Kutta step.

    Its error is of order dt⁵ a step. A time is dt times a number of steps, and a Lyapunov exponent of the flow is that
    of the map over dt. The Jacobian is that of the step, through its four stages.

    Parameters
    ----------
    sde : SDE
        Autonomous; its noise plays no part. The drift is that of Itô's equation. It is looked at at seven points and
        some forty times from 0 to 10⁶: one that differs only elsewhere, as in a short pulse, is taken as at t = 0.
    dt : float
        Length of the step, positive.
    modulo : array_like, scalar or shape (sde.dim,), optional
        Periods of coordinates that are angles, see :class:`Map`.

    Returns
    -------
    Map

    Raises
    ------
    ArgumentError
        If an argument is not what it should be.
    NotApplicable
        If the drift depends on t.

    Examples
    --------
    >>> import dynsim as ds
    >>> F = ds.dynamics.flow(ds.SDE(lambda t, x: x[0] - x[0]**3, lambda t, x: 0.1), 0.1)
    >>> ds.dynamics.orbit(F, [[0.1], [-2.0]], 300).x[:, -1, 0].round(6).tolist()
    [1.0, -1.0]
    """
    _check.instance("sde", sde, SDE, "an SDE, such as SDE(lambda t, x: -x[0], lambda t, x: 1.0)")
    dt = _check.positive("dt", dt)
    probes = np.outer(_check.PROBES, np.linspace(1.0, 0.5, sde.dim))
    with np.errstate(all="ignore"):
        first, *others = (sde.drift(t, probes) for t in _TIMES)
    if not all(np.array_equal(first, other, equal_nan=True) for other in others):
        raise NotApplicable(f"flow needs a drift that does not depend on t: make t a coordinate of {sde.name}")

    def drift(x):
        return sde.drift(0.0, x)

    def function(x):
        return x + dt * _stages(drift, x, dt)[1]

    def jacobian(x):
        points = _stages(drift, x, dt)[0]
        slope, total = np.zeros((*x.shape, sde.dim)), 0.0
        for point, share, weight in zip(points, (0, 0.5, 0.5, 1), (1, 2, 2, 1), strict=True):
            slope = differences(drift, point) @ (np.eye(sde.dim) + share * dt * slope)
            total = total + weight * slope
        return np.eye(sde.dim) + dt / 6 * total

    return Map(function, sde.dim, jacobian, name=f"flow of {sde.name}", modulo=modulo)


def _stages(drift, x, dt):
    """Where the four slopes of a step are taken, and their mean."""
    k1 = drift(x)
    x2 = x + dt / 2 * k1
    k2 = drift(x2)
    x3 = x + dt / 2 * k2
    k3 = drift(x3)
    x4 = x + dt * k3
    return (x, x2, x3, x4), (k1 + 2 * k2 + 2 * k3 + drift(x4)) / 6
