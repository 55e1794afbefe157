"""The picture of ``dynsim stationary``."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from dynsim.plot.common import PALE, literal

_BINS = {1: 200, 2: 96}
_DECADES = 12  # of densities that are drawn
_LOOKS = {
    "SDE": {"color": "#0072B2", "linestyle": "-"},
    "chain on a grid": {"color": "#D55E00", "linestyle": "-"},
    "chain on its lattice": {"color": "#009E73", "linestyle": "--"},
    "AY Lemma 2.1": {"color": "#333333", "linestyle": ":"},
    "run": {"color": "#CC79A7", "linestyle": "-"},
}


def draw_stationary(comparison):
    """For each scheme all views: curves over each other, or images side by side."""
    return _curves(comparison) if comparison.problem.dim == 1 else _images(comparison)


def _curves(comparison):
    n = len(comparison.views)
    fig = Figure(figsize=(10, 1 + 2.6 * n), layout="constrained")
    panels = fig.subplots(n, 1, sharex=True, squeeze=False)[:, 0]
    edges = np.linspace(*comparison.settings["bounds"][0], _BINS[1] + 1)
    for ax, (name, views) in zip(panels, comparison.views.items(), strict=True):
        top = 0.0
        for view in views:
            density = _binned(view.law, [edges])
            top = max(top, density.max())
            ax.stairs(
                np.where(density > 0, density, np.nan), edges, label=view.name, baseline=None, **_LOOKS[view.name]
            )
        for minimum in comparison.minima[:, 0]:
            ax.axvline(minimum, color=PALE, linewidth=0.8, zorder=0)
        ax.set(yscale="log", ylim=(top * 10.0**-_DECADES, 3 * top), ylabel="density", title=literal(name))
    panels[0].legend(fontsize="small", loc="best")
    panels[-1].set_xlabel("θ")
    _title(fig, comparison)
    return fig


def _images(comparison):
    n, m = len(comparison.views), max(len(views) for views in comparison.views.values())
    fig = Figure(figsize=(1 + 3.6 * m, 0.7 + 3.2 * n), layout="constrained")
    panels = fig.subplots(n, m, sharex=True, sharey=True, squeeze=False)
    edges = [np.linspace(low, high, _BINS[2] + 1) for low, high in comparison.settings["bounds"]]
    for row, (name, views) in zip(panels, comparison.views.items(), strict=True):
        densities = [_binned(view.law, edges) for view in views]
        top = max((density.max() for density in densities), default=1.0)
        norm = LogNorm(top * 1e-6, top)
        image = None
        for ax, view, density in zip(row, views, densities, strict=False):
            image = ax.pcolormesh(*edges, np.where(density > 0, density, np.nan).T, norm=norm, cmap="cividis")
            ax.plot(*comparison.minima[:, :2].T, "o", color="white", markeredgecolor="black", markersize=4)
            ax.set_title(f"{literal(name)}: {view.name}", fontsize="medium")
        for ax in row[len(views) :]:
            ax.set_axis_off()
        if image is not None:
            fig.colorbar(image, ax=list(row), label="density")
        row[0].set_ylabel("θ[1]")
    for ax in panels[-1]:
        ax.set_xlabel("θ[0]")
    _title(fig, comparison)
    return fig


def _binned(law, edges):
    """Density on bins, of a law or of the states of a run."""
    volume = np.prod(np.meshgrid(*[np.diff(e) for e in edges], indexing="ij"), axis=0)
    if hasattr(law, "on_bins"):
        return law.on_bins(*edges) / volume
    x = law.x[~np.isfinite(law.diverged)].reshape(-1, law.dim)
    return np.histogramdd(x, bins=edges)[0] / (max(len(x), 1) * volume)


def _title(fig, comparison):
    fig.suptitle(literal(f"{comparison.problem.name}, step size {comparison.settings['step_size']:g}"))
