"""SDEs that carry their exact laws."""

import functools
import math
from collections.abc import Callable

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sde import SDE

NODES = 16  # Gauss–Legendre nodes on each panel
_PANELS = 2 ** np.arange(8, 15)  # tried in turn, until the integral no longer changes
_AGREEMENT = 1e-10  # relative change that counts as none
_COMPILED: dict[tuple, SDE] = {}  # by its functions: other parameters need no other machine code


class ExactSDE(SDE):
    """An Itô SDE dX = μ(X) dt + σ(X) dW with exact laws, made by the functions of :mod:`dynsim.sdes`."""

    def __init__(
        self,
        name: str,
        drift: Callable,
        diffusion: Callable,
        params: ArrayLike,
        *,
        stationary: Callable | str,
        transition: Callable | str,
        path: Callable | str = "X_t of this SDE is not known as a function of t and W_t",
        fields: bool = False,
        **options,
    ):
        """Take drift and diffusion written for one path, or, with ``fields``, compiled for blocks of them."""
        compiled = (drift, diffusion, np.size(params), *sorted(options.items()))
        if fields:
            template = SDE._from_fields(drift, diffusion, params=params, breaks=(), name=name, **options)
        elif compiled in _COMPILED:
            template = _COMPILED[compiled]
        else:
            template = _COMPILED[compiled] = SDE(drift, diffusion, params=params, **options)
        self.__dict__.update(template.__dict__)
        self.name, self.params = name, np.array(params, dtype=np.float64)
        self._laws = {"stationary": stationary, "transition": transition, "path": path}  # or why there is none

    def transition(self, x0: ArrayLike, t: float):
        """Law of X_t given X_0 = x0, a scalar or (dim,): a frozen SciPy distribution.

        For dim 1 one with ``pdf``, ``cdf``, ``ppf``, ``mean()``, ``std()``, ``rvs`` …; for more a
        ``multivariate_normal``, whose ``mean`` and ``cov`` are arrays. Raises NotApplicable where no such law is known.
        """
        law = self._known("transition")
        x0, t = _check.start("x0", x0, 1, self.dim)[0], _check.positive("t", t)
        try:
            with np.errstate(over="raise", invalid="raise"):
                return law(x0, t)
        except (OverflowError, FloatingPointError):
            raise NotApplicable(f"the law of X_t at t = {t:g} is beyond floating point") from None

    def stationary(self):
        """The stationary law, as :meth:`transition` returns laws; NotApplicable, with the reason, if there is none."""
        return self._known("stationary")()

    def path(self, x0: ArrayLike, t: ArrayLike, w: ArrayLike) -> np.ndarray:
        """X_t (..., dim) given X_0 = x0, a scalar or (dim,), times t (...) and W_t = w (..., noise_dim).

        The cumulative sum of :func:`dynsim.noise_increments` over steps is such a w. NotApplicable where X_t is no
        function of t and W_t.
        """
        solution = self._known("path")
        x0, w = _check.start("x0", x0, 1, self.dim)[0], _check.points("w", w, self.noise_dim)
        try:
            times = np.broadcast_to(np.asarray(t, dtype=np.float64), w.shape[:-1])
        except (TypeError, ValueError):
            got = getattr(t, "shape", t)
            raise ArgumentError(f"t must fit the shape of w without its last axis, {w.shape[:-1]}, got {got}") from None
        return solution(x0, times, w)

    def mean_first_passage(self, x0: float, target: float) -> float:
        """Mean time from x0 to the first visit of ``target``, for dim 1, from the stationary density p.

        T = ∫ 2 F(y) / (σ²(y) p(y)) dy from x0 up to ``target``, F(y) the probability below y; for a target below x0,
        of the probability above y, from ``target`` up to x0. This is the double integral over the scale and the speed
        of the diffusion (Pavliotis 2014, chapter 7), because μ p = ½ (σ² p)'. Raises NotApplicable where there is no
        stationary law, or T is out of reach of floating point.
        """
        if self.dim != 1:
            raise NotApplicable(f"mean_first_passage is for dim 1, this SDE has dim {self.dim}")
        law = self.stationary()
        least, most = map(float, law.support())
        x0, target = _check.real("x0", x0), _check.between("target", target, least, most)
        if not least <= x0 <= most:
            raise ArgumentError(f"x0 must lie between {least:g} and {most:g}, got {x0:g}")
        log_tail = law.logcdf if x0 <= target else law.logsf

        def slowness(y):
            log_share = log_tail(y) - law.logpdf(y)
            log_share[~np.isfinite(log_share)] = np.nan  # rather than a 0 that looks like a result
            return 2 * np.exp(log_share) / self.covariance(0.0, y[..., None])[..., 0, 0]

        before = math.nan
        for n in _PANELS:
            edges = np.linspace(min(x0, target), max(x0, target), n + 1)
            with np.errstate(all="ignore"):
                value = float(integral(slowness, edges[:-1], edges[1:]).sum())
            if abs(value - before) <= _AGREEMENT * value < math.inf:
                return value
            before = value
        raise NotApplicable(f"the mean time from {x0:g} to {target:g} is out of reach of floating point")

    def _known(self, kind):
        law = self._laws[kind]
        if isinstance(law, str):
            raise NotApplicable(law)
        return law


@functools.cache
def _rule():
    return np.polynomial.legendre.leggauss(NODES)


def integral(function, low, high):
    """∫ of a function of arrays from low to high, arrays alike, by Gauss–Legendre."""
    nodes, weights = _rule()
    half = 0.5 * (high - low)
    return (function((low + half)[..., None] + half[..., None] * nodes) * weights).sum(axis=-1) * half


def positive(**values):
    """The values, as floats above 0."""
    return [_check.positive(name, value) for name, value in values.items()]
