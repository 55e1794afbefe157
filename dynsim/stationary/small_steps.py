"""What stays true as the step size goes to 0, when the masses of all minima but one underflow.

A chain θ ← θ − η ξ, ξ drawn anew at each θ, and its SDE dΘ = −m dt + √(ηΣ) dW, m = E ξ, Σ = Var ξ, stay at a minimum
for a time exp(ΔV/η), up to factors that matter less (Freidlin & Wentzell 1984, chapter 5). In one dimension the barrier
ΔV is the integral, uphill, of V'(θ) = λ, the root other than 0 of

    ln E exp(−λ ξ(θ)) = 0    for the chain,        −λ m(θ) + ½ λ² Σ(θ) = 0    for the SDE,  λ = 2 m/Σ,

the first being the equation by which exp(−V(θ)/η) is stationary, for steps so short that θ hardly changes
(Cramér 1938).
Both agree for Gaussian ξ, and where m is small against the single ξ.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD, Method
from dynsim.noise import Gaussian
from dynsim.problems import Problem
from dynsim.sampling import WithoutReplacement
from dynsim.stationary.barriers import QuasiPotential, build, gaussian_slope, refuse_still
from dynsim.stationary.outcomes import outcomes

_STILL = 64 * np.finfo(np.float64).eps  # relative to its parts, a sum that is nothing but rounding
_ITERATIONS = 200  # of Newton's method, which takes few unless λ is tiny against the single ξ
_SHORT = 2.0**-10  # a step size at which steps must be as long as at 1, but for this factor


@dataclass(frozen=True, eq=False)
class LargeDeviations:
    """Exponents of a chain and of its SDE side by side; from :func:`large_deviations`.

    Attributes
    ----------
    chain, sde : QuasiPotential
        With the same minima.
    label : str
    settings : dict
    """

    chain: QuasiPotential
    sde: QuasiPotential
    label: str
    settings: dict = field(repr=False)

    @property
    def agree(self) -> bool:
        """Whether the same minimum wins, or for both none alone."""
        return self.chain.winning == self.sde.winning

    def table(self) -> str:
        """The numbers for a terminal."""
        names = ("minimum", "chain: left", "right", "V", "SDE: left", "right", "V")
        columns = [self.chain.minima]
        for potential in (self.chain, self.sde):
            columns += [potential.barrier_left, potential.barrier_right, potential.weights]
        rows = [names, *([f"{value:.6g}" for value in row] for row in np.array(columns).T)]
        widths = [max(len(row[j]) for row in rows) for j in range(len(names))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        wins = "; ".join(
            f"{name}: {'none alone' if winner is None else f'{winner:.6g}'}"
            for name, winner in (("chain", self.chain.winner), ("SDE", self.sde.winner))
        )
        return "\n".join(
            [f"{self.label}, η → 0: times exp(barrier/η), masses exp(−V/η)", *lines, f"has all mass: {wins}"]
        )

    def plot(self, ax=None, **style):
        """Draw both quasi-potentials and return the Axes."""
        from dynsim.plot import plot_large_deviations

        return plot_large_deviations(self, ax, **style)

    def __repr__(self):
        return f"LargeDeviations({self.label}: chain to {self.chain.winner}, SDE to {self.sde.winner})"


def large_deviations(
    problem: Problem, method: Method, bounds: tuple[float, float] | None = None, *, n_cells: int = 1000
) -> LargeDeviations:
    """Which minimum wins as the step size goes to 0, and how long the others hold: for the chain and for its SDE.

    The landscape stays as it is and the step size goes to 0, so that of ``method`` does not matter. V' is the Cramér
    root of the increments for the chain, 2 m/Σ for the SDE, in one dimension; see the equations at the top of this
    module and :class:`QuasiPotential`. Exact but for rounding where the increments are piecewise constant with jumps at
    the kinks that the problem knows. Where no increment goes against the mean one, a barrier is infinite.

    Parameters
    ----------
    problem : Problem
        With ``dim`` 1.
    method : Method
        Without memory, with steps proportional to the step size; with finitely many outcomes, or SGD with
        ``noise.Gaussian``. Noise with heavier tails has no exponents: its chain leaves by single long steps.
    bounds : pair of float, optional
        The interval, into which the mean step must lead at both ends; the problem's own by default.
    n_cells : int, optional

    Returns
    -------
    LargeDeviations

    Raises
    ------
    NotApplicable
        If dim is not 1, the method is none of these, nothing moves somewhere, or the barriers depend on ``n_cells``,
        as where the noise vanishes at a minimum.
    ArgumentError
        If an argument is out of its range, or the mean step leads out of the bounds.

    References
    ----------
    M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems (1984), chapters 5 and 6.

    Examples
    --------
    >>> import dynsim as ds
    >>> balanced = ds.SGD(step_size=0.04, sampling=ds.sampling.Balanced())
    >>> found = ds.large_deviations(ds.problems.two_valleys(), balanced)
    >>> found.chain.winner, found.sde.winner, found.agree
    (-1.0, 0.2, False)
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if problem.dim != 1:
        raise NotApplicable(f"large_deviations is for dim 1, {problem.name} has dim {problem.dim}")
    if bounds is None and problem.bounds is None:
        raise ArgumentError(f"bounds must be given, since {problem.name} has none of its own")
    interval = _check.interval("bounds", problem.bounds[0] if bounds is None else bounds)
    n_cells = _check.count("n_cells", n_cells, least=4)
    draw = _Increments(problem, method)
    batches = "" if method.batch_size in (1, "full") else f" in batches of {method.batch_size}"
    label = f"{method.name}{batches} on {problem.name}"
    settings = {"problem": problem.name, "method": repr(method), "bounds": interval, "n_cells": n_cells}
    known = () if problem.minima is None else problem.minima[:, 0]
    chain, sde = (
        build(draw.mean, slope, interval, n_cells, problem.kinks, f"{kind} of {label}", settings, known)
        for kind, slope in (("chain", draw.chain_slope), ("SDE", draw.sde_slope))
    )
    return LargeDeviations(chain, sde, label, settings)


def cramer_root(increments, probabilities, variance: float = 0.0) -> np.ndarray:
    """The root λ ≠ 0 of ln Σ_n p_n exp(−λ ξ_n) + ½ λ² s² = 0, with the sign of the mean Σ p_n ξ_n; 0 if that is 0.

    The left side is convex and 0 at 0, with slope −E ξ. On the side of its other root each ξ_n against the mean bounds
    it, p_n exp(−λ ξ_n) ≤ 1, as does λ² s² ≤ 2 λ E ξ; from the least bound Newton's method falls to it monotonically.

    Parameters
    ----------
    increments, probabilities : ndarray, shape (q, K)
        ξ_n and p_n.
    variance : float, optional
        s² of a Gaussian number that is added to ξ.

    Returns
    -------
    ndarray, shape (q,)
        ±inf where nothing goes against the mean.
    """
    p, size = probabilities, np.abs(increments).max(axis=1, where=probabilities > 0, initial=0.0)[:, None]
    xi = np.where((p > 0) & (np.abs(increments) > _STILL * size), increments, 0.0)
    mean = _mean(xi, p)
    z, m = np.sign(mean)[:, None] * xi, np.abs(mean)
    lowest = z.min(axis=1, where=p > 0, initial=np.inf)[:, None]
    z = np.where(p > 0, z, lowest)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.fmin(np.where(z < 0, np.log(p) / z, np.inf).min(axis=1), 2 * m / variance)
    result = np.where(m > 0, u, 0.0)
    left = np.flatnonzero((m > 0) & (u < np.inf))
    for _ in range(_ITERATIONS):
        if not left.size:
            break
        v, q, zl, low = result[left], p[left], z[left], lowest[left, 0]
        share = q * np.exp(-v[:, None] * (zl - low[:, None]))
        total = share.sum(axis=1)
        # Σ p (e^{−λ z} − 1) keeps its digits near 0, where the other form keeps them far below
        change = (q * np.expm1(-v[:, None] * zl)).sum(axis=1)
        cumulant = np.where(change > -0.5, np.log1p(np.maximum(change, -0.5)), np.log(total) - v * low)
        slope = variance * v - (share * zl).sum(axis=1) / total
        step = np.maximum((cumulant + 0.5 * variance * v**2) / slope, 0.0)
        result[left] = v - step
        left = left[step > 4 * np.finfo(np.float64).eps * v]
    return np.sign(mean) * result


def _mean(xi, p):
    """Σ p ξ, 0 where it is the rounding of 0."""
    mean = (p * xi).sum(axis=1)
    return np.where(np.abs(mean) > _STILL * (p * np.abs(xi)).sum(axis=1), mean, 0.0)


class _Increments:
    """The law of ξ in a step θ ← θ − η ξ, at points x (q,)."""

    def __init__(self, problem: Problem, method: Method):
        self.problem, self.variance, self.batch = problem, 0.0, 1.0
        if type(method) is SGD:
            if isinstance(method.noise, Gaussian):
                self.variance = float(np.ravel(method.noise.variance)[0])
                method = replace(method, noise=None)
            if method.batch_size != "full" and not isinstance(method.sampling, WithoutReplacement):
                self.batch = float(method.batch_size)  # of independent draws: ln E exp(−λ ξ̄) = B ln E exp(−(λ/B) ξ)
                method = replace(method, batch_size=1)
        if method.noise is not None and not hasattr(method.noise, "values"):
            known = "noise.TwoPoint, and noise.Gaussian with SGD"
            raise NotApplicable(f"large_deviations knows the exponents of {known}, got {method!r}")
        self.method = replace(method, step_size=1.0)

    def _draws(self, x):
        targets, p = outcomes("large_deviations", self.problem, self.method, x[:, None])
        short = outcomes("large_deviations", self.problem, replace(self.method, step_size=_SHORT), x[:, None])[0]
        xi, again = (x[:, None] - targets[..., 0]), (x[:, None] - short[..., 0]) / _SHORT
        if not np.isfinite(xi).all():
            raise ArgumentError(f"a step is not finite from θ = {x[~np.isfinite(xi).all(axis=1)][0]:g}")
        if not np.allclose(xi, again, rtol=1e-6, atol=1e-9 * (1 + np.abs(x).max())):
            raise NotApplicable(f"large_deviations needs steps proportional to the step size, got {self.method.name}")
        return xi, p

    def mean(self, x):
        return _mean(*self._draws(x))

    def chain_slope(self, x):
        xi, p = self._draws(x)
        slope = self.batch * cramer_root(xi, p, self.variance * self.batch)
        if (still := (slope == 0) & (np.where(p > 0, xi, 0.0) == 0).all(axis=1)).any() and self.variance == 0:
            refuse_still(x[still][0])
        return slope

    def sde_slope(self, x):
        xi, p = self._draws(x)
        mean = _mean(xi, p)
        spread = (p * (xi - mean[:, None]) ** 2).sum(axis=1)
        spread = np.where(spread > (_STILL * np.abs(xi).max(axis=1)) ** 2, spread, 0.0)
        return gaussian_slope(mean, spread / self.batch + self.variance, x)
