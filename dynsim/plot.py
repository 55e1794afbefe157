"""All drawing. Colors (Okabe & Ito) differ in lightness too, and each scheme has its own dashes."""

from dataclasses import replace

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable

_STYLE = {
    "SGD": {"color": "#D55E00", "linestyle": "--"},
    "RR": {"color": "#0072B2", "linestyle": "-"},
    "Balanced": {"color": "#333333", "linestyle": "-."},
}
_PALE = "#BBBBBB"
_PATHS = 6  # trajectories drawn for each scheme
_BINS = 80
_POINTS = 401  # of a curve
_PILOT = 10000  # draws that tell where a law of noise lives
_OUTSIDE = 0.005  # its probability on each side that is not drawn
_LOWEST = 1e-4  # density at which the occupation plots are cut off


def _axes(ax):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def plot_trajectories(trajectories, ax=None, *, n_paths=20, coordinate=0, **style):
    """One coordinate of the first paths against time."""
    if _check.count("coordinate", coordinate, least=0) >= trajectories.dim:
        raise ArgumentError(f"coordinate must be below dim = {trajectories.dim}, got {coordinate}")
    ax = _axes(ax)
    style = {"linewidth": 0.7, "alpha": 0.8, **style}
    ax.plot(trajectories.t, trajectories.x[:n_paths, :, coordinate].T, **style)
    ax.set_xlabel("step" if np.issubdtype(trajectories.t.dtype, np.integer) else "time")
    ax.set_ylabel("θ" if trajectories.dim == 1 else f"θ[{coordinate}]")
    return ax


def plot_density(density, ax=None, **style):
    """A density as a step curve, masses on states as stems."""
    ax = _axes(ax)
    if density.x.shape[1] != 1:
        raise NotApplicable(f"plot draws a density in dim 1, this one has dim {density.x.shape[1]}")
    if density.edges is None:
        ax.vlines(density.x[:, 0], 0, density.mass, **{"color": "#0072B2", "linewidth": 0.8, **style})
        ax.set_ylabel("probability")
    else:
        ax.stairs(density.mass / np.diff(density.edges), density.edges, **{"color": "#0072B2", **style})
        ax.set_ylabel("density")
    ax.set_xlabel("θ")
    ax.set_title(density.label, fontsize="medium")
    return ax


def plot_counts(counts, ax=None, **style):
    """A histogram as a step curve with a band of two standard errors, or as an image in two dimensions."""
    ax = _axes(ax)
    if len(counts.edges) == 2:
        image = ax.pcolormesh(*counts.edges, counts.density.T, **{"cmap": "cividis", **style})
        ax.figure.colorbar(image, ax=ax, label="density")
        ax.set_xlabel("θ[0]")
        ax.set_ylabel("θ[1]")
        return ax
    density, stderr = counts.density, counts.density_stderr
    curve = ax.stairs(density, counts.edges[0], **{"color": "#0072B2", **style})
    low = np.maximum(density - 2 * stderr, 0.0)
    band = {"color": curve.get_edgecolor(), "alpha": 0.3, "fill": True, "linewidth": 0}
    ax.stairs(density + 2 * stderr, counts.edges[0], baseline=low, **band)
    ax.set_xlabel("θ")
    ax.set_ylabel("density")
    return ax


def plot_step_size_range(span, ax=None, **style):
    """The stable range as a bar, the gap between the bounds hatched."""
    ax = _axes(ax)
    ax.barh([span.criterion], [span.lower], **{"color": "#0072B2", "label": "stable", **style})
    if not span.exact:
        gap = span.upper - span.lower
        ax.barh([span.criterion], [gap], left=span.lower, color="none", edgecolor=_PALE, hatch="//", label="undecided")
    ax.set_xlim(0, 1.3 * span.upper)
    ax.set_xlabel("step size")
    ax.legend()
    return ax


def plot_schedule(schedule, n_steps, ax=None, **style):
    """The step size against the step."""
    ax = _axes(ax)
    steps = np.unique(np.linspace(0, n_steps - 1, _POINTS).astype(np.int64))
    ax.plot(steps, schedule(steps), **{"color": "#0072B2", **style})
    ax.set_xlabel("step")
    ax.set_ylabel("step size")
    return ax


def plot_noise(noise, ax=None, **style):
    """The density of a coordinate in units of its scale, the probabilities of two points as stems."""
    ax = _axes(ax)
    unit = replace(noise, scale=1.0)
    label = repr(unit).replace(", scale=1.0", "").replace("scale=1.0", "")
    if hasattr(unit, "values"):
        style = {"color": "#0072B2", "label": label, **style}
        ax.vlines(unit.values, 0, [unit.p, 1 - unit.p], **style)
        ax.set_ylabel("probability")
        ax.set_ylim(0, 1)
    else:
        low, high = np.quantile(unit.sample(_PILOT, rng=0), [_OUTSIDE, 1 - _OUTSIDE])
        x = np.linspace(low, high, _POINTS)
        density = unit.pdf(x)
        ax.plot(x, np.where(density > 0, density, np.nan), **{"color": "#0072B2", "label": label, **style})
        ax.set_yscale("log")
        ax.set_ylabel("density")
    ax.set_xlabel("noise / scale")
    ax.legend(fontsize="small")
    return ax


def plot_sampling_quality(quality, distance, ax=None, **style):
    """Histograms of the distances to p^GN of a scheme and of uniform sampling, their means as lines."""
    ax = _axes(ax)
    found = quality.distances[distance]
    shown = {
        _literal(quality.settings["scheme"]): (found.scheme, found.scheme_mean, _STYLE["RR"]),
        "uniform": (found.uniform, found.uniform_mean, _STYLE["SGD"]),
    }
    values = [kind[np.isfinite(kind)] for kind, _, _ in shown.values()]
    edges = np.histogram_bin_edges(np.concatenate(values), bins="sqrt")
    for (label, (_, mean, look)), kept in zip(shown.items(), values, strict=True):
        ax.hist(kept, bins=edges, **{"color": look["color"], "alpha": 0.5, "label": label, **style})
        ax.axvline(mean, **look)
    ax.set_xlabel({"kl": "KL(·‖p̃$^{GN}$)", "tv": "TV(·, p̃$^{GN}$)"}[distance])
    ax.set_ylabel("points")
    ax.set_xlim(left=0)
    ax.legend(title="lines: means", fontsize="small", title_fontsize="small")
    return ax


_MOST_TERMS = 6  # of a problem in one dimension are drawn one by one
_CURVE = 1001  # points
_GRID = 201  # points along each side
_LEVELS = 24
_PER_DECADE = 5  # levels of a logarithmic scale
_FLOOR = 100.0  # the median over the lowest fiftieth, both above the least value: from there on a narrow floor
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
    ax = _axes(ax)
    (_curve if len(coordinates) == 1 else _contours)(ax, problem, bounds, coordinates, base)
    if points is not None:
        marks = list(zip(points.x, points.kind, strict=True))
    else:
        marks = [(x, "minimum") for x in (problem.minima if problem.minima is not None else ())]
    _marks(ax, problem, bounds, coordinates, base, marks)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", loc="best", framealpha=0.9)
    ax.set_title(_literal(problem.name), fontsize="medium")
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
        ax.axvline(kink, color=_PALE, linewidth=0.8, linestyle=":", zorder=0)
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
    nine tenths of the box are.
    """
    least, floor, middle, high, most = np.quantile(loss, (0.0, 0.02, 0.5, 0.9, 1.0))
    if middle - least > _FLOOR * (floor - least) > 0:
        low, top = np.floor(np.log10(0.1 * (floor - least))), np.ceil(np.log10(most - least))
        levels = 10.0 ** np.linspace(low, top, _PER_DECADE * int(top - low) + 1)
        return levels, LogNorm(levels[0], levels[-1]), False
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


def draw_valleys(comparison):
    """The picture of ``dynsim compare two-valleys``."""
    fig = Figure(figsize=(11.5, 9), layout="constrained")
    n = len(comparison.schemes)
    top, middle, bottom = (fig.add_gridspec(3, 1)[row] for row in range(3))
    left, right = top.subgridspec(1, 2, width_ratios=[1, 2])
    sharp = 1 / comparison.problem.K
    low = min(-1 - 0.25 * (1 + sharp), *(s.trajectories.x.min() for s in comparison.schemes))
    high = max(sharp + 0.25 * (1 + sharp), *(s.trajectories.x.max() for s in comparison.schemes))
    pad = 0.04 * (high - low)
    _landscape(fig.add_subplot(left), comparison.problem, -1 - 0.35 * (1 + sharp), sharp + 0.35 * (1 + sharp))
    _staying(fig.add_subplot(right), comparison)
    paths = middle.subgridspec(1, n).subplots(sharey=True)
    occupation = bottom.subgridspec(1, n).subplots(sharex=True, sharey=True)
    edges = np.linspace(low - pad, high + pad, _BINS + 1)
    for s, upper, lower in zip(comparison.schemes, paths, occupation, strict=True):
        _paths(upper, s, comparison.problem)
        _occupation(lower, s, edges)
    paths[0].set_ylabel("θ")
    occupation[0].set_ylabel("density")
    occupation[0].legend(fontsize="small", loc="best")
    c = comparison.settings
    fig.suptitle(
        f"{comparison.problem.name}, step size {c['step_size']:g}, {_plural(c['n_paths'], 'path')} from {c['x0']:g}"
    )
    return fig


def _landscape(ax, problem, low, high):
    theta = np.unique(np.concatenate([np.linspace(low, high, 400), problem.kinks]))
    ax.plot(theta, problem.loss(theta[:, None]), color="black")
    for rank, minimum in enumerate(problem.minima):
        name = ("global", "local")[rank]
        ax.plot(minimum, problem.loss(minimum), "o", color="black", markersize=4)
        where = (0, -14) if rank == 0 else (0, 9)
        ax.annotate(name, (minimum[0], float(problem.loss(minimum))), where, textcoords="offset points", ha="center")
    ax.margins(y=0.18)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set(title="landscape", xlabel="θ", ylabel="L(θ)")


def _staying(ax, comparison):
    for s in comparison.schemes:
        t = np.maximum(s.trajectories.t, 0.5)
        style = _STYLE[s.name]
        ax.fill_between(t, s.fraction - 2 * s.stderr, s.fraction + 2 * s.stderr, color=style["color"], alpha=0.25, lw=0)
        ax.plot(t, s.fraction, label=s.name, **style)
        if s.exact is not None:
            some = np.unique(np.searchsorted(t, np.geomspace(1, t[-1], 24)))
            ax.plot(t[some], s.exact[some], "o", color=style["color"], markersize=3.5, markerfacecolor="white")
    if any(s.exact is not None for s in comparison.schemes):
        ax.plot([], [], "o", color="black", markersize=3.5, markerfacecolor="white", label="exact chain")
    ax.set(
        title="in the valley of the global minimum (band: ± 2 standard errors)",
        xlabel="step",
        ylabel="probability",
        xscale="log",
        xlim=(1, None),
        ylim=(-0.03, 1.05),
    )
    ax.legend(loc="best", fontsize="small")


def _paths(ax, s, problem):
    for minimum in problem.minima[:, 0]:
        ax.axhline(minimum, color=_PALE, linewidth=0.8)
    plot_trajectories(s.every_step, ax, n_paths=_PATHS, color=_STYLE[s.name]["color"], alpha=0.6)
    ax.set_ylabel("")
    ax.set_title(f"{s.name}: first {_plural(min(_PATHS, s.trajectories.n_paths), 'path')}")


def _occupation(ax, s, edges):
    x = s.every_step.x[..., 0].ravel()
    ax.hist(x, bins=edges, density=True, color=_PALE, label="simulated occupation")
    width = np.diff(edges)
    if s.sde_density is not None:
        ax.stairs(s.sde_density.on_bins(edges) / width, edges, color="#0072B2", linewidth=1.6, label="SDE, stationary")
    if s.chain_law is not None:
        chain = s.chain_law.on_bins(edges) / width
        ax.stairs(chain, edges, color="#D55E00", linewidth=1.3, linestyle="--", label="chain, stationary")
    ax.set(title=f"{s.name}: where it is", xlabel="θ", yscale="log", ylim=(_LOWEST, 3 / width.min()))


def _plural(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _literal(text):
    """Text that matplotlib shall not read as mathematics."""
    return text.replace("$", r"\$")


def draw_data(comparison):
    """The picture of ``dynsim compare --data``."""
    one_feature = len(comparison.data.features) == 1
    fig = Figure(figsize=(11.5, 4.6), layout="constrained")
    left, right = fig.subplots(1, 2)
    _losses(left, comparison)
    (_fit if one_feature else _parameters)(right, comparison)
    c = comparison.settings
    name = _literal(comparison.data.name)
    fig.suptitle(f"{name}, {c['loss']} loss, step size {c['step_size']:g}, {_plural(c['n_paths'], 'path')}")
    return fig


def _losses(ax, comparison):
    for s in comparison.schemes:
        low, median, high = s.loss
        style = _STYLE[s.name]
        ax.fill_between(s.trajectories.t, low, high, color=style["color"], alpha=0.2, linewidth=0)
        what = "median and 10 to 90 %" if np.isfinite(median[-1]) else "all paths diverged"
        ax.plot(s.trajectories.t, median, label=f"{s.name}, {what}", **style)
    best = float(comparison.problem.loss(comparison.best))
    ax.axhline(best, color="black", linewidth=0.8, linestyle=":", label="best fit found")
    finite = np.concatenate([s.loss[np.isfinite(s.loss)] for s in comparison.schemes])
    if finite.size and finite.max() > 5 * max(best, 1e-12):
        ax.set_yscale("log")
    ax.set(title="loss against iterations", xlabel="step", ylabel="L(θ)")
    ax.legend(fontsize="small")


def _fit(ax, comparison):
    problem, data = comparison.problem, comparison.data
    x = data.X[:, 0]
    ax.plot(x, data.y, "o", color="black", markersize=4, markerfacecolor="white", label="data")
    ends = np.array([x.min(), x.max()])
    ends = ends + np.array([-0.05, 0.05]) * np.ptp(x)
    for s in comparison.schemes:
        ax.plot(ends, s.final[1, 0] + s.final[1, 1] * ends, label=f"{s.name}, median parameters", **_STYLE[s.name])
    best = problem.coefficients(comparison.best)
    ax.plot(ends, best[0] + best[1] * ends, ":", color="black", linewidth=1.2, label="best fit found")
    spread = np.ptp(data.y)
    ax.set(xlabel=_literal(data.features[0]), ylabel=_literal(data.target), title="the fit")
    ax.set_ylim(data.y.min() - 0.2 * spread, data.y.max() + 0.2 * spread)
    ax.legend(fontsize="small")


def _parameters(ax, comparison):
    """Final parameters relative to the best fit, in units of the standardized model."""
    names = comparison.names
    for k, s in enumerate(comparison.schemes):
        final = s.trajectories.x[np.isinf(s.trajectories.diverged), -1]
        label = s.name if final.shape[0] else f"{s.name}: all paths diverged"
        final = final if final.shape[0] else np.full((1, len(names)), np.nan)
        low, median, high = np.quantile(final - comparison.best, (0.1, 0.5, 0.9), axis=0)
        ax.errorbar(
            np.arange(len(names)) + 0.15 * (2 * k - 1),
            median,
            [median - low, high - median],
            fmt="os"[k],
            color=_STYLE[s.name]["color"],
            capsize=3,
            label=label,
        )
    ax.axhline(0, color="black", linewidth=0.8, linestyle=":")
    ax.set_xticks(
        range(len(names)),
        [_literal(name.replace("_", " ")) for name in names],
        rotation=15 if len(names) < 7 else 60,
        ha="right",
    )
    ax.set(title="final parameters minus best fit (standardized), 10 to 90 %")
    ax.legend(fontsize="small")
