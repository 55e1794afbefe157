"""Stationary points in one dimension: every change of sign of L' on a grid, bisected to the last bit."""

import numpy as np

from dynsim.landscape import smooth
from dynsim.landscape.box import measured
from dynsim.landscape.points import Found

_BISECTIONS = 2100  # of an interval of any length: the exponents of float64, and its digits
_JUMP = 1e-6  # smallest jump of the gradient, relative to the box's slope
_TIP = 1e-12  # how near the two sides of a tip are looked at, relative to the box


def search(problem, bounds, n_cells, tol):
    """The points found, and the box."""
    low, high = bounds[0]
    grid = np.unique(np.append(np.linspace(low, high, n_cells + 1), [k for k in problem.kinks if low <= k <= high]))
    box = measured(problem, bounds, grid[:, None])
    g = problem.gradient(grid[:, None])[:, 0]
    left, right = _changes(grid, g)
    left, right = _bisected(problem, left, right)
    found = [_crossing(problem, a, b, box) for a, b in zip(left, right, strict=True)]
    found += _plateaus(problem, grid, g)
    found += _touching(problem, grid, g, box, tol)
    return found, box


def _changes(grid, g):
    """Neighbors among the points with g ≠ 0 between which g changes its sign, unless g is 0 on a stretch there."""
    at = np.flatnonzero(g != 0)
    a, b = at[:-1], at[1:]
    change = (np.sign(g[a]) != np.sign(g[b])) & (b - a <= 2)
    return grid[a[change]], grid[b[change]]


def _slope(problem, x):
    return problem.gradient(x[:, None])[:, 0]


def _bisected(problem, left, right):
    """Neighboring floats, or one number if L' is 0 there."""
    left, right = left.copy(), right.copy()
    sign = np.sign(_slope(problem, left))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (left + right)
        if ((middle <= left) | (middle >= right)).all():
            break
        g = np.sign(_slope(problem, middle))
        left = np.where(g == -sign, left, middle)
        right = np.where(g == sign, right, middle)
    return left, right


def _crossing(problem, a, b, box):
    """The point between a and b, where L' changes its sign: a kink if it jumps, and then the one with a name."""
    (ga, gb), names = _slope(problem, np.array([a, b])), np.array(problem.kinks)
    if a == b:  # L' is 0 there, as it may be called at the tip of a kink too
        beside = _TIP * box.diagonal + 4 * np.spacing(abs(a))
        sides = _slope(problem, np.array([a - beside, a + beside]))
        if abs(sides[1] - sides[0]) > _JUMP * box.slope:
            ga, gb = sides
    outer = 1e-9 * box.diagonal
    before, after = _slope(problem, np.array([a - outer, b + outer]))
    if abs(gb - ga) > _JUMP * box.slope:
        near = names[np.abs(names - a) <= 4 * np.spacing(max(abs(a), abs(b)))] if names.size else names
        x = float(near[0]) if near.size else a if problem.loss([a]) <= problem.loss([b]) else b
        kind, norm, value = ("kink minimum" if ga < 0 < gb else "kink"), 0.0, np.nan
    else:
        x = a if abs(ga) <= abs(gb) else b
        kind = "minimum" if before < 0 < after else "maximum"
        norm, value = min(abs(ga), abs(gb)), float(problem.hessian([x])[0, 0])
    return Found(np.array([x]), float(problem.loss([x])), kind, float(norm), np.array([value]))


def _plateaus(problem, grid, g):
    """The middle of each stretch of the grid, two cells or longer, on which L' is 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], g == 0, [False]])))
    found = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first > 1:
            x = 0.5 * (grid[first] + grid[end - 1])
            found.append(Found(np.array([x]), float(problem.loss([x])), "degenerate", 0.0, np.array([0.0])))
    return found


def _touching(problem, grid, g, box, tol):
    """Points where L' comes to 0 and goes back: least |L'| between neighbors of one sign, by Levenberg–Marquardt."""
    size = np.abs(g)
    inner = np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])) + 1
    inner = inner[(g[inner - 1] * g[inner + 1] > 0) & (size[inner] < box.slope)]
    with np.errstate(all="ignore"):
        x = smooth.solve(problem, grid[inner, None], box)
        slope = _slope(problem, x[:, 0])
        values = smooth.spectra(problem, x)[0]
    cell = 2 * box.diagonal / (grid.size - 1)
    kept = (np.abs(slope) <= tol * box.slope) & (np.abs(x[:, 0] - grid[inner]) <= cell)
    return [
        Found(point, float(problem.loss(point)), "saddle", float(abs(s)), v)
        for point, s, v in zip(x[kept], slope[kept], values[kept], strict=True)
    ]
