"""Schedules, noise and sampling schemes."""

from dataclasses import replace

import numpy as np

from dynsim.plot.common import STYLE, axes, literal

_POINTS = 401  # of a curve
_PILOT = 10000  # draws that tell where a law of noise lives
_OUTSIDE = 0.005  # its probability on each side that is not drawn


def plot_schedule(schedule, n_steps, ax=None, **style):
    """The step size against the step."""
    ax = axes(ax)
    steps = np.unique(np.linspace(0, n_steps - 1, _POINTS).astype(np.int64))
    ax.plot(steps, schedule(steps), **{"color": "#0072B2", **style})
    ax.set_xlabel("step")
    ax.set_ylabel("step size")
    return ax


def plot_noise(noise, ax=None, **style):
    """The density of a coordinate in units of its scale, the probabilities of two points as stems."""
    ax = axes(ax)
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
    ax = axes(ax)
    found = quality.distances[distance]
    shown = {
        literal(quality.settings["scheme"]): (found.scheme, found.scheme_mean, STYLE["RR"]),
        "uniform": (found.uniform, found.uniform_mean, STYLE["SGD"]),
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
