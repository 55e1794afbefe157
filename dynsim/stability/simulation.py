"""Whether small distances to a minimum grow, measured on the chain itself."""

import dataclasses
import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.interpolate import BarycentricInterpolator
from scipy.optimize import brentq

from dynsim import _check
from dynsim._ensemble import Plan
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results.common import xarray_module
from dynsim.stability.linearized import Terms
from dynsim.stability.walkers import POPULATIONS, Place, Setting, Walkers

_MEMORY = 16  # blocks whose growth weights a population: longer ones correct more of the bias, and scatter more
_LONGEST = 64  # steps of a block
_FAR = 5.0  # log of how far a walker may go in a block: in and out of where the problem is linear and not rounded
_EVEN = 0.5  # share of walkers that count, below which blocks get shorter
_DOUBLINGS = 4  # of burn-in and run, at most, where rates still change
_RESTLESS, _UNSETTLED = 2.5, 4.0  # standard errors between the halves of a run: for a longer one; for a warning
_AROUND = 2  # step sizes on each side of a crossing that locate it


class Crossing(NamedTuple):
    """A step size at which a growth rate changes its sign, NaN if it does not within those tried."""

    value: float
    stderr: float


class _Rate(NamedTuple):
    """A rate per step, its standard error, and its change from the first half to the second in standard errors."""

    value: float
    stderr: float
    drift: float


@dataclass(frozen=True, eq=False, repr=False)
class EmpiricalGrowth:
    """Measured growth rates near a minimum, from :func:`dynsim.stability.empirical`.

    Attributes
    ----------
    step_sizes : ndarray, shape (m,)
        The η, ascending.
    log_growth, log_growth_stderr : ndarray, shape (m,)
        lim (1/k) log E‖θ_k − θ*‖² for each, and its standard error. −inf where the distance becomes exactly zero.
    lyapunov, lyapunov_stderr : ndarray, shape (m,)
        lim (1/k) log‖θ_k − θ*‖, the same for almost all paths, and its standard error.
    nonlinearity : ndarray, shape (m,)
        By how much ``lyapunov`` changes when the distance is halved, the draws being the same.
    threshold : dict
        For ``"mean-square"`` and ``"almost-sure"`` the :class:`Crossing` (value, stderr) at which ``log_growth`` and
        ``lyapunov`` first rise through zero; NaN if they do not. It is the zero of the polynomial through the two
        step sizes on each side, and ``stderr`` holds, besides the errors of the rates, by how much it differs from
        that of the straight line through the nearest two: step sizes that are closer together bring that down.
    settings : dict
        What was run, with the seed.
    """

    step_sizes: np.ndarray
    log_growth: np.ndarray
    log_growth_stderr: np.ndarray
    lyapunov: np.ndarray
    lyapunov_stderr: np.ndarray
    nonlinearity: np.ndarray
    threshold: dict
    settings: dict = field(repr=False)

    def plot(self, ax=None):
        """Draw both growth rates with two standard errors against the step size and return the Axes."""
        from dynsim.plot import plot_empirical

        return plot_empirical(self, ax)

    def to_xarray(self):
        """The rates as an ``xarray.Dataset`` over the step size (needs the extra ``xarray``)."""
        names = ("log_growth", "log_growth_stderr", "lyapunov", "lyapunov_stderr", "nonlinearity")
        return xarray_module().Dataset(
            {name: (("step_size",), getattr(self, name)) for name in names},
            coords={"step_size": self.step_sizes},
            attrs={"problem": self.settings["problem"], "method": self.settings["method"]},
        )

    def __repr__(self):
        span = f"{self.step_sizes[0]:g} … {self.step_sizes[-1]:g}"
        found = [
            f"{name} threshold {f'{at:.4g} ± {error:.2g}' if np.isfinite(at) else f'not within {span}'}"
            for name, (at, error) in self.threshold.items()
        ]
        return f"EmpiricalGrowth({self.settings['problem']}, step sizes {span}: {', '.join(found)})"


def empirical(
    problem: Problem | Terms,
    method: Method,
    at: ArrayLike | None = None,
    *,
    step_sizes: ArrayLike,
    n_paths: int = 4096,
    n_steps: int = 1000,
    burn_in: int | None = None,
    distance: float | None = None,
    splitting: bool = True,
    rng: Seed = None,
    threads: int | None = None,
) -> EmpiricalGrowth:
    r"""How fast paths of the actual chain that start beside a minimum θ* leave it or come closer, by simulation.

    Paths start at θ* + ε u, u uniform over the directions in which the loss rises, and are put back to the distance ε
    after each block of steps, with what the method remembers. That gives two rates for each step size:

    * the Lyapunov exponent lim (1/k) log‖θ_k − θ*‖, as the mean over ``n_paths`` independent paths;
    * lim (1/k) log E‖θ_k − θ*‖², by importance splitting: after a block, of length chosen such that no few walkers
      count for all, the walkers of each of 32 populations are drawn anew with probabilities proportional to the
      squares of their distances. The plain mean over paths misses the few that grow most, and with them most of
      E‖θ_k − θ*‖². A population of finite size underrates the growth; so its blocks count by what it has grown in the
      16 before, which takes nearly all of this bias away.

    Growth is measured on θ − θ* without its part in the null space of H = ∇²L(θ*), where the chain does not move, and
    with what the method remembers (which changes no rate). Nothing of the analysis of stability is used.

    Parameters
    ----------
    problem : Problem or Terms
        With the minimum ``at``, or what :func:`dynsim.stability.terms` returns, whose quadratic losses are then run.
    method : Method
        ``SGD`` with any sampling scheme whose draws do not depend on those before, ``HeavyBall`` or ``Nesterov``. Its
        own step size plays no part.
    at : array_like, shape (dim,)
        θ*, at which the gradients of all terms vanish.
    step_sizes : array_like, shape (m,)
        The η > 0, increasing.
    n_paths : int, optional
        Paths, and walkers of all populations together, rounded up to a multiple of 32; at least 64.
    n_steps : int, optional
        Steps over which growth is measured, after the burn-in; rounded up to whole blocks.
    burn_in : int, optional
        Steps before. By default half of ``n_steps``; where the second half of a run differs from the first by more
        than 2.5 standard errors, a longer burn-in and run follow, up to 16 times as long. A warning says where rates
        change even then.
    distance : float, optional
        ε; by default 1e-6 of max(1, ‖θ*‖), and max(1, ‖θ*‖) for the square loss of a linear model, where it
        does not matter.
    splitting : bool, optional
        False takes the plain mean of ‖θ_k − θ*‖² over the paths: for comparison, its error is not to be believed.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7).
    threads : int, optional
        Threads to use, all cores by default; they change no result.

    Returns
    -------
    EmpiricalGrowth

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or ``at`` is not a minimum of the problem.
    NotApplicable
        If the terms do not all have a minimum at θ*, the loss has a kink there, or the method is not among the above.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stability import empirical, terms
    >>> rows = terms(gradients=[[1.0], [2.0]])  # E(1 − ηh)² = 1 at η = 2 (1 + 4)/(1 + 16)
    >>> found = empirical(rows, ds.SGD(0.1), step_sizes=[0.5, 0.55, 0.6, 0.65], n_paths=1024, n_steps=200, rng=0)
    >>> value, stderr = found.threshold["mean-square"]
    >>> bool(abs(value - 10 / 17) < 5 * stderr)
    True
    """
    etas = _check.array("step_sizes", step_sizes, ndim=1)
    if etas.size == 0 or not ((etas > 0).all() and (np.diff(etas) > 0).all()):
        raise ArgumentError(f"step_sizes must be positive and increasing, at least one, got {etas.tolist()}")
    n_paths, n_steps = _check.count("n_paths", n_paths, least=2 * POPULATIONS), _check.count("n_steps", n_steps)
    if burn_in is not None:
        burn_in = _check.count("burn_in", burn_in, least=0)
    if distance is not None:
        distance = _check.positive("distance", distance)
    place = Place.of(problem, method, at, distance)
    seed, key = seed_and_key(rng)
    per_population = math.ceil(n_paths / POPULATIONS)
    threads = Plan.make(n_paths, 1, threads=threads).threads
    rows = []
    with ThreadPoolExecutor(threads) as pool:
        for number, eta in enumerate(etas.tolist()):
            setting = Setting(place, dataclasses.replace(method, step_size=eta), key, per_population, pool, threads)
            rows.append(_measured(setting, 2 * number, burn_in, n_steps, splitting))
    growth, lyapunov = ([row[k] for row in rows] for k in (0, 1))
    nonlinearity = np.array([row[2] for row in rows])
    _warn(etas, [*growth, *lyapunov], lyapunov, nonlinearity, place.distance)
    curves = {
        name: (np.array([rate.value for rate in rates]), np.array([rate.stderr for rate in rates]))
        for name, rates in (("mean-square", growth), ("almost-sure", lyapunov))
    }
    settings = {
        "problem": place.problem.name,
        "method": repr(method),
        "at": place.at.tolist(),
        "n_paths": POPULATIONS * per_population,
        "n_steps": n_steps,
        "burn_in": burn_in,
        "distance": place.distance,
        "splitting": bool(splitting),
        "null_space": place.problem.dim - place.rank,
        "seed": seed,
    }
    threshold = {name: _crossing(etas, *curve) for name, curve in curves.items()}
    return EmpiricalGrowth(etas, *curves["mean-square"], *curves["almost-sure"], nonlinearity, threshold, settings)


def _measured(setting, ensemble, burn_in, n_steps, splitting):
    """The rates of E‖θ − θ*‖² and of log‖θ − θ*‖, and how much the second changes with the distance."""
    distance = setting.place.distance
    walkers = Walkers(setting, ensemble, distance)
    (lyapunov, plain), rates = _until_settled(_by_paths, walkers, burn_in, n_steps)
    nonlinearity = 0.0
    if not setting.place.linear:
        halved = _until_settled(_by_paths, Walkers(setting, ensemble, distance / 2), burn_in, n_steps)[1]
        finite = np.isfinite(rates).all() and np.isfinite(halved).all()
        nonlinearity = float(abs((halved - rates).mean())) if finite else np.nan
    if splitting:
        ((plain,), _) = _until_settled(_by_splitting, Walkers(setting, ensemble + 1, distance), burn_in, n_steps)
    return plain, lyapunov, nonlinearity


def _until_settled(measure, walkers, burn_in, n_steps):
    """What ``measure`` finds of walkers; of the same ones farther on, and longer, while it still changes."""
    found, rates = measure(walkers, n_steps // 2 if burn_in is None else burn_in, n_steps)
    first = rates
    for doubling in range(1, _DOUBLINGS + 1 if burn_in is None else 1):
        if found[0].drift <= _RESTLESS:
            break
        found, rates = measure(walkers, 2**doubling * n_steps // 2, 2**doubling * n_steps)
    return found, first


def _settled(walkers, burn_in, splitting):
    """Run the burn-in; the block length that suits what was seen, and the log growth of each walker."""
    length, done, total = 1, 0, 0.0
    while done < burn_in:
        growth = walkers.advance(length)
        done, total = done + length, total + growth
        far, even = np.abs(growth[np.isfinite(growth)]).max(initial=0.0), 1.0
        if splitting:
            even = _counting(growth)
            walkers.select(growth)
        if far > _FAR or even < _EVEN:
            length = max(1, length // 2)
        elif 2 * far < _FAR and 2 * even > 1 + _EVEN:
            length = min(2 * length, _LONGEST)
    return length, total


def _counting(growth):
    """Effective number of walkers under weights exp(2 growth), as a share of all."""
    top = growth.max()
    if top == -np.inf:
        return 1.0
    weight = np.exp(2 * (growth - top))
    return float(weight.sum() ** 2 / (weight**2).sum() / weight.size)


def _by_paths(walkers, burn_in, n_steps):
    """Rates of log‖θ − θ*‖ and of the plain mean of ‖θ − θ*‖²; the first also of each path."""
    length, before = _settled(walkers, burn_in, splitting=False)
    n_blocks = max(2, math.ceil(n_steps / length))
    half, steps = n_blocks // 2, n_blocks * length
    early = sum(walkers.advance(length) for _ in range(half))
    late = sum(walkers.advance(length) for _ in range(n_blocks - half))
    rates = (early + late) / steps
    plain = _plain(before, before + early + late, steps)
    if not np.isfinite(rates).all():
        return (_Rate(-np.inf, np.nan, 0.0), plain), rates
    stderr = float(rates.std(ddof=1) / math.sqrt(rates.size))
    drift = _drift(late / (n_blocks - half) - early / half)
    return (_Rate(float(rates.mean()), stderr, drift), plain), rates


def _drift(change):
    """The mean of independent changes, in its standard errors."""
    error = change.std(ddof=1) / math.sqrt(change.size)
    return float(abs(change.mean()) / error) if error > 1e-12 * np.abs(change).max(initial=0.0) else 0.0


def _plain(before, after, steps):
    """The rate of the mean square over all paths, from the logs of their distances at first and at last."""
    first, last = 2 * np.ravel(before + np.zeros_like(after)), 2 * after.ravel()
    if last.max() == -np.inf:
        return _Rate(-np.inf, np.nan, 0.0)
    a, b = np.exp(last - last.max()), np.exp(first - first.max())
    value, error, _ = _log_ratio(a[None], b[None])
    return _Rate((value + last.max() - first.max()) / steps, error / steps, 0.0)


def _by_splitting(walkers, burn_in, n_steps):
    """Rate of E‖θ − θ*‖²: log of the mean growth of a block, populations counting by their growth before it.

    E Π_s G_s, G_s being a population's mean growth in block s, is the growth of the expectation exactly; so the ratio
    of two such products over the last blocks and over the last but one forgets the populations' own law, which is that
    of no infinite population.
    """
    length, _ = _settled(walkers, burn_in, splitting=True)
    n_blocks = max(math.ceil(n_steps / length), 2)
    logs = np.empty((_MEMORY + n_blocks, POPULATIONS))
    for t in range(len(logs)):
        growth = walkers.advance(length)
        top = growth.max(axis=1)
        at = np.where(top > -np.inf, top, 0.0)
        with np.errstate(divide="ignore"):
            logs[t] = 2 * at + np.log(np.exp(2 * (growth - at[:, None])).mean(axis=1))
        walkers.select(growth)
    if not np.isfinite(logs).all():
        return (_Rate(-np.inf, np.nan, 0.0),), None
    middle = logs.mean()
    sums = np.cumsum(np.vstack([np.zeros(POPULATIONS), logs - middle]), axis=0)
    past = sums[_MEMORY:-1] - sums[: -_MEMORY - 1]
    past -= past.max()
    weight, grown = np.exp(past), np.exp(past + logs[_MEMORY:] - middle)
    value, error, _ = _log_ratio(grown, weight)
    half = n_blocks // 2
    early, late = _log_ratio(grown[:half], weight[:half]), _log_ratio(grown[half:], weight[half:])
    drift = _drift(late[2] - early[2] + late[0] - early[0])
    return (_Rate((middle + value) / length, error / length, drift),), None


def _log_ratio(a, b):
    """log(Σa/Σb) over independent columns, its standard error, and each column's share in its deviation."""
    a, b = a.mean(axis=0), b.mean(axis=0)
    ratio = a.mean() / b.mean()
    shares = (a - ratio * b) / a.mean()
    return math.log(ratio), float(shares.std(ddof=1) / math.sqrt(a.size)), shares


def _crossing(etas, values, errors):
    """The step size at which values first rise through zero, by interpolation between those around."""
    kept = np.isfinite(values) & np.isfinite(errors)
    x, y, error = etas[kept], values[kept], errors[kept]
    rises = np.flatnonzero((y[:-1] <= 0) & (y[1:] > 0))
    if rises.size == 0:
        return Crossing(np.nan, np.nan)
    k = int(rises[0])
    near = slice(max(0, k + 1 - _AROUND), k + 1 + _AROUND)
    root = brentq(BarycentricInterpolator(x[near], y[near]), x[k], x[k + 1])
    straight = x[k] + (x[k + 1] - x[k]) * y[k] / (y[k] - y[k + 1])
    shares = BarycentricInterpolator(x[near], np.eye(x[near].size))(root)
    slope = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
    curved = abs(root - straight)
    return Crossing(float(root), math.hypot(np.linalg.norm(shares * error[near]) / slope, curved))


def _warn(etas, rates, lyapunov, nonlinearity, distance):
    unsettled = [eta for eta, rate in zip([*etas, *etas], rates, strict=True) if rate.drift > _UNSETTLED]
    if unsettled:
        at = ", ".join(f"{eta:g}" for eta in sorted(set(unsettled)))
        warnings.warn(f"growth rates still change at step sizes {at}: raise burn_in and n_steps", stacklevel=3)
    bent = [
        eta
        for eta, rate, change in zip(etas, lyapunov, nonlinearity, strict=True)
        if change > max(_UNSETTLED * rate.stderr, 1e-3 * abs(rate.value))
    ]
    if bent:
        at = ", ".join(f"{eta:g}" for eta in bent)
        warnings.warn(
            f"half the distance {distance:g} changes the growth at step sizes {at}: choose a smaller one if the loss "
            "bends within it, a larger one if θ* is not known that well",
            stacklevel=3,
        )
