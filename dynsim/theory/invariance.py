"""Z §6.4.1: what averages and empirical measures along a map do, exactly, and where they do not settle."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, TooLarge
from dynsim.problems import Problem, max_of_linears
from dynsim.results import Density
from dynsim.stationary.distances import wasserstein

_EXAMPLES = ("printed", "half-turn")
_LONGEST = 10**6  # window: seconds


@dataclass(frozen=True, eq=False, repr=False)
class WindowedAverages:
    r"""Averages of f over a window that moves along a cycle, exactly, from :func:`dynsim.theory.lemma_6_4_2`.

    Attributes
    ----------
    n : int
        Length of the window.
    problem : Problem
        f, a maximum of two lines; gradient descent with step size 1 runs through the cycle.
    orbit : tuple of Fraction
        θ_1 … θ_p, one period.
    period : int
        p.
    increments : tuple of Fraction
        M_t − M_{t−1} of the averages M_t = (1/n) Σ_{i=t}^{t+n−1} f(θ_i), for t = 2 … p + 1; they repeat.
    limsup : Fraction
        The largest of their absolute values: limsup \|M_t − M_{t−1}\|.
    printed : Fraction
        1/(2n), what the paper's proof says it is at least.
    """

    n: int
    problem: Problem
    orbit: tuple[Fraction, ...]
    period: int
    increments: tuple[Fraction, ...]
    limsup: Fraction
    printed: Fraction

    @property
    def printed_holds(self) -> bool:
        """Whether limsup |M_t − M_{t−1}| ≥ 1/(2n)."""
        return self.limsup >= self.printed

    def __repr__(self):
        verdict = "holds" if self.printed_holds else "is false"
        return (
            f"WindowedAverages(window {self.n}, period {self.period}: limsup |M_t − M_(t−1)| = {self.limsup}, "
            f"the printed bound {self.printed} {verdict})"
        )


def lemma_6_4_2(n: int, *, example: str = "printed") -> WindowedAverages:
    r"""Z Lemma 6.4.2: averages over a window of length n that never settle, in rational arithmetic.

    f(θ) = −ρθ for θ ≤ 0 and (1 − ρ)θ for θ > 0, so that θ − f'(θ) turns the interval (ρ − 1, ρ] by ρ: a step to the
    right from θ ≤ 0, one of 1 − ρ to the left from θ > 0.

    * ``"printed"``, (6.11): ρ = 1/(n + 1) from θ_0 = 0.2/(n + 1), a cycle θ_k = −1 + (k + 0.2)/(n + 1) of period n + 1
      (the paper has k − 0.8). It has limsup \|M_t − M_{t−1}\| = (0.8n − 0.2)/(n(n + 1)²), of order n⁻² and not at least
      1/(2n) as printed, for any n: f is at most n/(n + 1)² there.
    * ``"half-turn"``: the lemma is true all the same. With ρ = 1/2 for odd n, ρ = (n − 1)/(2n) for even n, nρ is half
      a turn more than whole ones: θ_{t+n} lies opposite to θ_t, and limsup \|M_t − M_{t−1}\| is nearly 1/(4n). The
      cycle has period 2, or 2n; it is begun at θ_0 = 1/(10n).

    Parameters
    ----------
    n : int
        Length of the window, at most 1 000 000.
    example : "printed" or "half-turn", optional

    Returns
    -------
    WindowedAverages

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.theory.lemma_6_4_2(10)
    WindowedAverages(window 10, period 11: limsup |M_t − M_(t−1)| = 39/6050, the printed bound 1/20 is false)
    >>> ds.theory.lemma_6_4_2(10, example="half-turn").limsup
    Fraction(9, 400)
    """
    n = _check.count("n", n)
    if n > _LONGEST:
        raise TooLarge(f"n must be at most {_LONGEST}, its cycle being followed in fractions, got {n}")
    _check.choice("example", example, _EXAMPLES)
    if example == "printed":
        rho, theta = Fraction(1, n + 1), Fraction(1, 5 * (n + 1))
    else:
        rho, theta = Fraction(n - 1, 2 * n) if n % 2 == 0 else Fraction(1, 2), Fraction(1, 10 * n)
    orbit = [_turned(theta, rho)]
    while orbit[-1] != theta:
        orbit.append(_turned(orbit[-1], rho))
    p = len(orbit)
    f = [-rho * x if x <= 0 else (1 - rho) * x for x in orbit]
    increments = tuple((f[(t + n) % p] - f[t]) / n for t in range(p))
    problem = max_of_linears([[-float(rho)], [float(1 - rho)]])
    return WindowedAverages(n, problem, tuple(orbit), p, increments, max(map(abs, increments)), Fraction(1, 2 * n))


def _turned(theta, rho):
    """θ − f'(θ)."""
    return theta + rho if theta <= 0 else theta - (1 - rho)


@dataclass(frozen=True, eq=False)
class NoLimit:
    """Time averages that oscillate forever, from :func:`dynsim.theory.theorem_6_4_3`.

    Attributes
    ----------
    n : ndarray of int, shape (m,)
        Numbers of steps 1 … m.
    average : ndarray, shape (m,)
        (1/n) Σ_{k≤n} φ(θ_k).
    low, high : float
        Its liminf and limsup as n → ∞: 0 and 1/2.
    """

    n: np.ndarray = field(repr=False)
    average: np.ndarray = field(repr=False)
    low: float
    high: float


def theorem_6_4_3(n_steps: int) -> NoLimit:
    """Z Theorem 6.4.3 by an example: a smooth map of a circle, and a smooth φ whose time average has no limit.

    F(θ) = 2θ mod 1 shifts the binary digits of θ. The start has blocks of digits, each twice as long as the one before,
    by turns of 0s and of 01s: so the orbit stays at the fixed point 0 for a while, at the 2-cycle of 1/3 and 2/3 for
    twice as long, at 0 for twice as long as that, and so on. With φ(θ) = cos 2πθ, 1 at 0 and −1/2 on the 2-cycle, the
    average comes back to 0 and to 1/2 forever: (2·1 + 1·(−1/2))/3 = 1/2 and (1·1 + 2·(−1/2))/3 = 0. Every limit of a
    subsequence of empirical measures is invariant (Theorem 6.4.4), but there are many of them.

    Parameters
    ----------
    n_steps : int

    Returns
    -------
    NoLimit

    Examples
    --------
    >>> import dynsim as ds
    >>> run = ds.theory.theorem_6_4_3(2**18)
    >>> run.average[[2**16 - 3, 2**17 - 3]].round(2).tolist()
    [0.5, -0.0]
    """
    n_steps = _check.count("n_steps", n_steps)
    _check.fits_in_memory("the digits", (n_steps, 8), instead="use fewer steps")
    k = np.arange(n_steps + 60)  # digits, with those that the last state still has to double precision
    block = np.floor(np.log2(k + 2)).astype(np.int64)  # the blocks begin at k = 0, 2, 6, 14, …, always at even k
    digits = np.where(block % 2 == 1, 0, k % 2)
    theta = np.zeros(n_steps)
    for j in range(60):
        theta += digits[j : j + n_steps] * 0.5 ** (j + 1)
    n = np.arange(1, n_steps + 1)
    return NoLimit(n, np.cumsum(np.cos(2 * np.pi * theta)) / n, 0.0, 0.5)


def invariance_defect(function: Callable, points: ArrayLike) -> float:
    """How far a map carries equally weighted points from themselves as a measure: W1(μ, F#μ).

    0 if μ is invariant. For an orbit θ_1 … θ_n, where μ and F#μ share all points but the first and the last, it is
    ‖θ_{n+1} − θ_1‖/n exactly (for more than one dimension times the factor of sliced W1, 2/π in two), hence at most the
    diameter over n whatever the map: that is what makes the limits in Z Theorem 6.4.4 invariant.

    Parameters
    ----------
    function : callable
        F, x (n, dim) -> (n, dim); a ``Map`` has it as ``.function``.
    points : array_like, shape (n, dim)

    Examples
    --------
    >>> import dynsim as ds
    >>> orbit = [[0.3]]
    >>> for _ in range(99):
    ...     orbit.append([4 * orbit[-1][0] * (1 - orbit[-1][0])])
    >>> ds.theory.invariance_defect(lambda x: 4 * x * (1 - x), orbit) < 1 / 100
    True
    """
    points = _check.array("points", points, ndim=2)
    if points.size == 0:
        raise ArgumentError(f"points must be at least one, got shape {points.shape}")
    image = _image(function, points)
    if not (finite := np.isfinite(image).all(axis=1)).all():
        first = int(finite.argmin())
        raise ArgumentError(
            f"function must give finite values, but {np.count_nonzero(~finite)} are not, first that of point number "
            f"{first}, {points[first].tolist()}"
        )
    return wasserstein(atoms(points, "points"), atoms(image, "their images"))


def _image(function, points):
    if not callable(function):
        raise ArgumentError(f"function must be a function x (n, dim) -> (n, dim), got {type(function).__name__}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused, with the point
            image = np.asarray(function(points), dtype=np.float64)
    except Exception as error:
        raise ArgumentError(f"function fails for x of shape {points.shape}: {type(error).__name__}: {error}") from None
    if image.shape != points.shape:
        raise ArgumentError(f"function must give values of the shape {points.shape} of its points, got {image.shape}")
    return image


def atoms(points: np.ndarray, label: str) -> Density:
    """Equally weighted points (n, dim) as a measure on states."""
    return Density(points, np.full(len(points), -np.log(len(points))), None, 0.0, 0.0, 0.0, label, {})


@dataclass(frozen=True, eq=False)
class WeakConvergence:
    """Empirical measures of an orbit, from :func:`dynsim.theory.theorem_6_4_4`.

    Attributes
    ----------
    n : ndarray of int, shape (m,)
        Lengths, each twice the one before.
    change : ndarray, shape (m,)
        W1(μ_n, μ_{2n}): falls to 0 where the whole sequence converges.
    defect : ndarray, shape (m,)
        W1(μ_n, F#μ_n): how far μ_n is from invariant.
    bound : ndarray, shape (m,)
        Diameter of the orbit over n, which no defect exceeds.
    orbit : ndarray, shape (2 n_max + 1, dim)
        θ_1, θ_2, …
    """

    n: np.ndarray
    change: np.ndarray
    defect: np.ndarray
    bound: np.ndarray
    orbit: np.ndarray = field(repr=False)

    def plot(self, ax=None, **style):
        """Draw both distances and the bound against n and return the Axes."""
        from dynsim.plot import plot_weak_convergence

        return plot_weak_convergence(self, ax, **style)


def theorem_6_4_4(function: Callable, x0: ArrayLike, *, n_steps: int = 2**14, first: int = 16) -> WeakConvergence:
    """Z Theorem 6.4.4 along an orbit: empirical measures μ_n = (1/n) Σ_{t≤n} δ_{θ_t} and how invariant they are.

    On a compact set a subsequence of them converges weakly to an invariant measure. The defect W1(μ_n, F#μ_n) =
    ‖θ_{n+1} − θ_1‖/n vanishes for every orbit; W1(μ_n, μ_{2n}) does where they converge as they are. (Weak convergence
    on a compact set is convergence in W1, which is sliced for more than one dimension.) The proof needs F continuous;
    the limit is invariant but need not be ergodic, as the theorem has it.

    Parameters
    ----------
    function : callable
        F, x (n, dim) -> (n, dim), of a compact set into itself; coordinates that are angles are to be reduced in it.
    x0 : float or array_like, shape (dim,)
        θ_1.
    n_steps : int, optional
        Length of the longest μ_{2n}.
    first : int, optional
        The shortest n.

    Returns
    -------
    WeakConvergence

    Examples
    --------
    >>> import dynsim as ds
    >>> run = ds.theory.theorem_6_4_4(lambda x: 4 * x * (1 - x), [0.3], n_steps=4096)
    >>> bool((run.defect <= run.bound).all()), bool(run.change[-1] < 0.05 * run.change[0] + 0.05)
    (True, True)
    """
    if isinstance(x0, (numbers.Real, np.ndarray)) and np.ndim(x0) == 0:
        x0 = [x0]
    start = _check.array("x0", x0, ndim=1)
    first, n_steps = _check.count("first", first), _check.count("n_steps", n_steps)
    if n_steps < 2 * first:
        raise ArgumentError(f"n_steps must be at least 2 first = {2 * first}, got {n_steps}")
    _check.fits_in_memory("the orbit", (n_steps + 1, start.size), instead="take fewer steps")
    orbit = np.empty((n_steps + 1, start.size))
    orbit[0] = start
    for k in range(n_steps):
        orbit[k + 1] = _image(function, orbit[k : k + 1])[0]
        if not np.isfinite(orbit[k + 1]).all():
            raise ArgumentError(
                f"function must give finite values, but step {k + 1} leads from {orbit[k].tolist()} to "
                f"{orbit[k + 1].tolist()}"
            )
    n = first * 2 ** np.arange(int(math.log2(n_steps / first)))
    change, defect, bound = np.empty(n.size), np.empty(n.size), np.empty(n.size)
    for k, m in enumerate(n.tolist()):
        mu = atoms(orbit[:m], "μ_n")
        change[k] = wasserstein(mu, atoms(orbit[: 2 * m], "μ_2n"))
        defect[k] = wasserstein(mu, atoms(orbit[1 : m + 1], "F#μ_n"))
        bound[k] = np.linalg.norm(np.ptp(orbit[: m + 1], axis=0)) / m
    return WeakConvergence(n, change, defect, bound, orbit)
