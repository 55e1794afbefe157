"""The pictures of ``dynsim compare``."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynsim.plot.common import PALE, STYLE, literal, plural
from dynsim.plot.results import plot_trajectories

_PATHS = 6  # trajectories drawn for each scheme
_BINS = 80
_LOWEST = 1e-4  # density at which the occupation plots are cut off


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
        f"{comparison.problem.name}, step size {c['step_size']:g}, {plural(c['n_paths'], 'path')} from {c['x0']:g}"
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
        style = STYLE[s.name]
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
        ax.axhline(minimum, color=PALE, linewidth=0.8)
    plot_trajectories(s.every_step, ax, n_paths=_PATHS, color=STYLE[s.name]["color"], alpha=0.6)
    ax.set_ylabel("")
    ax.set_title(f"{s.name}: first {plural(min(_PATHS, s.trajectories.n_paths), 'path')}")


def _occupation(ax, s, edges):
    x = s.every_step.x[..., 0].ravel()
    ax.hist(x, bins=edges, density=True, color=PALE, label="simulated occupation")
    width = np.diff(edges)
    if s.sde_density is not None:
        ax.stairs(s.sde_density.on_bins(edges) / width, edges, color="#0072B2", linewidth=1.6, label="SDE, stationary")
    if s.chain_law is not None:
        chain = s.chain_law.on_bins(edges) / width
        ax.stairs(chain, edges, color="#D55E00", linewidth=1.3, linestyle="--", label="chain, stationary")
    ax.set(title=f"{s.name}: where it is", xlabel="θ", yscale="log", ylim=(_LOWEST, 3 / width.min()))


def draw_data(comparison):
    """The picture of ``dynsim compare --data``."""
    a_line = len(comparison.data.features) == 1 and comparison.problem.curvature_at_fit is not None
    fig = Figure(figsize=(11.5, 4.6), layout="constrained")
    left, right = fig.subplots(1, 2)
    _losses(left, comparison)
    (_fit if a_line else _parameters)(right, comparison)
    c = comparison.settings
    name = literal(comparison.data.name)
    fig.suptitle(f"{name}, {c['loss']} loss, step size {c['step_size']:g}, {plural(c['n_paths'], 'path')}")
    return fig


def _losses(ax, comparison):
    for s in comparison.schemes:
        low, median, high = s.loss
        style = STYLE[s.name]
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
        ax.plot(ends, s.final[1, 0] + s.final[1, 1] * ends, label=f"{s.name}, median parameters", **STYLE[s.name])
    best = problem.coefficients(comparison.best)
    ax.plot(ends, best[0] + best[1] * ends, ":", color="black", linewidth=1.2, label="best fit found")
    spread = np.ptp(data.y)
    ax.set(xlabel=literal(data.features[0]), ylabel=literal(data.target), title="the fit")
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
            color=STYLE[s.name]["color"],
            capsize=3,
            label=label,
        )
    ax.axhline(0, color="black", linewidth=0.8, linestyle=":")
    ax.set_xticks(
        range(len(names)),
        [literal(name.replace("_", " ")) for name in names],
        rotation=15 if len(names) < 7 else 60,
        ha="right",
    )
    ax.set(title="final parameters minus best fit (standardized), 10 to 90 %")
    ax.legend(fontsize="small")
