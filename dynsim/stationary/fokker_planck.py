"""The zero-flux stationary density of a one-dimensional Itô SDE.

0 = −(μ p)' + ½ (D p)'', D = σ²: the flux μ p − ½ (D p)' vanishes. On cells of width h_i with μ_i, D_i at their
centers, node-based exponential fitting (Scharfetter–Gummel with the coefficients of the cell one leaves) makes it

    m_i (D_i/h_i) B(−z_i) = m_{i+1} (D_{i+1}/h_{i+1}) B(z_{i+1}),    z = 2 μ h / D,  B(z) = z / (e^z − 1),

a two-term recursion for the masses m. Both sides equal the value of D p on the face, which Itô makes continuous, if μ
and D are constant on each cell: for piecewise constant coefficients with jumps on faces the masses are exact.
"""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results import Density
from dynsim.sde import SDE

_BOUNDARY_SHARE = 0.01  # the outermost cells whose mass tells that the bounds are too narrow
_PURE_DRIFT = 1e8  # from this |z| on, e^−|z| is 0 for any purpose: D is the rounding of a zero, or might as well be


def stationary_density(
    sde: SDE, bounds: tuple[float, float], n_cells: int = 2000, *, breaks: ArrayLike = ()
) -> Density:
    """Stationary density of a one-dimensional Itô SDE on an interval with reflecting ends.

    Solves 0 = −(μ p)' + ½ (σ² p)'' without flux, exactly for piecewise constant μ and σ that jump on ``breaks``, with
    second order in the cell width for smooth ones. Works with masses in logarithms, so those of 1e-300 and less are
    right; where σ = 0 the drift alone decides, and mass may gather in a single cell.

    Parameters
    ----------
    sde : SDE
        With ``dim`` 1; its coefficients are taken at t = 0.
    bounds : pair of float
        The interval. Its ends reflect: see ``boundary_mass`` for whether they matter.
    n_cells : int, optional
        Number of cells, at least 4.
    breaks : sequence of float, optional
        Points that must be faces of cells, besides the ``breaks`` of the SDE.

    Returns
    -------
    Density
        With ``refinement_gap`` how much halving the number of cells changes: the largest of the total variation
        distance and the changes of mean and standard deviation, in standard deviations.

    Raises
    ------
    NotApplicable
        If the SDE is not one-dimensional, or has no unique stationary density on the interval.
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
    _check.instance("sde", sde, SDE, "an SDE, such as sde_limit(problem, method)")
    if sde.dim != 1:
        raise NotApplicable(f"stationary_density is for dim 1, this SDE has dim {sde.dim}")
    low, high = _check.interval("bounds", bounds)
    n_cells = _check.count("n_cells", n_cells, least=4)
    faces = np.concatenate([sde.breaks, _check.array("breaks", breaks, ndim=1)])
    edges = grid_with_breaks(low, high, n_cells, faces)
    log_mass, residual = _solve(sde, edges)
    mass = np.exp(log_mass)
    outer = max(1, round(_BOUNDARY_SHARE * mass.size))
    return Density(
        x=(0.5 * (edges[1:] + edges[:-1]))[:, None],
        log_mass=log_mass,
        edges=edges,
        residual=residual,
        boundary_mass=float(mass[:outer].sum() + mass[-outer:].sum()),
        refinement_gap=_refinement_gap(sde, edges, mass, grid_with_breaks(low, high, n_cells // 2, faces)),
        label=sde.name,
        settings={"sde": sde.name, "bounds": (low, high), "n_cells": n_cells, "breaks": tuple(np.unique(faces))},
    )


def _refinement_gap(sde, edges, mass, coarse_edges):
    coarse = np.exp(_solve(sde, coarse_edges)[0])
    fine = np.diff(np.interp(coarse_edges, edges, np.append(0.0, np.cumsum(mass))))
    moments = []
    for faces, m in ((edges, mass), (coarse_edges, coarse)):
        x = 0.5 * (faces[1:] + faces[:-1])
        mean = m @ x
        moments.append((mean, np.sqrt(m @ (x - mean) ** 2)))
    (mean, deviation), (coarse_mean, coarse_deviation) = moments
    change = max(abs(mean - coarse_mean), abs(deviation - coarse_deviation)) / (deviation or np.diff(edges).min())
    return float(max(0.5 * np.abs(fine - coarse).sum(), change))


def grid_with_breaks(low, high, n_cells, breaks) -> np.ndarray:
    """Faces of about n_cells cells on [low, high]: uniform between breaks, each of which is a face."""
    inner = np.unique([b for b in breaks if low < b < high])
    corners = np.concatenate([[low], inner, [high]])
    lengths = np.diff(corners)
    _check.fits_in_memory("the grid", (n_cells, 16), instead="use fewer cells")
    counts = np.maximum(1, np.round(n_cells * lengths / (high - low)).astype(int))
    pieces = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(corners[:-1], corners[1:], counts, strict=True)]
    edges = np.append(np.concatenate(pieces), high)
    if not (np.diff(edges) > 0).all():
        raise ArgumentError(f"bounds ({low!r}, {high!r}) are too close together for {n_cells} cells in floating point")
    return edges


def _solve(sde, edges):
    """Log-masses of the cells, and the residual of the generator they solve."""
    centers = (0.5 * (edges[1:] + edges[:-1]))[:, None]
    h = np.diff(edges)
    drift = sde.drift(0.0, centers)[:, 0]
    noise = sde.covariance(0.0, centers)[:, 0, 0]
    if not (np.isfinite(drift).all() and np.isfinite(noise).all()):
        bad = centers[~(np.isfinite(drift) & np.isfinite(noise)), 0]
        raise ArgumentError(f"sde has a drift or diffusion that is not finite at x = {bad[0]:g}; choose other bounds")
    log_up, log_down = _log_rates(drift, noise, h)
    first, last = _recurrent_cells(log_up, log_down, centers)
    steps = log_up[first:last] - log_down[first + 1 : last + 1]
    log_mass = np.full(h.size, -np.inf)
    log_mass[first : last + 1] = _sum_from_peak(steps)
    log_mass -= np.logaddexp.reduce(log_mass)
    return log_mass, _residual(log_mass, log_up, log_down)


def _log_rates(drift, noise, h):
    """Logarithms of (D/h) B(−z) and (D/h) B(z), what leaves a cell upwards and downwards per unit mass (times h)."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        z = 2 * drift * h / noise
        up = np.log(noise / h) + _log_bernoulli(-z)
        down = np.log(noise / h) + _log_bernoulli(z)
        still = ~(np.abs(z) < _PURE_DRIFT)
        up = np.where(still, np.log(np.maximum(2 * drift, 0.0)), up)
        down = np.where(still, np.log(np.maximum(-2 * drift, 0.0)), down)
    return up, down


def _sum_from_peak(steps):
    """Cumulative sums of the steps between neighbors, 0 at the largest: rounding grows away from the peak only."""
    peak = int(np.argmax(np.append(0.0, np.cumsum(steps))))
    return np.concatenate([-np.cumsum(steps[:peak][::-1])[::-1], [0.0], np.cumsum(steps[peak:])])


def _log_bernoulli(z):
    """Ln B(z), B(z) = z/(e^z − 1), without overflow or cancellation."""
    a = np.abs(z)
    series = -z / 2 - z * z / 24
    exact = np.log(np.where(a > 0, a, 1.0)) - np.log(-np.expm1(-np.where(a > 0, a, 1.0))) - np.maximum(z, 0.0)
    return np.where(a < 1e-4, series, exact)


def _recurrent_cells(log_up, log_down, centers):
    """First and last cell of the one class that is never left; refuse if there are several."""
    opened_up, opened_down = log_up[:-1] > -np.inf, log_down[1:] > -np.inf
    starts = np.flatnonzero(np.append(True, ~(opened_up & opened_down)))
    ends = np.append(starts[1:] - 1, centers.shape[0] - 1)
    closed = [
        (a, b)
        for a, b in zip(starts, ends, strict=True)
        if (a == 0 or not opened_down[a - 1]) and (b == centers.shape[0] - 1 or not opened_up[b])
    ]
    if len(closed) > 1:
        where = ", ".join(f"[{centers[a, 0]:g}, {centers[b, 0]:g}]" for a, b in closed[:4])
        raise NotApplicable(
            f"the stationary density is not unique: without noise between them, the process never leaves any of the "
            f"{len(closed)} sets {where}; choose bounds around one of them"
        )
    return closed[0]


def _residual(log_mass, log_up, log_down):
    """Σ|Gᵀm| / Σ|G_ii| m, from the fluxes through the faces."""
    upward, downward = np.exp(log_mass[:-1] + log_up[:-1]), np.exp(log_mass[1:] + log_down[1:])
    flux = np.concatenate([[0.0], upward - downward, [0.0]])
    total = upward.sum() + downward.sum()
    return float(np.abs(np.diff(flux)).sum() / total) if total > 0 else 0.0
