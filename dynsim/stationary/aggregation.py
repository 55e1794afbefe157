"""Stationary masses and linear systems of large sparse chains, where elimination would fill the memory.

Each is made of the stationary masses of irreducible chains of jumps, which the cycles of
:mod:`dynsim.stationary.cycles` find: a system's with killing of a chain that starts anew where it is killed, and of its
time reversal; masses too small to influence the others of a chain of their own, afterwards.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.stationary.cycles import iterate
from dynsim.stationary.graphs import closed_classes

_NO_JUMP = 1e-300  # smaller probabilities of a jump matter only where they lead to masses not found yet
_BALANCED = 1e-6  # largest difference of the logarithms of the flows into and out of a state
_UNDERFLOW = "some states are connected only by rates too small for numbers down to 1e-308; use elimination"


def stationary_by_aggregation(
    rates: sparse.csr_array,
    shape: tuple[int, ...],
    *,
    cells: ArrayLike | None = None,
    start: ArrayLike | None = None,
    tolerance: float = 1e-12,
    max_cycles: int = 200,
) -> tuple[np.ndarray, float, int]:
    """Logarithms of the stationary masses of a Markov chain on the cells of a grid, by multilevel aggregation.

    Solves Σ_j p_j R_ji = p_i Σ_j R_ij, Σ p = 1, in memory and time proportional to the number of rates: a second or two
    for 64³ cells. Log-masses are right to about 1e-7, those below 1e-50 to 1e-6, also where wells hardly exchange mass.

    Parameters
    ----------
    rates : scipy.sparse.csr_array, shape (m, m)
        Rates i → j ≥ 0, in any unit; probabilities of a transition matrix do as well. The diagonal does not matter.
    shape : tuple of int
        Of the grid, 1 to 3 axes; its cells are numbered in C order.
    cells : array_like of int, shape (m,), optional
        Numbers of the cells of the grid that are states, increasing; all of them by default.
    start : array_like, shape (m,), optional
        Masses to start from, nonnegative, in any unit.
    tolerance : float, optional
        Largest residual Σ|Gᵀp| / Σ|G_ii| p_i. Besides it, no log-mass may change by more than 1e-9 in a cycle.
    max_cycles : int, optional
        Cycles after which to give up.

    Returns
    -------
    log_mass : ndarray, shape (m,)
        −inf in transient states.
    residual : float
        Reached.
    n_cycles : int
        Done.

    Raises
    ------
    NotApplicable
        If the chain has several closed classes, if the cycles do not converge (the message has the residual), or if
        parts of it exchange less than 1e-185 of the mass in a mean holding time.
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    A cycle of three states, with rates 1, 2 and 4: masses as 1/1, 1/2, 1/4.

    >>> import numpy as np
    >>> from scipy import sparse
    >>> rates = sparse.csr_array(np.array([[0, 1.0, 0], [0, 0, 2.0], [4.0, 0, 0]]))
    >>> log_mass, residual, n_cycles = stationary_by_aggregation(rates, (3,))
    >>> np.exp(log_mass).round(12).tolist()
    [0.571428571429, 0.285714285714, 0.142857142857]
    """
    rates, shape, cells = _checked_chain(rates, shape, cells)
    mass = None if start is None else _checked_vector("start", start, cells.size, low=0)
    control = _check.positive("tolerance", tolerance), _check.count("max_cycles", max_cycles)
    recurrent = _closed_class(rates)
    if mass is not None and not mass[recurrent].sum() > 0:
        raise ArgumentError("start must be positive in some state that is not transient")
    log_mass = np.full(cells.size, -np.inf)
    log_mass[recurrent], residual, n_cycles = _log_stationary(
        _among(rates, recurrent), shape, cells[recurrent], None if mass is None else mass[recurrent], control
    )
    return log_mass, residual, n_cycles


def solve_by_aggregation(
    rates: sparse.csr_array,
    killing: ArrayLike,
    rhs: ArrayLike,
    shape: tuple[int, ...],
    *,
    cells: ArrayLike | None = None,
    tolerance: float = 1e-12,
    max_cycles: int = 200,
) -> tuple[np.ndarray, float, int]:
    """Solution x of (D − R) x = b for a Markov chain with killing, by multilevel aggregation.

    D holds the sums of the rates out of each cell and of its killing κ. With b = 1, x is the mean time until the chain
    is killed; with b the rates into a set, the probability of ending there.

    No difference is ever taken for b ≥ 0, so times of 1e21 are right: with w the stationary masses of the chain that
    starts anew where it is killed, w x is, up to a factor, the stationary mass of that chain run backwards and started
    anew at the rates w b. (Where b has both signs, its two parts are solved for.)

    Parameters
    ----------
    rates : scipy.sparse.csr_array, shape (m, m)
        Rates i → j ≥ 0; the diagonal does not matter.
    killing : array_like, shape (m,)
        Rates κ ≥ 0 at which the chain is killed.
    rhs : array_like, shape (m,)
        The right-hand side b.
    shape : tuple of int
        Of the grid, 1 to 3 axes; its cells are numbered in C order.
    cells : array_like of int, shape (m,), optional
        Numbers of the cells of the grid that are states, increasing; all of them by default.
    tolerance, max_cycles : float, int, optional
        Of each of the two or three stationary masses, see :func:`stationary_by_aggregation`.

    Returns
    -------
    x : ndarray, shape (m,)
        To about 1e-8 of each entry if b ≥ 0.
    residual : float
        Σ|(D − R) x − b| / Σ(D |x|).
    n_cycles : int
        Cycles done, in total.

    Raises
    ------
    NotApplicable
        If some states never reach one with killing, or the cycles do not converge.
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    A walk on three cells with rates 1, killed at rate 1 in the last.

    >>> import numpy as np
    >>> from scipy import sparse
    >>> rates = sparse.csr_array(np.array([[0, 1.0, 0], [1.0, 0, 1.0], [0, 1.0, 0]]))
    >>> time, residual, n_cycles = solve_by_aggregation(rates, killing=[0, 0, 1.0], rhs=np.ones(3), shape=(3,))
    >>> time.round(9).tolist()
    [6.0, 5.0, 3.0]
    """
    rates, shape, cells = _checked_chain(rates, shape, cells)
    killing = _checked_vector("killing", killing, cells.size, low=0)
    rhs = _checked_vector("rhs", rhs, cells.size, low=-np.inf)
    control = _check.positive("tolerance", tolerance), _check.count("max_cycles", max_cycles)
    leaving = rates.sum(axis=1) + killing
    renewed = _with_hub(rates, killing, np.full(cells.size, np.median(leaving)))
    n_classes, labels = connected_components(renewed, connection="strong")
    if n_classes > 1:
        raise NotApplicable(
            f"the system is singular: from {np.count_nonzero(labels != labels[-1])} of {cells.size} states, none with "
            "killing is ever reached"
        )
    log_w, _, n_cycles = _log_stationary(renewed, shape, cells, None, control)
    x = np.zeros(cells.size)
    for sign in (1, -1):
        part = np.maximum(sign * rhs, 0)
        if part.any():
            solution, cycles = _solve_backwards(renewed, log_w, part, shape, cells, control)
            x += sign * solution
            n_cycles += cycles
    residual = np.abs(leaving * x - rates @ x - rhs).sum() / (leaving @ np.abs(x) or 1)
    return x, float(residual), n_cycles


def _solve_backwards(renewed, log_w, rhs, shape, cells, control):
    """x = A⁻¹ b for b ≥ 0, from the time reversal of the chain that starts anew."""
    forward = renewed.tocoo()
    rows, columns = forward.coords
    ratios = forward.data * np.exp(log_w[rows] - log_w[columns])
    if not np.isfinite(ratios).all():
        raise NotApplicable("the solution ranges over more than 1e300; use elimination")
    backward = sparse.coo_array((ratios, (columns, rows)), shape=forward.shape).tocsr()
    sink = backward[:-1, [-1]].toarray()[:, 0]
    with np.errstate(divide="ignore"):
        log_source = log_w[:-1] + np.log(rhs)
    scale = log_source.max() - np.log(np.median(sink))
    chain = _with_hub(backward[:-1, :-1], sink, np.exp(log_source - scale))
    reached = _closed_class(chain)
    log_y, _, n_cycles = _log_stationary(_among(chain, reached), shape, cells[reached[:-1]], None, control)
    x = np.zeros(cells.size)
    with np.errstate(over="ignore"):
        x[reached[:-1]] = np.exp(log_y[:-1] - log_y[-1] - log_w[reached[:-1]] + scale)
    if not np.isfinite(x).all():
        raise NotApplicable("the solution is larger than 1e308; choose a larger unit of time")
    return x, n_cycles


def _log_stationary(rates, shape, cells, mass, control):
    """Log-masses, residual and cycles of an irreducible chain. A state more than cells, the last, is not on the grid.

    Found for q_i = p_i D_i, the masses of the chain of jumps, whose rates R_ij / D_i are at most 1 in any unit of time.
    Where they are too small to influence the others, they are found afterwards, from those around them.
    """
    m = rates.shape[0]
    if m == 1:
        return np.zeros(1), 0.0, 0
    leaving = rates.sum(axis=1)
    jumps = rates.copy()
    jumps.data /= np.repeat(leaving, np.diff(rates.indptr))
    jumps.data[jumps.data < _NO_JUMP] = 0
    jumps.eliminate_zeros()
    log_mass, found, residual, n_cycles = _log_body(
        jumps, shape, cells, None if mass is None else mass * leaving, control
    )
    while not found.all():
        rest = np.flatnonzero(~found)
        chain, log_unit = _tail_chain(rates, jumps, log_mass - np.log(leaving), found, rest)
        reached = _closed_class(chain)
        if reached[-1] < rest.size:
            raise NotApplicable(_UNDERFLOW)
        inner = rest[reached[:-1]]
        log_inner, found_inner, _, cycles = _log_body(_among(chain, reached), shape, cells[inner], None, control)
        if not found_inner[-1] or not found_inner[:-1].any():
            raise NotApplicable(_UNDERFLOW)
        log_mass[inner] = log_inner[:-1] - log_inner[-1] - log_unit
        found[inner] = found_inner[:-1]
        n_cycles += cycles
    log_mass -= np.log(leaving)
    imbalance = _largest_imbalance(rates, log_mass)
    if imbalance > _BALANCED:
        raise NotApplicable(
            f"aggregation fails: the flows into and out of some state of small mass differ by a factor of "
            f"exp({imbalance:.1e}), with residual {residual:.1e}; use elimination"
        )
    return log_mass - np.logaddexp.reduce(log_mass), residual, n_cycles


def _largest_imbalance(rates, log_mass):
    """Largest |ln Σ_j p_j R_ji − ln p_i D_i|, whatever the sizes of the masses."""
    log_flux = np.log(rates.data) + np.repeat(log_mass, np.diff(rates.indptr))
    balances = []
    for index in (rates.indices, np.repeat(np.arange(log_mass.size), np.diff(rates.indptr))):
        most = np.full(log_mass.size, -np.inf)
        np.maximum.at(most, index, log_flux)
        balances.append(most + np.log(np.bincount(index, np.exp(log_flux - most[index]), log_mass.size)))
    return np.abs(balances[0] - balances[1]).max()


def _log_body(jumps, shape, cells, mass, control):
    """Log-masses, which of them are found, residual and cycles; the others are too small to influence these."""
    if jumps.shape[0] == 1:
        return np.zeros(1), np.ones(1, dtype=bool), 0.0, 0
    mass = np.full(jumps.shape[0], 1 / jumps.shape[0]) if mass is None else mass / mass.sum()
    mass, found, residual, n_cycles = iterate(jumps, shape, cells, mass, *control)
    if found[cells.size :].all():
        return np.log(mass), found, residual, n_cycles
    raise NotApplicable(_UNDERFLOW)


def _tail_chain(rates, jumps, log_p, found, rest):
    """The chain of the states ``rest`` and, as one more, all that are found; the logarithm of its unit of mass.

    The flux into ``rest`` is computed in logarithms.
    """
    body = np.flatnonzero(found)
    inflow = rates[body][:, rest].tocoo()
    if not inflow.nnz:
        raise NotApplicable(_UNDERFLOW)
    rows, columns = inflow.coords
    log_flux = log_p[body[rows]] + np.log(inflow.data)
    log_unit = -log_flux.max()
    source = np.bincount(columns, np.exp(log_flux + log_unit), rest.size)
    source[source < _NO_JUMP] = 0
    chain = _with_hub(_among(jumps, rest), jumps[rest][:, body].sum(axis=1), source)
    chain.eliminate_zeros()
    return chain, log_unit


def _with_hub(rates, into, out):
    """The chain with one more state, the last: rates ``into`` it and ``out`` of it, (m,) each."""
    chain = sparse.block_array([[rates, sparse.csr_array(into[:, None])], [sparse.csr_array(out[None, :]), None]])
    return chain.tocsr()


def _among(rates, states):
    return rates if states.size == rates.shape[0] else rates[states][:, states]


def _closed_class(rates):
    """The states of the only class that is never left."""
    closed = closed_classes(rates)
    if len(closed) > 1:
        sizes = sorted(map(len, closed), reverse=True)
        raise NotApplicable(
            f"the stationary masses are not unique: the chain has {len(closed)} classes that it never leaves, of "
            f"{', '.join(map(str, sizes[:4]))}{', …' if len(closed) > 4 else ''} states"
        )
    return closed[0]


def _checked_chain(rates, shape, cells):
    """Rates without diagonal and zeros, the shape of the grid and the numbers of the cells."""
    if not sparse.issparse(rates) or rates.ndim != 2 or rates.shape[0] != rates.shape[1] or not rates.shape[0]:
        raise ArgumentError("rates must be a sparse (m, m) array, such as scipy.sparse.csr_array")
    rates = sparse.csr_array(rates, dtype=np.float64)
    rates = sparse.csr_array(rates - sparse.diags_array(rates.diagonal()))
    rates.sum_duplicates()
    rates.eliminate_zeros()
    if not (np.isfinite(rates.data).all() and (rates.data >= 0).all()):
        raise ArgumentError("rates must be finite and nonnegative off the diagonal")
    shape = tuple(_check.count("shape", n) for n in np.atleast_1d(np.asarray(shape, dtype=object)))
    if len(shape) > 3:
        raise ArgumentError(f"shape must have 1 to 3 axes, got {shape}")
    n_cells, m = int(np.prod(shape)), rates.shape[0]
    cells = np.arange(n_cells) if cells is None else np.asarray(cells)
    if cells.ndim != 1 or cells.dtype.kind not in "iu" or cells.size != m:
        raise ArgumentError(f"rates are for {m} states, but shape {shape} has {n_cells} cells, of which {cells.size}")
    if cells[0] < 0 or cells[-1] >= n_cells or not (np.diff(cells) > 0).all():
        raise ArgumentError(f"cells must be increasing numbers from 0 to {n_cells - 1}")
    return rates, shape, cells


def _checked_vector(name, value, m, *, low):
    value = _check.array(name, value, ndim=1)
    if value.shape != (m,) or not (value >= low).all():
        raise ArgumentError(f"{name} must be {m} {'nonnegative ' if low == 0 else ''}numbers, one for each state")
    return value
