"""Orbits, bifurcation diagrams and basins of attraction."""

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.plot.common import PALE, axes, literal

_CHAOS, _LONGER = "#222222", "#999999"
_NO_PERIOD = "no period found"
_PERIODS = {1: "#0072B2", 2: "#D55E00", 3: "#009E73", 4: "#CC79A7", 5: "#56B4E9", 6: "#E69F00", 8: "#8C6D31"}
_BASINS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8C6D31", "#999999")
_DIVERGED, _UNDECIDED = "#FFFFFF", "#222222"


def plot_orbit(orbit, ax=None, *, n_starts=20, coordinates=None, **style):
    """One coordinate against the step, or the points of two."""
    if coordinates is None:
        coordinates = (0, 1) if orbit.n_observed > 1 else 0
    chosen = np.atleast_1d(coordinates)
    for number in chosen.tolist():
        if _check.count("coordinates", number, least=0) >= orbit.x.shape[2]:
            raise ArgumentError(f"coordinates must be below dim = {orbit.x.shape[2]}, got {number}")
    if chosen.size > 2:
        raise ArgumentError(f"coordinates must be a number or a pair, got {coordinates!r}")
    ax = axes(ax)
    steps = orbit.settings["burn_in"] + np.arange(orbit.n_steps + 1)
    for x in orbit.x[:n_starts]:
        if chosen.size == 1:
            ax.plot(steps, x[:, chosen[0]], **{"linewidth": 0.7, "marker": ".", "markersize": 3, **style})
        else:
            look = {
                "linestyle": "none",
                "marker": ".",
                "markersize": max(_marker_size(len(steps)), 2),
                "markeredgewidth": 0,
            }
            ax.plot(*x[:, chosen].T, **(look | style))
    names = [f"x[{j}]" for j in chosen]
    ax.set_xlabel("step" if chosen.size == 1 else names[0])
    ax.set_ylabel(names[-1])
    return ax


def plot_bifurcation(diagram, ax=None, **style):
    """The observable against the parameter, a color for each period; hatched where every orbit has diverged."""
    ax = axes(ax)
    m, _, n_kept = diagram.points.shape
    for name, color, chosen in _by_period(diagram):
        where, start = np.nonzero(chosen)
        points, aperiodic = diagram.points[where, start], name == _NO_PERIOD
        if not aperiodic:
            points = points[:, -diagram.settings["most"] :]  # once around the cycle
        look = {
            "linestyle": "none",
            "marker": ".",
            "markeredgewidth": 0,
            "rasterized": m * n_kept > 10_000,
            "color": color,
            "markersize": _marker_size(m * n_kept / 20) if aperiodic else 4,
            "alpha": 0.6 if aperiodic else 1.0,
        }
        ax.plot(np.repeat(diagram.values[where], points.shape[1]), points.ravel(), **(look | style))
        ax.plot([], [], label=name, color=color, marker="o", linestyle="none", markersize=4)
    _hatch(ax, diagram.values, diagram.diverged.all(axis=1))
    ax.set_xlabel(literal(diagram.parameter))
    ax.set_ylabel(literal(diagram.observable))
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", loc="best")
    return ax


def _by_period(diagram):
    """Name, color and mask (m, n_starts) of the orbits of each kind that occurs, what has no period first."""
    period = np.where(diagram.diverged, -1, diagram.period)
    longer = ~np.isin(period, [-1, 0, *_PERIODS])
    kinds = [(_NO_PERIOD, _CHAOS, period == 0)]
    kinds += [(f"period {p}", color, period == p) for p, color in _PERIODS.items()]
    kinds.append(("longer period", _LONGER, longer))
    return [kind for kind in kinds if kind[2].any()]


def _hatch(ax, values, gone):
    """Hatch the background around the values at which nothing stays."""
    order = np.argsort(values)
    values, gone = values[order], gone[order]
    if not gone.any():
        return
    middles = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([values[:1], middles, values[-1:]])
    for k in np.flatnonzero(gone):
        ax.axvspan(edges[k], edges[k + 1], facecolor="none", edgecolor=PALE, hatch="///", linewidth=0)
    ax.plot([], [], label="diverged", marker="s", linestyle="none", markerfacecolor="none", color=PALE)


def plot_basins(basins, ax=None, **style):
    """The basins as an image over two coordinates or a bar over one, their attractors as points."""
    from matplotlib.colors import ListedColormap

    ax = axes(ax)
    k = len(basins.points)
    colors = [_BASINS[i % len(_BASINS)] for i in range(k)]
    one = basins.labels.ndim == 1
    image = basins.labels[:, None] if one else basins.labels
    box = np.vstack([basins.bounds, [[0.0, 1.0]]]) if one else basins.bounds
    edges = [np.linspace(*side, n + 1) for side, n in zip(box, image.shape, strict=True)]
    cmap = ListedColormap([_DIVERGED, _UNDECIDED, *colors])
    look = {"cmap": cmap, "vmin": -2.5, "vmax": k - 0.5, "rasterized": True, "alpha": 0.6, "linewidth": 0}
    ax.pcolormesh(*edges, image.T, **(look | style))
    for number, points in enumerate(basins.points):
        name = {0: "aperiodic", 1: "fixed point"}.get(int(basins.period[number]), f"{basins.period[number]}-cycle")
        at = (points[:, 0], np.full(len(points), 0.5)) if one else points.T
        size = 7 if basins.period[number] else 2
        label = f"{name}: {basins.share[number]:.1%}" if number < len(_BASINS) else None
        marked = {"marker": "o", "linestyle": "none", "markersize": size, "markeredgecolor": "k", "clip_on": True}
        ax.plot(*at, color=colors[number], label=label, **marked, markeredgewidth=0.8 if size > 2 else 0)
    for name, color in (("undecided", _UNDECIDED), ("diverged", _DIVERGED)):
        if share := getattr(basins, name):
            ax.plot([], [], "s", color=color, markeredgecolor=PALE, label=f"{name}: {share:.1%}")
    ax.set_xlim(*box[0])
    ax.set_ylim(*box[1])
    if one:
        ax.set_yticks([])
    else:
        ax.set_ylabel("θ[1]")
    ax.set_xlabel("θ" if one else "θ[0]")
    ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _marker_size(count):
    """Smaller for more points."""
    return float(np.clip(60 / np.sqrt(count), 0.6, 4))
