"""Reversible diffusions on an interval, exact in 50 digits: densities, passage times, committors, fluxes."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import mpmath
import numpy as np
from mpmath.calculus.quadrature import GaussLegendre

DIGITS = 50
_DEGREE = 4  # 3 · 2³ = 24 nodes on each panel


@dataclass(frozen=True)
class Line:
    """dX = μ dt + √D dW (Itô) on [low, high] with reflecting ends, given by D and Φ(x) = −∫ 2μ/D dx.

    ``potential`` Φ and ``noise`` D are sums and products only, so that they take floats, arrays and mpmath numbers
    alike. No flux, μ p = ½ (D p)', makes p ∝ e^(−Φ)/D.
    """

    potential: object
    noise: object
    low: float
    high: float
    n_panels: int = 24

    def log_mass(self, edges):
        """Logarithms of the masses of the cells between edges, which run from low to high; by quadrature of p."""
        with mpmath.workdps(DIGITS):
            masses = [_integral(self._speed, a, b) for a, b in pairwise(edges)]
            total = mpmath.fsum(masses)
            return np.array([float(mpmath.log(mass / total)) for mass in masses])

    def log_density(self, x):
        """Logarithms of p at points x (m,); p is normalized by quadrature over panels."""
        with mpmath.workdps(DIGITS):
            total = mpmath.log(mpmath.fsum(_integral(self._speed, a, b) for a, b in self._panels(self.low, self.high)))
            return np.array([float(mpmath.log(self._speed(mpmath.mpf(float(value)))) - total) for value in x])

    def passage_times(self, points, target):
        """E time from each point to ``target``, all on one side of it: ∫_x^a e^Φ(y) ∫_low^y 2 e^(−Φ(z))/D(z) dz dy.

        ½ D T'' + μ T' = −1, T'(low) = 0, T(a) = 0, integrated twice; for points above the target the mirror image.
        """
        points = np.asarray(points, dtype=float)
        if points.max() > target:
            mirror = Line(lambda x: self.potential(-x), lambda x: self.noise(-x), -self.high, -self.low, self.n_panels)
            return mirror.passage_times(-points, -target)
        with mpmath.workdps(DIGITS):
            stops = sorted({self.low, *points.tolist(), target})
            below, pieces = mpmath.mpf(0), {}
            for left, right in pairwise(stops):
                pieces[left] = mpmath.mpf(0)
                for a, b in self._panels(left, right):
                    pieces[left] += _integral(lambda y, a=a: self._slope(y) * (below + self._below(a, y)), a, b)  # noqa: B023
                    below += self._below(a, b)
            times, time = {target: mpmath.mpf(0)}, mpmath.mpf(0)
            for left in reversed(stops[:-1]):
                time += pieces[left]
                times[left] = time
            return np.array([float(times[x]) for x in points.tolist()])

    def committor(self, points, a, b):
        """P(b before a) = ∫_a^x e^Φ / ∫_a^b e^Φ at points between a and b: ½ D q'' + μ q' = 0, q(a) = 0, q(b) = 1."""
        with mpmath.workdps(DIGITS):
            whole = self._resistance(a, b)
            return np.array([float(self._resistance(a, x) / whole) for x in map(float, points)])

    def reactive_rate(self, a, b):
        """Passages from a to b per unit of time, 1 / ∫_a^b 2/(p D) dx: the flux ½ p D q' of the committor q."""
        with mpmath.workdps(DIGITS):
            mass = mpmath.fsum(_integral(self._speed, left, right) for left, right in self._panels(self.low, self.high))
            return float(1 / (2 * mass * self._resistance(a, b)))

    def _speed(self, x):
        return mpmath.exp(-self.potential(x)) / self.noise(x)

    def _slope(self, x):
        return mpmath.exp(self.potential(x))

    def _below(self, a, b):
        return _integral(lambda z: 2 * self._speed(z), a, b)

    def _resistance(self, a, b):
        return mpmath.fsum(_integral(self._slope, left, right) for left, right in self._panels(a, b))

    def _panels(self, a, b):
        n = max(1, round(self.n_panels * (float(b) - float(a)) / (self.high - self.low)))
        a, b = mpmath.mpf(float(a)), mpmath.mpf(float(b))
        return pairwise([a + (b - a) * k / n for k in range(n + 1)])


@cache
def _nodes(precision):
    return GaussLegendre(mpmath.mp).calc_nodes(_DEGREE, precision)


def _integral(function, a, b):
    a, b = mpmath.mpf(a), mpmath.mpf(b)
    half, middle = (b - a) / 2, (a + b) / 2
    return half * mpmath.fsum(w * function(middle + half * x) for x, w in _nodes(mpmath.mp.prec))


def ornstein_uhlenbeck_line(rate, noise, low, high):
    """dX = −θX dt + √D dW: Φ = θx²/D."""
    return Line(lambda x: rate * x * x / noise, lambda x: noise, low, high)


def double_well_line(steepness, noise=1.0, growth=0.0, box=2.0):
    """D = d (1 + c x²), Φ = B (x² − 1)², hence μ = −½ D Φ' = −2 B d (1 + c x²) x (x² − 1); c = 0 is additive noise.

    Additive: V = ½ d Φ, σ² = d, so B = 2 depth/σ² in dX = −V' dt + σ dW, V = depth (x² − 1)².
    """
    return Line(
        lambda x: steepness * (x * x - 1) * (x * x - 1), lambda x: noise * (1 + growth * x * x), -box, box, n_panels=32
    )


def double_well_functions(steepness, noise=1.0, growth=0.0):
    """(drift, diffusion) of :func:`double_well_line`, for an SDE."""

    def drift(t, x):
        return -2 * steepness * noise * (1 + growth * x[0] ** 2) * x[0] * (x[0] ** 2 - 1)

    def diffusion(t, x):
        return (noise * (1 + growth * x[0] ** 2)) ** 0.5

    return drift, diffusion


METASTABLE = {"steepness": 48.25, "noise": 1 / 24}  # from well to well it takes 1e21 on average
