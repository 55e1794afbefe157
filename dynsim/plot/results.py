"""Results of runs, densities and step sizes."""

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.plot.common import PALE, axes


def plot_trajectories(trajectories, ax=None, *, n_paths=20, coordinate=0, **style):
    """One coordinate of the first paths against time."""
    if _check.count("coordinate", coordinate, least=0) >= trajectories.dim:
        raise ArgumentError(f"coordinate must be below dim = {trajectories.dim}, got {coordinate}")
    ax = axes(ax)
    style = {"linewidth": 0.7, "alpha": 0.8, **style}
    ax.plot(trajectories.t, trajectories.x[:n_paths, :, coordinate].T, **style)
    ax.set_xlabel("step" if np.issubdtype(trajectories.t.dtype, np.integer) else "time")
    ax.set_ylabel("θ" if trajectories.dim == 1 else f"θ[{coordinate}]")
    return ax


def plot_counts(counts, ax=None, **style):
    """A histogram as a step curve with a band of two standard errors, or as an image in two dimensions."""
    ax = axes(ax)
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
    ax = axes(ax)
    ax.barh([span.criterion], [span.lower], **{"color": "#0072B2", "label": "stable", **style})
    if not span.exact:
        gap = span.upper - span.lower
        ax.barh([span.criterion], [gap], left=span.lower, color="none", edgecolor=PALE, hatch="//", label="undecided")
    ax.set_xlim(0, 1.3 * span.upper if span.upper > 0 else 1.0)
    ax.set_xlabel("step size")
    ax.legend()
    return ax
