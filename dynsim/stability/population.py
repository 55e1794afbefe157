"""Growth in any dimension, by particles: importance splitting for E‖w‖², long runs for the top Lyapunov exponent.

The state is z = (w), (w, ηv) or (w, q) of rows (r,); all n values of h(z') = z'ᵀ S z' over the last of the B terms of
a step are known in closed form, S from :func:`dynsim.stability.directions.eigenform`. For the mean square the term is
drawn with the chance p_n h(z'_n)/Σ p h, and Σ p_n h(z'_n)/h(z) is the weight of the particle, which would be the same
for all if h were an eigenfunction: so rare growth is not missed. For Lyapunov exponents it is drawn by p_n, and
Σ p_n ½ log(h(z'_n)/h(z)) is averaged, which is log‖z'‖/‖z‖ with the chance of the last draw and a telescoping term
taken out.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from dynsim.errors import Unresolved
from dynsim.stability.directions import eigenform, update
from dynsim.stability.dynamics import Dynamics

REPLICAS = 16  # independent populations, for the standard error
_EVERY = 4  # steps between resamplings
_WORK = 2**23  # particles × steps × terms of a fine run
_COARSE = 8  # times less work in a run that only looks for the zero
_RATIO = 1.3  # between the step sizes of a scan
_OFF_AXIS = 0.1  # of the starts, which would not leave an axis that all H_n map to itself
_LEFT = 0.1  # of a decay of the slowest mode of the mean: below, its direction is not left within a run
_SECANTS = 6
_DRIFTED = 0.01  # of a zero: a run that has not settled to this is repeated with _LONGER times the steps
_LONGER = 4
_RELAXED = 8  # times the memory 1/(1 − μ) of a method, for which a run lasts at least
_LOWEST = 1e-3  # of the step size where a scan starts: a rate that is positive there still is noise
_TINY = 1e-300


class Sample(NamedTuple):
    """Rates (R, 2) of R replicas over the first and second half of a run, and the form S.

    Even replicas started near the direction in which the mean decays most slowly, odd ones near the fastest. A run too
    short for either to be left has a ``memory`` of O(1) in log‖z‖ over all steps.
    """

    rates: np.ndarray
    form: np.ndarray
    memory: float

    @property
    def mean(self) -> float:
        """Mean over replicas."""
        return float(self.rates.mean())

    @property
    def stderr(self) -> float:
        """Its standard error, from the spread of the replicas."""
        return _stderr(self.rates.mean(axis=1))

    @property
    def drift(self) -> float:
        """By how much more than 3 standard errors the halves, or the two starts, differ; at least the memory."""
        change = self.rates[:, 1] - self.rates[:, 0]
        start = self.rates[::2].mean(axis=1) - self.rates[1::2].mean(axis=1)
        return max(self.memory, *(abs(float(gap.mean())) - 3 * _stderr(gap) for gap in (change, start)))


@dataclass(frozen=True, eq=False)
class Stepper:
    """One step of all particles z (N, s, r) at a time, with h(z) = 1."""

    dynamics: Dynamics
    eta: float
    form: np.ndarray
    parts: tuple = field(init=False)

    def __post_init__(self):
        D, G, row = update(self.dynamics, self.eta)
        s, r = G.size, self.dynamics.rank
        inner = np.einsum("a,ajbk,b->jk", G, self.form.reshape(s, r, s, r), G)
        diagonal = None
        if self.dynamics.features is not None:
            diagonal = ((self.dynamics.features @ inner) * self.dynamics.features).sum(axis=1)
        object.__setattr__(self, "parts", (D, G, row, inner, diagonal))

    def normalized(self, z: np.ndarray) -> np.ndarray:
        """Z with h(z) = 1."""
        flat = z.reshape(len(z), -1)
        size = ((flat @ self.form) * flat).sum(axis=1)
        return z / np.sqrt(np.maximum(size, _TINY))[:, None, None]

    def branches(self, z: np.ndarray, rng: np.random.Generator):
        """Over the last draw: chances and h(z'_n), both (N, n), and what z'_n are made of: y (N, s, r), q, scale."""
        dynamics = self.dynamics
        D, G, row, inner, diagonal = self.parts
        q, B = z[:, row], dynamics.draws.batch
        y = np.einsum("ab,ibj->iaj", D, z)
        p = dynamics.probabilities(q)
        scale = np.divide(dynamics.weights, p, out=np.zeros(p.shape), where=p > 0) / B
        if dynamics.draws.distinct:
            scale = np.broadcast_to(dynamics.weights.size / B * dynamics.weights, p.shape)
            first = rng.random(p.shape).argpartition(B - 1, axis=1)[:, : B - 1]
            p = np.full(p.shape, 1 / (dynamics.weights.size - B + 1))
            np.put_along_axis(p, first, 0.0, axis=1)
        elif B > 1:
            first = _drawn(p, rng.random((len(z), B - 1)))
        if B > 1:
            y = y + G[:, None] * self._pull(q, first, np.take_along_axis(scale, first, axis=1))[:, None]
        flat = y.reshape(len(z), -1)
        Sy = flat @ self.form
        slope = np.einsum("a,iaj->ij", G, Sy.reshape(y.shape))
        start = (Sy * flat).sum(axis=1)[:, None]
        if dynamics.features is None:
            pulls = scale[..., None] * dynamics.each(q)
            cross, square = np.einsum("inj,ij->in", pulls, slope), ((pulls @ inner) * pulls).sum(axis=-1)
        else:
            along = scale * (q @ dynamics.features.T)
            cross, square = along * (slope @ dynamics.features.T), along**2 * diagonal
        return p, np.maximum(start + 2 * cross + square, _TINY), y, q, scale

    def __call__(self, z: np.ndarray, rng: np.random.Generator, *, tilted: bool) -> tuple[np.ndarray, np.ndarray]:
        """z' and, per particle, Σ p h(z'_n) if ``tilted``, else Σ p ½ log h(z'_n)."""
        p, h, y, q, scale = self.branches(z, rng)
        chance = p * h if tilted else p
        value = chance.sum(axis=1) if tilted else 0.5 * (p * np.log(h)).sum(axis=1)
        n = _drawn(chance, rng.random((len(z), 1)))
        after = y + self.parts[1][:, None] * self._pull(q, n, np.take_along_axis(scale, n, axis=1))[:, None]
        return self.normalized(after), value

    def _pull(self, q, n, scale):
        """Σ_b scale_b H_{n_b} q: (N, r)."""
        dynamics = self.dynamics
        if dynamics.features is None:
            return np.einsum("ib,ibjk,ik->ij", scale, dynamics.hessians[n], q)
        x = dynamics.features[n]
        return np.einsum("ib,ibj->ij", scale * np.einsum("ibj,ij->ib", x, q), x)


def _drawn(chance, uniform):
    """Indices (N, B) drawn by weights (N, n) from uniform numbers (N, B)."""
    steps = np.cumsum(chance, axis=1)
    level = uniform * (1 - 1e-15) * steps[:, -1:]  # so that one step lies above
    return np.stack([(steps > level[:, b : b + 1]).argmax(axis=1) for b in range(level.shape[1])], axis=1)


def _stderr(x):
    return float(x.std(ddof=1) / np.sqrt(x.size))


def sizes(dynamics: Dynamics, *, coarse: bool = False) -> tuple[int, int]:
    """Particles per replica and steps."""
    cost = max(32, dynamics.weights.size) * (1 if dynamics.features is not None else dynamics.rank)
    per_replica = _WORK // (_COARSE if coarse else 1) // cost // REPLICAS
    particles = int(np.clip(np.sqrt(per_replica) / 2, 16, 128))
    least = max(64 if coarse else 96, math.ceil(_RELAXED / (1 - dynamics.momentum)))
    return particles, int(np.clip(per_replica // particles, least, max(least, 4000))) // 8 * 8


def mean_square_sample(
    dynamics: Dynamics, eta: float, rng: int = 0, *, coarse: bool = False, halved: bool = False, longer: int = 1
) -> Sample:
    """Rates of growth of log E‖z‖² per step; halved: with half the particles, for the bias, which is O(1/N)."""
    N, steps = sizes(dynamics, coarse=coarse)
    return _sampled(dynamics, eta, np.random.default_rng(rng), N // (1 + halved), longer * steps, tilted=True)


def lyapunov_sample(dynamics: Dynamics, eta: float, rng: int = 0, *, coarse: bool = False, longer: int = 1) -> Sample:
    """Rates of growth of log‖z‖ per step along independent paths."""
    N, steps = sizes(dynamics, coarse=coarse)
    return _sampled(dynamics, eta, np.random.default_rng(rng), N, longer * steps, tilted=False)


def _sampled(dynamics, eta, rng, N, steps, *, tilted):
    D, G, row = update(dynamics, eta)
    size = G.size * dynamics.rank
    slowest = np.abs(np.linalg.eigvals(D + dynamics.curvatures[0] * np.outer(G, np.eye(G.size)[row]))).max()
    memory = 1 / steps if steps * abs(np.log(max(slowest, _TINY))) < _LEFT else 0.0
    z = _OFF_AXIS * rng.standard_normal((REPLICAS, N, G.size, dynamics.rank))
    z[::2, :, :, 0] += 1
    z[1::2, :, :, -1] += 1
    z = z.reshape(REPLICAS * N, G.size, dynamics.rank)
    z, _ = _run(Stepper(dynamics, eta, np.eye(size)), z, rng, N, steps // 4, tilted)
    form = eigenform(dynamics, eta, z[:, row])
    stepper = Stepper(dynamics, eta, form)
    z, _ = _run(stepper, z, rng, N, steps // 4, tilted)
    z, first = _run(stepper, z, rng, N, steps // 2, tilted)
    z, second = _run(stepper, z, rng, N, steps - steps // 2, tilted)
    return Sample(np.stack([first, second], axis=1), form, memory)


def _run(stepper, z, rng, N, steps, tilted):
    """The particles after some steps, and the mean rate (R,) of the replicas on the way."""
    total = np.zeros(REPLICAS)
    weights = np.ones((REPLICAS, N))
    z = stepper.normalized(z)
    for k in range(steps):
        z, value = stepper(z, rng, tilted=tilted)
        if not tilted:
            total += value.reshape(REPLICAS, N).mean(axis=1)
            continue
        weights *= value.reshape(REPLICAS, N)
        if (k + 1) % _EVERY == 0 or k + 1 == steps:
            total += np.log(weights.mean(axis=1))
            z = z[_resampled(weights, rng)]
            weights[:] = 1
    return z, total / steps


def _resampled(weights, rng):
    """Indices of survivors, by systematic resampling within each replica (R, N)."""
    R, N = weights.shape
    steps = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    places = (rng.random((R, 1)) + np.arange(N)) / N
    chosen = [np.minimum(np.searchsorted(steps[i], places[i]), N - 1) + i * N for i in range(R)]
    return np.concatenate(chosen)


class Zero(NamedTuple):
    """A zero of a rate, its standard error and other error, the slope there, and the run that shows it."""

    value: float
    stderr: float
    bias: float
    slope: float
    sample: Sample


def scan(run: Callable[..., Sample], low: float, high: float) -> tuple[float, float]:
    """Two step sizes around the smallest one, above about ``low``, from which a rate is positive.

    Positive means by 3 standard errors: while w decays only slowly along some direction, a rate is close to 0.
    """
    least = low * _LOWEST
    while _is_positive(run(low, coarse=True)):
        low /= 2
        if low < least:
            raise Unresolved("the growth of directions could not be told from 0 at any small step size")
    after = min(low * _RATIO, high)
    while after < high and not _is_positive(run(after, coarse=True)):
        low, after = after, min(after * _RATIO, high)
    return low, after


def _is_positive(sample):
    return sample.mean > 3 * sample.stderr


def find_zero(run: Callable[..., Sample], low: float, high: float) -> Zero:
    """The zero of a rate between two step sizes, all runs with the same random numbers.

    Short runs lead to its neighborhood, long ones from there to the zero.
    """
    zero = _refined(run, _near(lambda eta: run(eta, coarse=True).mean, low, high))
    if zero.bias > _DRIFTED * zero.value:
        return _refined(functools.partial(run, longer=_LONGER), zero.value)
    return zero


def _refined(run, near):
    """The zero by secants, with the slopes at both sides.

    Where one mode of growth takes over from another the rate has all but a kink: the smaller slope counts for the
    error, down to a fifth of the larger.
    """
    width = 0.02
    while True:
        below, above = run(near * (1 - width)), run(near * (1 + width))
        rise = above.rates.mean(axis=1) - below.rates.mean(axis=1)
        if width > 0.2 or rise.mean() > 8 * _stderr(rise):
            break
        width *= 2
    ends = (near * (1 - width), below.mean), (near * (1 + width), above.mean)
    (low, low_rate), (high, high_rate) = ends
    for _ in range(_SECANTS):
        here, at = run(near), near
        sides = [(rate - here.mean) / (eta - at) for eta, rate in ends if eta != at]
        slope = max(min(sides), max(sides) / 5, _TINY)
        if abs(here.mean) < here.stderr:
            break
        if here.mean < 0:
            low, low_rate, high_rate = near, here.mean, high_rate / 2  # halved as in the Illinois method
        else:
            high, high_rate, low_rate = near, here.mean, low_rate / 2
        if low_rate < 0 < high_rate:
            near = (low * high_rate - high * low_rate) / (high_rate - low_rate)
        else:
            near *= 1 - width if here.mean > 0 else 1 + width
    bias = (here.drift + max(0.0, abs(here.mean) - here.stderr)) / slope
    return Zero(float(at), float(here.stderr / slope), float(bias), float(slope), here)


def _near(rate, low, high):
    """About where a rate is zero; an end where it has the same sign at both."""
    first, last = rate(low), rate(high)
    if first >= 0:
        return low
    if last <= 0:
        return high
    return float(brentq(rate, low, high, xtol=5e-3 * low))
