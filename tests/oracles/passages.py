"""Mean first-passage times and committors in closed form."""

import math

import mpmath
import numpy as np


def ornstein_uhlenbeck_passage(rate, noise, x, target):
    """E time of dX = −θX dt + √D dW from x up to a, on R: (1/θ) ∫ √π e^(u²) (1 + erf u) du, u from x√(θ/D) to a√(θ/D).

    The integral of √π e^(u²) erf u is u² ₂F₂(1, 1; 3/2, 2; u²), that of √π e^(u²) is ½π erfi u.
    """
    with mpmath.workdps(40):
        scale = mpmath.sqrt(mpmath.mpf(rate) / noise)

        def primitive(u):
            return mpmath.pi / 2 * mpmath.erfi(u) + u * u * mpmath.hyp2f2(1, 1, mpmath.mpf(3) / 2, 2, u * u)

        return float((primitive(scale * target) - primitive(scale * x)) / rate)


def ornstein_uhlenbeck_committor(rate, noise, points, a, b):
    """P(b before a): (erfi(cx) − erfi(ca)) / (erfi(cb) − erfi(ca)), c = √(θ/D), because q' ∝ e^(θx²/D)."""
    with mpmath.workdps(40):
        c = mpmath.sqrt(mpmath.mpf(rate) / noise)
        start, end = mpmath.erfi(c * a), mpmath.erfi(c * b)
        return np.array([float((mpmath.erfi(c * float(x)) - start) / (end - start)) for x in points])


def ball_exit_time(noise, radius, x):
    """E time until √D W leaves the ball ‖x‖ < R of R^d: (R² − ‖x‖²)/(d D), because ½ D ΔT = −1; x (..., d)."""
    x = np.asarray(x, dtype=float)
    return (radius**2 - (x**2).sum(axis=-1)) / (x.shape[-1] * noise)


def annulus_committor(inner, outer, x):
    """P(outer circle before the inner one) of planar Brownian motion: log(‖x‖/a)/log(b/a) is harmonic; x (..., 2)."""
    return np.log(np.linalg.norm(x, axis=-1) / inner) / math.log(outer / inner)


def annulus_reactive_rate(noise, inner, outer, area):
    """Passages from the inner to the outer circle, p = 1/area: ½ D p ∮ ∂q/∂r = D π / (area log(b/a))."""
    return noise * math.pi / (area * math.log(outer / inner))
