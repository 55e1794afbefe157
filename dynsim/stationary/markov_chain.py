"""The discrete chain where the states it can reach are finitely many: everything about it is exact."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike, Region
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import Density
from dynsim.stationary import graphs
from dynsim.stationary.elimination import Elimination, log_mean_time_to_leave, log_stationary
from dynsim.stationary.evolution import masses_after, step_numbers
from dynsim.stationary.lattice import reachable
from dynsim.stationary.outcomes import outcomes
from dynsim.stationary.process import MarkovProcess

_MOST_EXTENDED = 3000  # states for which elimination runs densely in extended precision, for its exponents


@dataclass(frozen=True, eq=False, repr=False)
class MarkovChain(MarkovProcess):
    """A stochastic optimization method as a finite Markov chain; made by :func:`markov_chain`.

    Besides what follows, it has the verbs of :class:`MarkovProcess`: passage times and committors from all states at
    once, the spectrum, currents.

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

    grid = None
    discrete = True

    @property
    def x(self) -> np.ndarray:
        """The states."""
        return self.states

    @property
    def rates(self) -> sparse.csr_array:
        """Probabilities of the jumps between different states, shape (m, m)."""
        return self._jumps

    @cached_property
    def _jumps(self):
        jumps = (self.transition - sparse.diags_array(self.transition.diagonal())).tocsr()
        jumps.eliminate_zeros()
        return jumps

    @property
    def killing(self) -> np.ndarray:
        """0: nothing leaves a finite chain, shape (m,)."""
        return np.zeros(len(self.states))

    def stationary(self) -> Density:
        """Where the chain is in the long run, started from x0.

        By elimination without subtraction: probabilities of 1e-50 have full relative accuracy. Where the chain ends
        in one of several closed classes, their laws are weighted by the probability of ending in each. A chain with
        a period has this law as its time average.
        """
        classes = self.closed_classes()
        log_mass = np.full(self.states.shape[0], -np.inf)
        for members, log_weight in zip(classes, self._log_absorption(classes), strict=True):
            block = self.rates[members][:, members]
            if members.size <= _MOST_EXTENDED:
                inside = log_stationary(block.toarray())
            else:
                inside = Elimination(block, self.states[members], stationary_only=True).log_stationary()
            log_mass[members] = inside + log_weight
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
        return np.array([mass[inside].sum() for mass in self._laws(step_numbers(steps))])

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
        keep = sparse.diags_array((~inside).astype(np.float64))
        stopped = (keep @ self.rates @ keep).tocsr()
        into = np.asarray(self.rates[:, np.flatnonzero(inside)].sum(axis=1)).ravel()
        if not graphs.surely_leaves(stopped, into, ~inside)[self.start]:
            return np.inf
        start = np.arange(len(inside)) == self.start
        before = np.flatnonzero(graphs.reaches(stopped.T, start) & ~inside)
        first = int(np.searchsorted(before, self.start))
        block, into = stopped[before][:, before], into[before]
        if before.size <= _MOST_EXTENDED:
            return log_mean_time_to_leave(np.column_stack([block.toarray(), into]), first)
        elimination = Elimination(block, self.states[before], leaving=into)
        return float(np.log(elimination.solve(np.ones(before.size))[first]))

    def _laws(self, steps):
        """The laws after the given, increasing numbers of steps."""
        mass = np.zeros(len(self.states))
        mass[self.start] = 1.0
        return masses_after(self.transition, mass, steps)

    def _log_absorption(self, classes):
        """Logarithm of the probability that the chain from x0 ends in each class."""
        if len(classes) == 1:
            return [0.0]
        closed = np.concatenate(classes)
        transient = np.setdiff1d(np.arange(self.states.shape[0]), closed)
        if self.start not in transient:
            return [0.0 if self.start in members else -np.inf for members in classes]
        moving = self.rates[transient][:, transient]
        into = np.stack([np.asarray(self.rates[transient][:, c].sum(axis=1)).ravel() for c in classes], axis=1)
        elimination = Elimination(moving, self.states[transient], leaving=into.sum(axis=1))
        ends = elimination.solve(into)[np.searchsorted(transient, self.start)]
        with np.errstate(divide="ignore"):
            return np.log(ends / ends.sum())

    def _log_stationary(self):
        return self.stationary().log_mass

    def _density(self, log_mass, label, residual=None):
        if residual is None:
            mass = np.exp(log_mass)
            residual = float(np.abs(self.transition.T @ mass - mass).sum())
        return Density(self.states, log_mass, None, residual, 0.0, 0.0, label, self.settings)

    def __repr__(self):
        return f"MarkovChain({self.label}: {self.states.shape[0]} states)"


def markov_chain(problem: Problem, method: Method, *, x0: ArrayLike, max_states: int = 200_000) -> MarkovChain:
    r"""A stochastic optimization method as a finite Markov chain, where the states it can reach from x0 are finite.

    That is so when a step has finitely many, commensurable lengths, as for AY §2.1, sums of \|θ_j − c\|, clipped and
    normalized gradients; in any dimension, for any method without memory whose step has finitely many outcomes:
    batches, the whole gradient and ``noise.TwoPoint`` among them. The chain lives on the lattice through ``x0``: its
    stationary law depends on the coset of x0. States are joined when they agree to rounding, and one within rounding
    of a kink is put on it, so this is the chain in exact arithmetic; where states fall on a kink (``on_kinks``), a
    simulation in floating point may take either side.

    Parameters
    ----------
    problem : Problem
    method : Method
        With constant rates and no memory.
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
    NotApplicable
        If a step of the method has not finitely many outcomes, or depends on more than θ.
    TooLarge
        If the states do not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> chain = ds.markov_chain(ds.problems.two_valleys(), ds.SGD(step_size=0.04), x0=0.25)
    >>> chain.states.shape
    (360, 1)
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    max_states = _check.count("max_states", max_states)
    start = _check.start("x0", x0, 1, problem.dim)[0]
    label = f"{method.name} on {problem.name}"

    def step(theta):
        return outcomes("markov_chain", problem, method, theta)

    lattice = reachable(step, start, problem.kink_planes, max_states, f"{label} from x0 = {start.tolist()}")
    settings = {"problem": problem.name, "method": repr(method), "x0": start.tolist()}
    return MarkovChain(lattice.states, lattice.transition, lattice.start, lattice.on_kinks, label, settings)
