"""The Fokker–Planck equation of an Itô SDE on a grid: ∂p/∂t = −∇·(μ p) + ½ Σ ∂_i∂_j (D_ij p), D = σσᵀ."""

from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike, Region
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid, breaks_of
from dynsim.results import Density, GridFunction, ReactiveFlux, Spectrum
from dynsim.sde import SDE
from dynsim.stationary import crossings, evolution, line, quality, solvers
from dynsim.stationary.discretization import SCHEMES, coefficients, discretize, sides_of
from dynsim.stationary.process import MarkovProcess

_CELLS = {1: 2000, 2: 128, 3: 32}  # along each axis, by default
_MOST_AXES = 3
_STILL = 1e-10  # share of D below which there is no noise in a direction


class FokkerPlanck(MarkovProcess):
    """The Fokker–Planck equation of an Itô SDE on a grid of cells, as a Markov process that jumps between them.

    ∂p/∂t = −∇·(μ p) + ½ Σ_ij ∂_i∂_j (D_ij p), D = σσᵀ, of any rank. D in units of the cells is split into
    Σ_k w_k e_k e_kᵀ with w_k ≥ 0 and whole vectors e_k (Selling 1874), and the process jumps from x to x ± e_k at the
    rate ½ w_k B(∓2 e_k·D⁻¹μ), B(z) = z/(e^z − 1), with the coefficients of the cell that it leaves. So masses are
    positive and conserved, and D may jump: D p is what Itô makes continuous. Of second order in the cell width for
    smooth coefficients; drift outside the range of D is transported upwind, of first order.

    Parameters
    ----------
    sde : SDE
        Of dim 1, 2 or 3; its coefficients are taken at t = 0.
    bounds : pair of float, or one pair for each axis
        The box.
    n_cells : int or sequence of int, optional
        Cells along each axis (about, with breaks), at least 8; by default 2000 for dim 1, 128 for dim 2, 32 for dim 3.
    sides : str or sequence, optional
        What happens at the sides: "open" (the default: the box cuts off the whole space, which is refused if it cuts
        off more than 1 % of the mass), "reflecting", "periodic" or "absorbing". One for all, one for each axis, or a
        pair (low, high) for each axis.
    breaks : sequence of float, or one sequence for each axis, optional
        Points that must be faces of cells, besides the ``breaks`` of an SDE of dim 1.
    stretch : pair of float, or one pair or None for each axis, optional
        (center, width): cells of equal width within about ``width`` of ``center``, wider in proportion to the distance
        beyond: s = center + width·sinh(u). For heavy tails.
    axes : array_like, shape (dim, dim), optional
        Directions of the axes of the grid as columns; bounds, breaks and stretch are then in coordinates s, θ = axes s.
    scheme : str, optional
        "exponential" (also "auto"): as above, right about barriers. "hybrid": central differences of the drift in the
        cells where all rates stay positive; moments are far more accurate, exact for linear drift and constant noise,
        but the times to cross a barrier are exponentially wrong on a coarse grid. "central": everywhere, which may make
        masses negative: ``negative_mass`` says how much.
    solver : str, optional
        For the stationary law. "gth": elimination without subtraction; "lu": SuperLU; "aggregation": iterative, for
        large 3-D grids. "auto": "gth" where its factors are small, else "aggregation"; "lu" for ``scheme="central"``.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or μ or D is not finite, or D not positive semidefinite, somewhere in the
        box.
    NotApplicable
        If the SDE has more than 3 dimensions.
    TooLarge
        If the grid would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.5)
    >>> well = ds.FokkerPlanck(sde, (-2.5, 2.5), 400)
    >>> round(float(well.mean_first_passage(lambda x: x[..., 0] > 1)(-1.0)), 1)
    41.0
    """

    grid: Grid

    def __init__(
        self,
        sde: SDE,
        bounds: ArrayLike,
        n_cells: int | ArrayLike | None = None,
        *,
        sides="open",
        breaks=(),
        stretch=None,
        axes: ArrayLike | None = None,
        scheme: str = "auto",
        solver: str = "auto",
    ):
        _check.instance("sde", sde, SDE, "an SDE, such as sde_limit(problem, method)")
        if sde.dim > _MOST_AXES:
            raise NotApplicable(
                f"a grid can have at most {_MOST_AXES} dimensions, this SDE has dim {sde.dim}: "
                "integrate it and take histograms instead"
            )
        self.sde = sde
        self.sides = sides_of(sides, sde.dim)
        _check.choice("scheme", scheme, SCHEMES)
        _check.choice("solver", solver, solvers.SOLVERS)
        self.scheme = "exponential" if scheme == "auto" else scheme
        self.solver = solvers.chosen(solver, self.scheme)
        if sde.dim == 1:
            breaks = [np.concatenate([sde.breaks, *breaks_of(breaks, 1)])]
        self.grid = Grid.make(
            bounds,
            _CELLS[sde.dim] if n_cells is None else n_cells,
            dim=sde.dim,
            breaks=breaks,
            periodic=tuple(low == "periodic" for low, _ in self.sides),
            stretch=stretch,
            axes=axes,
            least=2 * quality.LEAST_CELLS,
        )
        self.label = sde.name
        self.settings = {
            "sde": sde.name,
            "bounds": np.array(bounds, dtype=float).tolist(),
            "n_cells": list(self.grid.shape),
            "sides": [list(pair) for pair in self.sides],
            "scheme": self.scheme,
            "solver": self.solver,
        }

    @property
    def x(self) -> np.ndarray:
        """Centers of the cells, shape (m, dim)."""
        return self.grid.x

    @property
    def rates(self) -> sparse.csr_array:
        """Rates of the jumps between cells, shape (m, m), without the diagonal."""
        return self._discretized.rates

    @property
    def killing(self) -> np.ndarray:
        """Rates of absorption at the sides, shape (m,)."""
        return self._discretized.killing

    @property
    def details(self) -> dict:
        """How the noise was split along vectors between cells, for dim above 1.

        ``reach``: cells that the longest goes along an axis; ``added_noise``: the largest share of the trace of D that
        was added to it where shorter ones were taken.
        """
        if self.grid.dim == 1:
            return {}
        report = self._discretized.report
        return {"reach": report.reach, "added_noise": report.added_noise}

    def stationary(self) -> Density:
        """The stationary density, with what is known of its error.

        In dim 1 without periodic sides the flux vanishes, and a two-term recursion gives the masses in logarithms,
        exactly for piecewise constant coefficients that jump on ``breaks``. Else by ``solver``.

        Raises
        ------
        Unresolved
            If halving the number of cells changes the result too much, or the box cuts off more than 1 % of the mass;
            the error carries the result.
        NotApplicable
            If there is no unique stationary density: the process is absorbed, never leaves one of several sets, or has
            a tail that cannot be normalized.
        """
        return self._stationary

    @cached_property
    def _stationary(self):
        return quality.assessed(self)

    @cached_property
    def _discretized(self):
        return discretize(self.sde, self.grid, self.sides, self.scheme)

    def entropy_production(self) -> float:
        """∫ jᵀ (D/2)⁻¹ j / p dx with the stationary current j, per unit of time, in units of k_B.

        0 in detailed balance; inf where a current flows across the range of D.
        """
        density, current = self._stationary, self.current()
        noise = self.sde.covariance(0.0, self.x)
        values, axes = np.linalg.eigh(noise)
        along = np.einsum("mij,mi->mj", axes, current)
        still = values <= _STILL * values[:, -1:]
        scale = np.abs(current).max(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(still, 0.0, along**2 / values).sum(axis=1)
            lost = (still & (np.abs(along) > 1e-6 * scale)).any(axis=1) & (density.mass > 1e-12)
            integrand = 2 * terms * self.grid.volumes**2 / density.mass
        return np.inf if lost.any() else float(integrand[density.mass > 0].sum())

    def evolve(self, p0, times: ArrayLike, *, tolerance: float = 1e-6) -> list[Density]:
        """The law at each of some times from a start, by TR-BDF2 with steps that keep their errors below tolerance.

        Parameters
        ----------
        p0 : Density or array_like
            The law at time 0: a density on this grid, the masses of all cells (m,), or a point (dim,).
        times : array_like, shape (n,)
            Increasing, from 0 on.
        tolerance : float, optional
            Largest error, in total variation, of the steps that cover a time as long as all that went before.

        Returns
        -------
        list of Density
            Of total mass below 1 where sides absorb; ``negative_mass`` is what was cut off below 0.
        """
        return evolution.evolve(self, p0, times, tolerance)

    def mean_first_passage(self, target: Region | None = None) -> GridFunction:
        """Expected time until the process is in a region, or absorbed at a side; inf where it may never get there.

        Parameters
        ----------
        target : callable
            ``target(theta)`` for theta of shape (..., dim) returns booleans of shape (...). May be left out where the
            process is absorbed at a side.

        Returns
        -------
        GridFunction
            0 in the target, whose edge is found on the way of each jump over it: of second order in the cell width.

        Raises
        ------
        Unresolved
            If half as many cells change the logarithm of the longest time by more than 0.5; the error carries the
            result.
        """
        times = super().mean_first_passage(target)
        coarser = self._on_coarser(lambda process: MarkovProcess.mean_first_passage(process, target))
        times = replace(times, coarser=coarser)
        if coarser is not None:
            quality.refuse_unresolved_times(times)
        return times

    def committor(self, a: Region, b: Region) -> GridFunction:
        """Probability that the process gets into region ``b`` before region ``a``: 0 in a, 1 in b.

        Where it may reach neither, that counts as not reaching b; so does absorption at a side.
        """
        coarser = self._on_coarser(lambda process: MarkovProcess.committor(process, a, b))
        return replace(super().committor(a, b), coarser=coarser)

    def reactive_flux(self, a: Region, b: Region) -> ReactiveFlux:
        """How often, and where, the stationary process goes from region ``a`` to region ``b``.

        f_ij = p_i q⁻_i r_ij q⁺_j, q⁺ the probability of reaching b before a, q⁻ that of coming from a rather than from
        b; its net sum through a surface between them is the rate (E & Vanden-Eijnden 2006; Metzner et al. 2009).
        """
        coarser = self._on_coarser(lambda process: MarkovProcess.reactive_flux(process, a, b))
        return replace(super().reactive_flux(a, b), coarser=coarser)

    def spectrum(self, k: int = 6) -> Spectrum:
        """The k slowest modes of the generator: eigenvalues and functions of the start.

        By Arnoldi's method on the inverse, whose factors have no subtraction: gaps of 1e-20 are right. Modes much
        slower than the others are taken out before these are computed.
        """
        found = super().spectrum(k)
        return replace(found, coarser=self._on_coarser(lambda process: MarkovProcess.spectrum(process, k)))

    def _on_coarser(self, question):
        """The answer of this process on half as many cells along each axis, or None where that is no grid for it."""
        if min(self.grid.shape) < 2 * quality.LEAST_CELLS:
            return None
        process = copy(self)
        for name in ("_discretized", "_stationary", "law"):
            process.__dict__.pop(name, None)
        process.grid = self.grid.coarsened()
        try:
            return question(process)
        except (ArgumentError, NotApplicable):  # a region without a center
            return None

    def law_on(self, grid: Grid):
        """Log-masses, residual and negative mass of the stationary law on another grid of this process."""
        closed = self.grid.dim == 1 and not {"periodic", "absorbing"} & set(self.sides[0])
        if closed and self.scheme == "exponential" and self.solver != "lu":
            drift, noise = coefficients(self.sde, grid)
            return *line.log_masses(drift[:, 0], noise[:, 0, 0], grid.widths[:, 0], grid.x[:, 0]), 0.0
        same = grid is self.grid
        discretized = self._discretized if same else discretize(self.sde, grid, self.sides, self.scheme)
        return solvers.stationary(discretized, grid, self.solver, self.label)

    @cached_property
    def law(self):
        """:meth:`law_on` its own grid."""
        return self.law_on(self.grid)

    def _log_stationary(self):
        return self.law[0]

    def _stopped(self, rates, regions, masks):
        return crossings.stopped(self.grid, rates, regions, masks)


def stationary_density(sde: SDE, bounds: ArrayLike, n_cells: int | ArrayLike | None = None, **options) -> Density:
    """Stationary density of an Itô SDE on a grid: ``FokkerPlanck(sde, bounds, n_cells, **options).stationary()``.

    Solves 0 = −∇·(μ p) + ½ Σ_ij ∂_i∂_j (D_ij p), D = σσᵀ, without flux through the sides.

    Parameters
    ----------
    sde : SDE
        Of dim 1, 2 or 3; its coefficients are taken at t = 0.
    bounds : pair of float, or one pair for each axis
        The box.
    n_cells : int or sequence of int, optional
        Cells along each axis; by default 2000 for dim 1, 128 for dim 2, 32 for dim 3.
    **options
        ``sides``, ``breaks``, ``stretch``, ``axes``, ``scheme``, ``solver`` as in :class:`FokkerPlanck`.

    Returns
    -------
    Density

    Raises
    ------
    Unresolved
        If the grid is too coarse or the box cuts off mass; the error carries the result.
    NotApplicable
        If there is no unique stationary density on the box.
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    >>> import dynsim as ds
    >>> ou = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> rho = ds.stationary_density(ou, bounds=(-5, 5), n_cells=1000)
    >>> rho.cov.round(4).tolist()
    [[0.5]]
    """
    return FokkerPlanck(sde, bounds, n_cells, **options).stationary()
