"""All drawing. Colors (Okabe & Ito) differ in lightness too, and each scheme has its own dashes."""

import numpy as np
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
