"""The law of a Markov process in continuous time as it evolves: TR-BDF2, positive.

p' = p Q. A step is the trapezoidal rule over γ h, then BDF2; with γ = 2 − √2 both solve with I − α h Q, α = 1 − 1/√2
(Bank et al. 1985), which elimination without subtraction factors: Q's rates with 1/(α h) as the rate of leaving.
"""

import math

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results import Density
from dynsim.stationary.elimination import Elimination

_ALPHA = 1 - 1 / math.sqrt(2)
_GAMMA = 2 - math.sqrt(2)
_FIRST, _SECOND = 1 / (_GAMMA * (2 - _GAMMA)), (1 - _GAMMA) ** 2 / (_GAMMA * (2 - _GAMMA))
_ERROR = (-3 * _GAMMA**2 + 4 * _GAMMA - 2) / (12 * (2 - _GAMMA))  # of the step, over h³ p'''
_MOST_STEPS = 20_000
_MOST_DENSE = 4096  # states of which powers of the whole matrix, 128 MiB each, are formed
_DENSE_SPEED = 32  # multiplications of a dense product in the time of one of a sparse product


def evolve(process, p0, times: ArrayLike, tolerance: float) -> list[Density]:
    """The law at each of some times; see :meth:`dynsim.FokkerPlanck.evolve`."""
    times = _check.array("times", times, ndim=1)
    if times.size == 0 or times[0] < 0 or not (np.diff(times) > 0).all():
        raise ArgumentError("times must be increasing, from 0 on")
    tolerance = _check.positive("tolerance", tolerance)
    if process.rates.nnz and process.rates.data.min() < 0:
        raise NotApplicable("evolve needs rates that are not negative; use another scheme than 'central'")
    mass = masses_of(process, p0)
    stepper = _Stepper(process)
    t, result = 0.0, []
    h = 0.1 / max(stepper.fastest, 1e-300)
    for end in times:
        steps = 0
        while t < end:
            steps += 1
            if steps > _MOST_STEPS:
                raise NotApplicable(f"evolve needs more than {_MOST_STEPS} steps to t = {end:g}; raise tolerance")
            whole = t + h >= end * (1 - 1e-12)
            new, error = stepper.step(mass, end - t if whole else h)
            if error > tolerance * max(min(1.0, h / max(t, h)), 1e-3) and not stepper.smallest(h):
                h = 0.5 * (min(h, end - t))
                continue
            mass, t = new, end if whole else t + h
            if error < 0.05 * tolerance * max(min(1.0, h / max(t, h)), 1e-3) and not whole:
                h *= 2.0
        result.append(_density(process, mass, t))
    return result


def laws_after(process, p0, steps: ArrayLike) -> list[Density]:
    """The law of a chain after each of some numbers of steps; see :meth:`dynsim.TransferOperator.evolve`."""
    steps = step_numbers(steps)
    laws = masses_after(process.transition, masses_of(process, p0), steps)
    return [_density(process, mass, int(n), "step") for mass, n in zip(laws, steps, strict=True)]


def masses_after(transition, mass, steps):
    """The masses (m,) after each of some increasing numbers of steps."""
    m = mass.size
    backward = transition.T.tocsr()
    power, of = None, 0
    for gap in np.diff(steps, prepend=0).tolist():
        squarings = 2 * m**3 * math.log2(gap + 1) / _DENSE_SPEED
        if m > _MOST_DENSE or gap * (backward.nnz + m) <= squarings:
            for _ in range(gap):
                mass = backward @ mass
        else:
            if gap != of:
                power, of = np.linalg.matrix_power(backward.toarray(), gap), gap
            mass = power @ mass
        yield mass


def step_numbers(steps) -> np.ndarray:
    """Increasing whole numbers from 0 on, (n,)."""
    try:
        steps = np.atleast_1d(np.asarray(steps))
    except ValueError:
        steps = np.empty(0)
    whole = np.issubdtype(steps.dtype, np.integer) and steps.ndim == 1 and steps.size > 0
    if not whole or steps[0] < 0 or (np.diff(steps) <= 0).any():
        raise ArgumentError("steps must be increasing whole numbers from 0 on, at least one")
    return steps


class _Stepper:
    """Steps of a length that changes seldom: the factors of the last lengths are kept."""

    def __init__(self, process):
        self.process = process
        self.places = process._places(slice(None))
        self.fastest = float((np.asarray(process.rates.sum(axis=1)).ravel() + process.killing).max())
        self.closed = not process.killing.any()
        self.factors: dict[float, Elimination] = {}

    def smallest(self, h):
        """Whether a step is too short for its error to be more than rounding."""
        return h * self.fastest < 1e-3

    def step(self, mass, h):
        """Mass after a step, and an estimate of the step's error in total variation."""
        rate = 1 / (_ALPHA * h)
        if h not in self.factors:
            if len(self.factors) > 2:
                self.factors.pop(next(iter(self.factors)))
            self.factors[h] = Elimination(self.process.rates, self.places, leaving=self.process.killing + rate)

        def filtered(v):  # v (I − α h Q)⁻¹
            return self.factors[h].solve_left(rate * v)

        # no product with Q, which would make errors of rounding large
        middle = 2 * filtered(mass) - mass
        end = filtered(_FIRST * middle - _SECOND * mass)
        third = mass / _GAMMA - middle / (_GAMMA * (1 - _GAMMA)) + end / (1 - _GAMMA)
        error = np.abs(_ERROR / _ALPHA * (filtered(third) - third)).sum()  # the stiff parts filtered out
        if self.closed:
            end *= mass.sum() / end.sum()
        return end, float(max(error, -end.sum(where=end < 0)))  # what is negative is an error too


def masses_of(process, p0) -> np.ndarray:
    """The masses (m,) of a start: a density on the same grid or states, masses, or a point."""
    m = len(process.x)
    if isinstance(p0, Density):
        if p0.x.shape != process.x.shape or not np.array_equal(p0.x, process.x):
            raise ArgumentError(f"p0 must be a density on the cells of {process.label}, this one is on others")
        return p0.mass
    try:
        p0 = np.asarray(p0, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"p0 must be a Density, masses or a point, got {type(p0).__name__}") from None
    if p0.shape == (m,) and m != process.x.shape[1]:
        if not (np.isfinite(p0).all() and (p0 >= 0).all() and p0.sum() > 0):
            raise ArgumentError("p0 must be masses that are finite and not negative")
        return p0 / p0.sum()
    point = _check.start("p0", p0, 1, process.x.shape[1])[0]
    mass = process._point_mass(point)
    if mass is None:
        raise ArgumentError(f"p0 = {point.tolist()} lies outside the {'states' if process.grid is None else 'grid'}")
    return mass


def _density(process, mass, t, unit="t ="):
    negative = float(-mass[mass < 0].sum())
    with np.errstate(divide="ignore"):
        log_mass = np.log(np.maximum(mass, 0.0))
    label = f"{process.label} at {unit} {t:g}"
    return Density(process.x, log_mass, process.grid, 0.0, 0.0, np.nan, label, process.settings, negative_mass=negative)
