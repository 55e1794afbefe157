"""Density and distribution function of the stable laws, by Zolotarev's integral.

The draw X(φ, E) of Chambers, Mallows and Stuck is monotone in the exponential E: of P(X ≤ x | φ) and P(X > x | φ) one
is e^{−h} and the other 1 − e^{−h}, log h = log g(φ) − κ log x for x > 0, α ≠ 1, and log g(φ) − κx for α = 1. What
remains is an integral over the angle. The double-exponential substitution spreads out both of its ends, where the tails
and the neighborhood of 0 come from; as h is monotone in φ, the stretch where neither probability is 0 is found by
bisection, and integrated over by Gauss's rule.
"""

import math

import numpy as np

_REACH = 5.5  # of the substitution's variable: its ends are 1e-167 from those of the angle
_LOWEST, _HIGHEST = -100.0, 6.5  # log h outside which e^{−h} counts as 1 or 0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(512)
_CUTS, _ROUNDS = 65, 8  # of the bisection: 64^8 is all digits
_AT_ZERO = 1e-9  # |x| for which the density at 0 is that at x
_FAR = 1e10  # x from which the leading term of the tail is right to 2e-9, for α = 1


class StableLaw:
    """S1(α, β, 1, 0) for α ≠ 2 and not both α = 1 and β = 0; ``upper`` and ``lower`` as the kernels' ends, times π."""

    def __init__(self, alpha, beta, upper, lower):
        self._alpha, self._beta, self._upper, self._lower = alpha, beta, upper, lower

    def pdf(self, x):
        """Density at x (...)."""
        return _each(self._pdf, x)

    def cdf(self, x):
        """Distribution function at x (...)."""
        return _each(self._cdf, x)

    def ppf(self, q):
        """Quantiles of q (...)."""
        return _each(self._ppf, q)

    def _pdf(self, x):
        if math.isinf(x):
            return 0.0
        if self._alpha == 1:
            if abs(x) > _FAR and abs(self._beta) < 1:
                return (1 + math.copysign(self._beta, self._beta * x)) / (math.pi * x * x)
            return self._integrals(math.copysign(x, self._beta * x))[2]
        if abs(x) < _AT_ZERO:
            angle = 0.5 * (self._upper - self._lower) * math.copysign(1 / self._alpha, 1 - self._alpha)  # φ0
            narrowing = math.cos(angle) * math.cos(self._alpha * angle) ** (1 / self._alpha)  # cos φ0 / S
            return math.gamma(1 + 1 / self._alpha) * narrowing / math.pi
        return self._integrals(x)[2] / abs(x)

    def _cdf(self, x):
        if math.isinf(x):
            return float(x > 0)
        if self._alpha == 1:
            below, above, _ = self._integrals(math.copysign(x, self._beta * x))
            return below if self._beta > 0 else above
        if x < 0:
            return self._integrals(x)[1]
        length = self._lower if self._alpha < 1 else math.pi - self._lower  # π/2 − φ0
        negative = length / (math.pi * self._alpha)
        return min(negative + self._integrals(x)[0], 1.0) if x > 0 else negative

    def _integrals(self, x):
        """P(X ≤ x), P(X > x) and the density at x for α = 1, β > 0.

        For α ≠ 1 P(0 < X ≤ x), P(X > x) and x times the density if x > 0, the same of −X and −x if x < 0.
        """
        alpha, ends = self._alpha, (self._upper, self._lower)
        if alpha == 1:
            kappa, mass = 0.5 * math.pi / abs(self._beta), 1.0
            log_g, shift = _log_g_of_alpha_one(abs(self._beta)), kappa * x
        else:
            upper, lower = ends if x > 0 else ends[::-1]
            kappa, shift = alpha / abs(1 - alpha), alpha / (1 - alpha) * math.log(abs(x))
            mass = (upper if alpha < 1 else math.pi - upper) / (math.pi * alpha)
            if mass == 0:
                return 0.0, 0.0, 0.0
            log_g = _log_g(alpha, upper, lower)
        rising = 1.0 if alpha <= 1 else -1.0
        low, high = sorted((rising * (_LOWEST + shift), rising * (_HIGHEST + shift)))
        start = _crossing(lambda tau: rising * log_g(tau), low)[0]
        end = _crossing(lambda tau: rising * log_g(tau), high)[1]
        tau = 0.5 * (start + end) + 0.5 * (end - start) * _NODES
        weights = 0.5 * (end - start) * mass * _WEIGHTS * _substitution(tau)[2]
        h = np.exp(np.clip(log_g(tau) - shift, 2 * _LOWEST, _HIGHEST + 1))
        zero, one = np.exp(-h), -np.expm1(-h)
        below, above = (zero, one) if alpha <= 1 else (one, zero)
        beyond = mass * _substitution(np.array([end]))[1][0]
        before = mass * _substitution(np.array([start]))[0][0]
        return float(weights @ below + before), float(weights @ above + beyond), kappa * float(weights @ (h * zero))

    def _ppf(self, q):
        from scipy.optimize import brentq

        if not 0 <= q <= 1:
            return math.nan
        low, high = -1.0, 1.0
        while self._cdf(low) > q and low > -1e150:
            low *= 4
        while self._cdf(high) < q and high < 1e150:
            high *= 4
        if self._cdf(low) >= q:
            return -math.inf
        if self._cdf(high) <= q:
            return math.inf
        return brentq(lambda x: self._cdf(x) - q, low, high, xtol=1e-300, rtol=1e-14, maxiter=2000)


def _each(function, x):
    x = np.asarray(x, dtype=np.float64)
    return np.array([function(float(v)) if v == v else math.nan for v in x.flat]).reshape(x.shape)[()]


def _crossing(increasing, level):
    """An interval, as small as can be, at whose ends the function is below and above the level; or an end of all."""
    low, high = -_REACH, _REACH
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, _CUTS)
        i = int(np.clip(np.searchsorted(increasing(grid), level), 1, _CUTS - 1))
        low, high = grid[i - 1], grid[i]
    return low, high


def _substitution(tau):
    """(s, 1 − s, ds/dτ) of s in (0, 1)."""
    twice = math.pi * np.sinh(tau)
    s, rest = 1 / (1 + np.exp(-twice)), 1 / (1 + np.exp(twice))
    return s, rest, math.pi * np.cosh(tau) * s * rest


def _log_g(alpha, upper, lower):
    """Log g of the angles φ = −φ0 + Ls with X > 0, L = π/2 + φ0: A = α(φ + φ0) = αLs, φ = π/2 − L(1 − s)."""
    length, complement = (upper, lower) if alpha < 1 else (math.pi - upper, math.pi - lower)
    length, complement = length / alpha, complement / alpha  # π/2 + φ0, π/2 − φ0
    turn, distance = math.copysign(alpha, 1 - alpha), abs(1 - alpha)
    zeta = math.tan(alpha * (length - complement) / 2)
    log_scale = math.log1p(zeta**2) / (2 * alpha)

    def log_g(tau):
        s, rest, _ = _substitution(tau)
        near, far = s < 0.5, rest * length
        sine = np.sin(np.where(near, alpha * length * s, upper - turn * far))  # sin A
        cosine = np.sin(np.where(near, complement + length * s, far))  # cos φ
        difference = np.sin(np.where(near, complement + (1 - alpha) * length * s, upper + distance * far))
        return (alpha * (log_scale + np.log(sine)) - np.log(cosine)) / (1 - alpha) + np.log(difference)

    return log_g


def _log_g_of_alpha_one(beta):
    """Log g of all angles φ = −π/2 + πs for α = 1, β > 0."""

    def log_g(tau):
        s, rest, _ = _substitution(tau)
        half = 0.5 * math.pi * (1 - beta) + beta * math.pi * s  # π/2 + βφ
        nearer = math.pi * np.minimum(s, rest)
        cosine = np.sin(nearer)
        tangent = np.where(s < 0.5, -1.0, 1.0) * np.cos(nearer) / cosine
        return half * tangent / beta + np.log(half / (0.5 * math.pi * cosine))

    return log_g
