"""Distances between two probability measures on cells or states."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results import Density

_DIRECTIONS = {2: 64, 3: 128}  # over which W1 is averaged; for more dimensions as many as for 3
_NODES = 2048  # intervals at whose ends the cumulative function of a projection is known
_SAME_EDGE = 1e-9  # of the width of a cell
_SAME_STATE = 1e-9  # relative distance
_UNSEEN = 1e-18  # share of the mass


def wasserstein(a: Density, b: Density) -> float:
    """The Wasserstein distance W1 of two measures, in dimension 1 and sliced in others: the mean cost of carrying mass.

    ``W1 = ∫ |F_a(t) − F_b(t)| dt`` with the cumulative functions, exactly: cells are uniform pieces, states are atoms.
    For more dimensions the mean of W1 between the projections on fixed directions, 64 equal turns for two (a shift by s
    has 2|s|/π, for three |s|/2); there cells are projected as uniform pieces of the same variance. Both are metrics.

    Parameters
    ----------
    a, b : Density
        Of the same dimension. Masses that do not add up to 1 are divided by their sum. A periodic axis is a line here.

    Returns
    -------
    float
        In the unit of the coordinates.

    Raises
    ------
    ArgumentError
        If the dimensions differ.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stationary.distances import wasserstein
    >>> process = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> moved = ds.SDE(lambda t, x: 0.25 - x[0], lambda t, x: 1.0)
    >>> a, b = (ds.stationary_density(sde, (-5, 5), 400) for sde in (process, moved))
    >>> round(wasserstein(a, b), 6)
    0.25
    """
    _same_dim(a, b)
    if a.dim == 1:
        t = np.unique(np.concatenate([_ends(a), _ends(b)]))
        below, above = (_cumulative(a, t, side) - _cumulative(b, t, side) for side in ("left", "right"))
        return float(integral_of_modulus(t, above[:-1], below[1:]))
    return sliced_norm(((a, shares(a)[None]), (b, -shares(b)[None])))[0]


def total_variation(a: Density, b: Density, edges: Sequence | None = None) -> float:
    """The total variation distance: half the sum of |a − b| over the cells or states, the largest gap of a probability.

    Parameters
    ----------
    a, b : Density
        Of the same dimension.
    edges : sequence of array_like, optional
        Edges of bins along each coordinate on which both are put, what lies outside being one bin more. Without them
        the distance is that of the measures if both have the same cells, or both are on states; else on the cells of
        the coarser one.

    Returns
    -------
    float
        From 0 to 1. For a density and a measure on states it depends on the width of the bins, and tends to 1 with it.

    Raises
    ------
    ArgumentError
        If the dimensions differ, or edges do not increase.
    NotApplicable
        If the grids differ and one is turned by ``axes``.
    """
    p, q = (np.exp(part) for part in common_log_masses(a, b, edges))
    return float(0.5 * np.abs(p - q).sum())


def kullback_leibler(a: Density, b: Density, edges: Sequence | None = None) -> float:
    """The Kullback–Leibler divergence Σ a ln(a/b), in nats, on cells, states or bins as in :func:`total_variation`.

    Right also where masses of ``b`` underflow; inf where b has none and a has.
    """
    return divergence(*common_log_masses(a, b, edges))


def divergence(log_p: np.ndarray, log_q: np.ndarray) -> float:
    """Σ p ln(p/q) of two arrays of logarithms of masses."""
    p = np.exp(log_p)
    some = p > 0
    gap = np.full(1, np.inf) if (log_q[some] == -np.inf).any() else log_p[some] - log_q[some]
    return float(max((p[some] * gap).sum(), 0.0))  # rounding may go below


def common_log_masses(a: Density, b: Density, edges: Sequence | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the masses of both on cells, states or bins that they share; see :func:`total_variation`."""
    _same_dim(a, b)
    if edges is None:
        if a.grid is None and b.grid is None:
            return _on_all_states(a, b)
        if same_cells(a, b):
            return _normal(a).log_mass, _normal(b).log_mass
        edges = coarser_edges(a, b)
    return log_on_bins(a, edges), log_on_bins(b, edges)


def same_cells(a: Density, b: Density) -> bool:
    """Whether both are on grids with the same cells."""
    if a.grid is None or b.grid is None or a.grid.shape != b.grid.shape:
        return False
    spans = [e[-1] - e[0] for e in a.grid.edges]
    near = (np.abs(e - f).max() <= 1e-12 * s for e, f, s in zip(a.grid.edges, b.grid.edges, spans, strict=True))
    first, second = (np.eye(a.dim) if grid.axes is None else grid.axes for grid in (a.grid, b.grid))
    return all(near) and bool(np.abs(first - second).max() <= 1e-12 * np.abs(first).max())


def coarser_edges(a: Density, b: Density) -> tuple[np.ndarray, ...]:
    """Edges of the cells of the one whose cells are wider, along each axis; at least one of them must be on a grid."""
    first, *others = [law.grid.edges for law in (a, b) if law.grid is not None]
    if not others:
        return first
    return tuple(max(pair, key=lambda e: np.diff(e).mean()) for pair in zip(first, others[0], strict=True))


def log_on_bins(density: Density, edges: Sequence) -> np.ndarray:
    """Logarithms of the masses in bins, in C order, and outside of them: sums only, so right where tiny."""
    law = _normal(density)
    edges = [_check.array("edges", e, ndim=1) for e in edges]
    if len(edges) != law.dim or any(e.size < 2 or not (np.diff(e) > 0).all() for e in edges):
        raise ArgumentError(
            f"edges must be {law.dim} increasing sequences, one for each coordinate, at least two in each"
        )
    shape = [e.size - 1 for e in edges]
    if law.grid is None:
        k = [
            np.where(x == e[-1], e.size - 1, np.searchsorted(e, x, "right"))
            for x, e in zip(law.x.T, edges, strict=True)
        ]
        block = np.full([n + 2 for n in shape], -np.inf)
        np.logaddexp.at(block, tuple(k), law.log_mass)
    elif law.grid.axes is not None:
        raise NotApplicable(
            f"{law.label} is on a grid turned by axes, which cannot be put on bins along the coordinates"
        )
    else:
        block = law.log_mass.reshape(law.grid.shape)
        for j, (e, faces) in enumerate(zip(edges, law.grid.edges, strict=True)):
            block = np.moveaxis(_rebinned(np.moveaxis(block, j, 0), faces, e), 0, j)
    inner = tuple(slice(1, n + 1) for n in shape)
    inside = block[inner].copy().ravel()
    block[inner] = -np.inf
    return np.append(inside, np.logaddexp.reduce(block, axis=None))


def _rebinned(log_mass, faces, edges):
    """Logarithms of the masses (n, …) of cells in bins along the first axis, and beyond the first and the last."""
    width = np.diff(faces)
    near = np.abs(faces - edges[:, None]).argmin(axis=1)
    near_width = width[np.minimum(near, width.size - 1)]
    edges = np.where(np.abs(edges - faces[near]) < _SAME_EDGE * near_width, faces[near], edges)
    t = np.unique(np.concatenate([faces, np.clip(edges, faces[0], faces[-1])]))
    middle = 0.5 * (t[1:] + t[:-1])
    cell = np.searchsorted(faces, middle) - 1
    pieces = log_mass[cell] + np.log(np.diff(t) / width[cell]).reshape(-1, *[1] * (log_mass.ndim - 1))
    bins, first = np.unique(np.searchsorted(edges, middle), return_index=True)
    result = np.full((edges.size + 1, *log_mass.shape[1:]), -np.inf)
    result[bins] = np.logaddexp.reduceat(pieces, first, axis=0)
    return result


def shares(density: Density) -> np.ndarray:
    """Masses (m,), divided by their sum."""
    return _normal(density).mass


def integral_of_modulus(t: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """∫|f| of functions that are linear between t_k, where they start at left (..., k) and end at right (..., k)."""
    total = np.abs(left) + np.abs(right)
    crossing = left * right < 0
    mean = np.where(crossing, (left**2 + right**2) / np.where(total > 0, 2 * total, 1.0), total / 2)
    return (mean * np.diff(t)).sum(axis=-1)


def sliced_norm(parts: Sequence[tuple[Density, np.ndarray]], weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over directions of ∫|F|, F the cumulative function of the projection of a signed measure of total 0.

    Parameters
    ----------
    parts : sequence of (Density, ndarray of shape (g, m))
        Where the mass is, and g masses for each place; the rows of all parts together, or their sums, are the measures.
    weights : ndarray, shape (k, Σ g), optional
        Makes k measures of the rows, whose norms are taken with an eighth of the nodes and a quarter of the directions;
        without it the rows are added, for one measure.
    """
    places = [_Places(law, masses) for law, masses in parts]
    low = np.min([p.center.min(axis=0) for p in places], axis=0)
    high = np.max([p.center.max(axis=0) for p in places], axis=0)
    radius = 0.5 * np.linalg.norm(high - low) + max(p.reach for p in places) or 1.0
    turns = directions(low.size)[:: 1 if weights is None else 4]
    t = np.linspace(-radius, radius, (_NODES if weights is None else _NODES // 8) + 1)
    total = 0.0
    for direction in turns:
        rows = np.concatenate([p.projected(direction, 0.5 * (low + high), t) for p in places])
        f = rows.sum(axis=0)[None] if weights is None else weights @ rows
        total = total + integral_of_modulus(t, f[:, :-1], f[:, 1:])
    return np.asarray(total / len(turns))


@cache
def directions(dim: int) -> np.ndarray:
    """Fixed unit vectors, evenly over half a turn, half a sphere; random ones for more dimensions. Shape (n, dim)."""
    if dim == 1:
        return np.ones((1, 1))
    n = _DIRECTIONS.get(dim, _DIRECTIONS[3])
    if dim == 2:
        angle = (np.arange(n) + 0.5) * np.pi / n
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if dim == 3:  # a Fibonacci spiral
        z = (np.arange(n) + 0.5) / n
        angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
        return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
    normal = np.random.default_rng(0).normal(size=(n, dim))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _same_dim(a, b):
    for name, law in (("a", a), ("b", b)):
        _check.instance(name, law, Density, "a Density")
    if a.dim != b.dim:
        raise ArgumentError(
            f"a and b must have the same dimension, got {a.dim} and {b.dim}; marginal(...) takes some axes"
        )


def _normal(density):
    """The same with masses of sum 1."""
    total = np.logaddexp.reduce(density.log_mass)
    if not np.isfinite(total):
        raise ArgumentError(f"{density.label} has no mass")
    return replace(density, log_mass=density.log_mass - total)


def _ends(law):
    return law.x[:, 0] if law.grid is None else np.sort(_line_edges(law.grid))


def _line_edges(grid):
    return grid.edges[0] if grid.axes is None else grid.edges[0] * grid.axes[0, 0]


def _cumulative(law, t, side):
    """F(t) in dimension 1, from the left or from the right."""
    mass = shares(law)
    if law.grid is None:
        order = np.argsort(law.x[:, 0])
        total = np.concatenate([[0.0], np.cumsum(mass[order])])
        return total[np.searchsorted(law.x[order, 0], t, side=side)]
    edges = _line_edges(law.grid)
    if edges[0] > edges[-1]:  # an axis that points down
        edges, mass = edges[::-1], mass[::-1]
    return np.interp(t, edges, np.concatenate([[0.0], np.cumsum(mass)]))


class _Places:
    """Where masses (g, m) of a measure are, ready to be projected; those that could not be seen are left out."""

    def __init__(self, law, masses):
        seen = ~(np.abs(masses).max(axis=0) < _UNSEEN * np.abs(masses).max() / law.log_mass.size)  # nan is seen
        self.masses = masses[:, seen]
        if law.grid is None:
            self.center, self.sides, self.axes, self.reach = law.x[seen], None, None, 0.0
            return
        center = _product([0.5 * (e[1:] + e[:-1]) for e in law.grid.edges])[seen]
        sides = _product([np.diff(e) for e in law.grid.edges])[seen]
        self.axes = np.eye(law.dim) if law.grid.axes is None else law.grid.axes
        self.center, self.sides = center @ self.axes.T, sides**2
        self.reach = float(np.linalg.norm(self.axes, 2) * np.sqrt(self.sides.sum(axis=1).max()))

    def projected(self, direction, origin, t):
        """Cumulative functions (g, len(t)) of the projection on a direction, at equally spaced t."""
        center, step = self.center @ direction - origin @ direction, t[1] - t[0]
        width = np.full(center.size, step)  # an atom, or a cell between two nodes: as good as its neighborhood
        if self.sides is not None:  # a box has the variance Σ (along·side)²/12
            width = np.maximum(width, np.sqrt(self.sides @ (direction @ self.axes) ** 2))
        ends = np.concatenate([center - 0.5 * width, center + 0.5 * width])
        at = np.clip(np.ceil((ends - t[0]) / step), 0, t.size - 1).astype(np.int64)
        slope = self.masses / width
        result = np.empty((len(slope), t.size))
        for row, change in zip(result, np.concatenate([slope, -slope], axis=1), strict=True):
            row[:] = np.cumsum(np.bincount(at, change, t.size)) * t - np.cumsum(np.bincount(at, change * ends, t.size))
        return result


def _product(values):
    return np.stack([part.ravel() for part in np.meshgrid(*values, indexing="ij")], axis=-1)


def _on_all_states(a, b):
    """Logarithms of the masses of two measures on states, on the states of both."""
    from scipy.spatial import cKDTree

    distance, match = cKDTree(a.x).query(b.x)
    known = distance <= _SAME_STATE * (1 + np.abs(a.x).max())
    new = np.cumsum(~known) - 1 + len(a.x)
    log_p = np.full(len(a.x) + int((~known).sum()), -np.inf)
    log_q = log_p.copy()
    log_p[: len(a.x)] = _normal(a).log_mass
    np.logaddexp.at(log_q, np.where(known, match, new), _normal(b).log_mass)
    return log_p, log_q
