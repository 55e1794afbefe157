"""Product grids of cells: equal or stretched, straight or turned."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

_NO_PART = 1e-12  # weight of a value in interpolation that is rounding
_EVEN = 2  # cells between breaks come in multiples of it


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a product grid, in C order.

    A point is θ = A s, with A = ``axes`` the identity if None, and s_j = c_j + w_j sinh(u_j) where ``stretch`` has a
    pair (c_j, w_j) for axis j, else s_j = u_j. Cells are boxes in u.

    Attributes
    ----------
    faces : tuple of ndarray, each of shape (n_j + 1,)
        Faces of the cells along each axis, in u.
    periodic : tuple of bool
        Which axes close on themselves.
    stretch : tuple
        For each axis None or a pair (center, width).
    axes : ndarray of shape (dim, dim) or None
        Directions of the axes as columns.
    breaks : tuple of ndarray
        For each axis, the faces that coarser grids keep, in u.
    """

    faces: tuple[np.ndarray, ...]
    periodic: tuple[bool, ...] = ()
    stretch: tuple = ()
    axes: np.ndarray | None = None
    breaks: tuple[np.ndarray, ...] = field(default=(), repr=False)

    def __post_init__(self):
        dim = len(self.faces)
        object.__setattr__(self, "breaks", self.breaks or (np.empty(0),) * dim)
        object.__setattr__(self, "periodic", self.periodic or (False,) * dim)
        object.__setattr__(self, "stretch", self.stretch or (None,) * dim)

    @classmethod
    def make(cls, bounds, n_cells, *, dim, breaks=(), periodic=(), stretch=None, axes=None, least=4) -> "Grid":
        """A grid from what a user says; see :class:`dynsim.FokkerPlanck`.

        Raises
        ------
        ArgumentError
            If an argument is out of its range.
        TooLarge
            If the grid would not fit in memory.
        """
        box = _check.box("bounds", bounds, dim)
        counts = [n_cells] * dim if np.ndim(n_cells) == 0 else list(n_cells)
        if len(counts) != dim:
            raise ArgumentError(f"n_cells must be one number or one for each of {dim} axes, got {n_cells!r}")
        counts = [_check.count("n_cells", n, least=least) for n in counts]
        _check.fits_in_memory("the grid", (*counts, 24 * dim), instead="use fewer cells")
        stretches = _stretches(stretch, dim)
        if any(pair is not None and shut for pair, shut in zip(stretches, periodic, strict=False)):
            raise ArgumentError("stretch must be None for a periodic axis, whose cells have one width")
        if axes is not None:
            axes = _check.array("axes", axes, ndim=2)
            if axes.shape != (dim, dim) or abs(np.linalg.det(axes)) <= 1e-12 * np.linalg.norm(axes, axis=0).prod():
                raise ArgumentError(f"axes must be an invertible matrix of shape ({dim}, {dim}), got {axes.tolist()}")
        per_axis = breaks_of(breaks, dim)
        faces, kept = [], []
        for (low, high), n, inner, pair in zip(box, counts, per_axis, stretches, strict=True):
            if pair is not None:
                low, high, *inner = (np.arcsinh((s - pair[0]) / pair[1]) for s in (low, high, *inner))
            kept.append(np.unique([b for b in inner if low < b < high]))
            faces.append(faces_with_breaks(float(low), float(high), n, kept[-1]))
        return cls(tuple(faces), tuple(periodic), stretches, axes, tuple(kept))

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.faces)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(f.size - 1 for f in self.faces)

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    @cached_property
    def edges(self) -> tuple[np.ndarray, ...]:
        """Faces along each axis in s, increasing: of the coordinates themselves where ``axes`` is None."""
        return tuple(_stretched(u, pair) for u, pair in zip(self.faces, self.stretch, strict=True))

    @cached_property
    def centers(self) -> tuple[np.ndarray, ...]:
        """Middles of the cells along each axis, in u."""
        return tuple(0.5 * (u[1:] + u[:-1]) for u in self.faces)

    @cached_property
    def widths(self) -> np.ndarray:
        """Widths of the cells in u, shape (size, dim)."""
        return self._product([np.diff(u) for u in self.faces])

    @cached_property
    def x(self) -> np.ndarray:
        """Centers of the cells, shape (size, dim)."""
        return self.point(self._product(self.centers))

    @cached_property
    def volumes(self) -> np.ndarray:
        """Volumes of the cells, shape (size,)."""
        scale = 1.0 if self.axes is None else abs(np.linalg.det(self.axes))
        return scale * self._product([np.diff(s) for s in self.edges]).prod(axis=1)

    def point(self, u: np.ndarray) -> np.ndarray:
        """Θ of grid coordinates u (..., dim)."""
        s = np.stack([_stretched(u[..., j], pair) for j, pair in enumerate(self.stretch)], axis=-1)
        return s if self.axes is None else s @ self.axes.T

    def coordinates(self, theta: ArrayLike) -> np.ndarray:
        """Grid coordinates u of points theta (..., dim); periodic ones are brought back to the grid."""
        theta = _check.points("theta", theta, self.dim)
        s = theta if self.axes is None else np.linalg.solve(self.axes, theta[..., None])[..., 0]
        u = np.empty(s.shape)
        for j, (faces, pair, periodic) in enumerate(zip(self.faces, self.stretch, self.periodic, strict=True)):
            u[..., j] = s[..., j] if pair is None else np.arcsinh((s[..., j] - pair[0]) / pair[1])
            if periodic:
                u[..., j] = faces[0] + np.mod(u[..., j] - faces[0], faces[-1] - faces[0])
        return u

    def find(self, theta: ArrayLike) -> np.ndarray:
        """Numbers of the cells that hold points theta (..., dim), -1 for points outside the grid."""
        u = self.coordinates(theta)
        cell = np.zeros(u.shape[:-1], dtype=np.int64)
        outside = np.zeros(u.shape[:-1], dtype=bool)
        for j, faces in enumerate(self.faces):
            k = np.searchsorted(faces, u[..., j], side="right") - 1
            k = np.where(u[..., j] == faces[-1], faces.size - 2, k)
            outside |= ~((k >= 0) & (k < faces.size - 1))
            cell = cell * (faces.size - 1) + np.clip(k, 0, faces.size - 2)
        return np.where(outside, -1, cell)

    def interpolate(self, values: np.ndarray, theta: ArrayLike) -> np.ndarray:
        """Values (size,) at the centers, linear between them in u, at points theta (..., dim); nan outside the grid."""
        from scipy.interpolate import RegularGridInterpolator

        infinite = np.isinf(values)
        if infinite.any():  # and so wherever an infinite value has a part in it
            part = self.interpolate(infinite.astype(np.float64), theta)
            return np.where(part > _NO_PART, np.inf, self.interpolate(np.where(infinite, 0.0, values), theta))
        u = self.coordinates(theta)
        least = 0.0 if values.min() >= 0 else -np.inf
        grids, padded = [], values.reshape(self.shape)
        for j, (faces, centers, periodic) in enumerate(zip(self.faces, self.centers, self.periodic, strict=True)):
            first, second, before, last = (padded.take([k], axis=j) for k in (0, 1, -2, -1))
            if periodic:  # the neighbors across the seam
                period = faces[-1] - faces[0]
                grids.append(np.concatenate([[centers[-1] - period], centers, [centers[0] + period]]))
                padded = np.concatenate([last, padded, first], axis=j)
            else:  # along the same line in the outer half of the outer cells
                grids.append(np.concatenate([faces[:1], centers, faces[-1:]]))
                low = first + (faces[1] - faces[0]) / (faces[2] - faces[0]) * (first - second)
                high = last + (faces[-1] - faces[-2]) / (faces[-1] - faces[-3]) * (last - before)
                padded = np.concatenate([np.maximum(low, least), padded, np.maximum(high, least)], axis=j)
        at = RegularGridInterpolator(grids, padded, bounds_error=False, fill_value=np.nan)(u.reshape(-1, self.dim))
        return at.reshape(u.shape[:-1])

    def around(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cells whose centers surround a point (dim,), and their shares in it by linear interpolation in u."""
        if self.find(theta) < 0:
            return np.empty(0, dtype=np.int64), np.empty(0)
        u = self.coordinates(theta)
        cells, shares = np.zeros(1, dtype=np.int64), np.ones(1)
        for j, (centers, faces, periodic) in enumerate(zip(self.centers, self.faces, self.periodic, strict=True)):
            n = centers.size
            k = int(np.searchsorted(centers, u[j], side="right")) - 1
            low, high = (k % n, (k + 1) % n) if periodic else (max(k, 0), min(k + 1, n - 1))
            period = faces[-1] - faces[0] if periodic else 0.0
            width = (centers[high] - centers[low]) % period if periodic else centers[high] - centers[low]
            ahead = (u[j] - centers[low]) % period if periodic else u[j] - centers[low]
            share = ahead / width if width > 0 else 0.0
            cells = np.concatenate([cells * n + low, cells * n + high])
            shares = np.concatenate([shares * (1 - share), shares * share])
        return cells, shares

    def displacements(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """x[columns] − x[rows] of pairs of cells, the short way round where an axis is periodic, shape (n, dim)."""
        difference = self.x[columns] - self.x[rows]
        for j in np.flatnonzero(self.periodic):
            period = np.zeros(self.dim)
            period[j] = self.faces[j][-1] - self.faces[j][0]
            i, k = (np.unravel_index(cells, self.shape)[j] for cells in (rows, columns))
            turns = np.rint((k - i) / self.shape[j])
            difference -= turns[:, None] * (period if self.axes is None else self.axes @ period)
        return difference

    def coarsened(self) -> "Grid":
        """The same box with half as many cells along each axis; the last of an odd number between breaks stays."""
        faces = tuple(u[np.append(first, u.size - 1)] for u, first in zip(self.faces, self._pairs, strict=True))
        return Grid(faces, self.periodic, self.stretch, self.axes, self.breaks)

    def merged(self, log_mass: np.ndarray) -> np.ndarray:
        """Logarithms of masses (size,) of these cells, summed over the cells of :meth:`coarsened`."""
        block = log_mass.reshape(self.shape)
        for j, first in enumerate(self._pairs):
            block = np.logaddexp.reduceat(block, first, axis=j)
        return block.ravel()

    @cached_property
    def _pairs(self):
        """For each axis the first cells of those that are merged."""
        result = []
        for u, breaks in zip(self.faces, self.breaks, strict=True):
            corners = np.concatenate([[0], np.searchsorted(u, breaks), [u.size - 1]])
            result.append(np.concatenate([np.arange(a, b, 2) for a, b in pairwise(corners)]))
        return result

    def points_within(self, cells: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Points at shares (..., dim) of the sides of cells (...): uniform shares are uniform in space."""
        s = np.empty(np.broadcast_shapes((*np.shape(cells), 1), shares.shape))
        for j, (k, edges) in enumerate(zip(np.unravel_index(cells, self.shape), self.edges, strict=True)):
            s[..., j] = edges[k] + shares[..., j] * np.diff(edges)[k]
        return s if self.axes is None else s @ self.axes.T

    def marginal(self, axes: tuple[int, ...]) -> "Grid":
        """The grid of some of the axes, if they are coordinates."""
        return Grid(
            tuple(self.faces[j] for j in axes),
            tuple(self.periodic[j] for j in axes),
            tuple(self.stretch[j] for j in axes),
            None,
            tuple(self.breaks[j] for j in axes),
        )

    def on_side(self, axis: int, end: int, cells: int = 1) -> np.ndarray:
        """Whether each cell is among the outermost ``cells`` at the low (end 0) or high (end 1) side of an axis."""
        index = np.arange(self.shape[axis])
        at_end = index < cells if end == 0 else index >= self.shape[axis] - cells
        shape = [1] * self.dim
        shape[axis] = -1
        return np.broadcast_to(at_end.reshape(shape), self.shape).ravel()

    def _product(self, values):
        return np.stack([a.ravel() for a in np.meshgrid(*values, indexing="ij")], axis=-1)


def faces_with_breaks(low, high, n_cells, breaks) -> np.ndarray:
    """Faces of about n_cells cells on [low, high]: uniform between breaks, each of which is a face."""
    corners = np.concatenate([[low], breaks, [high]])
    counts = np.maximum(1, np.round(n_cells * np.diff(corners) / (high - low)).astype(int))
    if counts.size > 1:  # so that coarser grids have cells of one width too
        counts = np.where(counts >= _EVEN * 2, _EVEN * np.round(counts / _EVEN).astype(int), counts)
    pieces = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(corners[:-1], corners[1:], counts, strict=True)]
    edges = np.append(np.concatenate(pieces), high)
    if not (np.diff(edges) > 0).all():
        raise ArgumentError(f"bounds ({low!r}, {high!r}) are too close together for {n_cells} cells in floating point")
    return edges


def _stretched(u, pair):
    return u if pair is None else pair[0] + pair[1] * np.sinh(u)


def _stretches(stretch, dim):
    """One None or (center, width) for each axis."""
    if stretch is None:
        return (None,) * dim
    if not isinstance(stretch, list | tuple | np.ndarray):
        raise ArgumentError(f"stretch must be a pair (center, width) or None for each axis, got {stretch!r}")
    pairs = [stretch] if dim == 1 and np.shape(stretch) == (2,) else list(stretch)
    if len(pairs) != dim:
        raise ArgumentError(f"stretch must be a pair (center, width) or None for each of {dim} axes, got {stretch!r}")
    result: list[tuple[float, float] | None] = []
    for pair in pairs:
        if pair is None:
            result.append(None)
            continue
        if np.shape(pair) != (2,):
            raise ArgumentError(f"stretch must be a pair (center, width) or None for each axis, got {pair!r}")
        result.append((_check.real("stretch", pair[0]), _check.positive("stretch", pair[1])))
    return tuple(result)


def breaks_of(breaks, dim):
    """One array of breaks for each axis, from what a user says."""
    if not isinstance(breaks, list | tuple | np.ndarray):
        raise ArgumentError(f"breaks must be a sequence of numbers for each axis, got {breaks!r}")
    if dim == 1 and (len(breaks) == 0 or np.ndim(breaks[0]) == 0):
        breaks = [breaks]
    if len(breaks) == 0:
        breaks = [()] * dim
    if len(breaks) != dim:
        raise ArgumentError(f"breaks must be one sequence of numbers for each of {dim} axes, got {breaks!r}")
    return [_check.array("breaks", inner, ndim=1) for inner in breaks]
