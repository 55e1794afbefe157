"""How long a scheme holds on to a minimum at a kink: escape times against the step size, from the exact chain."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape import minima
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results.common import xarray_module
from dynsim.stability.ranges import step_size_range
from dynsim.stationary import markov_chain
from dynsim.stationary.evolution import masses_after

_SAME = 1e-6  # relative distance at which a point is a minimum that was found


@dataclass(frozen=True, eq=False, repr=False)
class EscapeTimes:
    """How long a method stays at a minimum, from :func:`dynsim.stability.escape_times`.

    Attributes
    ----------
    step_sizes : ndarray, shape (m,)
        The η, ascending.
    mean : ndarray, shape (m,)
        Expected number of steps until the chain is beyond a barrier; inf where it never gets there, or above 1e308.
    log_mean : ndarray, shape (m,)
        Natural logarithm of ``mean``, right also above 1e308; inf where the chain may stay forever.
    critical : float
        The step size beyond which one step from the minimum may leave its basin; NaN where that is not known.
    basin : tuple of float
        The barriers on both sides of the minimum, −inf or inf where there is none.
    n_states : ndarray of int, shape (m,)
        Number of states of each chain.
    settings : dict
        What was asked for.
    """

    step_sizes: np.ndarray
    mean: np.ndarray
    log_mean: np.ndarray
    critical: float
    basin: tuple[float, float]
    n_states: np.ndarray
    settings: dict = field(repr=False)
    _staying: tuple = field(repr=False)

    def survival(self, n_steps: int) -> np.ndarray:
        """Probability that the chain has not been beyond a barrier within ``n_steps`` steps, shape (m,)."""
        n_steps = _check.count("n_steps", n_steps, least=0)
        result = np.empty(len(self._staying))
        for k, (inside, first) in enumerate(self._staying):
            mass = np.zeros(inside.shape[0])
            mass[first] = 1.0
            result[k] = next(masses_after(inside, mass, np.array([n_steps]))).sum()
        return result

    def plot(self, ax=None):
        """Draw the expected time against the step size, the critical one marked, and return the Axes."""
        from dynsim.plot import plot_escape_times

        return plot_escape_times(self, ax)

    def to_xarray(self):
        """The times as an ``xarray.Dataset`` over the step size (needs the extra ``xarray``)."""
        return xarray_module().Dataset(
            {name: (("step_size",), getattr(self, name)) for name in ("mean", "log_mean", "n_states")},
            coords={"step_size": self.step_sizes},
            attrs={"critical": self.critical, "method": self.settings["method"]},
        )

    def __repr__(self):
        span = f"step sizes {self.step_sizes[0]:g} … {self.step_sizes[-1]:g}"
        decades = self.log_mean / np.log(10)
        return (
            f"EscapeTimes({self.settings['method_name']} at {self.settings['at']:g}, {span}, critical "
            f"{self.critical:g}: 10^{decades.max():.3g} … 10^{decades.min():.3g} steps)"
        )


def escape_times(
    problem: Problem,
    method: Method,
    at: ArrayLike,
    *,
    step_sizes: ArrayLike,
    x0: ArrayLike | None = None,
    max_states: int = 200_000,
) -> EscapeTimes:
    """Expected number of steps until a chain that starts at a minimum is beyond a barrier of its basin, against η.

    The barriers are the points between the minimum and its neighbors up to which L rises. The chain is that of
    :func:`dynsim.markov_chain`, so the times have full relative accuracy however long they are. Up to the critical
    step size one step from the minimum does not cross a barrier, but many in a row may: the time is finite there, and
    falls by orders of magnitude on the way to it.

    Parameters
    ----------
    problem : Problem
        Of one variable, whose chain lives on a lattice, such as ``problems.two_valleys()``.
    method : Method
        Its own step size plays no part.
    at : array_like, shape (1,)
        The minimum.
    step_sizes : array_like, shape (m,)
        The η > 0, increasing.
    x0 : array_like, optional
        Start within the basin; the minimum by default. On a kink the side that ``problem.gradient`` takes there counts.
    max_states : int, optional
        Give up on a chain beyond so many states.

    Returns
    -------
    EscapeTimes
        Between kinks the time depends on η in stairs, as does the number of steps that lead to the barrier.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, ``at`` is no minimum, or ``x0`` lies outside its basin.
    NotALattice
        If the states that the chain can reach are not finitely many: simulate it with an observer
        ``observers.FirstPassage`` then, or take ``TransferOperator(...).mean_first_passage``.
    NotApplicable
        If the problem has more than one variable or the minimum no barrier, or steps are not of finitely many kinds.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)
    >>> found = ds.stability.escape_times(problem, ds.SGD(0.04), [0.2], step_sizes=[0.03, 0.041])
    >>> found.critical, found.mean.round(1).tolist()
    (0.04, [1455191565.3, 153.7])
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if problem.dim != 1:
        raise NotApplicable(f"escape_times is for problems of one variable, {problem.name} has {problem.dim}")
    minimum = float(_check.start("at", at, 1, 1)[0, 0])
    etas = _check.array("step_sizes", step_sizes, ndim=1)
    if etas.size == 0 or not ((etas > 0).all() and (np.diff(etas) > 0).all()):
        raise ArgumentError(f"step_sizes must be positive and increasing, at least one, got {etas.tolist()}")
    low, high = _basin(problem, minimum)
    start = minimum if x0 is None else float(_check.start("x0", x0, 1, 1)[0, 0])
    if not low <= start <= high:
        raise ArgumentError(f"x0 must lie in the basin ({low:g}, {high:g}) of the minimum {minimum:g}, got {start:g}")
    log_mean, n_states, staying = np.empty(etas.size), np.empty(etas.size, dtype=np.int64), []
    for k, eta in enumerate(etas.tolist()):
        chain = markov_chain(problem, dataclasses.replace(method, step_size=eta), x0=start, max_states=max_states)
        log_mean[k] = chain.log_mean_hitting_time(lambda theta: (theta[..., 0] < low) | (theta[..., 0] > high))
        n_states[k] = len(chain.states)
        staying.append(_inside(chain, low, high))
    with np.errstate(over="ignore"):
        mean = np.exp(log_mean)
    settings = {
        "problem": problem.name,
        "method": repr(method),
        "method_name": method.name,
        "at": minimum,
        "x0": start,
        "max_states": max_states,
    }
    critical = _critical(problem, method, minimum)
    return EscapeTimes(etas, mean, log_mean, critical, (low, high), n_states, settings, tuple(staying))


def _basin(problem, minimum):
    """The barriers on both sides of a minimum."""
    if hasattr(problem, "basin"):
        if not np.isclose(problem.minima, minimum, rtol=1e-9, atol=0).any():
            raise ArgumentError(f"at must be one of the minima {problem.minima.ravel().tolist()}, got {minimum:g}")
        return problem.basin([minimum])
    found = minima(problem)
    if not np.isclose(found.minima[:, 0], minimum, rtol=_SAME, atol=_SAME * np.ptp(problem.bounds)).any():
        raise ArgumentError(f"at must be one of the minima {found.minima.ravel().tolist()}, got {minimum:g}")
    tops = np.array([x[0] for x, kind in zip(found.x, found.kind, strict=True) if kind in ("maximum", "kink")])
    low, high = tops[tops < minimum].max(initial=-np.inf), tops[tops > minimum].min(initial=np.inf)
    if not (np.isfinite(low) or np.isfinite(high)):
        raise NotApplicable(f"{problem.name} has no barrier beside {minimum:g}: no step leaves its only valley")
    return float(low), float(high)


def _critical(problem, method, minimum):
    """The largest step size with which one step does not leave, where the criterion is known."""
    try:
        return float(step_size_range(problem, method, at=[minimum]).max)
    except NotApplicable:
        return float("nan")


def _inside(chain, low, high):
    """The transitions that stay between the barriers, and the number of the start among its states."""
    x = chain.states[:, 0]
    some = np.flatnonzero((x >= low) & (x <= high))
    return sparse.csr_array(chain.transition[some][:, some]), int(np.searchsorted(some, chain.start))
