"""Stable laws."""

import math
from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.noise.base import Noise
from dynsim.noise.laws import Gaussian
from dynsim.noise.stable_law import StableLaw

_PHASES = 40.0  # e^-40 is nothing beside 1: where the characteristic function counts as 0


@dataclass(frozen=True)
class AlphaStable(Noise):
    """α-stable noise, S1(α, β, s, 0) of Samorodnitsky & Taqqu, drawn by the method of Chambers, Mallows & Stuck.

    The characteristic function of ξ is exp(−|st|^α (1 − iβ sign(t) tan(πα/2))), for α = 1
    exp(−|st| (1 + (2/π) iβ sign(t) ln|st|)).

    For α > 1 the mean is 0. For α < 1 there is no mean, and 0 is the location for which sums of ξ are ξ rescaled
    (for β = ±1 it is the end of the half-line on which ξ lives). For α = 1 and β ≠ 0 no location has that property:
    ξ = s X with X ~ S1(1, β, 1, 0). α = 2 is normal with variance 2s², α = 1 with β = 0 Cauchy, α = ½ with β = 1 Lévy.
    As α → 1 with β ≠ 0, the bulk of S1 moves off to β s tan(πα/2), so that the mean can stay 0.

    E|ξ|^q is infinite for q ≥ α if α < 2: a stable law of index α has an infinite α-moment. Z's assumption 4.4.1 with
    exponent α thus needs a law of larger index.

    Parameters
    ----------
    alpha : float
        Index α in (0, 2].
    beta : float
        Skewness β in [−1, 1]; without effect for α = 2.
    scale : float or sequence of float
        s > 0.

    Examples
    --------
    >>> import dynsim as ds
    >>> noise = ds.noise.AlphaStable(alpha=1.5, beta=0.5)
    >>> noise.mean, noise.variance, float(noise.moment(1).round(4))
    (0.0, np.float64(inf), 1.7501)
    """

    alpha: float
    beta: float = 0.0
    scale: ArrayLike = 1.0
    components_per_coordinate = 2

    def __post_init__(self):
        alpha, beta = _check.positive("alpha", self.alpha), _check.real("beta", self.beta)
        if alpha > 2:
            raise ArgumentError(f"alpha must lie in (0, 2], got {alpha:g}")
        if abs(beta) > 1:
            raise ArgumentError(f"beta must lie in [-1, 1], got {beta:g}")
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "beta", beta)
        self._keep_scale()

    @property
    def tail_index(self) -> float:
        """The index α, or inf for the normal law α = 2."""
        return self.alpha if self.alpha < 2 else np.inf

    @property
    def mean(self) -> float:
        """0 for α > 1; for α ≤ 1 ±inf if β = ±1, else nan."""
        return 0.0 if self.alpha > 1 else math.copysign(np.inf, self.beta) if abs(self.beta) == 1 else np.nan

    def characteristic_function(self, t: ArrayLike) -> np.ndarray:
        """E e^{itξ}, complex: (...) -> (...)."""
        st = self._numbers_like_scales("t", t) * self._scales
        size = np.abs(st)
        if self.alpha == 1:
            skew = -2 / np.pi * np.log(np.where(size > 0, size, 1.0))
        else:
            skew = math.copysign(self._tangent, 1 - self.alpha)
        return np.exp(-(size**self.alpha) * (1 - 1j * self.beta * np.sign(st) * skew))

    @property
    def _tangent(self):
        """|tan(πα/2)|, exact to rounding near α = 1 and 2 too; α ≠ 1."""
        x = min(self.alpha, 2 - self.alpha)
        return math.tan(math.pi * x / 2) if x < 0.5 else 1 / math.tan(math.pi * abs(1 - self.alpha) / 2)

    def _moment(self, order):
        a, q = self.alpha, order
        if a == 2:
            return Gaussian(math.sqrt(2.0)).moment(q)
        if a == 1 and self.beta:
            return self._moment_of_alpha_one(q)
        zeta = 0.0 if self.beta == 0 else self.beta * self._tangent  # its sign does not matter
        skew = (1 + zeta**2) ** (q / (2 * a)) * math.cos(q / a * math.atan(zeta))
        return 2 / math.pi * math.gamma(1 - q / a) * math.gamma(1 + q) * math.sin(math.pi * q / 2) / q * skew

    def _moment_of_alpha_one(self, q):
        """(2/π) Γ(1 + q) sin(πq/2) ∫ (1 − Re φ(t)) t^{−q−1} dt."""
        from scipy.integrate import quad

        def missing(t):
            return 1 - math.exp(-t) * math.cos(2 / math.pi * self.beta * t * math.log(t)) if t > 0 else 0.0

        near = quad(lambda t: missing(t) / t if t > 0 else 1.0, 0, 1, weight="alg", wvar=(-q, 0))[0]
        far = quad(lambda t: missing(t) * t ** (-q - 1), 1, _PHASES, limit=200)[0] + _PHASES**-q / q
        return 2 / math.pi * math.gamma(1 + q) * math.sin(math.pi * q / 2) * (near + far)

    def _law(self):
        from scipy import stats

        if self.alpha == 2:
            return stats.norm(scale=math.sqrt(2))
        if self.alpha == 1 and self.beta == 0:
            return stats.cauchy()
        return StableLaw(self.alpha, self.beta, *self._ends)

    def _kernel_name(self):
        return "stable_one" if self.alpha == 1 else "stable"

    def _own_params(self):
        a, b = self.alpha, self.beta
        if a == 1:
            return [b], 1.0
        upper, lower = self._ends
        numbers = [1 / a, (1 - a) / a, math.copysign(a, 1 - a), abs(1 - a), upper / math.pi, lower / math.pi]
        return numbers, (1 + (b * self._tangent) ** 2) ** (1 / (2 * a))

    @property
    def _ends(self):
        """π times the ends of :func:`dynsim._kernels.noise.stable_value`; α ≠ 1."""
        if self.alpha == 1:
            return 0.0, 0.0
        b, t = self.beta, self._tangent
        return math.atan2((1 + b) * t, 1 - b * t * t), math.atan2((1 - b) * t, 1 + b * t * t)
