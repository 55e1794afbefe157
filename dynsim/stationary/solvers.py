"""Stationary vectors of sparse generators and transfer operators."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from dynsim.errors import ArgumentError, NotApplicable, TooLarge
from dynsim.stationary.elimination import Elimination, dissected
from dynsim.stationary.graphs import closed_classes, reducible

SOLVERS = ("auto", "gth", "lu", "aggregation")
_MOST_FACTORS = 5e7  # numbers in the factors, 400 MB
_MOST_FACTORS_3D = 1.5e7  # beyond 32³ cells a stationary law by aggregation takes a fifth of the time or less


def chosen(solver, scheme):
    """The solver for a scheme."""
    if scheme == "central":  # negative rates
        if solver not in ("auto", "lu"):
            raise ArgumentError(
                f"solver for scheme='central' must be 'lu', as its rates may be negative, got {solver!r}"
            )
        return "lu"
    return solver


def stationary(discretized, grid, solver, label):
    """Log-masses, residual and negative mass of the stationary law."""
    rates, killing = discretized.rates, discretized.killing
    if killing.any():
        raise NotApplicable(
            f"{label} is absorbed at a side, so there is no stationary law; ask for mean_first_passage(), "
            "spectrum() or evolve()"
        )
    if solver == "lu":
        return by_lu(rates, places_of(grid))
    return *of_closed_class(rates, grid, label, closed_classes(rates), solver), 0.0


def places_of(grid, cells=slice(None)):
    """Where cells are for the purpose of elimination: by their numbers along the axes, so that all have one size."""
    return np.stack(np.unravel_index(np.arange(grid.size)[cells], grid.shape), axis=1)


def of_closed_class(rates, grid, label, classes, solver="auto"):
    """Log-masses (m,) and residual of a chain (m, m) on the cells of a grid that has one closed class."""
    if len(classes) > 1:
        raise NotApplicable(reducible(label, classes, grid.x, grid))
    members = classes[0]
    log_mass = np.full(grid.size, -np.inf)
    inner = rates if members.size == grid.size else rates[members][:, members]
    log_mass[members] = 0.0 if members.size == 1 else _recurrent(inner, grid, members, solver)
    return log_mass, residual(rates, np.exp(log_mass))


def _recurrent(rates, grid, members, solver):
    """Log-masses (n,) of an irreducible chain (n, n) on some cells of a grid."""
    most = _MOST_FACTORS_3D if grid.dim == 3 else _MOST_FACTORS
    if solver != "aggregation":
        try:
            most = most if solver == "auto" else None
            return Elimination(rates, places_of(grid, members), stationary_only=True, most=most).log_stationary()
        except (TooLarge, NotApplicable):
            if solver == "gth":
                raise
    from dynsim.stationary.aggregation import stationary_by_aggregation

    return stationary_by_aggregation(rates, grid.shape, cells=members)[0]


def solve(rates, leaving, rhs, grid, cells, places):
    """X with (D − R) x = b, D the row sums of R and the rates of leaving, on some cells of a grid or states."""
    try:
        most = None if grid is None else _MOST_FACTORS
        return Elimination(rates, places, leaving=leaving, most=most).solve(rhs)
    except TooLarge:
        if grid is None:
            raise
        from dynsim.stationary.aggregation import solve_by_aggregation

        return solve_by_aggregation(rates, leaving, rhs, grid.shape, cells=cells)[0]


def by_lu(rates, places):
    """By SuperLU in the order of nested dissection, with a likely cell's mass pinned."""
    m = rates.shape[0]
    balance = (rates - sparse.diags_array(np.asarray(rates.sum(axis=1)).ravel())).T.tocsr()
    pinned = m // 2
    for _ in range(2):
        inner = dissected(rates, places, pinned)[0][:-1]
        matrix = balance[inner][:, inner].tocsc()
        factors = splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        mass = np.ones(m)
        mass[inner] = factors.solve(-balance[inner][:, [pinned]].toarray().ravel())
        mass /= mass.sum()
        likely = int(np.argmax(np.abs(mass)))
        if abs(mass[pinned]) > 1e-6 * abs(mass[likely]):
            break
        pinned = likely
    negative = float(-mass[mass < 0].sum())
    wrong = residual(rates, mass)
    mass = np.maximum(mass, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(mass / mass.sum()), wrong, negative


def residual(rates, mass):
    """Σ|Gᵀm| / Σ|G_ii| m."""
    leaving = np.asarray(rates.sum(axis=1)).ravel() * mass
    return float(np.abs(rates.T @ mass - leaving).sum() / max(np.abs(leaving).sum(), np.finfo(float).tiny))
