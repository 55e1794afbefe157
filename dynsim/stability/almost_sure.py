"""Step sizes up to which w → 0 almost surely, and up to which E‖w‖² → 0 where draws depend on the direction of w.

One dimension in closed form, two by :mod:`dynsim.stability.directions`, and more, or many different batches, or
momentum, by :mod:`dynsim.stability.population`.
"""

import contextlib
import math

import numpy as np
from scipy.optimize import brentq

from dynsim.errors import TooLarge
from dynsim.stability import directions, population
from dynsim.stability.bounds import Bounds
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.mean_square import deterministic, mean_square

_BEND = 1e-12  # of the distance between two poles: where the slope is looked at
_STDERRS = 4
_ANGLES, _FEW_ANGLES = 1024, 256  # errors of a growth below 1e-4 with few


def lyapunov_exponent(dynamics: Dynamics, eta: float, rng: int = 0) -> tuple[float, float]:
    """Λ = lim log‖w_k‖/k, and its error: 0 in closed form, a bound on a grid, a standard error of particles.

    Λ is the mean of Σ p_n(u) log‖(I − η (a_n/p_n(u)) H_n) u‖ over the stationary law of the direction u.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stability.dynamics import Dynamics
    >>> rows = ds.stability.linearized.terms(gradients=[[1.0], [2.0]])  # H_n = 1 and 4, in units of 5/2: 0.4 and 1.6
    >>> value, error = lyapunov_exponent(Dynamics.of(rows, ds.SGD(0.1)), 0.5)
    >>> round(value, 6), error  # (log 0.8 + log 0.2)/2
    (-0.916291, 0.0)
    """
    how = _method(dynamics)
    if how == "deterministic":
        return math.log(max(_largest_multiplier(dynamics, eta), 1e-300)), 0.0
    if how == "closed form":
        return _mean_log(eta, *_multipliers(dynamics)), 0.0
    if how == "circle":
        return directions.lyapunov(dynamics, eta)
    sample = population.lyapunov_sample(dynamics, eta, rng)
    return sample.mean, sample.stderr + sample.drift


def growth_by_direction(dynamics: Dynamics, eta: float, rng: int = 0, *, coarse: bool = False) -> tuple[float, float]:
    """log of the factor by which E‖w‖² grows per step, and its error as for :func:`lyapunov_exponent`.

    The factor is the Perron root of (K f)(u) = Σ p_n(u) ‖M_n(u) u‖² f(direction of M_n(u) u). ``coarse``: with fewer
    angles or particles, and without a look at the bias of the latter.
    """
    how = _method(dynamics)
    if how == "deterministic":
        return 2 * math.log(max(_largest_multiplier(dynamics, eta), 1e-300)), 0.0
    if dynamics.rank == 1 and dynamics.kind == "sgd":
        factor = 1 - 2 * eta + eta**2 * float(dynamics.second_moment(np.ones(1)))
        return math.log(max(factor, 1e-300)), 0.0
    if how == "circle":
        return directions.mean_square_growth(dynamics, eta, _FEW_ANGLES if coarse else _ANGLES)
    sample = population.mean_square_sample(dynamics, eta, rng, coarse=coarse)
    if coarse:
        return sample.mean, sample.stderr + sample.drift
    halved = population.mean_square_sample(dynamics, eta, rng, halved=True)
    return sample.mean, sample.stderr + sample.drift + abs(sample.mean - halved.mean)


def almost_sure(dynamics: Dynamics, rng: int = 0) -> Bounds:
    """The first zero above 0 of the top Lyapunov exponent Λ(η): below, w → 0 almost surely from almost every start.

    Λ may turn negative again: for r = 1 ``details["stable_again"]`` is the range of larger step sizes around the next
    pole in which it is, or None.
    """
    how = _method(dynamics)
    if how == "deterministic":
        limit = deterministic(dynamics).lower
        return Bounds(limit, limit, None, _details(how, None, 0.0))
    if how == "closed form":
        p, c = _multipliers(dynamics)
        value, again = _in_one_dimension(p, c)
        slope = _slope(p, c, value)
        return Bounds(value, value, None, _details(how, slope, 0.0) | {"stable_again": again})
    low, certain = _below(dynamics)
    if how == "circle":
        rate = _exponent_on(dynamics)
        value, error, slope = directions.first_zero(dynamics, rate, low, math.inf)
        return Bounds(max(certain, value - error), value + error, None, _details(how, slope, 0.0) | {"error": error})

    def run(eta, **how):
        return population.lyapunov_sample(dynamics, eta, rng, **how)

    zero = population.find_zero(run, *population.scan(run, low, math.inf))
    error = _STDERRS * zero.stderr + zero.bias
    details = _details(how, zero.slope, zero.stderr) | {"bias": zero.bias}
    return Bounds(max(zero.value - error, certain), zero.value + error, None, details)


def _below(dynamics):
    """Where a scan for the almost-sure threshold starts, and what is certain: the mean-square one where it is exact."""
    low = safe(dynamics)
    if dynamics.draws.second is not None:
        with contextlib.suppress(TooLarge):
            low = mean_square(dynamics).lower
            return low, low
    return low, _certain(dynamics, low)


def mean_square_by_direction(dynamics: Dynamics, rng: int = 0) -> Bounds:
    """The smallest η > 0 beyond which E‖w_k‖² grows, for draws that depend on the direction of w.

    It is at most where the mean E w_k = (I − ηH)ᵏ w_0 grows, since E‖w‖² ≥ ‖E w‖²: 2 for SGD.
    """
    how = _method(dynamics)
    high = deterministic(dynamics).lower
    if how == "deterministic":
        return Bounds(high, high, None, _details(how, None, 0.0))
    if dynamics.rank == 1 and dynamics.kind == "sgd":
        value = 2 / float(dynamics.second_moment(np.ones(1)))
        return Bounds(value, value, np.ones(1), _details("closed form", None, 0.0))
    low = safe(dynamics)
    least = _certain(dynamics, low)
    if how == "circle":
        value, error, slope = directions.first_zero(dynamics, _growth_on(dynamics), low, 1.2 * high)
        direction = directions.growth_on(dynamics, value, 512)[1]
        upper = max(least, min(high, value + error))
        details = _details(how, slope, 0.0) | {"error": error}
        return Bounds(min(max(least, value - error), upper), upper, direction, details)

    def run(eta, **how):
        return population.mean_square_sample(dynamics, eta, rng, **how)

    zero = population.find_zero(run, *population.scan(run, low, high))
    bias = zero.bias + abs(zero.sample.mean - run(zero.value, halved=True).mean) / zero.slope
    error = _STDERRS * zero.stderr + bias
    upper = max(least, min(high, zero.value + error))
    direction = np.linalg.eigh(zero.sample.form)[1][:, -1] if dynamics.kind == "sgd" else None
    details = _details(how, zero.slope, zero.stderr) | {"bias": bias}
    return Bounds(min(max(least, zero.value - error), upper), upper, direction, details)


def safe(dynamics: Dynamics) -> float:
    """2/κ with E‖A u‖² ≤ κ uᵀ H u: below it E‖w‖² shrinks in every step of SGD. For momentum, where scans start."""
    draws, a = dynamics.draws, dynamics.weights
    sizes = dynamics.terms.sizes / dynamics.unit
    if draws.second is not None:
        spread = (draws.second * sizes / a).max()
    else:
        by_norm = (a @ sizes) / draws.share  # Cauchy–Schwarz on (Σ a_n ‖H_n u‖)²
        by_weight = sizes.max() / (1 - draws.share) if draws.share < 1 else math.inf
        spread = min(by_norm, by_weight) / draws.batch
    limit = 2 / float(spread + max(draws.mean, 0.0))
    return limit if dynamics.kind == "sgd" else 0.5 * (1 - abs(dynamics.momentum)) ** 2 * limit


def _certain(dynamics, low):
    return low if dynamics.kind == "sgd" else 0.0


def _details(how, slope, stderr):
    return {"method": how, "slope": slope, "stderr": stderr}


def _method(dynamics):
    if directions.is_deterministic(dynamics):
        return "deterministic"
    if dynamics.kind == "sgd" and dynamics.rank <= 2 and directions.are_few(dynamics):
        return "closed form" if dynamics.rank == 1 else "circle"
    return "population"


def _growth_on(dynamics):
    return lambda eta, m: directions.growth_on(dynamics, eta, m)[0]


def _exponent_on(dynamics):
    return lambda eta, m: directions.exponent_on(dynamics, eta, m)


def _largest_multiplier(dynamics, eta):
    """The spectral radius of the update with A = H = diag(λ)."""
    D, G, row = directions.update(dynamics, eta)
    query = np.eye(G.size)[row]
    each = D + dynamics.curvatures[:, None, None] * np.outer(G, query)
    return float(np.abs(np.linalg.eigvals(each)).max())


def _multipliers(dynamics):
    """Probabilities and c of the factors 1 − ηc that w is multiplied by for r = 1."""
    chance, pull = directions.steps(dynamics, np.ones((1, 1)), directions.outcomes(dynamics))
    c, which = np.unique(pull[0, :, 0], return_inverse=True)
    return np.bincount(which, chance[0]), c


def _mean_log(eta, p, c):
    return float(p @ np.log(np.maximum(np.abs(1 - eta * c), 1e-300)))


def _in_one_dimension(p, c):
    """The first zero of Λ(η) = Σ p log|1 − ηc|, and the first range beyond where Λ is negative again, around a pole.

    Λ is concave between its poles 1/c, where it is −∞.
    """
    poles = np.append(np.unique(1 / c[c > 0]), np.inf)
    zero, top, k = _rise(p, c, poles, 0)
    if poles[k + 1] == np.inf:
        return zero, None
    pole = poles[k + 1]
    low = brentq(lambda eta: _mean_log(eta, p, c), top, pole * (1 - 1e-15), xtol=1e-14 * pole)
    return zero, (float(low), _rise(p, c, poles, k + 1)[0])


def _rise(p, c, poles, first):
    """The first zero beyond poles[first], the place of the maximum behind it, and the number of the pole before it."""
    for k in range(first, poles.size - 2):
        left, right = poles[k], poles[k + 1]
        inner = left + _BEND * (right - left), right - _BEND * (right - left)
        ends = [_slope(p, c, eta) for eta in inner]
        if not ends[0] > 0 > ends[1]:
            continue
        top = brentq(lambda eta: _slope(p, c, eta), *inner, xtol=1e-14 * right)
        if _mean_log(top, p, c) > 0:
            return _root(p, c, left, top), top, k
    top = 2 * poles[-2]
    while _mean_log(top, p, c) <= 0:
        top *= 2
    return _root(p, c, poles[-2], top), top, poles.size - 2


def _root(p, c, pole, top):
    return float(brentq(lambda eta: _mean_log(eta, p, c), pole * (1 + 1e-15), top, xtol=1e-14 * top))


def _slope(p, c, eta):
    with np.errstate(divide="ignore"):  # ±∞ at a pole
        return -float(p @ (c / (1 - eta * c)))
