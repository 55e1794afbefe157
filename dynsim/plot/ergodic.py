"""Empirical measures, how they converge, and how the mean change of a step vanishes."""

import numpy as np

from dynsim.errors import NotApplicable, TooShort
from dynsim.plot.common import PALE, axes

_BINS = 24  # whose errors are drawn
_PIXELS = 64
_LOOKS = {
    "realized": {"color": "#0072B2", "marker": "o"},
    "resampled": {"color": "#D55E00", "marker": "s"},
    "expected": {"color": "#009E73", "marker": "^"},
}


def plot_empirical_measure(measure, ax=None, **style):
    """A histogram with a band of two standard errors where they are known, or an image in two dimensions."""
    if measure.dim > 2:
        raise NotApplicable(f"plot draws one or two dimensions, this measure has {measure.dim}")
    ax = axes(ax)
    points = measure.points
    if measure.dim == 2:
        counts, *edges = np.histogram2d(*points.T, bins=_PIXELS, density=True)
        image = ax.pcolormesh(*edges, counts.T, **{"cmap": "cividis", **style})
        ax.figure.colorbar(image, ax=ax, label="density")
        ax.set_xlabel("θ[0]")
        ax.set_ylabel("θ[1]")
        return ax
    edges = np.histogram_bin_edges(points[:, 0], _BINS)
    widths = np.diff(edges)
    try:
        found = measure.histogram(edges)
        stderr = found.stderr / widths
    except TooShort as error:
        found, stderr = error.estimate, None
    density = found.value / widths
    curve = ax.stairs(density, edges, **{"color": "#0072B2", **style})
    if stderr is not None:
        band = {"color": curve.get_edgecolor(), "alpha": 0.3, "fill": True, "linewidth": 0}
        ax.stairs(density + 2 * stderr, edges, baseline=np.maximum(density - 2 * stderr, 0.0), **band)
    ax.set_xlabel("θ")
    ax.set_ylabel("density")
    return ax


def plot_convergence(curve, ax=None, **style):
    """Distance with two standard errors, and its floor, against the length of the run."""
    ax = axes(ax)
    style = {"color": "#0072B2", "marker": "o", "markersize": 4, "linewidth": 1, **style}
    label = f"W1, slope {curve.slope:.2f}"
    ax.errorbar(curve.n, curve.distance, 2 * np.nan_to_num(curve.stderr), label=label, **style)
    if np.isfinite(curve.floor).all():
        ax.plot(curve.n, curve.floor, color=PALE, linestyle="--", label="by chance", zorder=0)
    return _logarithmic(ax, "W1 to the measure")


def plot_vanishing_change(result, ax=None, **style):
    """The change against n in all readings, with the slopes −1 and −1/2 and the asymptotes."""
    ax = axes(ax)
    for reading, look in _LOOKS.items():
        change = result.change[reading]
        if not (change > 0).all():
            continue
        slope, error = result.slope[reading], result.slope_stderr[reading]
        label = f"{reading}, slope {slope:.2f} ± {error:.2f}"
        look = {**look, "linestyle": "none", "markersize": 4, **style}
        ax.errorbar(result.n, change, 2 * result.stderr[reading], label=label, **look)
        if reading == "realized":
            ax.plot(result.n, change[-1] * result.n[-1] / result.n, color=look["color"], linewidth=1)
        elif result.variance > 0:
            ax.plot(result.n, result.asymptote(reading), color=look["color"], linewidth=1)
    return _logarithmic(ax, "change of φ in a step, averaged over the path")


def plot_weak_convergence(result, ax=None, **style):
    """W1(μ_n, μ_2n), the defect of invariance, and its bound, against n."""
    ax = axes(ax)
    style = {"marker": "o", "markersize": 4, "linewidth": 1, **style}
    ax.plot(result.n, result.change, **{"color": "#0072B2", "label": "W1(μₙ, μ₂ₙ)", **style})
    ax.plot(result.n, result.defect, **{"color": "#D55E00", "label": "W1(μₙ, F#μₙ)", **style})
    ax.plot(result.n, result.bound, color=PALE, linestyle="--", label="diameter/n", zorder=0)
    return _logarithmic(ax, "distance")


def _logarithmic(ax, ylabel):
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("n")
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax
