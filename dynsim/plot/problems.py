"""Problems over a box."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.plot.common import PALE, axes, literal

_MOST_TERMS = 6  # of a problem in one dimension are drawn one by one
_CURVE = 1001  # points
_GRID = 201  # points along each side
_LEVELS = 24
_PER_DECADE = 5  # levels of a logarithmic scale
_FLOOR = 100.0  # the median over the lowest fiftieth, both above the least value: from there on a narrow floor
_WALL = 2.0  # heights of the median above the least value, to which colors go up beyond the median
_MOST_KINKS = 50
_MARKS = {
    "minimum": ("o", "white", "minimum"),
    "kink minimum": ("o", "white", "minimum"),
    "saddle": ("X", "#E69F00", "saddle"),
    "maximum": ("^", "#D55E00", "maximum"),
    "kink": ("D", "#CC79A7", "kink"),
    "degenerate": ("s", "#56B4E9", "degenerate"),
}


def plot_problem(problem, ax=None, *, bounds=None, coordinates=None, at=None, points=None):
    """L over a box: the curve and its terms in one dimension, filled contours in two; see :meth:`Problem.plot`."""
    coordinates, base = _section(problem, coordinates, at)
    bounds = _window(problem, bounds, coordinates)
    ax = axes(ax)
    (_curve if len(coordinates) == 1 else _contours)(ax, problem, bounds, coordinates, base)
    if points is not None:
        marks = list(zip(points.x, points.kind, strict=True))
    else:
        marks = [(x, "minimum") for x in (problem.minima if problem.minima is not None else ())]
    _marks(ax, problem, bounds, coordinates, base, marks)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", loc="best", framealpha=0.9)
    ax.set_title(literal(problem.name), fontsize="medium")
    return ax


def _section(problem, coordinates, at):
    """The coordinates to draw over, and the point (dim,) that the others are taken from."""
    dim = problem.dim
    if coordinates is None:
        if dim > 2:
            raise NotApplicable(
                f"{problem.name} has dim {dim}, and plot draws dim 1 or 2; choose a section through a point, such as "
                f"coordinates=(0, 1), at=theta"
            )
        return tuple(range(dim)), np.zeros(dim)
    try:
        coordinates = tuple(_check.count("coordinates", j, least=0) for j in coordinates)
    except TypeError:
        raise ArgumentError(f"coordinates must be one or two numbers, such as (0, 1), got {coordinates!r}") from None
    if len(coordinates) not in (1, 2) or len(set(coordinates)) < len(coordinates) or max(coordinates) >= dim:
        raise ArgumentError(f"coordinates must be one or two different ones below dim = {dim}, got {coordinates}")
    if at is None:
        if len(coordinates) < dim:
            raise ArgumentError(f"at must be the point, shape ({dim},), that the section goes through")
        return coordinates, np.zeros(dim)
    at = _check.array("at", at, ndim=1)
    if at.shape != (dim,):
        raise ArgumentError(f"at must have shape ({dim},), got {at.shape}")
    return coordinates, at


def _window(problem, bounds, coordinates):
    """Bounds (1 or 2, 2) of what is drawn."""
    if bounds is None:
        if problem.bounds is None:
            raise NotApplicable(f"{problem.name} knows no box worth looking at; give bounds, (low, high) for each axis")
        return problem.bounds[list(coordinates)]
    try:
        if np.ndim(bounds) == 1:
            return np.array([_check.interval("bounds", bounds)] * len(coordinates))
        windows = np.array([_check.interval("bounds", pair) for pair in bounds])
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"bounds must be (low, high) for all axes or for each: {error}") from None
    if len(windows) == problem.dim:
        return windows[list(coordinates)]
    if len(windows) != len(coordinates):
        raise ArgumentError(f"bounds must have a (low, high) for each of {len(coordinates)} axes, got {len(windows)}")
    return windows


def _at(base, coordinates, *values):
    """Points (..., dim) with the coordinates set to values (...)."""
    theta = np.broadcast_to(base, (*values[0].shape, base.size)).copy()
    for j, value in zip(coordinates, values, strict=True):
        theta[..., j] = value
    return theta


def _name(problem, j):
    return "θ" if problem.dim == 1 else f"θ[{j}]"


def _curve(ax, problem, bounds, coordinates, base):
    (low, high), (j,) = bounds[0], coordinates
    with np.errstate(divide="ignore", invalid="ignore"):
        planes = problem.kink_planes
        kinks = (planes[:, -1] - planes[:, :-1] @ base + planes[:, j] * base[j]) / planes[:, j]
    kinks = np.unique(kinks[(kinks > low) & (kinks < high)])
    x = np.unique(np.append(np.linspace(low, high, _CURVE), kinks))
    theta = _at(base, coordinates, x)
    if 1 < problem.n_terms <= _MOST_TERMS:
        shares = problem.weights * problem.term_losses(theta)
        colors = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")
        for n, color in zip(range(problem.n_terms), colors, strict=False):
            ax.plot(x, shares[:, n], color=color, linewidth=1.0, label=f"term {n}, weighted")
    for kink in kinks if kinks.size <= _MOST_KINKS else ():
        ax.axvline(kink, color=PALE, linewidth=0.8, linestyle=":", zorder=0)
    ax.plot(x, problem.loss(theta), color="black", linewidth=1.6, label="L" if problem.n_terms <= _MOST_TERMS else None)
    ax.set(xlabel=_name(problem, j), ylabel="L(θ)", xlim=(low, high))


def _contours(ax, problem, bounds, coordinates, base):
    x, y = (np.linspace(low, high, _GRID) for low, high in bounds)
    loss = problem.loss(_at(base, coordinates, *np.meshgrid(x, y)))
    finite = loss[np.isfinite(loss)]
    if finite.size == 0:
        raise ArgumentError("bounds must be a box in which the loss is finite somewhere")
    levels, norm, cut = _levels(finite)
    least = float(finite.min())
    if norm is not None:
        loss = np.maximum(loss - least, levels[0])
    image = ax.contourf(x, y, loss, levels, norm=norm, cmap="cividis", extend="max" if cut else "neither")
    ax.contour(x, y, loss, levels, colors="white", linewidths=0.3, alpha=0.6)
    shifted = norm is not None and abs(least) > levels[0]
    bar = ax.figure.colorbar(image, ax=ax, label=f"L(θ) − ({least:.4g})" if shifted else "L(θ)")
    if norm is not None:
        bar.set_ticks(levels[::_PER_DECADE], labels=[f"{level:g}" for level in levels[::_PER_DECADE]])
    _kink_lines(ax, problem, bounds, coordinates, base)
    ax.set(xlabel=_name(problem, coordinates[0]), ylabel=_name(problem, coordinates[1]))
    ax.set(xlim=bounds[0], ylim=bounds[1])


def _levels(loss):
    """Levels that show the low part, their norm, and whether the high part is cut off.

    Logarithmic, above the least value, where a narrow floor lies far below everything else; else even, up to where
    nine tenths of the box are, but not so far that a wall leaves no color to the wells below the median.
    """
    least, floor, middle, high, most = np.quantile(loss, (0.0, 0.02, 0.5, 0.9, 1.0))
    if middle - least > _FLOOR * (floor - least) > 0:
        low, top = np.floor(np.log10(0.1 * (floor - least))), np.ceil(np.log10(most - least))
        levels = 10.0 ** np.linspace(low, top, _PER_DECADE * int(top - low) + 1)
        return levels, LogNorm(levels[0], levels[-1]), False
    if middle > least:
        high = min(high, middle + _WALL * (middle - least))
    cut = most - least > 2 * (high - least) > 0
    top = high if cut else most
    levels = MaxNLocator(_LEVELS).tick_values(least, top if top > least else least + 1.0)
    return levels, None, bool(most > levels[-1])


def _kink_lines(ax, problem, bounds, coordinates, base):
    """Where the kink planes cut the section, as far as the gradient jumps there."""
    (i, j), planes = coordinates, problem.kink_planes
    if len(planes) > _MOST_KINKS:
        return
    center, reach = bounds.mean(axis=1), np.hypot(*np.ptp(bounds, axis=1))
    for plane in planes:
        normal = plane[[i, j]]
        size = np.hypot(*normal)
        if size == 0:
            continue
        normal = normal / size
        offset = (plane[-1] - plane[:-1] @ base) / size + normal @ base[[i, j]]
        along = np.linspace(-reach, reach, _CURVE)[:, None] * np.array([-normal[1], normal[0]])
        line = center + (offset - normal @ center) * normal + along
        sides = [problem.gradient(_at(base, coordinates, *(line + s * 1e-7 * reach * normal).T)) for s in (-1, 1)]
        jump = np.abs(sides[1] - sides[0]).max(axis=1)
        line[jump <= 1e-5 * np.nanmax(np.abs(sides[0]))] = np.nan
        ax.plot(*line.T, color="white", linewidth=0.8, linestyle=":")


def _marks(ax, problem, bounds, coordinates, base, marks):
    """Points of the section among (x, kind), each kind with one entry in the legend."""
    others = [j for j in range(problem.dim) if j not in coordinates]
    width = np.ptp(bounds, axis=1).max()
    for kind, (marker, color, label) in _MARKS.items():
        shown = [x for x, k in marks if k == kind and np.abs(x[others] - base[others]).max(initial=0) < 1e-6 * width]
        if not shown:
            continue
        x = np.array(shown)
        height = problem.loss(x) if len(coordinates) == 1 else x[:, coordinates[1]]
        seen = label in ax.get_legend_handles_labels()[1]
        style = {"markersize": 6, "markeredgecolor": "black", "markerfacecolor": color, "zorder": 5, "clip_on": False}
        ax.plot(x[:, coordinates[0]], height, marker, label=None if seen else label, **style)
