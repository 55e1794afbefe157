"""Densities, functions on grids, spectra, and densities compared."""

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dynsim.errors import NotApplicable
from dynsim.plot.common import PALE, axes, literal

_LOOKS = (  # colors (Okabe & Ito) and dashes, so that curves differ in print too
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#333333", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", (0, (8, 2))),
)
_WIDE_SPAN = 1e4  # ratio of densities from which on the axis is logarithmic
_DEEPEST = 1e-12  # of the largest density, where a logarithmic axis ends
_VISIBLE = 1e-3  # of the largest density, on a linear axis
_DEEPEST_COLOR = 1e-6  # the same for colors
_NO_ERROR = 1e-12  # rounding
_FUNCTION_COLORS = "viridis"
_DENSITY_COLORS = "cividis"


def plot_density(density, ax=None, *, log=False, **style):
    """A density as a step curve or an image, masses on states as stems or dots; on a ``log`` scale or not."""
    ax = axes(ax)
    if density.dim > 2:
        raise NotApplicable(f"plot draws one or two dimensions, this density has {density.dim}: use marginal(...)")
    values = density.mass if density.grid is None else density.mass / density.grid.volumes
    what = "probability" if density.grid is None else "density"
    ax.set_title(literal(density.label), fontsize="medium")
    if density.dim == 2:
        norm = _norm(values, log)
        image = _image(ax, density.grid, density.x, values, {"cmap": _DENSITY_COLORS, "norm": norm, **style})
        ax.figure.colorbar(image, ax=ax, label=what)
        return ax
    if density.grid is None:
        ax.vlines(density.x[:, 0], 0, values, **{"color": _LOOKS[0][0], "linewidth": 0.8, **style})
    else:
        ax.stairs(values, density.grid.edges[0], **{"color": _LOOKS[0][0], **style})
    if log and (values > 0).any():
        ax.set_yscale("log")
        ax.set_ylim(0.5 * max(values[values > 0].min(), _DEEPEST * values.max()), 2 * values.max())
    ax.set_xlabel("θ")
    ax.set_ylabel(what)
    return ax


def plot_function(function, ax=None, **style):
    """A function of the start as a curve or an image; dots for states."""
    ax = axes(ax)
    dim = function.x.shape[1]
    if dim > 2:
        raise NotApplicable(f"plot draws one or two dimensions, this function has {dim}")
    ax.set_title(literal(function.label), fontsize="medium")
    values = np.where(np.isfinite(function.values), function.values, np.nan)
    if dim == 2:
        image = _image(ax, function.grid, function.x, values, {"cmap": _FUNCTION_COLORS, **style})
        ax.figure.colorbar(image, ax=ax)
        return ax
    order = np.argsort(function.x[:, 0])
    look = {"linestyle": "-"} if function.grid is not None else {"linestyle": "", "marker": ".", "markersize": 3}
    ax.plot(function.x[order, 0], values[order], **{"color": _LOOKS[0][0], **look, **style})
    ax.set_xlabel("θ")
    return ax


def plot_spectrum(spectrum, ax=None, **style):
    """Eigenvalues in the complex plane, with the circle of radius 1 or the imaginary axis that bounds them."""
    ax = axes(ax)
    values = spectrum.eigenvalues
    if np.abs(values[0] - 1) < 0.5:  # of a transition matrix
        turn = np.linspace(0, 2 * np.pi, 361)
        ax.plot(np.cos(turn), np.sin(turn), color=PALE, linewidth=0.8, zorder=1)
        ax.set_aspect("equal")
    else:
        ax.axvline(0, color=PALE, linewidth=0.8, zorder=1)
    ax.axhline(0, color=PALE, linewidth=0.8, zorder=1)
    ax.plot(
        values.real, values.imag, **{"linestyle": "", "marker": "o", "color": _LOOKS[0][0], "markersize": 5, **style}
    )
    ax.set_xlabel("Re λ")
    ax.set_ylabel("Im λ")
    ax.set_title(literal(spectrum.label), fontsize="medium")
    return ax


def plot_densities(comparison, ax=None, *, log=None, **style):
    """Densities over each other; histograms with a band of two standard errors, states and samples on bins."""
    ax = axes(ax)
    if comparison.measures[0].law.dim != 1:
        raise NotApplicable("plot lays densities of one dimension over each other; draw() puts others side by side")
    drawn = []
    for k, m in enumerate(comparison.measures):
        law = m.binned()
        edges, widths = law.grid.edges[0], np.diff(law.grid.edges[0])
        values = law.mass / widths
        color, dash = _LOOKS[k % len(_LOOKS)]
        look = {"color": color, "linestyle": dash, "linewidth": 1.5, "label": literal(m.name), **style}
        ax.stairs(values, edges, baseline=None, **look)
        if m.is_noisy:
            stderr = np.sqrt((m.residuals(m.counts(law.grid.edges))[:, :-1] ** 2).sum(axis=0)) / widths
            low = np.maximum(values - 2 * stderr, 0.0)
            ax.stairs(values + 2 * stderr, edges, baseline=low, color=color, alpha=0.25, fill=True, linewidth=0)
        drawn.append((values, edges))
    highest = max(values.max() for values, _ in drawn)
    lowest = min(values[values > 0].min() for values, _ in drawn)
    if log or (log is None and highest > _WIDE_SPAN * lowest):
        lowest = max(0.5 * lowest, _DEEPEST * highest)
        ax.set_yscale("log")
        ax.set_ylim(lowest, 3 * highest)
    else:
        lowest = _VISIBLE * highest
        ax.set_ylim(0, None)
    ends = [
        edges[np.flatnonzero(values > lowest)[[0, -1]] + [0, 1]] for values, edges in drawn if values.max() > lowest
    ]
    pad = 0.03 * np.ptp(ends)
    ax.set_xlim(np.min(ends) - pad, np.max(ends) + pad)
    ax.set_xlabel("θ")
    ax.set_ylabel("density")
    ax.legend()
    return ax


def draw_densities(comparison, *, log=None):
    """The picture of ``compare_densities``: the densities, and below them the table of their distances."""
    n, n_rows = len(comparison.measures), len(comparison.pairs)
    dim = comparison.measures[0].law.dim
    if dim > 2:
        raise NotApplicable(f"draw shows one or two dimensions, these densities have {dim}: compare their marginals")
    beside = 2 if n in (2, 4) else 3
    down = 1 if dim == 1 else -(-n // beside)
    height, below = (4.6 if dim == 1 else 3.6 * down), 0.6 + 0.28 * (n_rows + 1)
    fig = Figure(figsize=(9.5 if dim == 1 else 1.2 + 3.8 * beside, height + below), layout="constrained")
    top, bottom = fig.add_gridspec(2, 1, height_ratios=[height, below])
    if dim == 1:
        plot_densities(comparison, fig.add_subplot(top), log=log)
    else:
        _side_by_side(fig, top.subgridspec(down, beside), comparison, log)
    _table(fig.add_subplot(bottom), comparison)
    return fig


def _side_by_side(fig, grid, comparison, log):
    laws = [m.binned() for m in comparison.measures]
    values = [law.mass / law.grid.volumes for law in laws]
    positive = np.concatenate([v[v > 0] for v in values])
    log = positive.max() > _WIDE_SPAN * np.quantile(positive, 0.25) if log is None else log
    norm = _norm(positive, log)
    panels = []
    for k, (m, law, value) in enumerate(zip(comparison.measures, laws, values, strict=True)):
        shared = {"sharex": panels[0], "sharey": panels[0]} if panels else {}
        ax = fig.add_subplot(grid[divmod(k, grid.ncols)], **shared)
        image = _image(ax, law.grid, law.x, value, {"cmap": _DENSITY_COLORS, "norm": norm})
        ax.set_title(literal(m.name), fontsize="medium")
        ax.set_facecolor("#00224E")  # the color of 0
        panels.append(ax)
    fig.colorbar(image, ax=panels, label="density", extend="min" if log else "neither")


def _table(ax, comparison):
    ax.set_axis_off()
    rows = []
    for (a, b), pair in comparison.pairs.items():
        distances = (pair.total_variation, pair.kullback_leibler, pair.reverse_kullback_leibler, pair.wasserstein)
        rows.append([literal(f"{a}, {b}"), *map(_cell, distances)])
    heads = ["a, b", "total variation", "KL(a‖b)", "KL(b‖a)", "W1"]
    widths = [0.32, 0.17, 0.17, 0.17, 0.17]
    table = ax.table(rows, colLabels=heads, colWidths=widths, loc="upper center", cellLoc="right", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1, 1.35)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor(PALE)
        if column == 0:
            cell.set_text_props(ha="left")
        elif row and _distances(comparison)[row - 1][column - 1].differs:
            cell.set_text_props(weight="bold")
    note = "bold: more than grid error and chance; in brackets: how far such runs come from their own law by chance"
    ax.set_title(note, fontsize=8, loc="left")


def _distances(comparison):
    return [
        (p.total_variation, p.kullback_leibler, p.reverse_kullback_leibler, p.wasserstein)
        for p in comparison.pairs.values()
    ]


def _cell(distance):
    value = f"{distance.value:.3g}"
    if distance.floor > 0:
        return f"{value} ({distance.by_chance:.2g})"
    return f"{value} ± {distance.error:.1g}" if distance.error > _NO_ERROR else value


def _norm(values, log):
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return Normalize(0, 1)
    if log:
        return LogNorm(max(values.min(), _DEEPEST_COLOR * values.max()) * 0.999, values.max())
    return Normalize(0, values.max())


def _image(ax, grid, x, values, style):
    """Values of two dimensions: an image of cells, turned if they are, or dots for states."""
    ax.set_xlabel("θ[0]")
    ax.set_ylabel("θ[1]")
    if grid is None:
        return ax.scatter(*x.T, c=values, s=9, **style)
    corners = grid.point(np.stack(np.meshgrid(*grid.faces, indexing="ij"), axis=-1))
    return ax.pcolormesh(corners[..., 0], corners[..., 1], values.reshape(grid.shape), rasterized=True, **style)
