"""Stationary vectors of sparse generators and transfer operators."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from dynsim.errors import ArgumentError, NotApplicable, TooLarge
from dynsim.stationary.elimination import Elimination, order_of_elimination
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
    classes = closed_classes(rates)
    if len(classes) > 1:
        raise NotApplicable(reducible(label, classes, grid.x, grid))
    members = np.sort(classes[0])
    log_mass = np.full(grid.size, -np.inf)
    inner = rates if members.size == grid.size else rates[members][:, members]
    log_mass[members], wrong = recurrent(inner, grid, members, solver)
    return log_mass, wrong, 0.0


def places_of(grid, cells=slice(None)):
    """Where cells are for the purpose of elimination: by their numbers along the axes, so that all have one size."""
    return np.stack(np.unravel_index(np.arange(grid.size)[cells], grid.shape), axis=1)


def recurrent(rates, grid, members, solver="auto"):
    """Log-masses (n,) and residual of an irreducible chain (n, n) on some cells of a grid."""
    if members.size == 1:
        return np.zeros(1), 0.0
    log_mass = None
    most = _MOST_FACTORS_3D if grid.dim == 3 else _MOST_FACTORS
    if solver != "aggregation":
        try:
            log_mass = Elimination(
                rates,
                places_of(grid, members),
                root=downhill(rates),
                stationary_only=True,
                most=most if solver == "auto" else None,
            ).log_stationary()
        except (TooLarge, NotApplicable):
            if solver == "gth":
                raise
    if log_mass is None:
        from dynsim.stationary.aggregation import stationary_by_aggregation

        log_mass = stationary_by_aggregation(rates, grid.shape, cells=members)[0]
    return log_mass, residual(rates, np.exp(log_mass))


def downhill(rates) -> int:
    """The state where most end up that always take the likeliest jump: it is never far from the likely ones."""
    m = rates.shape[0]
    fastest = np.maximum.reduceat(rates.data, rates.indptr[:-1])
    row = np.repeat(np.arange(m), np.diff(rates.indptr))
    best = np.flatnonzero(rates.data == fastest[row])
    follows = np.empty(m, dtype=np.int64)
    follows[row[best]] = rates.indices[best]
    for _ in range(int(m).bit_length()):
        follows = follows[follows]
    return int(np.argmax(np.bincount(follows, minlength=m)))


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
        order = order_of_elimination(rates, places, pinned)
        inner = order[:-1]
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
