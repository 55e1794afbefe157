"""The pictures of ``dynsim average`` and ``dynsim bifurcation``."""

import math

import numpy as np
from matplotlib.figure import Figure

from dynsim.plot.common import PALE, STYLE, literal

_ACROSS = 3  # panels in a row


def draw_averages(comparison):
    """A panel for each quantity: what its average was, over chains and time, as the run went on."""
    names = list(next(iter(comparison.averages.values())))
    rows = math.ceil(len(names) / _ACROSS)
    fig = Figure(figsize=(11.5, 0.8 + 2.7 * rows), layout="constrained")
    panels = fig.subplots(rows, _ACROSS, squeeze=False).ravel()
    for ax, name in zip(panels, names, strict=False):
        for scheme, found in comparison.averages.items():
            _running(ax, found[name], scheme, trusted=name not in comparison.refusals[scheme])
        ax.set(title=literal(name), xlabel="step after burn-in", xscale="log")
    for ax in panels[len(names) :]:
        ax.set_axis_off()
    panels[0].legend(fontsize="small")
    c = comparison.settings
    fig.suptitle(
        literal(
            f"{comparison.problem.name}, step size {c['step_size']:g}: averages over {c['n_paths']} paths and time, "
            "with 95 % intervals at the end"
        )
    )
    return fig


def _running(ax, mean, scheme, *, trusted):
    """The average up to each batch, pale lines for the chains, and at the end the interval or a question mark."""
    means = mean.batches.means[:, :, 0]
    count = np.arange(1, means.shape[1] + 1)
    t = count * mean.batches.size * mean.batches.interval
    each = np.cumsum(means, axis=1) / count
    style = STYLE[scheme]
    ax.plot(t, each[:8].T, color=style["color"], linewidth=0.5, alpha=0.25)
    ax.plot(t, each.mean(axis=0), label=scheme, **style)
    end = 1.15 * t[-1]
    if trusted:
        low, high = mean.interval()
        ax.errorbar(
            end,
            float(mean.value),
            [[float(mean.value - low)], [float(high - mean.value)]],
            color=style["color"],
            marker="o",
            markersize=3,
            capsize=3,
        )
    else:
        ax.annotate("?", (end, float(mean.value)), color=style["color"], ha="center", va="center")


def draw_edge(comparison):
    """The bifurcation diagram of ``dynsim bifurcation``, with the edge of stability."""
    fig = Figure(figsize=(11, 6), layout="constrained")
    ax = fig.subplots()
    comparison.diagram.plot(ax)
    ax.set(title=literal(comparison.problem.name), ylabel=comparison.settings["quantity"].replace("-", " "))
    low, high = comparison.diagram.values[[0, -1]]
    if low < comparison.edge < high:
        ax.axvline(comparison.edge, color=PALE, linestyle="--", zorder=0)
        ax.annotate(
            "2/sharpness", (comparison.edge, 1), (3, -3), xycoords=("data", "axes fraction"), va="top",
            textcoords="offset points", fontsize="small",
        )  # fmt: skip
    return fig
