"""The discrete chain where the states it can reach are finitely many: everything about it is exact."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from dynsim import _check
from dynsim._typing import ArrayLike, Region
from dynsim.errors import ArgumentError, NotALattice
from dynsim.methods import Method
from dynsim.methods.base import plain_sgd
from dynsim.problems import Problem
from dynsim.results import Density
from dynsim.stationary.elimination import log_mean_time_to_leave, log_stationary

_RESOLUTION = 1e-7  # of the shortest first step or distance of kinks: states are looked up on a grid that fine
_MANY_STEPS = 100  # from here on, a power of the matrix is cheaper than as many products with it
_ROUNDING = 4096  # units in the last place within which two computations of one state agree


@dataclass(frozen=True, eq=False)
class MarkovChain:
    """A stochastic optimization method as a finite Markov chain; made by :func:`markov_chain`.

    Attributes
    ----------
    states : ndarray, shape (m, dim)
        The states reachable from the start, in lexicographic order.
    transition : scipy.sparse.csr_array, shape (m, m)
        ``transition[i, j]``: probability of a step from state i to state j.
    start : int
        Index of the start in ``states``.
    on_kinks : ndarray of int
        Indices of the states that lie on a kink of the loss. Where there are any, a simulation in floating point may
        take either side of the kink by rounding, and need not agree with this chain.
    settings : dict
        What made it.
    """

    states: np.ndarray
    transition: sparse.csr_array
    start: int
    on_kinks: np.ndarray
    label: str
    settings: dict = field(repr=False)

    def stationary(self) -> Density:
        """Where the chain is in the long run, started from x0.

        By elimination without subtraction: probabilities of 1e-50 have full relative accuracy. Where the chain ends
        in one of several closed classes, their laws are weighted by the probability of ending in each. A chain with
        a period has this law as its time average.
        """
        classes = self._closed_classes()
        log_mass = np.full(self.states.shape[0], -np.inf)
        for members, log_weight in zip(classes, self._log_absorption(classes), strict=True):
            block = self.transition[members][:, members].toarray()
            log_mass[members] = log_stationary(block) + log_weight
        return self._density(log_mass, f"stationary law of {self.label}")

    def distribution(self, n_steps: int) -> Density:
        """The law of the chain after ``n_steps`` steps from x0."""
        n_steps = _check.count("n_steps", n_steps, least=0)
        mass = next(self._laws(np.array([n_steps])))
        with np.errstate(divide="ignore"):
            return self._density(np.log(mass), f"law of {self.label} after {n_steps} steps", residual=0.0)

    def occupation(self, region: Region, steps: int | np.ndarray) -> np.ndarray:
        """Probability of being in a region after each of a number of steps from x0.

        Parameters
        ----------
        region : callable
            ``region(theta)`` for theta of shape (..., dim) returns booleans of shape (...).
        steps : int or array_like of int, shape (k,)
            Step numbers, increasing; an int n stands for 0, 1, …, n.

        Returns
        -------
        ndarray, shape (k,)
        """
        inside = _check.region("region", region, self.states)
        if np.ndim(steps) == 0:
            steps = np.arange(_check.count("steps", steps, least=0) + 1)
        steps = np.asarray(steps)
        if not np.issubdtype(steps.dtype, np.integer) or steps.size == 0 or steps[0] < 0 or (np.diff(steps) <= 0).any():
            raise ArgumentError("steps must be a whole number, or increasing whole numbers from 0 on")
        return np.array([mass[inside].sum() for mass in self._laws(steps)])

    def mean_hitting_time(self, region: Region) -> float:
        """Expected number of steps from x0 until the chain is in a region; inf if it may never get there.

        Exact to full relative accuracy however long it is (above 1e308: :meth:`log_mean_hitting_time`); 0 if x0 lies
        in the region.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_mean_hitting_time(region)))

    def log_mean_hitting_time(self, region: Region) -> float:
        """Natural logarithm of :meth:`mean_hitting_time`, right also where that overflows."""
        inside = _check.region("region", region, self.states)
        if inside[self.start]:
            return -np.inf
        if not inside.any():
            return np.inf
        outside = self._reachable_before(inside)
        if not self._surely_hits(outside, inside):
            return np.inf
        into = np.asarray(self.transition[outside][:, np.flatnonzero(inside)].sum(axis=1)).ravel()
        block = np.column_stack([self.transition[outside][:, outside].toarray(), into])
        return log_mean_time_to_leave(block, int(np.searchsorted(outside, self.start)))

    def _laws(self, steps):
        """The laws after the given, increasing numbers of steps."""
        mass = np.zeros(self.states.shape[0])
        mass[self.start] = 1.0
        backward = self.transition.T.tocsr()
        powers = {}
        for gap in np.diff(steps, prepend=0):
            if gap <= _MANY_STEPS:
                for _ in range(gap):
                    mass = backward @ mass
            else:
                if gap not in powers:
                    powers[gap] = np.linalg.matrix_power(backward.toarray(), int(gap))
                mass = powers[gap] @ mass
            yield mass

    def _closed_classes(self):
        """Index arrays of the classes of communicating states that are never left."""
        n_classes, label = connected_components(self.transition, directed=True, connection="strong")
        rows, columns = self.transition.nonzero()
        left = np.zeros(n_classes, dtype=bool)
        left[label[rows[label[rows] != label[columns]]]] = True
        return [np.flatnonzero(label == c) for c in np.flatnonzero(~left)]

    def _log_absorption(self, classes):
        """Logarithm of the probability that the chain from x0 ends in each class."""
        if len(classes) == 1:
            return [0.0]
        closed = np.concatenate(classes)
        transient = np.setdiff1d(np.arange(self.states.shape[0]), closed)
        if self.start not in transient:
            return [0.0 if self.start in members else -np.inf for members in classes]
        moving = sparse.eye_array(transient.size) - self.transition[transient][:, transient]
        source = (transient == self.start).astype(np.float64)
        visits = sparse.linalg.spsolve(moving.T.tocsc(), source)
        ends = [float(visits @ self.transition[transient][:, members].sum(axis=1)) for members in classes]
        with np.errstate(divide="ignore"):
            return np.log(np.array(ends) / sum(ends))

    def _reachable_before(self, inside):
        """Indices of the states that the chain from x0 can visit before it first enters the region."""
        outside = ~inside
        seen = np.zeros_like(outside)
        seen[self.start] = True
        front = np.array([self.start])
        while front.size:
            reached = np.unique(self.transition[front].indices)
            front = reached[outside[reached] & ~seen[reached]]
            seen[front] = True
        return np.flatnonzero(seen)

    def _surely_hits(self, outside, inside):
        """Whether from each state of ``outside`` the region can be reached."""
        block = self.transition[outside][:, outside].T.tocsr()
        hits = np.asarray(self.transition[outside][:, np.flatnonzero(inside)].sum(axis=1)).ravel() > 0
        front = np.flatnonzero(hits)
        while front.size:
            reached = np.unique(block[front].indices)
            front = reached[~hits[reached]]
            hits[front] = True
        return bool(hits.all())

    def _density(self, log_mass, label, residual=None):
        if residual is None:
            mass = np.exp(log_mass)
            residual = float(np.abs(self.transition.T @ mass - mass).sum())
        return Density(self.states, log_mass, None, residual, 0.0, 0.0, label, self.settings)

    def __repr__(self):
        return f"MarkovChain({self.label}: {self.states.shape[0]} states)"


def markov_chain(problem: Problem, method: Method, *, x0: ArrayLike, max_states: int = 5000) -> MarkovChain:
    """A stochastic optimization method as a finite Markov chain, where the states it can reach from x0 are finite.

    That is so when the reweighted gradients take finitely many, commensurable values, as for AY §2.1. The chain lives
    on the lattice through ``x0``: its stationary law depends on the coset of x0. States are joined when they agree to
    rounding, and one within rounding of a kink is put on it, so this is the chain in exact arithmetic; where states
    fall on a kink (``on_kinks``), a simulation in floating point may take either side.

    Parameters
    ----------
    problem : Problem
    method : Method
    x0 : array_like
        Start: a scalar or (dim,).
    max_states : int, optional
        Give up beyond so many states.

    Returns
    -------
    MarkovChain

    Raises
    ------
    NotALattice
        If more than ``max_states`` states can be reached, states come closer to each other than a lattice allows, or
        the steps are too short or too long against ``x0`` and the kinks for floating point to tell states apart.

    Examples
    --------
    >>> import dynsim as ds
    >>> chain = ds.markov_chain(ds.problems.two_valleys(), ds.SGD(step_size=0.04), x0=0.25)
    >>> chain.states.shape
    (360, 1)
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    plain_sgd("markov_chain", method)
    max_states = _check.count("max_states", max_states)
    start = _check.start("x0", x0, 1, problem.dim)
    name = f"{method.name} on {problem.name} from x0 = {start[0].tolist()}"
    resolution, rounding = _scales(problem, method, start, name)
    index: dict[tuple, int] = {}
    states: list[np.ndarray] = []
    rows, columns, values = [], [], []

    def number(theta):
        key = tuple(np.rint(theta / resolution).astype(np.int64))
        if key not in index:
            index[key] = len(states)
            states.append(theta)
        elif np.abs(states[index[key]] - theta).max() > rounding:
            raise NotALattice(f"{name} reaches states closer than any lattice of its steps: they are not finitely many")
        return index[key]

    number(start[0])
    done = 0
    while done < len(states):
        front = _on_kinks(np.array(states[done:]), problem.kinks, resolution)
        outcomes, p = _outcomes(problem, method, front)
        for i in range(front.shape[0]):
            for n in np.flatnonzero(p[i]):
                rows.append(done + i)
                columns.append(number(outcomes[i, n]))
                values.append(p[i, n])
        states[done : done + front.shape[0]] = front
        done += front.shape[0]
        if len(states) > max_states:
            raise NotALattice(
                f"{name} reaches more than {max_states} states: "
                "they do not form a finite lattice that small (raise max_states, or use the SDE and simulation)"
            )
    points = np.array(states)
    order = np.lexsort(points.T[::-1])
    rank = np.argsort(order)
    m = points.shape[0]
    transition = sparse.csr_array((values, (rank[rows], rank[columns])), shape=(m, m))
    transition.sum_duplicates()
    settings = {"problem": problem.name, "method": repr(method), "x0": start[0].tolist()}
    points = points[order]
    on_kinks = np.flatnonzero(np.isin(points[:, 0], problem.kinks))
    return MarkovChain(points, transition, int(rank[0]), on_kinks, f"{method.name} on {problem.name}", settings)


def _scales(problem, method, start, name):
    """Width of the grid on which states are looked up, and how far two computations of one state may differ."""
    steps = np.abs(_outcomes(problem, method, start)[0] - start)
    lengths = np.append(steps[steps > 0], np.diff(problem.kinks))
    size = max(np.abs(start).max(), steps.max(), *np.abs(problem.kinks), 0.0)
    resolution = _RESOLUTION * lengths.min() if lengths.size else 1.0
    rounding = _ROUNDING * np.spacing(size)
    if rounding > resolution / 4:
        raise NotALattice(
            f"{name}: in floating point, positions of the size {size:.1e} are not told apart finely enough for "
            f"steps and kinks {lengths.min():.1e} apart"
        )
    return resolution, rounding


def _outcomes(problem, method, theta):
    """Where a step from each theta (m, dim) leads for each term, (m, n_terms, dim), and with what probability."""
    method.sampling.refuse_bias(problem, theta)
    p = method.sampling.probabilities(problem, theta)
    scale = method.sampling.reweighting(problem, theta)
    return theta[:, None, :] - method.step_size * scale[..., None] * problem.term_gradients(theta), p


def _on_kinks(theta, kinks, resolution):
    for kink in kinks:
        theta[np.abs(theta[:, 0] - kink) <= resolution] = kink
    return theta
