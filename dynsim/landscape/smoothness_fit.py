"""Local smoothness against gradient norm along a run, and the line L0 + L1‖∇L‖ of relaxed smoothness: Z (3.2)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog
from scipy.stats import t as student

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.curvature import sharpness
from dynsim.landscape.saved import SavedStates
from dynsim.problems import Problem
from dynsim.results.common import xarray_module

if TYPE_CHECKING:
    from dynsim.results import Trajectories

_MEASURES = ("steps", "sharpness")
_GROUPS = 16  # parts of the run, at least, from whose scatter errors are taken
_FEWEST = 64  # pairs, four for each part
_CONSTANT = 1e-6  # range of logarithms that are all the same but for rounding
_SHORTEST = 1e-8  # steps relative to the size of θ whose differences of gradients have eight digits


@dataclass(frozen=True, eq=False, repr=False)
class SmoothnessFit:
    """Local smoothness s against gradient norm g, with a line and an upper bound, from
    :func:`dynsim.landscape.fit_smoothness`.

    Errors are jackknife errors over parts of the run that are long against its memory: whole paths if there are 16,
    else stretches of them. Student's t has one degree of freedom less than there are parts.

    Attributes
    ----------
    gradient_norm, smoothness : ndarray, shape (n,)
        g_k and s_k of the pairs used, path after path.
    t : ndarray, shape (n,)
        When they were seen.
    L0, L1 : float
        Least-squares line s = L0 + L1 g.
    L0_stderr, L1_stderr : float
        Their standard errors.
    bound : tuple of float
        The smallest (L0, L1) ≥ 0 with s_k ≤ L0 + L1 g_k for all k, Z (3.2): it minimizes the mean of the right side.
    correlation : float
        Of log s and log g, as in Z Figs 3-1 … 3-3; NaN where one of them is constant.
    correlation_interval : tuple of float
        95 % interval.
    p_value : float
        Of the hypothesis that the correlation is 0, two-sided.
    exponent, exponent_stderr : float
        Slope of log s against log g: 0 for a quadratic, 1 where L1 dominates.
    n_parts : int
        Parts of the run that errors are taken from.
    n_excluded : int
        Pairs left out because a path had diverged or made no step.
    settings : dict
        What was asked for.
    """

    gradient_norm: np.ndarray = field(repr=False)
    smoothness: np.ndarray = field(repr=False)
    t: np.ndarray = field(repr=False)
    L0: float
    L1: float
    L0_stderr: float
    L1_stderr: float
    bound: tuple[float, float]
    correlation: float
    correlation_interval: tuple[float, float]
    p_value: float
    exponent: float
    exponent_stderr: float
    n_parts: int
    n_excluded: int
    settings: dict = field(repr=False)

    def plot(self, ax=None, **style):
        """Scatter s against g on logarithmic axes, early points dark, with the line and the bound; return the Axes."""
        from dynsim.plot import plot_smoothness

        return plot_smoothness(self, ax, **style)

    def to_xarray(self):
        """The pairs as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        values = {name: (("pair",), getattr(self, name)) for name in ("gradient_norm", "smoothness")}
        attrs = {name: getattr(self, name) for name in ("L0", "L1", "L0_stderr", "L1_stderr", "bound", "correlation")}
        return xarray_module().Dataset(values, coords={"t": (("pair",), self.t)}, attrs=attrs)

    def __repr__(self):
        low, high = self.correlation_interval
        return (
            f"SmoothnessFit({self.gradient_norm.size} pairs, L0 = {self.L0:.4g} ± {self.L0_stderr:.2g}, "
            f"L1 = {self.L1:.4g} ± {self.L1_stderr:.2g}, bound ({self.bound[0]:.4g}, {self.bound[1]:.4g}), "
            f"correlation of logarithms {self.correlation:.3f} in [{low:.3f}, {high:.3f}])"
        )


def local_smoothness(
    problem: Problem, run: "Trajectories | ArrayLike", *, n_fractions: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """How fast the gradient changes along the steps of a run, beside the gradient norm: the axes of Z Figs 3-1 … 3-3.

    ``s_k = max_γ ‖∇L(θ_k + γd_k) − ∇L(θ_k)‖/(γ‖d_k‖)``, d_k = θ_(k+1) − θ_k, over γ = 1/m, 2/m, …, 1. It is a lower
    bound of the largest sharpness on the way, and sees only the directions in which the run goes.

    Source: Zhang, He, Sra & Jadbabaie (2019), arXiv:1905.11881, to which Z §3.5 refers; the number of γ is ours.

    Parameters
    ----------
    problem : Problem
    run : Trajectories or array_like, shape (n_saved, dim) or (n_paths, n_saved, dim)
        Whose consecutive states are looked at, but for a last save that is out of step.
    n_fractions : int, optional
        m.

    Returns
    -------
    smoothness, gradient_norm : ndarray, each of shape (n_paths, n_saved − 1)
        s_k, NaN where there is no step longer than 1e-8 of the size of θ, and ‖∇L(θ_k)‖.

    Examples
    --------
    >>> import dynsim as ds
    >>> smoothness, norm = ds.landscape.local_smoothness(ds.problems.quadratic([2.0, 5.0]), [[1.0, 0.0], [0.5, 0.0]])
    >>> smoothness.round(9).tolist(), norm.tolist()
    ([[2.0]], [[2.0]])
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    m = _check.count("n_fractions", n_fractions)
    return _along_steps(problem, SavedStates.of(run, problem.dim).even(), m)


def _along_steps(problem, states, m):
    """Of states at equally spaced times."""
    if states.t.size < 2:
        raise ArgumentError(f"run must have at least two states, got {states.t.size}")
    x, d = states.x[:, :-1], np.diff(states.x, axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(d, axis=-1)
        gradient = problem.gradient(x)
        used = states.alive[:, 1:] & (length > _SHORTEST * np.maximum(1e-300, np.abs(x).max(axis=-1)))
        found = np.full(length.shape, np.nan)
        largest = np.zeros(np.count_nonzero(used))
        for gamma in np.arange(1, m + 1) / m:
            change = problem.gradient(x[used] + gamma * d[used]) - gradient[used]
            np.maximum(largest, np.linalg.norm(change, axis=-1) / (gamma * length[used]), out=largest)
        found[used] = largest
        return found, np.where(states.alive[:, :-1], np.linalg.norm(gradient, axis=-1), np.nan)


def fit_smoothness(
    problem: Problem,
    run: "Trajectories | ArrayLike",
    *,
    measure: str = "steps",
    every: int = 1,
    n_fractions: int = 5,
) -> SmoothnessFit:
    """Fit relaxed smoothness to a run: does the local smoothness grow with the gradient, as ‖∇²L‖ ≤ L0 + L1‖∇L‖?

    Z (3.2). The line is fitted by least squares, the bound by a linear program. Both are about the points that the run
    has visited: which these are depends on method and step size, as Z Figs 3-2 and 3-3 show.

    Parameters
    ----------
    problem : Problem
    run : Trajectories or array_like, shape (n_saved, dim) or (n_paths, n_saved, dim)
    measure : {"steps", "sharpness"}, optional
        s: along the steps, see :func:`dynsim.landscape.local_smoothness`, or ‖∇²L‖_op at the states, which (3.2) means.
    every : int, optional
        Look at every so many saved states; for "steps" d is then the way of so many.
    n_fractions : int, optional
        For "steps".

    Returns
    -------
    SmoothnessFit

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    NotApplicable
        If there are fewer than 64 pairs to fit, or all gradient norms are the same.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.exponential_wings(2.0)
    >>> method = ds.Clipped(0.05, batch_size="full", gamma=1.0)
    >>> run = ds.iterate(problem, method, x0=problem.start(M=100.0), n_steps=100)
    >>> fit = ds.landscape.fit_smoothness(problem, run, measure="sharpness")
    >>> [round(number, 2) for number in fit.bound], fit.correlation > 0.8
    ([1.99, 1.98], True)
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.choice("measure", measure, _MEASURES)
    m = _check.count("n_fractions", n_fractions)
    states = SavedStates.of(run, problem.dim, every)
    if measure == "steps":
        states = states.even()
        s, g = _along_steps(problem, states, m)
        t = states.t[:-1]
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            g = np.where(states.alive, np.linalg.norm(problem.gradient(states.x), axis=-1), np.nan)
        s, t = sharpness(problem, np.where(states.alive[..., None], states.x, np.nan))[0], states.t
    used = np.isfinite(s) & np.isfinite(g)
    if used.sum() < _FEWEST:
        raise NotApplicable(f"fit_smoothness needs at least {_FEWEST} states with a step after them, got {used.sum()}")
    part = _parts(used)
    s_used, g_used = s[used], g[used]
    if np.ptp(g_used) <= 1e-12 * g_used.max():
        raise NotApplicable(f"all gradient norms are {g_used[0]:g}: no line can be fitted")
    line = _jackknifed(_line, g_used, s_used, part)
    low, high, p, logs = _of_logarithms(g_used, s_used, part)
    (L0, L1), (L0_stderr, L1_stderr) = (pair.tolist() for pair in line)
    return SmoothnessFit(
        g_used,
        s_used,
        np.broadcast_to(t, s.shape)[used],
        L0,
        L1,
        L0_stderr,
        L1_stderr,
        _bound(g_used, s_used),
        float(logs[0][0]),
        (low, high),
        p,
        float(logs[0][1]),
        float(logs[1][1]),
        int(part.max()) + 1,
        int(used.size - used.sum()),
        {"problem": problem.name, "measure": measure, "every": every, "n_fractions": m},
    )


def _parts(used):
    """Which part of the run each used pair belongs to, numbers from 0."""
    n_paths = np.count_nonzero(used.any(axis=1))
    stretches = 1 if n_paths >= _GROUPS else -(-_GROUPS // n_paths)
    numbers, first = [], 0
    for row in used[used.any(axis=1)]:
        n = np.count_nonzero(row)
        numbers.append(first + np.arange(n) * min(stretches, n) // n)
        first = numbers[-1][-1] + 1
    return np.concatenate(numbers)


def _moments(x, y, part):
    """Sums of 1, x, y, x², xy, y² over all but one part, after those over all parts, (n_parts + 1, 6)."""
    columns = (np.ones_like(x), x, y, x * x, x * y, y * y)
    sums = np.stack([np.bincount(part, column, part.max() + 1) for column in columns], axis=1)
    return np.vstack([sums.sum(axis=0), sums.sum(axis=0) - sums])


def _spreads(sums):
    """Means of x and y, their variances and covariance."""
    n, x, y, xx, xy, yy = sums.T
    x, y = x / n, y / n
    return x, y, np.maximum(xx / n - x**2, 0.0), np.maximum(yy / n - y**2, 0.0), xy / n - x * y


def _line(sums):
    """Intercept and slope of y against x, (..., 2)."""
    x, y, var, _, cov = _spreads(sums)
    slope = np.divide(cov, var, out=np.zeros_like(cov), where=var > 0)
    return np.stack([y - slope * x, slope], axis=1)


def _correlation(sums):
    """Fisher's artanh of the correlation, and the slope; 0 where a part that all the spread is in has been left out."""
    _, _, x, y, cov = _spreads(sums)
    spread = (x > 0) & (y > 0)
    r = np.divide(cov, np.sqrt(x * y), out=np.zeros_like(cov), where=spread)
    slope = np.divide(cov, x, out=np.zeros_like(cov), where=spread)
    return np.stack([np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15)), slope], axis=1)


def _jackknifed(function, x, y, part):
    """A function of the moments of x and y, and its jackknife standard errors."""
    center = x.mean(), y.mean()
    found = function(_moments(x - center[0], y - center[1], part))
    if function is _line:
        found[:, 0] += center[1] - found[:, 1] * center[0]
    value, without = found[0], found[1:]
    g = len(without)
    return value, np.sqrt((g - 1) / g * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def _of_logarithms(g, s, part):
    """95 % interval of the correlation of the logarithms, p-value, and the correlation and slope with errors."""
    positive = (g > 0) & (s > 0)
    none = np.full(2, np.nan)
    x, y = np.log(g[positive]), np.log(s[positive])
    _, part = np.unique(part[positive], return_inverse=True)
    if x.size < _FEWEST or min(np.ptp(x), np.ptp(y)) <= _CONSTANT:
        return np.nan, np.nan, np.nan, (none, none)
    (z, slope), (z_error, slope_error) = _jackknifed(_correlation, x, y, part)
    dof = part.max()
    reach = student.ppf(0.975, dof) * z_error
    p = float(2 * student.sf(abs(z) / z_error, dof)) if z_error > 0 else 0.0
    logs = (np.array([np.tanh(z), slope]), np.array([np.nan, slope_error]))
    return float(np.tanh(z - reach)), float(np.tanh(z + reach)), p, logs


def _bound(g, s):
    """The (L0, L1) ≥ 0 of least L0 + L1 mean(g) with L0 + L1 g_k ≥ s_k, in units in which both are of order 1."""
    unit_g, unit_s = g.max(), max(s.max(), 1e-300)
    x, y = g / unit_g, s / unit_s
    found = linprog([1.0, x.mean()], A_ub=-np.column_stack([np.ones_like(x), x]), b_ub=-y, method="highs")
    L0, L1 = found.x
    return float(L0 * unit_s), float(L1 * unit_s / unit_g)
