"""Brownian motion on a circle."""

import math
from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.sdes.exact import ExactSDE

_UNIFORM = 80.0  # variance of an angle from which on e^−variance/2 = 4e-18 is below rounding


def brownian_ring(noise: float = 1.0) -> ExactSDE:
    """Brownian motion on a circle in the plane, dX = −½ σ² X dt + σ (−X₂, X₁) dW.

    Itô's drift keeps ‖X‖ what it was: X_t is x0 turned by the angle σ W_t (Øksendal, Stochastic Differential Equations,
    Example 5.1.4). Hence E X_t = e^(−σ²t/2) x0. Each circle has its own stationary law; ``stationary`` is that of the
    unit circle, uniform.

    Parameters
    ----------
    noise : float
        σ > 0.

    Returns
    -------
    ExactSDE
        With ``transition`` (x0 not the origin), ``stationary``, both a :class:`WrappedNormal`, and ``path``.

    Examples
    --------
    >>> import dynsim as ds
    >>> ring = ds.sdes.brownian_ring(noise=1.0)
    >>> ring.transition(x0=[1.0, 0.0], t=2.0).mean.round(4).tolist(), ring.path([1.0, 0.0], 2.0, [0.0]).tolist()
    ([0.3679, 0.0], [1.0, 0.0])
    """
    sigma = _check.positive("noise", noise)

    def transition(x0, t):
        if not x0.any():
            raise ArgumentError("x0 must not be the origin, which X never leaves, got (0, 0)")
        return WrappedNormal(math.hypot(*x0), math.atan2(x0[1], x0[0]), sigma**2 * t)

    def path(x0, t, w):
        cos, sin = np.cos(sigma * w[..., 0]), np.sin(sigma * w[..., 0])
        return np.stack([cos * x0[0] - sin * x0[1], sin * x0[0] + cos * x0[1]], axis=-1)

    return ExactSDE(
        "Brownian ring",
        _inwards,
        _along,
        (sigma,),
        dim=2,
        transition=transition,
        stationary=lambda: WrappedNormal(1.0, 0.0, _UNIFORM),
        path=path,
    )


def _inwards(t, x, params):
    rate = 0.5 * params[0] ** 2
    return -rate * x[0], -rate * x[1]


def _along(t, x, params):
    sigma = params[0]
    return (-sigma * x[1],), (sigma * x[0],)


@dataclass(frozen=True)
class WrappedNormal:
    """Law of radius · (cos φ, sin φ) with φ normal, made by :func:`brownian_ring`.

    Attributes
    ----------
    radius, angle, variance : float
        The circle's radius, and mean and variance of φ; from a variance of 80 on the law is uniform to rounding.
    """

    radius: float
    angle: float
    variance: float

    @property
    def mean(self) -> np.ndarray:
        """Mean, shape (2,)."""
        return self.radius * math.exp(-self.variance / 2) * np.array([math.cos(self.angle), math.sin(self.angle)])

    @property
    def cov(self) -> np.ndarray:
        """Covariance, shape (2, 2)."""
        cos, sin = math.cos(2 * self.angle), math.sin(2 * self.angle)
        second = np.eye(2) + math.exp(-2 * self.variance) * np.array([[cos, sin], [sin, -cos]])
        return 0.5 * self.radius**2 * second - np.outer(self.mean, self.mean)

    def pdf(self, x: ArrayLike) -> np.ndarray:
        """Density per length of arc, shape (...), at points x (..., 2) of the circle: only their direction is used."""
        x = _check.points("x", x, 2)
        variance = min(self.variance, _UNIFORM)
        turns = 2 * math.pi * np.arange(-14, 15)  # within 9 standard deviations of any variance up to _UNIFORM
        off = (np.arctan2(x[..., 1], x[..., 0]) - self.angle)[..., None] + turns
        return np.exp(-(off**2) / (2 * variance)).sum(axis=-1) / math.sqrt(2 * math.pi * variance) / self.radius

    def rvs(self, size: int = 1, random_state=None) -> np.ndarray:
        """Draws, shape (size, 2)."""
        normal = np.random.default_rng(random_state).standard_normal(size)
        angle = self.angle + math.sqrt(min(self.variance, _UNIFORM)) * normal
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
