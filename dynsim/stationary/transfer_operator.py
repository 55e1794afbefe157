"""The discrete chain on a grid: Ulam's method."""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy import sparse

from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable, Unresolved
from dynsim.grid import Grid
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import Density
from dynsim.stationary import graphs, solvers
from dynsim.stationary.diagnostics import density_or_singular
from dynsim.stationary.distances import wasserstein
from dynsim.stationary.evolution import laws_after
from dynsim.stationary.outcomes import state_width
from dynsim.stationary.process import MarkovProcess
from dynsim.stationary.quality import boundary_mass
from dynsim.stationary.ulam import transfer_matrix

_LEAST_CELLS = 4  # along each axis of a coarser grid
_CELLS = {1: 4000, 2: 128}  # along each axis, by default
_ESCAPES = 0.5  # probability of leaving the grid in a step: a set that consists of such cells is outside, in effect
_MOST_LEAK = 1e-3  # of the mass, in a step
_LARGEST_DISTANCE = 0.1  # of the laws on h and 2h, in standard deviations


class TransferOperator(MarkovProcess):
    """A stochastic optimization method on a grid of cells, as a Markov chain that jumps between them: Ulam's method.

    ``P_ij = (1/|C_i|) ∫_{C_i} P(θ' ∈ C_j | θ) dθ``, θ' one step from θ: the chain with a little noise, of the size of a
    cell, added in each step. Its law tends to an invariant measure of the method as the cells shrink.

    Parameters
    ----------
    problem : Problem
    method : Method
        With constant rates and draws that do not depend on the steps before. With memory, as :class:`HeavyBall`, the
        chain is one of (θ, v).
    bounds : pair of float, or one pair for each axis
        The box, of one or two dimensions. A step out of it is not taken, except from where every step leads out: there
        it ends in the nearest cell that the chain may stay in. See ``leak``.
    n_cells : int or sequence of int, optional
        Cells along each axis; by default 4000 for one dimension, 128 for two.
    breaks : sequence of float, or one sequence for each axis, optional
        Points that must be faces of cells.
    points : int, optional
        Sub-cells of a cell along each axis that are moved as boxes: 4 in one dimension, 2 in two.

    Attributes
    ----------
    leak : ndarray, shape (m,)
        Probability of a step out of the box from each cell.

    Raises
    ------
    NotApplicable
        If the next state is not a random function of one or two numbers.
    ArgumentError
        If an argument is out of its range.
    TooLarge
        If the matrix would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> chain = ds.TransferOperator(ds.problems.two_valleys(), ds.SGD(0.04), (-2.0, 1.0), 1200)
    >>> chain.mean_first_passage(lambda theta: theta[..., 0] < 0)(0.25).round(-1).tolist()
    160.0
    """

    grid: Grid
    discrete = True

    def __init__(
        self,
        problem: Problem,
        method: Method,
        bounds: ArrayLike,
        n_cells: int | ArrayLike | None = None,
        *,
        breaks=(),
        points: int | None = None,
    ):
        self.problem, self.method, self.points = problem, method, points
        dim = state_width("invariant_measure", problem, method)
        if dim > max(_CELLS):
            raise NotApplicable(
                f"Ulam's method is for states of one or two numbers, those of {method.name} on {problem.name} have "
                f"{dim}: use iterate with observers.Histogram instead"
            )
        if n_cells is not None and min(np.atleast_1d(n_cells).tolist()) < 2 * _LEAST_CELLS:
            raise ArgumentError(f"n_cells must be at least {2 * _LEAST_CELLS}, to tell the error, got {n_cells!r}")
        self.grid = Grid.make(bounds, _CELLS[dim] if n_cells is None else n_cells, dim=dim, breaks=breaks)
        self.label = f"{method.name} on {problem.name}"
        self.settings = {
            "problem": problem.name,
            "method": repr(method),
            "bounds": np.array(bounds, dtype=float).tolist(),
            "n_cells": list(self.grid.shape),
        }

    @property
    def x(self) -> np.ndarray:
        """Centers of the cells, shape (m, dim)."""
        return self.grid.x

    @property
    def killing(self) -> np.ndarray:
        """0, as a step out of the box is not taken, shape (m,)."""
        return np.zeros(self.grid.size)

    @property
    def rates(self) -> sparse.csr_array:
        """Probabilities of the jumps between different cells, shape (m, m)."""
        return self._matrices[0]

    @property
    def transition(self) -> sparse.csr_array:
        """Probabilities of the steps from cell to cell, shape (m, m)."""
        staying = 1 - np.asarray(self.rates.sum(axis=1)).ravel()
        return (self.rates + sparse.diags_array(np.maximum(staying, 0.0))).tocsr()

    @property
    def leak(self) -> np.ndarray:
        """Probability of a step out of the box, shape (m,)."""
        return self._matrices[1]

    def stationary(self) -> Density:
        """The stationary law, on this grid, on half and on a quarter of the cells along each axis.

        ``refinement_gap`` is the Wasserstein distance of the first two in standard deviations: a singular measure has
        no density that could converge in total variation. ``details`` holds ``verdict``, whether there is a density at
        all or this is a singular measure seen at the scale of a cell, with the correlation dimension; and ``leak``, the
        probability of a step out of the box.

        Raises
        ------
        NotApplicable
            If there are several closed classes (the message lists them), or the chain leaves the box for good.
        Unresolved
            If more than 1e-3 of the mass leaves in a step, or half as many cells move the law by more than a tenth of a
            standard deviation; the error carries the result.
        """
        return self._stationary

    def evolve(self, p0, steps: ArrayLike) -> list[Density]:
        """The law after each of some numbers of steps from a start.

        Parameters
        ----------
        p0 : Density or array_like
            The law at step 0: a density on this grid, the masses of all cells (m,), or a point.
        steps : array_like of int, shape (n,)
            Increasing, from 0 on.
        """
        return laws_after(self, p0, steps)

    @cached_property
    def _matrices(self):
        return _matrices(self.problem, self.method, self.grid, self.points)

    @cached_property
    def _stationary(self):
        levels = [self.grid]
        while len(levels) < 3 and min(levels[-1].shape) >= 2 * _LEAST_CELLS:
            levels.append(levels[-1].coarsened())
        density = None
        for grid in reversed(levels):
            log_mass, leak, residual = self._law_on(grid)
            law = Density(
                x=grid.x,
                log_mass=log_mass,
                grid=grid,
                residual=residual,
                boundary_mass=boundary_mass(grid, log_mass),
                refinement_gap=np.nan,
                label=self.label,
                settings=self.settings,
                details={"leak": leak},
            )
            if density is None:
                density = law
                continue
            distance = wasserstein(law, density) / _size(law)
            density = replace(law, refinement_gap=distance, coarser=density)
        assert density is not None
        if density.coarser is not None:
            density.details["verdict"] = density_or_singular(_on_halved_bins(density))
        self._refuse(density)
        return density

    def _refuse(self, density):
        leak = density.details["leak"]
        if leak > _MOST_LEAK:
            raise Unresolved(
                f"{self.label} leaves the box in a share of {leak:.2g} of its steps; {_wider(density.grid)} "
                "(the result is in .result)",
                density,
                leak,
            )
        if density.refinement_gap > _LARGEST_DISTANCE:
            raise Unresolved(
                f"the grid does not resolve the invariant measure of {self.label}: half as many cells along each axis "
                f"move it by {density.refinement_gap:.2g} standard deviations; use more cells, or narrower bounds "
                "(the result is in .result)",
                density,
                density.refinement_gap,
            )

    def _law_on(self, grid):
        """Log-masses, leak per step and residual on a grid of the same box."""
        rates, leak = self._matrices if grid is self.grid else _matrices(self.problem, self.method, grid, self.points)
        classes = graphs.closed_classes(rates)
        if leak[np.concatenate(classes)].min() >= _ESCAPES:
            raise NotApplicable(
                f"{self.label} leaves the box for good, with probability {leak.min():.2g} or more in a step from each "
                "of its cells: choose bounds around where it stays, or a smaller step size if it diverges"
            )
        log_mass, residual = solvers.of_closed_class(rates, grid, self.label, classes)
        return log_mass, float(np.exp(log_mass) @ leak), residual

    def _log_stationary(self):
        return self._stationary.log_mass


def _matrices(problem, method, grid, points):
    transition, leak = transfer_matrix(problem, method, list(grid.edges), points=points)
    transition = transition.tocsr()
    jumps = transition - sparse.diags_array(transition.diagonal())
    jumps.eliminate_zeros()
    return _brought_back(jumps.tocsr(), leak, grid), leak


def _brought_back(jumps, leak, grid):
    """From where every step leaves the box for good, to the nearest cell of a set that keeps the chain inside."""
    from scipy.spatial import cKDTree

    classes = graphs.closed_classes(jumps)
    kept = [members for members in classes if leak[members].min() < _ESCAPES]
    lost = [members for members in classes if leak[members].min() >= _ESCAPES]
    if not kept and lost:  # all leads to them in the end: back to the largest set of cells that reach each other
        largest = graphs.largest_component(jumps)
        kept = [largest] if leak[largest].min() < _ESCAPES else []
    if not kept or not lost:
        return jumps
    home, away = np.concatenate(kept), np.concatenate(lost)
    nearest = home[cKDTree(grid.x[home]).query(grid.x[away])[1]]
    return (jumps + sparse.csr_array((leak[away], (away, nearest)), shape=jumps.shape)).tocsr()


def _on_halved_bins(density):
    """Masses of a law and of those on coarser grids, on uniform bins that halve in number."""
    n_levels, law = 0, density
    while law is not None:
        n_levels, law = n_levels + 1, law.coarser
    counts = [n // 2 ** (n_levels - 1) * 2 ** (n_levels - 1) for n in density.grid.shape]
    result, law = [], density
    while law is not None:
        bins = [np.linspace(e[0], e[-1], n + 1) for e, n in zip(law.grid.edges, counts, strict=True)]
        result.append(law.on_bins(*bins))
        counts = [n // 2 for n in counts]
        law = law.coarser
    return result


def _size(density):
    return float(np.sqrt(np.trace(density.cov))) or float(density.grid.widths.max())


def _wider(grid):
    """What to do about a leak, in words."""
    low, high = (np.array([e[end] for e in grid.edges]) for end in (0, -1))
    half = 0.25 * (high - low)
    bounds = [(float(f"{a:.3g}"), float(f"{b:.3g}")) for a, b in zip(low - half, high + half, strict=True)]
    return f"use wider bounds, such as {bounds[0] if len(bounds) == 1 else tuple(bounds)}"


def invariant_measure(
    problem: Problem, method: Method, bounds: ArrayLike, n_cells: int | ArrayLike | None = None, **options
) -> Density:
    """Invariant measure of the discrete chain of a method, by Ulam's method on a grid of cells.

    ``TransferOperator(problem, method, bounds, n_cells, **options).stationary()``: the measure μ with μ P = μ of
    ``P_ij = (1/|C_i|) ∫_{C_i} P(θ' ∈ C_j | θ) dθ``, θ' one step from θ. It is the law of the chain itself, not of its
    SDE limit (:func:`stationary_density`); where the chain lives on a lattice, :func:`markov_chain` has its law
    exactly, coset by coset.

    Parameters
    ----------
    problem : Problem
    method : Method
        With constant rates and draws that do not depend on the steps before.
    bounds : pair of float, or one pair for each axis
        The box, of one or two dimensions.
    n_cells : int or sequence of int, optional
        Cells along each axis; by default 4000 for one dimension, 128 for two.
    **options
        ``breaks`` and ``points`` as in :class:`TransferOperator`.

    Returns
    -------
    Density
        ``details["verdict"]`` says whether there is a density or this is a singular measure at the scale of a cell.

    Raises
    ------
    NotApplicable
        If the chain has several closed classes, leaves the box, or is not one of one or two numbers.
    Unresolved
        If the grid is too coarse or the box too small; the error carries the result.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 1.0])  # θ/2 or (θ + 1)/2: uniform on [0, 1]
    >>> mu = ds.invariant_measure(problem, ds.SGD(0.5), bounds=(-0.5, 1.5), n_cells=512)
    >>> mu.details["verdict"].kind, (mu.mean + 0).round(9).tolist()
    ('density', [0.5])
    """
    return TransferOperator(problem, method, bounds, n_cells, **options).stationary()
