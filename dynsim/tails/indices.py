"""Estimators of the tail index, each with its error and a scan over what it was told."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.tails.sums import mohammadi
from dynsim.tails.thresholds import FEWEST_IN_TAIL, best_n_tail
from dynsim.tails.values import SCANNED, TailIndex, checked_tau, checked_values, tail_index_of

_FEWEST_FAR_OUT = 10  # values by which a tail is looked at, to see whether it goes on
METHODS = ("hill", "moment", "mohammadi")
SIDES = ("both", "upper", "lower")


def tail_index(
    values: ArrayLike,
    *,
    method: str = "hill",
    n_tail: int | None = None,
    block: int | None = None,
    side: str = "both",
    center: float = 0.0,
    tau: float = 1.0,
) -> TailIndex:
    r"""The tail index α of a sample, P(\|X\| > x) ~ x^{−α}, by one of three estimators.

    ============= ==================================== =======================================================
    method        is right for                         misleads
    ============= ==================================== =======================================================
    ``hill``      power tails, any α                   light tails: large α that grow with n, instead of inf
    ``moment``    all tails; light and bounded: α=inf  large error, √(1 + α²)·α/√k where Hill's is α/√k
    ``mohammadi`` strictly stable laws, 0 < α ≤ 2      anything else: finite variance gives 2, or less (below)
    ============= ==================================== =======================================================

    Parameters
    ----------
    values : array_like, shape (n,)
        At least 100, independent, or see ``tau``.
    method : {"hill", "moment", "mohammadi"}, optional
        :func:`hill`, :func:`moment` or :func:`mohammadi`, where the other arguments are explained.
    n_tail, block, side, center, tau : optional
        ``block`` for "mohammadi" only, ``n_tail`` and ``side`` for the others only.

    Returns
    -------
    TailIndex

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    >>> import dynsim as ds
    >>> index = ds.tails.tail_index(ds.noise.StudentT(df=1.0).sample(10_000, rng=0))
    >>> round(index.value, 1), index.infinite_variance
    (1.0, True)
    """
    _check.choice("method", method, METHODS)
    if method == "mohammadi":
        if n_tail is not None or side != "both":
            raise ArgumentError("n_tail and side are for the methods 'hill' and 'moment'; 'mohammadi' takes block")
        return mohammadi(values, block=block, center=center, tau=tau)
    if block is not None:
        raise ArgumentError(f"block is for the method 'mohammadi'; {method!r} takes n_tail")
    return (hill if method == "hill" else moment)(values, n_tail=n_tail, side=side, center=center, tau=tau)


def hill(
    values: ArrayLike, *, n_tail: int | None = None, side: str = "both", center: float = 0.0, tau: float = 1.0
) -> TailIndex:
    r"""Hill's estimator, 1/α = (1/k) Σ_{i≤k} log(X_(i)/X_(k+1)) of the k largest values: stderr α/√k.

    For exact Pareto tails it is the maximum likelihood estimate, with mean α k/(k − 1). Otherwise the tail is Pareto
    only far out, P(X > x) = C x^{−α}(1 + D x^{ρα} + …), ρ < 0, and k trades variance against a bias of the order of
    (k/n)^{−ρ}. The default k is Hall's, which makes the sum of both least, with ρ and β estimated from the sample.
    Measured for n = 10 000, the root mean square of α/α̂ − 1 is then 0.02 for Pareto, 0.04 for Cauchy, 0.10 for
    Student's t with 3 degrees of freedom and 0.09 for a stable law of index 1.5; with k = n/2 it is 0.01, 0.17, 1.15
    and 0.13. ``stderr`` does not know of the bias that is left, for the last two as large as itself; the scan does.

    ``infinite_variance`` is careful: α + 3 stderr < 2, no smaller k of at least 10 puts α above 2 by 1.5 standard
    errors, and :func:`moment`, which knows light tails, agrees, with γ above ½ by a standard error at k, above ½ at k/2
    and not below it by half a standard error at k/4. Measured shares of the samples in which it is True:

    ============================================ ========= ========= ========= ==========
    law                                          n = 200   n = 1 000 n = 4 000 n = 10 000
    ============================================ ========= ========= ========= ==========
    Cauchy                                       0.66      0.95      0.99      1.00
    stable, 1.5                                  0.03      0.12      0.39      0.85
    Student 3, normal, exponential, Weibull(½)   0.00      0.00      0.00      0.00
    a tenth uniform on (1, 50), the rest on 0–1  0.20      0.00      0.00      0.00
    normal, 2 % of them 100 times as wide        0.24      0.57      0.18      0.00
    lognormal, σ = 1.5                           0.11      0.13      0.04      0.01
    Weibull(0.3)                                 0.42      0.33      0.20      0.12
    ============================================ ========= ========= ========= ==========

    The last four have all moments: what a few values far out stand for cannot be told from a few hundred. Lognormal
    laws with σ ≥ 2 look infinite more often than not, at any usual size.

    Parameters
    ----------
    values : array_like, shape (n,)
        At least 100, independent, or see ``tau``. Zeros belong to no tail.
    n_tail : int, optional
        k, by default the one with the least estimated mean square error.
    side : {"both", "upper", "lower"}, optional
        The tail of \|X\|, X or −X.
    center : float, optional
        Subtracted first. Far from 0, as losses are, values show their tail only after that: take their median.
    tau : float, optional
        Integrated autocorrelation time of the values, at least 1: the standard error is widened by √τ.

    Returns
    -------
    TailIndex
        α = inf if the k largest are all equal, as those of a two-valued sample are.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, there are fewer than 100 values, or some are not finite.

    References
    ----------
    Hill (1975), Ann. Statist. 3; Hall (1982), J. R. Statist. Soc. B 44, the best k; Fraga Alves, Gomes & de Haan
    (2003), Port. Math. 60, ρ; Gomes & Martins (2002), Extremes 5, β.

    Examples
    --------
    >>> import dynsim as ds
    >>> index = ds.tails.hill(ds.noise.Pareto(alpha=1.5, symmetric=True).sample(1000, rng=0))
    >>> round(index.value, 2), round(index.stderr, 2), index.n_tail
    (1.54, 0.07, 500)
    """
    logs, n, tau = _tail("hill", values, side, center, tau)
    most = logs.size - 1
    k = best_n_tail(logs) if n_tail is None else _n_tail(n_tail, most)
    at = np.append(_scan_sizes(most), k)
    gammas = np.array([(logs[:j] - logs[j]).mean() if most > 0 else 0.0 for j in at])
    errors = gammas * np.sqrt(tau / np.maximum(at, 1))
    return tail_index_of("hill", side, n, tau, at, gammas, errors, confirmed=_confirmed(logs, tau, at, gammas))


def moment(
    values: ArrayLike, *, n_tail: int | None = None, side: str = "both", center: float = 0.0, tau: float = 1.0
) -> TailIndex:
    r"""The moment estimator of Dekkers, Einmahl & de Haan, of the extreme value index γ of any tail.

    γ = M1 + 1 − ½ / (1 − M1²/M2),  M_j = (1/k) Σ_{i≤k} log^j(X_(i)/X_(k+1)).

    α = 1/γ for γ > 0; γ = 0 for exponential tails and γ < 0 for bounded ones, both α = inf. The variance of γ is
    (1 + γ²)/k for γ ≥ 0, and (1 − γ)²(1 − 2γ)(1 − γ + 6γ²)/((1 − 3γ)(1 − 4γ))/k below.

    Parameters
    ----------
    values : array_like, shape (n,)
        At least 100, independent, or see ``tau``. Zeros belong to no tail.
    n_tail : int, optional
        k, by default that of :func:`hill`.
    side : {"both", "upper", "lower"}, optional
        The tail of \|X\|, X or −X.
    center : float, optional
        Subtracted first.
    tau : float, optional
        Integrated autocorrelation time of the values, at least 1: the standard error is widened by √τ.

    Returns
    -------
    TailIndex

    Raises
    ------
    ArgumentError
        If an argument is out of its range, there are fewer than 100 values, or some are not finite.

    References
    ----------
    Dekkers, Einmahl & de Haan (1989), Ann. Statist. 17.

    Examples
    --------
    >>> import numpy as np
    >>> import dynsim as ds
    >>> index = ds.tails.moment(np.random.default_rng(0).random(10_000))
    >>> index.value, round(index.gamma)
    (inf, -1)
    """
    logs, n, tau = _tail("moment", values, side, center, tau)
    most = logs.size - 1
    k = best_n_tail(logs) if n_tail is None else _n_tail(n_tail, most)
    at = np.append(_scan_sizes(most), k)
    gammas = np.array([_moment_gamma(logs[:j] - logs[j]) if most > 0 else -np.inf for j in at])
    return tail_index_of(
        "moment", side, n, tau, at, gammas, np.sqrt(_moment_variance(gammas) * tau / np.maximum(at, 1))
    )


def _confirmed(logs, tau, at, gammas):
    """Whether α < 2 by Hill's estimator holds farther out than the k, the last of ``at``, that it is estimated from.

    Bounded values and mixtures look like a power law over a part of the sample. So no smaller number may put α above 2
    by 1.5 standard errors, and the moment estimator, which knows light tails, must agree: γ above ½ by a standard error
    at k, above ½ at k/2, and not below it by half a standard error at k/4.
    """
    k, most = int(at[-1]), logs.size - 1
    if most < _FEWEST_FAR_OUT:
        return False
    further = (at >= _FEWEST_FAR_OUT) & (at <= k)
    if not (gammas > 0.5 * (1 - 1.5 * np.sqrt(tau / np.maximum(at, 1))))[further].all():
        return False
    for size, errors in ((k, 1.0), (k // 2, 0.0), (k // 4, -0.5)):
        size = min(max(size, _FEWEST_FAR_OUT), most)
        gamma = _moment_gamma(logs[:size] - logs[size])
        if not gamma > 0.5 + errors * np.sqrt(_moment_variance(gamma) * tau / size):
            return False
    return True


def _moment_gamma(excess):
    """γ from log(X_(i)/X_(k+1)); where these are all alike, 1 − M1²/M2 → 0, no tail at all."""
    first, second = excess.mean(), (excess**2).mean()
    spread = 1 - first**2 / second if second > 0 else 0.0
    return first + 1 - 0.5 / spread if spread > 1e-12 else -np.inf


def _moment_variance(gamma):
    """k times the variance of γ."""
    g = np.where(np.isfinite(gamma), np.minimum(gamma, 0.0), 0.0)
    bounded = (1 - g) ** 2 * (1 - 2 * g) * (1 - g + 6 * g * g) / ((1 - 3 * g) * (1 - 4 * g))
    return np.where(gamma >= 0, 1 + np.maximum(gamma, 0.0) ** 2, np.where(np.isfinite(gamma), bounded, 0.0))


def _tail(verb, values, side, center, tau):
    """Logarithms of what is not 0 on one side, descending (at least one); the size of the sample; tau."""
    values = checked_values(verb, values, center)
    _check.choice("side", side, SIDES)
    signed = np.abs(values) if side == "both" else values if side == "upper" else -values
    positive = signed[signed > 0]
    return np.sort(np.log(positive if positive.size else np.ones(1)))[::-1], values.size, checked_tau(tau)


def _n_tail(n_tail, most):
    n_tail = _check.count("n_tail", n_tail, least=2)
    if n_tail > most:
        raise ArgumentError(
            f"n_tail must be at most {max(most, 0)}, one less than the values on this side, got {n_tail}"
        )
    return n_tail


def _scan_sizes(most):
    """Numbers k to look at, from a few values to almost all."""
    low = min(FEWEST_IN_TAIL // 2, max(most, 1))
    return np.unique(np.geomspace(low, max(most, 1), SCANNED).round().astype(np.int64))
