"""The zero-flux law on a line of cells: a two-term recursion, in logarithms.

0 = −(μ p)' + ½ (D p)'', D = σ²: the flux μ p − ½ (D p)' vanishes. On cells of width h_i with μ_i, D_i at their
centers, node-based exponential fitting (Scharfetter–Gummel with the coefficients of the cell one leaves) makes it

    m_i (D_i/h_i) B(−z_i) = m_{i+1} (D_{i+1}/h_{i+1}) B(z_{i+1}),    z = 2 μ h / D,  B(z) = z / (e^z − 1),

a two-term recursion for the masses m. Both sides equal the value of D p on the face, which Itô makes continuous, if μ
and D are constant on each cell: for piecewise constant coefficients with jumps on faces the masses are exact.
"""

import numpy as np

from dynsim.errors import NotApplicable

_PURE_DRIFT = 1e8  # from this |z| on, e^−|z| is 0 for any purpose: D is the rounding of a zero, or might as well be


def log_masses(drift, noise, h, centers):
    """Log-masses of the cells, and the residual of the generator they solve; all arguments (m,)."""
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
    ends = np.append(starts[1:] - 1, centers.size - 1)
    closed = [
        (a, b)
        for a, b in zip(starts, ends, strict=True)
        if (a == 0 or not opened_down[a - 1]) and (b == centers.size - 1 or not opened_up[b])
    ]
    if len(closed) > 1:
        where = ", ".join(f"[{centers[a]:g}, {centers[b]:g}]" for a, b in closed[:4])
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
