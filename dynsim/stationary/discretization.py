"""From an SDE and a grid to the rates of jumps between cells."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim.errors import ArgumentError

SCHEMES = ("auto", "exponential", "hybrid", "central")
SIDES = ("open", "reflecting", "periodic", "absorbing")


@dataclass(frozen=True, eq=False)
class Discretized:
    """Rates (m, m) without diagonal, killing (m,), and the report of :mod:`dynsim.stationary.generator`."""

    rates: sparse.csr_array
    killing: np.ndarray
    report: object


def sides_of(sides, dim) -> tuple[tuple[str, str], ...]:
    """A pair (low, high) for each axis."""
    if isinstance(sides, str):
        sides = [sides] * dim
    elif not isinstance(sides, list | tuple):
        raise ArgumentError(f"sides must be one of {', '.join(SIDES)}, or a sequence of them, got {sides!r}")
    elif dim == 1 and len(sides) == 2 and all(isinstance(side, str) for side in sides):
        sides = [sides]
    pairs = [side if isinstance(side, list | tuple) else (side, side) for side in sides]
    if len(pairs) != dim or any(len(pair) != 2 for pair in pairs):
        raise ArgumentError(
            f"sides must be one name, or one or a pair (low, high) for each of {dim} axes, got {sides!r}"
        )
    for pair in pairs:
        for side in pair:
            _check.choice("sides", side, SIDES)
        if (pair[0] == "periodic") != (pair[1] == "periodic"):
            raise ArgumentError("sides must be periodic at both ends of an axis or at none")
    return tuple((low, high) for low, high in pairs)


def coefficients(sde, grid):
    """Drift (m, d) and noise D (m, d, d) in the coordinates u of the grid, by Itô's formula.

    For u = g(s): μ_u = g' μ_s + ½ g'' D_s, D_u = g' D_s g'.
    """
    drift, noise = sde.drift(0.0, grid.x), sde.covariance(0.0, grid.x)
    for what, values in (("drift", drift), ("diffusion", noise)):
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if bad.any():
            raise ArgumentError(
                f"the {what} of the SDE is not finite at x = {_shown(grid.x[bad][0])} ({int(bad.sum())} of {bad.size} "
                "cells); choose other bounds"
            )
    if grid.axes is not None:
        inverse = np.linalg.inv(grid.axes)
        drift, noise = drift @ inverse.T, inverse @ noise @ inverse.T
    u = None
    for j, pair in enumerate(grid.stretch):
        if pair is None:
            continue
        if u is None:
            u = grid.coordinates(grid.x)
        slope = 1 / (pair[1] * np.cosh(u[:, j]))
        bend = -np.tanh(u[:, j]) * slope**2
        drift[:, j] = slope * drift[:, j] + 0.5 * bend * noise[:, j, j]
        noise[:, j, :] *= slope[:, None]
        noise[:, :, j] *= slope[:, None]
    return drift, noise


def discretize(sde, grid, sides, scheme) -> Discretized:
    """The generator of the Fokker–Planck equation on a grid."""
    from dynsim.stationary.generator import generator

    drift, noise = coefficients(sde, grid)
    h = grid.widths
    shut = [("reflecting" if a == "open" else a, "reflecting" if b == "open" else b) for a, b in sides]
    try:
        rates, killing, report = generator(drift / h, noise / (h[:, :, None] * h[:, None, :]), grid.shape, shut, scheme)
    except ArgumentError as error:
        cell = getattr(error, "cell", None)
        if cell is None:
            raise
        raise ArgumentError(f"{error} at x = {_shown(grid.x[cell])}") from None
    if any(np.ptp(np.diff(faces)) > 1e-9 * np.diff(faces).max() for faces in grid.faces):
        # between cells of different volume, as if both had their mean: what balances without drift
        volume = h.prod(axis=1)
        jumps = rates.tocoo()
        rates.data *= 2 * volume[jumps.row] / (volume[jumps.row] + volume[jumps.col])
    return Discretized(rates, killing, report)


def _shown(point):
    return f"{point[0]:g}" if point.size == 1 else "(" + ", ".join(f"{c:g}" for c in point) + ")"
