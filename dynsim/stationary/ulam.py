"""Ulam's method: the law of a stochastic optimization method, step by step, as a Markov chain on the cells of a grid.

The chance P_ij of going from cell i to cell j is that of a step from a point drawn uniformly from cell i. Cells are cut
at kinks and into sub-cells, on each of which the map of every outcome is taken to be affine: its image is a box, whose
mass is split among the cells that it overlaps in proportion. For maps that are affine between kinks, with constant
probabilities, P is exact in one dimension, and in two where the map does not mix coordinates; an image that is sheared
or turned is replaced by the upright box of the same mean and variances.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD, Method
from dynsim.noise import AlphaStable, Noise, TwoPoint
from dynsim.problems import Problem
from dynsim.stationary.outcomes import state_outcomes, state_width

_VERB = "the transfer matrix"
_SUB_CELLS = {1: 4, 2: 2}  # along each axis by dimension: with more, the error of P hardly shrinks
_INWARD = 1 - 1e-6  # how much of a sub-cell is looked at, so that none of its ends is on a kink
_AT_ONCE = 2**21  # numbers of a chunk of images
_ROUNDING = 64  # units in the last place within which an image's end is on a face
_TAIL = 1e-16  # what is cut off from the noise on either side
_NODES, _NODES_OF_STABLE = 8192, 1024  # that its law is interpolated from; each takes an integral of a stable law


def transfer_matrix(
    problem: Problem, method: Method, edges: Sequence[ArrayLike], *, points: int | None = None
) -> tuple[sparse.csr_array, np.ndarray]:
    """The transfer matrix of a stochastic optimization method on a grid, by Ulam's method.

    ``P_ij = (1/|C_i|) ∫_{C_i} P(θ' ∈ C_j | θ) dθ``, θ' one step from θ. With noise ξ that has a density, ``SGD`` only,
    θ' is one of the outcomes without noise plus −ηξ, whose law is integrated over each cell.

    Parameters
    ----------
    problem : Problem
    method : Method
        With constant rates and draws that do not depend on the steps before. It may remember numbers, such as the v of
        ``HeavyBall``: the chain is then one of (θ, v).
    edges : sequence of 1 or 2 array_like, each (m_j + 1,)
        Faces of the cells along each axis of θ, or of (θ, v): increasing.
    points : int, optional
        Sub-cells of a cell along each axis: 4 in one dimension, 2 in two.

    Returns
    -------
    P : csr_array, shape (m, m)
        Cells in C order; P_ij ≥ 0.
    leak : ndarray, shape (m,)
        Probability of a step out of the grid: ``P.sum(axis=1) + leak`` is 1.

    Raises
    ------
    NotApplicable
        If the next state is not a random function of one or two numbers, or its noise is not added to θ.
    ArgumentError
        If an argument is out of its range, or a step is not a number somewhere on the grid.
    TooLarge
        If the matrix would not fit in memory.

    Notes
    -----
    S. M. Ulam, *A Collection of Mathematical Problems* (1960), ch. VI.4. The stationary law of P tends to an invariant
    measure of the method as cells shrink, whether or not that has a density.

    Examples
    --------
    >>> import dynsim as ds, numpy as np
    >>> from dynsim.stationary.ulam import transfer_matrix
    >>> P, leak = transfer_matrix(ds.problems.two_valleys(), ds.SGD(0.04), [np.linspace(-2, 1, 76)])
    >>> P.shape, P.nnz, leak.nonzero()[0].tolist()
    ((75, 75), 200, [])
    """
    width = state_width(_VERB, problem, method)
    edges = _faces(edges)
    if len(edges) != width:
        more = f", of which {width - problem.dim} are what {method.name} remembers" if width > problem.dim else ""
        raise ArgumentError(f"edges must be {width} arrays of faces, one for each coordinate{more}; got {len(edges)}")
    laws = None
    if method.noise is not None and not isinstance(method.noise, TwoPoint):
        if type(method) is not SGD:
            raise NotApplicable(
                f"{_VERB} knows noise with a density only where it is added to θ, as by SGD, not in {method!r}"
            )
        laws = laws_of_step(method.noise, float(method.rates(0, 1)[0, 0]), problem.dim)
        method = replace(method, noise=None)
    first = method.rule(problem).query
    kinks: list[list[float]] = [[] for _ in edges]
    for *normal, offset in problem.kink_planes:
        axes = np.flatnonzero(normal)
        if axes.size == 1:
            kinks[first + axes[0]].append(offset / normal[axes[0]])
    return matrix_of_step(
        lambda state: state_outcomes(_VERB, problem, method, state), edges, points=points, kinks=kinks, laws=laws
    )


def matrix_of_step(
    step: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    edges: Sequence[ArrayLike],
    *,
    points: int | None = None,
    kinks: Sequence[ArrayLike] | None = None,
    laws: np.ndarray | None = None,
) -> tuple[sparse.csr_array, np.ndarray]:
    """Like :func:`transfer_matrix` for any random map: ``step(state (n, D)) -> targets (n, K, D), probability (n, K)``.

    ``kinks`` are points of each axis where the map jumps or bends, at which cells are cut; it may jump elsewhere too,
    at the cost of an error of the size of the sub-cells that it jumps in. ``laws`` is noise that is added to the
    targets, from :func:`laws_of_step`.
    """
    edges = _faces(edges)
    dim = len(edges)
    points = _SUB_CELLS[dim] if points is None else _check.count("points", points)
    pieces = [_pieces(e, np.asarray(k), points) for e, k in zip(edges, kinks or [()] * dim, strict=True)]
    shape = [e.size - 1 for e in edges]
    m = math.prod(shape)
    _check.fits_in_memory("the transfer matrix", (m, 8), instead="use fewer cells")
    grid = _grid(edges, laws)
    rows: list[tuple[np.ndarray, ...]] = []
    done = 0
    while done < shape[0]:
        n_outcomes = rows[0][4] if rows else 1
        per_slab = n_outcomes * dim * (2 * dim + 1) * math.prod(p[0].size for p in pieces) // shape[0]
        end = min(shape[0], done + max(1, _AT_ONCE // max(1, per_slab))) if rows else 1
        boxes = _images(step, pieces, shape, done, end)
        rows.append((*_filled(grid, boxes), boxes[3].shape[1]))
        done = end
        entries = sum(r[0].size for r in rows) * shape[0] // done
        _check.fits_in_memory("the transfer matrix", (entries, 4), instead="use fewer cells")
    column, value, counts, leak = (np.concatenate([r[k] for r in rows]) for k in range(4))
    matrix = sparse.csr_array((value, column, np.append(0, np.cumsum(counts))), shape=(m, m))
    matrix.sort_indices()
    return matrix, np.minimum(leak, 1.0)  # which a sum of shares may pass by rounding


def laws_of_step(noise: Noise, step_size: float, dim: int) -> np.ndarray:
    """The law of −η ξ_j for each coordinate as the kernel reads it, (dim, 5, nodes).

    Logarithms of both tails P(−ηξ ≤ −x), P(−ηξ > x) at x = s sinh u, u uniform, interpolated by cubics, to 1e-9 where
    the law is smooth.
    """
    noise.params(dim)  # refuses scales that do not fit
    scale = np.asarray(noise.scale, dtype=np.float64)
    ends = np.concatenate([np.atleast_1d(noise.quantile(np.full(scale.shape, q)) / scale) for q in (_TAIL, 1 - _TAIL)])
    n = _NODES_OF_STABLE if isinstance(noise, AlphaStable) else _NODES
    u = np.linspace(0, np.arcsinh(np.abs(ends).max()), n).reshape(-1, *(1,) * scale.ndim)
    x = np.sinh(u) * scale
    above = noise.cdf(-x)
    few = slice(1, None, n // 16)
    if np.abs(above[few] + noise.cdf(x[few]) - 1).max() < 1e-12:  # symmetric: without the rounding of 1 − P
        sides = ((1, above, -x), (3, above, -x))
    else:
        sides = ((1, 1 - noise.cdf(x), x), (3, above, -x))
    laws = np.zeros((dim, 5, n))
    laws[:, 0, 0], laws[:, 0, 1] = step_size * scale, u.ravel()[1]
    for row, tail, side in sides:
        tail = np.maximum(tail, np.finfo(float).tiny)
        log_tail = np.log(tail)
        slope = -noise.pdf(side) * np.cosh(u) * scale * u.ravel()[1] / tail
        secant = np.diff(log_tail, axis=0)
        steepest = 3 * np.maximum(np.concatenate([secant[:1], secant]), np.concatenate([secant, secant[-1:]]))
        laws[:, row] = log_tail.T
        laws[:, row + 1] = np.maximum(slope, steepest).T  # so that it is monotone between nodes, Fritsch & Carlson
    return laws


def _faces(edges):
    """The faces as float64 arrays, one for each axis."""
    if not isinstance(edges, Sequence) or len(edges) not in (1, 2) or np.ndim(edges[0]) != 1:
        raise ArgumentError("edges must be a sequence of 1 or 2 arrays of faces, one for each coordinate")
    arrays = [np.ascontiguousarray(_check.array("edges", e, ndim=1)) for e in edges]
    for e in arrays:
        if e.size < 2 or not (np.diff(e) > _ROUNDING * 8 * np.spacing(np.abs(e).max())).all():
            raise ArgumentError("edges must be arrays of at least 2 faces that increase by more than rounding errors")
    return arrays


def _rounding(edges):
    return _ROUNDING * np.spacing(np.abs(edges).max())


def _pieces(edges, kinks, points):
    """Low and high ends of the sub-cells of an axis, and of which cell they are, shapes (n,)."""
    nearest = np.abs(kinks[:, None] - edges).min(axis=1, initial=np.inf)
    inner = kinks[(kinks > edges[0]) & (kinks < edges[-1]) & (nearest > _rounding(edges))]
    faces = np.union1d(edges, inner)
    cell = np.searchsorted(edges, faces[:-1], side="right") - 1
    steps = np.arange(points + 1) / points
    ends = faces[:-1, None] * (1 - steps) + faces[1:, None] * steps
    share = np.repeat(np.diff(faces) / np.diff(edges)[cell] / points, points)
    return ends[:, :-1].ravel(), ends[:, 1:].ravel(), np.repeat(cell, points), share


def _grid(edges, laws):
    """What the kernel is told of the target cells."""
    faces = [*edges, np.array([-np.inf, np.inf])][:2]
    rounding = np.array([_rounding(e) if np.isfinite(e).all() else 0.0 for e in faces])
    laws = np.zeros((1, 5, 0)) if laws is None else laws
    laws = np.concatenate([laws, laws[:1]])[:2] if len(edges) == 1 or laws.shape[0] == 1 else laws
    return faces[0], faces[1], rounding, np.ascontiguousarray(laws)


def _images(step, pieces, shape, begin, end):
    """Images of the sub-cells of cells begin ≤ i < end along the first axis, ordered by cell, as the kernel's boxes.

    Simpson's rule gives center and probability; an axis along which the map jumps counts as on its smoother half.
    """
    dim = len(shape)
    inside = (pieces[0][2] >= begin) & (pieces[0][2] < end)
    axes = [tuple(column[inside] for column in pieces[0]), *pieces[1:]]
    low, high = (np.stack(np.meshgrid(*(a[k] for a in axes), indexing="ij"), -1).reshape(-1, dim) for k in (0, 1))
    share = math.prod(np.meshgrid(*(a[3] for a in axes), indexing="ij")).ravel()
    index = np.meshgrid(*(a[2] for a in axes), indexing="ij")
    cell = np.ravel_multi_index([index[0] - begin, *index[1:]], (end - begin, *shape[1:])).ravel()
    order = np.argsort(cell, kind="stable")
    low, high, share = low[order], high[order], share[order]
    middle = 0.5 * (low + high)
    image, p = _stepped(step, middle)
    center, mass, variance = image.copy(), p.copy(), np.zeros_like(image)
    with np.errstate(invalid="ignore"):
        for j in range(dim):
            reach = np.zeros_like(middle)
            reach[:, j] = 0.5 * _INWARD * (high - low)[:, j]
            (up, p_up), (down, p_down) = (_stepped(step, middle + s * reach) for s in (1, -1))
            ahead, behind = (up - image) / _INWARD, (image - down) / _INWARD
            jumps = np.abs(ahead - behind) > 2 * np.minimum(np.abs(ahead), np.abs(behind)) + _rounding(image)
            smooth_half = np.where(np.abs(ahead) < np.abs(behind), ahead, behind)
            variance += np.where(jumps, 2 * smooth_half, ahead + behind) ** 2
            center += np.where(jumps, 0.0, (ahead - behind) / 6)
            mass += (p_up + p_down - 2 * p) / 6
    lost = ~np.isfinite(center + variance).all(axis=-1)
    boxes = np.zeros((2, *mass.shape, 2))
    boxes[0, ..., :dim], boxes[1, ..., :dim] = center, np.sqrt(variance)
    boxes[0, lost], boxes[1, lost] = np.inf, 0.0  # beyond all floats
    first = np.searchsorted(cell[order], np.arange((end - begin) * math.prod(shape[1:]) + 1))
    return first, boxes[0], boxes[1], mass * share[:, None]


def _stepped(step, state):
    """``step(state)``; refuse what is not a number."""
    targets, p = step(state)
    bad = np.isnan(targets).any(axis=(-2, -1)) | ~(np.abs(p.sum(axis=-1) - 1) < 1e-9)
    if bad.any():
        raise ArgumentError(
            f"edges must enclose points where a step is defined, it is not at {state[bad][0].tolist()}: it leads to "
            f"{targets[bad][0].tolist()} with probabilities {p[bad][0].tolist()}"
        )
    return targets, p


def _filled(grid, boxes):
    """Columns, values and numbers of the entries of rows of the matrix, and what leaks."""
    from dynsim._kernels.ulam import TOO_SMALL, fill_rows

    n_rows = boxes[0].size - 1
    first, leak = np.empty(n_rows + 1, dtype=np.int64), np.empty(n_rows)
    room = 16 * n_rows
    while True:
        column, value = np.empty(room, dtype=np.int64), np.empty(room)
        n = fill_rows(grid, boxes, (first, column, value, leak))
        if n != TOO_SMALL:
            return column[:n].astype(np.int32), value[:n].copy(), np.diff(first), leak
        room *= 4
