"""The laws whose draws are functions of one or two uniform numbers."""

import math
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.noise.base import Noise


@dataclass(frozen=True)
class Gaussian(Noise):
    """Normal noise with standard deviation ``scale``; all moments are finite.

    Parameters
    ----------
    scale : float or sequence of float
        Standard deviation, of all coordinates or of each.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.noise.Gaussian(scale=(1.0, 0.5)).variance
    array([1.  , 0.25])
    """

    scale: ArrayLike = 1.0

    def __post_init__(self):
        self._keep_scale()

    def _moment(self, order):
        return 2 ** (order / 2) * math.gamma((order + 1) / 2) / math.gamma(0.5)

    def _law(self):
        from scipy import stats

        return stats.norm()

    def _kernel_name(self):
        return "gaussian"


@dataclass(frozen=True)
class StudentT(Noise):
    """Student's t: ``scale`` times t with ν = ``df`` degrees of freedom.

    E|ξ|^q is infinite for q ≥ ν: there is no mean for ν ≤ 1 (ν = 1 is Cauchy), no variance for ν ≤ 2. Drawn by Bailey's
    method, √(ν(u^{−2/ν} − 1)) cos 2πv.

    Parameters
    ----------
    df : float
        ν > 0.
    scale : float or sequence of float

    Examples
    --------
    >>> import dynsim as ds
    >>> noise = ds.noise.StudentT(df=1.5)
    >>> noise.mean, noise.variance
    (0.0, np.float64(inf))
    """

    df: float
    scale: ArrayLike = 1.0
    components_per_coordinate = 2

    def __post_init__(self):
        object.__setattr__(self, "df", _check.positive("df", self.df))
        self._keep_scale()

    @property
    def tail_index(self) -> float:
        """The degrees of freedom ν."""
        return self.df

    def _moment(self, order):
        from scipy.special import beta

        nu, q = self.df, order
        return (
            nu ** (q / 2) * math.gamma((q + 1) / 2) * beta((nu - q) / 2, q / 2) / (math.gamma(q / 2) * math.gamma(0.5))
        )

    def _law(self):
        from scipy import stats

        return stats.t(self.df)

    def _kernel_name(self):
        return "student_t"

    def _own_params(self):
        return [self.df, 2 / self.df], 1.0


@dataclass(frozen=True)
class Pareto(Noise):
    """Pareto's law, P(Y > y) = y^{−α} for y ≥ 1, centered or with a random sign.

    One-sided, ξ = s (Y − α/(α − 1)): mean 0, never below −s/(α − 1). Symmetric, ξ = ±s Y: never between −s and s.
    E|ξ|^q is infinite for q ≥ α: no variance for α ≤ 2, and no mean for α ≤ 1, where only the symmetric law is allowed.

    Parameters
    ----------
    alpha : float
        Tail index α: above 1, or positive if symmetric.
    scale : float or sequence of float
    symmetric : bool, keyword-only
        A random sign instead of the centering.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.noise.Pareto(alpha=1.5).variance, ds.noise.Pareto(alpha=3.0).variance
    (np.float64(inf), np.float64(0.75))
    """

    alpha: float
    scale: ArrayLike = 1.0
    symmetric: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "alpha", _check.positive("alpha", self.alpha))
        _check.instance("symmetric", self.symmetric, bool, "True or False")
        if not self.symmetric and self.alpha <= 1:
            raise ArgumentError(
                f"alpha must be above 1, got {self.alpha:g}: the one-sided law has no mean to center it by; "
                "with symmetric=True it may be any positive number"
            )
        self._keep_scale()

    @property
    def tail_index(self) -> float:
        """The index α."""
        return self.alpha

    def _moment(self, order):
        a, q = self.alpha, order
        if self.symmetric:
            return a / (a - q)
        if q == 2:
            return a / ((a - 1) ** 2 * (a - 2))
        from scipy.special import beta, hyp2f1

        above = beta(a - q, q + 1)  # ∫_0^1 z^{α−q−1} (1 − z)^q dz, z = mean/y
        below = hyp2f1(a + 1, q + 1, q + 2, 1 / a) * a ** -(q + 1) / (q + 1)  # ∫_0^{1/α} w^q (1 − w)^{−α−1} dw
        return a * (a / (a - 1)) ** (q - a) * (above + below)

    def _law(self):
        from scipy import stats

        return _SymmetricPareto(self.alpha) if self.symmetric else stats.pareto(self.alpha, loc=-self._center)

    @property
    def _center(self):
        return self.alpha / (self.alpha - 1)

    def _kernel_name(self):
        return "symmetric_pareto" if self.symmetric else "pareto"

    def _own_params(self):
        return [1 / self.alpha] if self.symmetric else [1 / self.alpha, self._center], 1.0


class _SymmetricPareto:
    def __init__(self, alpha):
        self.alpha = alpha

    def pdf(self, x):
        size = np.abs(x)
        return np.where(size < 1, 0.0, 0.5 * self.alpha * np.maximum(size, 1.0) ** (-self.alpha - 1))

    def cdf(self, x):
        beyond = 0.5 * np.maximum(np.abs(x), 1.0) ** -self.alpha
        return np.where(x > 0, 1.0 - beyond, beyond)

    def ppf(self, q):
        with np.errstate(divide="ignore", invalid="ignore"):
            size = (2 * np.minimum(q, 1 - q)) ** (-1 / self.alpha)
        return np.where((q >= 0) & (q <= 1), np.where(q > 0.5, size, -size), np.nan)


@dataclass(frozen=True)
class TwoPoint(Noise):
    """Two values with mean 0: ξ = s (p − z), z = 1 with probability p, else 0.

    So ξ = −s (1 − p) with probability p and s p otherwise. Z's oracle (4.5) is the gradient x − p/(2γ) with this noise
    and s = 1/(2γ). All moments are finite, but for small p all except the first are due to rare spikes. Rare upward
    spikes: p near 1. Two equally likely values ±a: p = ½, s = 2a.

    Parameters
    ----------
    p : float
        Probability of the lower value, in (0, 1).
    scale : float or sequence of float
        s > 0, the distance between the two values.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.noise.TwoPoint(p=0.5, scale=2.0).sample(6, rng=1)
    array([ 1.,  1.,  1.,  1., -1., -1.])
    """

    p: float
    scale: ArrayLike = 1.0

    def __post_init__(self):
        object.__setattr__(self, "p", _check.between("p", self.p, 0, 1))
        self._keep_scale()

    @property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The value that has probability p and the other one."""
        return -self._scales * (1 - self.p), self._scales * self.p

    def pdf(self, x: ArrayLike) -> np.ndarray:
        """There is none."""
        raise NotApplicable("TwoPoint has no density: it takes two values, see .values")

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(ξ ≤ x): (...) -> (...)."""
        x = self._numbers_like_scales("x", x)
        low, high = self.values
        return np.where(np.isnan(x), np.nan, np.where(x >= high, 1.0, np.where(x >= low, self.p, 0.0)))

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The smallest x with P(ξ ≤ x) ≥ q: (...) -> (...), nan for q outside [0, 1]."""
        q = self._numbers_like_scales("q", q)
        return np.where((q >= 0) & (q <= 1), np.where(q <= self.p, *self.values), np.nan)

    def _moment(self, order):
        return self.p * (1 - self.p) ** order + (1 - self.p) * self.p**order

    def _kernel_name(self):
        return "two_point"

    def _own_params(self):
        return [self.p], 1.0
