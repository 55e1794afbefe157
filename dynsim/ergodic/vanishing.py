"""Z Theorem 6.4.1: how the mean change of φ in a step, over an empirical measure, vanishes with its length."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.chain import iterate
from dynsim.ergodic.invariance import consecutive
from dynsim.ergodic.transitions import Functions, Transition
from dynsim.errors import ArgumentError
from dynsim.methods import Method
from dynsim.problems import Problem

READINGS = ("realized", "resampled", "expected")
_LEAST_PATHS = 8
_LEAST_STEPS = 32
_A_DOUBLING = 3  # lengths for each factor of two
_FRESH = 0x5EED  # tells the fresh draws from those of the run


@dataclass(frozen=True, eq=False, repr=False)
class VanishingChange:
    """Mean change of φ over empirical measures μ_n, from :func:`dynsim.vanishing_change`.

    "realized" takes for F(θ_k) the step that the chain made, "resampled" a fresh draw of a step from each θ_k, and
    "expected" the mean over all steps, Pφ(θ_k).

    Attributes
    ----------
    n : ndarray of int, shape (m,)
        Lengths.
    change : dict of ndarray, shape (m,)
        From each reading to the root mean square over the paths of E_{μ_n}[φ − φ∘F].
    stderr : dict of ndarray, shape (m,)
        Their standard errors.
    slope : dict of float
        From each reading to the slope of ``change`` against n on logarithmic axes, over the later half of them.
    slope_stderr : dict of float
        Their standard errors, by leaving out one path after the other.
    variance : float
        E_μ Var_i φ(F_i θ), exact over the terms, averaged along the paths.
    half_range : float
        M, with all values of φ within an interval of length 2M: what was given, or what was seen.
    n_paths : int
        Paths that have not diverged.
    settings : dict
        What was asked for, ``"seed"`` included.
    """

    n: np.ndarray
    change: dict
    stderr: dict
    slope: dict
    slope_stderr: dict
    variance: float
    half_range: float
    n_paths: int
    settings: dict = field(repr=False)

    def slope_interval(self, reading: str, confidence: float = 0.95) -> tuple[float, float]:
        """Ends of a confidence interval of a slope, by Student's t."""
        _check.choice("reading", reading, READINGS)
        t = stats.t.ppf(0.5 + 0.5 * _check.between("confidence", confidence, 0, 1), self.n_paths - 1)
        reach = float(t) * self.slope_stderr[reading]
        return self.slope[reading] - reach, self.slope[reading] + reach

    def asymptote(self, reading: str) -> np.ndarray:
        """The root mean square for long n: √(2v/n) resampled, √(v/n) expected, v being ``variance``.

        They are the variances of martingales with the differences φ(θ_{k+1}) − φ(F'θ_k) and φ(θ_{k+1}) − Pφ(θ_k), next
        to which the telescoped part, of order 1/n, vanishes. Realized, that part is all: 2M/n is a bound, not a limit.
        """
        _check.choice("reading", reading, READINGS[1:])
        return np.sqrt((2 if reading == "resampled" else 1) * self.variance / self.n)

    def bound(self, reading: str, delta: float = 0.05) -> np.ndarray:
        """What \\|E_{μ_n}[φ − φ∘F]\\| exceeds with a probability of at most δ at each n, shape (m,).

        With φ within an interval of length 2M, by Azuma and Hoeffding,

        * realized: 2M/n, always: the sum telescopes to φ(θ_1) − φ(θ_{n+1}).
        * expected: 2M/n + M √(2 ln(2/δ)/n).
        * resampled: 2M/n + 2M √(ln(2/δ)/n): 2n differences, of φ(θ_{k+1}) and of φ(F'θ_k) from Pφ(θ_k).

        So δ stands below the root; the ln(1/δ)/√n of (6.6) is larger for small δ, hence true, but not sharp. It is
        proven if ``half_range`` was given; else M is what was seen on the paths.

        Parameters
        ----------
        reading : "realized", "resampled" or "expected"
        delta : float, optional
            δ, between 0 and 1.
        """
        _check.choice("reading", reading, READINGS)
        log = math.log(2 / _check.between("delta", delta, 0, 1))
        factor = {"realized": 0.0, "expected": math.sqrt(2 * log), "resampled": 2 * math.sqrt(log)}[reading]
        return self.half_range * (2 / self.n + factor / np.sqrt(self.n))

    def plot(self, ax=None, **style):
        """Draw the changes against n on logarithmic axes with their rates and asymptotes, and return the Axes."""
        from dynsim.plot import plot_vanishing_change

        return plot_vanishing_change(self, ax, **style)

    def __repr__(self):
        slopes = ", ".join(f"{r} {self.slope[r]:.3f} ± {self.slope_stderr[r]:.3f}" for r in READINGS)
        return (
            f"VanishingChange({self.n_paths} paths, n to {self.n[-1]}: slopes {slopes}; variance {self.variance:.4g})"
        )


def vanishing_change(
    problem: Problem,
    method: Method,
    phi: Callable,
    *,
    x0: ArrayLike,
    n_steps: int = 2048,
    n_paths: int = 100,
    burn_in: int = 0,
    half_range: float | None = None,
    rng: Seed = None,
) -> VanishingChange:
    """Z Theorem 6.4.1: \\|E_{θ~μ_n}[φ(θ) − φ(F(θ))]\\| over μ_n = (1/n) Σ_{k≤n} δ_{θ_k}, for longer and longer n.

    The theorem has one F for two things, and its rate n^−½ is that of one of them. With the step that the chain made,
    F(θ_k) = θ_{k+1}, the sum telescopes to (φ(θ_1) − φ(θ_{n+1}))/n: it vanishes as 1/n for any bounded φ and any
    sequence of points. With a fresh draw of F at each θ_k, or with the mean over F, a martingale is left, and the
    constant of n^−½ is known from the terms; see :meth:`VanishingChange.asymptote` and :meth:`VanishingChange.bound`.

    That the change vanishes is a property of averages along a path. It does not say that φ(θ_k) converges, or that the
    chain has: it vanishes as fast while the chain sits in one of two valleys.

    Parameters
    ----------
    problem : Problem
    method : Method
        Without memory and with constant rates; a step has finitely many outcomes (no noise with a density).
    phi : callable
        φ of theta (..., dim), vectorized, one number for each point.
    x0 : array_like
        Start: a scalar, (dim,) or (n_paths, dim).
    n_steps : int, optional
        The longest n, at least 32.
    n_paths : int, optional
        Independent paths, at least 8, whose scatter gives the errors.
    burn_in : int, optional
        Steps before θ_1. From a start that is far from where the chain settles, φ(θ_1) − φ(θ_{n+1}) hides the rate.
    half_range : float, optional
        M > 0 for which all values of φ are known to lie within an interval of length 2M.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7).

    Returns
    -------
    VanishingChange

    Raises
    ------
    NotApplicable
        If a step depends on more than θ, or has not finitely many outcomes.
    ArgumentError
        If an argument is out of its range, fewer than 8 paths do not diverge, or φ leaves the range given.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys()
    >>> found = ds.vanishing_change(problem, ds.SGD(0.04), problem.loss, x0=-1.0, n_steps=512, burn_in=100, rng=0)
    >>> low, high = found.slope_interval("resampled")
    >>> bool(low < -0.5 < high)
    True
    """
    functions, transition = Functions(phi), Transition("vanishing_change", problem, method)
    if functions.names:
        raise ArgumentError("phi must be one function of theta (..., dim), got a dict")
    n_steps, n_paths = _check.count("n_steps", n_steps, least=_LEAST_STEPS), _check.count("n_paths", n_paths)
    burn_in = _check.count("burn_in", burn_in, least=0)
    if n_paths < _LEAST_PATHS:
        raise ArgumentError(f"n_paths must be at least {_LEAST_PATHS}, for the errors of the slopes, got {n_paths}")
    seed, key = seed_and_key(rng)
    run = iterate(problem, method, x0, n_steps=burn_in + n_steps, n_paths=n_paths, rng=seed)
    x, _ = consecutive("the run", run, problem.dim)
    if len(x) < _LEAST_PATHS:
        raise ArgumentError(f"at least {_LEAST_PATHS} paths must not diverge, {run.n_diverged} of {n_paths} have")
    x = x[:, burn_in:]
    values = functions(x)
    if values.shape[-1] != 1:
        raise ArgumentError(f"phi must return one number for each point, got {values.shape[-1]}")
    fresh_draws = np.random.default_rng([int(word) for word in key] + [_FRESH])
    mean, cov, ends, fresh = transition.moments(functions, x[:, :-1].reshape(-1, problem.dim), fresh_draws)
    shape, phi_k = (len(x), n_steps), values[..., 0]
    after = {"realized": phi_k[:, 1:], "resampled": fresh.reshape(shape), "expected": mean.reshape(shape)}
    n = np.unique(np.rint(2 ** np.arange(0, math.log2(n_steps) + 0.5 / _A_DOUBLING, 1 / _A_DOUBLING)).astype(np.int64))
    n = n[n <= n_steps]
    per_path = {r: np.cumsum(phi_k[:, :-1] - after[r], axis=1)[:, n - 1] / n for r in READINGS}
    per_path["realized"] = (phi_k[:, :1] - phi_k[:, n]) / n  # the same, without the rounding of a sum
    change, stderr = zip(*(_root_mean_square(per_path[r]) for r in READINGS), strict=True)
    slopes = {r: _slope(n, per_path[r]) for r in READINGS}
    settings = {"problem": problem.name, "method": repr(method), "n_steps": n_steps, "burn_in": burn_in, "seed": seed}
    seen = 0.5 * float(max(phi_k.max(), ends[1, 0]) - min(phi_k.min(), ends[0, 0]))
    return VanishingChange(
        n,
        dict(zip(READINGS, change, strict=True)),
        dict(zip(READINGS, stderr, strict=True)),
        {r: slope for r, (slope, _) in slopes.items()},
        {r: error for r, (_, error) in slopes.items()},
        float(cov[0, 0] / mean.size),
        _half_range(half_range, seen),
        len(x),
        settings,
    )


def _half_range(given, seen):
    if given is None:
        return seen
    if _check.positive("half_range", given) < seen * (1 - 1e-12):
        raise ArgumentError(f"half_range must be at least {seen:g}, half of the range of phi seen, got {given:g}")
    return float(given)


def _root_mean_square(values):
    """Over the paths, the first axis, with its standard error by the delta method."""
    squares = values**2
    rms = np.sqrt(squares.mean(axis=0))
    error = squares.std(axis=0, ddof=1) / math.sqrt(len(values))
    return rms, np.divide(error, 2 * rms, out=np.zeros_like(rms), where=rms > 0)


def _slope(n, values):
    """Slope of log rms over log n, n in the later half of the axis, and its standard error by the jackknife."""
    later = n >= math.sqrt(n[-1])
    squares, m = values[:, later] ** 2, len(values)
    left_out = (squares.sum(axis=0) - squares) / (m - 1)
    if not (left_out > 0).all():
        return math.nan, math.nan  # φ does not change at all
    x = np.log(n[later]) - np.log(n[later]).mean()
    slopes = 0.5 * np.log(left_out) @ x / (x @ x)
    whole = 0.5 * np.log(squares.mean(axis=0)) @ x / (x @ x)
    return float(whole), float(math.sqrt((m - 1) / m * ((slopes - slopes.mean()) ** 2).sum()))
